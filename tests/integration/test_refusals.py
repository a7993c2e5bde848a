"""Bad input: each kind is refused by its own error, before anything is written, on every engine and face."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

import backstory
from backstory import (
    EMPTY,
    EXISTS,
    BackstoryError,
    ConflictError,
    Event,
    InvalidKeyError,
    InvalidPointError,
    InvalidScopeError,
    InvalidValueError,
    NotFoundError,
    ReadOnlyError,
    SchemaError,
    StoreClosedError,
    StoreUnavailableError,
    ValueTooLargeError,
)

NOBODY = UUID(int=7)
Call = Callable[[Any], Any]


def _cycle() -> list[Any]:
    cycle: list[Any] = []
    cycle.append(cycle)
    return cycle


def _deep(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


KEYS = ["", "a" * 257, "a..b", "a//b", "a\\b", "a\nb", "a\0b", "__a", "$$a", "\ud800", 5, None]
SCOPES = ["", "bogus:a", "agent:", "agent:" + "a" * 257, "agent:a/b", "agent:%zz", "step:only", "a b", 5, None]
VALUES: list[tuple[Any, str]] = [
    (float("nan"), ""),
    (float("inf"), ""),
    ({"a": [1, float("-inf")]}, "a[1]"),
    ({"a": {1: 2}}, "a"),
    ({"a": {1, 2}}, "a"),
    ([object()], "[0]"),
    ({"odd key": object()}, '["odd key"]'),
    ("\ud800", ""),
    (_cycle(), None),  # type: ignore[list-item]
    (_deep(5000), None),  # type: ignore[list-item]
]
POINTS = [-1, 10_000, NOBODY, datetime(2026, 1, 1), "1", 1.0, True]  # noqa: DTZ001 - a naive time is the case
WRITES: list[Call] = [
    lambda s: s.set("agent:a", "k", 1, expected_version=-1),
    lambda s: s.set("agent:a", "k", 1, expected_version="1"),
    lambda s: s.set("agent:a", "k", 1, expected_key_version=True),
    lambda s: s.set("agent:a", "k", 1, ttl=0),
    lambda s: s.set("agent:a", "k", 1, ttl=-1),
    lambda s: s.set("agent:a", "k", 1, ttl=timedelta(0)),
    lambda s: s.set("agent:a", "k", 1, ttl="1"),
    lambda s: s.set("agent:a", "k", 1, ttl=float("nan")),
    lambda s: s.set("agent:a", "k", 1, ttl=True),
    lambda s: s.set("agent:a", "k", 1, state_class="secret"),
    lambda s: s.set("agent:a", "k", 1, correlation_id=""),
    lambda s: s.set("agent:a", "k", 1, correlation_id="c" * 129),
    lambda s: s.set("agent:a", "k", 1, correlation_id="\ud800"),
    lambda s: s.set("agent:a", "k", 1, actor=5),
    lambda s: s.set("agent:a", "k", 1, cause="no id"),
    lambda s: s.set("agent:a", "k", 1, cause=5),
    lambda s: s.set("agent:a", "k", 1, tags="one"),
    lambda s: s.set("agent:a", "k", 1, tags=[5]),
    lambda s: s.set("agent:a", "k", 1, metadata=[1]),
    lambda s: s.set("agent:a", "k", 1, metadata={"x": object()}),
    lambda s: s.increment("agent:a", "text"),
    lambda s: s.increment("agent:a", "flag"),
    lambda s: s.increment("agent:a", "n", True),
    lambda s: s.increment("agent:a", "n", "1"),
    lambda s: s.append("agent:a", [Event("state.set", {"value": 1}, key="k")]),
    lambda s: s.append("agent:a", [Event("scope.cleared", {"keys": []})]),
    lambda s: s.append("agent:a", [Event("")]),
    lambda s: s.append("agent:a", [Event("a\nb")]),
    lambda s: s.append("agent:a", [Event("a.b", object())]),
    lambda s: s.append("agent:a", [Event("a.b"), "no event"]),
    lambda s: s.append("agent:a", [Event("a.b", event_id="x")]),  # type: ignore[arg-type]
    lambda s: s.get_many("agent:a", "keys"),
    lambda s: s.set_many("agent:a", {"é": 1, "e\u0301": 2}),
    lambda s: s.drop_branch("main"),
    lambda s: s.fork("main"),
    lambda s: s.fork(""),
    lambda s: s.fork("a\nb"),
    lambda s: s.blame("agent:a", "n", path="a["),
    lambda s: s.blame("agent:a", "n", path="a..b"),
    lambda s: s.blame("agent:a", "n", path='["\\q"]'),
    lambda s: s.blame("agent:a", "n", path=5),
    lambda s: s.increment("agent:a", "n", float("inf")),
    lambda s: s.increment("agent:a", "n", Decimal("NaN")),
    lambda s: s.increment("agent:a", "n", Decimal("sNaN")),
    lambda s: s.increment("agent:a", "n", Decimal("1e-99999")),
    lambda s: s.set_many("agent:a", ["k"]),
    lambda s: s.delete_many("agent:a", "keys"),
    lambda s: s.append("agent:a", None),
    lambda s: s.append("agent:a", "no event"),
    lambda s: s.append("agent:a", {"type": "a.b"}),
    lambda s: s.update("agent:a", "n", 5),
    lambda s: s.compare_and_swap("agent:a", "n", object(), 1),
    lambda s: s.compare_and_swap("agent:a", "n", 1, backstory.MISSING),
    lambda s: s.set("agent:a", "k", 1, actor=""),
    lambda s: s.set("agent:a", "k", 1, metadata=5, artifacts=["x"]),
    lambda s: s.set("agent:a", "k", 1, artifacts="x"),
    lambda s: s.set("agent:a", "k", 1, traceparent=5),
    lambda s: s.set("agent:a", "k", 1, cause=[5]),
    lambda s: s.set("agent:a", "k", 1, cause=Event("a.b")),
    lambda s: s.set("agent:a", "k", 1, ttl=1e30),
    lambda s: s.set("agent:a", "k", 1, ttl=timedelta.max),
    lambda s: s.set("agent:a", "k", 1, expected_version=None),
    lambda s: s.fork(5),
    lambda s: s.fork("x" * 129),
    lambda s: s.event(5),
]


def _cases() -> list[tuple[str, Call, type[BackstoryError], dict[str, object]]]:
    cases: list[Any] = []
    for key in KEYS:
        cases += [
            (f"set key {key!r:.20}", lambda s, k=key: s.set("agent:a", k, 1), InvalidKeyError, {"key": key}),
            (f"get key {key!r:.20}", lambda s, k=key: s.get("agent:a", k), InvalidKeyError, {"key": key}),
            (
                f"event key {key!r:.20}",
                lambda s, k=key: s.append("agent:a", [Event("a.b", key=k)]),
                InvalidKeyError,
                {"key": key},
            )
            if key is not None
            else (f"delete key {key!r}", lambda s, k=key: s.delete("agent:a", k), InvalidKeyError, {"key": key}),
        ]
    for scope in SCOPES:
        cases += [
            (f"set scope {scope!r:.20}", lambda s, c=scope: s.set(c, "k", 1), InvalidScopeError, {}),
            (f"keys scope {scope!r:.20}", lambda s, c=scope: s.keys(c), InvalidScopeError, {}),
            (f"copy scope {scope!r:.20}", lambda s, c=scope: s.copy("agent:a", c), InvalidScopeError, {}),
        ]
    for index, (value, path) in enumerate(VALUES):
        facts: dict[str, object] = {} if path is None else {"path": path}
        cases += [
            (f"set value {index}", lambda s, v=value: s.set("agent:a", "k", v), InvalidValueError, facts),
            (
                f"many values {index}",
                lambda s, v=value: s.set_many("agent:a", {"x": 1, "k": v}),
                InvalidValueError,
                facts,
            ),
            (
                f"event data {index}",
                lambda s, v=value: s.append("agent:a", [Event("a.b", v)]),
                InvalidValueError,
                facts,
            ),
            (
                f"swap value {index}",
                lambda s, v=value: s.compare_and_swap("agent:a", "n", 1, v),
                InvalidValueError,
                facts,
            ),
            (
                f"update value {index}",
                lambda s, v=value: s.update("agent:a", "n", lambda _: v),
                InvalidValueError,
                facts,
            ),
        ]
    for point in POINTS:
        cases += [
            (
                f"get at {point!r:.30}",
                lambda s, p=point: s.get("agent:a", "n", as_of=p),
                InvalidPointError,
                {"point": point},
            ),
            (
                f"keys at {point!r:.30}",
                lambda s, p=point: s.keys("agent:a", as_of=p),
                InvalidPointError,
                {"point": point},
            ),
            (f"diff to {point!r:.30}", lambda s, p=point: s.diff(0, p), InvalidPointError, {"point": point}),
            (f"fork at {point!r:.30}", lambda s, p=point: s.fork("x", as_of=p), InvalidPointError, {"point": point}),
            (
                f"blame at {point!r:.30}",
                lambda s, p=point: s.blame("agent:a", "n", as_of=p),
                InvalidPointError,
                {"point": point},
            ),
        ]
    cases += [(f"write {index}", call, InvalidValueError, {}) for index, call in enumerate(WRITES)]
    cases += [
        (
            "stream version",
            lambda s: s.set("agent:a", "n", 1, expected_version=1),
            ConflictError,
            {"expected": 1, "actual": 3, "stream": "agent:a", "key": None},
        ),
        (
            "stream empty",
            lambda s: s.set("agent:a", "n", 1, expected_version=EMPTY),
            ConflictError,
            {"expected": EMPTY, "actual": 3},
        ),
        (
            "stream exists",
            lambda s: s.set("agent:new", "n", 1, expected_version=EXISTS),
            ConflictError,
            {"expected": EXISTS, "actual": 0},
        ),
        (
            "key version",
            lambda s: s.set("agent:a", "n", 1, expected_key_version=9),
            ConflictError,
            {"expected": 9, "actual": 1, "key": "n"},
        ),
        (
            "key empty",
            lambda s: s.delete("agent:a", "n", expected_key_version=EMPTY),
            ConflictError,
            {"expected": EMPTY, "key": "n"},
        ),
        (
            "key exists",
            lambda s: s.delete("agent:a", "no", expected_key_version=EXISTS),
            ConflictError,
            {"expected": EXISTS, "key": "no"},
        ),
        (
            "append version",
            lambda s: s.append("agent:a", [Event("a.b")], expected_version=9),
            ConflictError,
            {"expected": 9, "actual": 3},
        ),
        (
            "too large",
            lambda s: s.set("agent:a", "k", "x" * 1_048_576),
            ValueTooLargeError,
            {"size": 1_048_578, "limit": 1_048_576, "key": "k"},
        ),
        ("unknown cause", lambda s: s.set("agent:a", "k", 1, cause=NOBODY), NotFoundError, {"what": "event"}),
        ("unknown event", lambda s: s.event(NOBODY), NotFoundError, {"what": "event"}),
        ("unknown branch", lambda s: s.branch("x"), NotFoundError, {"what": "branch", "name": "x"}),
        ("dropping an unknown branch", lambda s: s.drop_branch("x"), NotFoundError, {"what": "branch", "name": "x"}),
        ("blame of nothing", lambda s: s.blame("agent:a", "no"), NotFoundError, {}),
        ("unknown projection", lambda s: s.rebuild("x"), NotFoundError, {"what": "projection", "name": "x"}),
        ("schema version", lambda s: s.get("agent:a", "n", schema_version="1.0.0"), SchemaError, {}),
        ("copy onto itself", lambda s: s.copy("agent:a", "agent:a"), InvalidScopeError, {}),
        ("copy by no pattern", lambda s: s.copy("agent:new", "agent:b", keys=5), InvalidKeyError, {"key": 5}),
        ("move onto itself", lambda s: s.move("agent:a", "agent:a"), InvalidScopeError, {}),
    ]
    return cases


CASES = _cases()


def _check(name: str, error: BackstoryError, facts: dict[str, object]) -> None:
    found = {fact: getattr(error, fact) for fact in facts}
    assert {fact: repr(value) for fact, value in facts.items()} == {
        fact: repr(value) for fact, value in found.items()
    }, name
    assert error.hint, name
    assert str(error).endswith(error.hint), name


def test_every_bad_input_is_refused_by_its_error_and_nothing_is_written(store_url: str) -> None:
    with backstory.open(store_url) as store:
        store.set_many("agent:a", {"n": 1, "text": "x", "flag": True})
        before = list(store.log())
        for name, call, wanted, facts in CASES:
            with pytest.raises(wanted) as caught:
                call(store)
            _check(name, caught.value, facts)
            assert store.position() == 3, name
        assert before == list(store.log())
        assert store.verify().ok


async def test_every_bad_input_is_refused_under_asyncio_as_well(store_url: str) -> None:
    async with backstory.open_async(store_url) as store:
        await store.set_many("agent:a", {"n": 1, "text": "x", "flag": True})
        for name, call, wanted, facts in CASES:
            with pytest.raises(wanted) as caught:
                await _awaited(call(store))
            _check(name, caught.value, facts)
            assert await store.position() == 3, name


async def _awaited(answer: Awaitable[Any]) -> Any:
    return await answer


def test_a_transaction_that_meets_bad_input_writes_nothing(store_url: str) -> None:
    with backstory.open(store_url) as store:
        tx = store.transaction()
        with pytest.raises(InvalidValueError):
            _write_twice(tx)

        assert store.position() == 0
        with pytest.raises(StoreClosedError):
            tx.get("agent:a", "k")


def _write_twice(transaction: backstory.Transaction) -> None:
    with transaction as tx:
        tx.set("agent:a", "k", 1)
        tx.set("agent:a", "l", float("nan"))


def test_a_log_query_is_checked_when_it_is_asked(store_url: str) -> None:
    with backstory.open(store_url) as store:
        for point in POINTS:
            with pytest.raises(InvalidPointError):
                store.log(since=point)  # type: ignore[arg-type]
            with pytest.raises(InvalidPointError):
                store.subscribe(since=point)  # type: ignore[arg-type]
            with pytest.raises(InvalidPointError):
                store.at(point)  # type: ignore[arg-type]
        for limit in (-1, "1", True):
            with pytest.raises(InvalidValueError):
                store.log(limit=limit)  # type: ignore[arg-type]
        for types in (5, [5], ["a.b", None]):
            with pytest.raises(InvalidValueError):
                store.log(types=types)  # type: ignore[arg-type]
            with pytest.raises(InvalidValueError):
                store.subscribe(types=types)  # type: ignore[arg-type]
        for text in (5, "", "\ud800", ["a"]):
            with pytest.raises(InvalidValueError):
                store.log(actor=text)  # type: ignore[arg-type]
            with pytest.raises(InvalidValueError):
                store.log(correlation_id=text)  # type: ignore[arg-type]
            with pytest.raises(InvalidValueError):
                store.subscribe(correlation_id=text)  # type: ignore[arg-type]
        with pytest.raises(InvalidPointError):
            store.at(None)  # type: ignore[arg-type]
        with pytest.raises(InvalidScopeError):
            store.log(scope="bogus:x")
        with pytest.raises(InvalidKeyError):
            store.log(key="a..b")


def test_a_future_instant_is_the_head(store_url: str) -> None:
    with backstory.open(store_url) as store:
        store.set("agent:a", "k", 1)

        assert store.get("agent:a", "k", as_of=datetime.now(UTC) + timedelta(days=1)) == 1


def test_a_view_of_the_future_stays_at_the_head_that_it_saw(store_url: str) -> None:
    with backstory.open(store_url) as store:
        store.set("agent:a", "k", 1)
        view = store.at(datetime.now(UTC) + timedelta(days=1))
        store.set("agent:a", "k", 2)

        assert view.position == 1
        assert view.get("agent:a", "k") == 1
        assert view.items("agent:a") == {"k": 1}


def test_a_store_for_nobody_is_not_opened() -> None:
    for actor in (5, "", ["a"]):
        with pytest.raises(InvalidValueError):
            backstory.open("memory://", actor=actor)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["set", "transaction", "fork", "rebuild"])
def test_a_read_only_store_refuses_to_write_and_reads_on(sqlite_url: str, name: str) -> None:
    backstory.open(sqlite_url).close()
    calls: dict[str, Call] = {
        "set": lambda s: s.set("agent:a", "k", 1),
        "transaction": _write_in_transaction,
        "fork": lambda s: s.fork("x"),
        "rebuild": lambda s: s.rebuild(),
    }
    with backstory.open(sqlite_url, read_only=True) as store:
        with pytest.raises(ReadOnlyError):
            calls[name](store)
        assert store.position() == 0


def _write_in_transaction(store: backstory.StateStore) -> None:
    with store.transaction() as tx:
        tx.set("agent:a", "k", 1)


def test_a_store_that_is_not_there_is_not_made_unless_it_may_be(sqlite_url: str, postgres_url: str) -> None:
    for url in (sqlite_url, postgres_url):
        with pytest.raises(StoreUnavailableError):
            backstory.open(url, create=False)
        with pytest.raises(StoreUnavailableError):
            backstory.open(url, read_only=True)
        backstory.open(url).close()
        backstory.open(url, create=False).close()


def test_a_closed_store_refuses_everything(store_url: str) -> None:
    store = backstory.open(store_url)
    store.close()
    store.close()

    for call in (
        lambda: store.get("agent:a", "k"),
        lambda: store.set("agent:a", "k", 1),
        store.log,
        store.position,
    ):
        with pytest.raises(StoreClosedError):
            call()
