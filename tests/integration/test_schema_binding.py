"""Binding: what is written meets the schema bound there, whoever writes it and however, or it is not written."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel

import backstory
from backstory import (
    Event,
    Field,
    HookCancelledError,
    InvalidKeyError,
    InvalidScopeError,
    InvalidValueError,
    NotFoundError,
    ReadOnlyError,
    Schema,
    SchemaError,
    Scope,
)
from backstory.domain.bindings import Binding
from backstory.domain.hooks import HookResult
from backstory.domain.selection import selection_of
from tests.support.on_a_loop import FACES, opened
from tests.support.versioned_users import FIRST, SECOND, THIRD, S, places, texts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

GOOD, BAD = {"name": "Ada", "age": 36}, {"name": "Ada", "age": "sk-abcdefghijklmnopqrstuvwxyz123456"}
K = "user/1"


@pytest.fixture(params=places("asyncio"), ids="-".join)
def store(request: pytest.FixtureRequest) -> Iterator[Any]:
    face, engine = request.param
    with opened(face, request.getfixturevalue(f"{engine}_url"), durability="relaxed") as opened_store:
        yield opened_store


@pytest.fixture(params=FACES)
def quick(request: pytest.FixtureRequest) -> Iterator[Any]:
    with opened(request.param, "memory://") as opened_store:
        yield opened_store


def bound(store: Any, **options: Any) -> Any:
    """Register and bind the first version."""
    store.schemas.register(FIRST)
    store.schemas.bind("user", **{"keys": "user/*", **options})
    return store


def in_transaction(store: Any) -> None:
    with store.transaction() as tx:
        tx.set(S, "free", 1)
        tx.set(S, K, BAD)


def moved(verb: str) -> Callable[[Any], object]:
    def doing(store: Any) -> object:
        return getattr(store, verb)("agent:source", S)

    return doing


WRITES: dict[str, Callable[[Any], object]] = {
    "set": lambda store: store.set(S, K, BAD),
    "set_many": lambda store: store.set_many(S, {"free": 1, K: BAD}),
    "update": lambda store: store.update(S, K, lambda _: BAD, default=None),
    "increment": lambda store: store.increment(S, K),
    "copy": moved("copy"),
    "move": moved("move"),
    "set_if_absent": lambda store: store.set_if_absent(S, K, BAD),
    "compare_and_swap": lambda store: store.compare_and_swap(S, K, backstory.MISSING, BAD),
    "transaction": in_transaction,
}


@pytest.mark.parametrize("name", WRITES)
def test_no_operation_writes_what_the_schema_refuses(store: Any, name: str) -> None:
    store.set("agent:source", "free", 1)
    store.set("agent:source", K, BAD)
    bound(store, scope=S)
    before, head = texts(store), store.position()

    with pytest.raises(SchemaError) as refused:
        WRITES[name](store)

    error = refused.value
    path, rule = ("", "must be an object") if name == "increment" else ("age", "must be an integer")
    assert ("user", "1.0.0", S, K, path, rule) == (
        error.schema,
        error.version,
        error.scope,
        error.key,
        error.path,
        error.rule,
    )
    assert "sk-abcdef" not in str(error)
    assert (head, before) == (store.position(), texts(store))


GOOD_WRITES: dict[str, Callable[[Any], object]] = {
    "set": lambda store: store.set(S, K, GOOD),
    "set_many": lambda store: store.set_many(S, {K: GOOD}),
    "update": lambda store: store.update(S, K, lambda _: GOOD, default=None),
    "copy": moved("copy"),
    "move": moved("move"),
    "set_if_absent": lambda store: store.set_if_absent(S, K, GOOD),
    "compare_and_swap": lambda store: store.compare_and_swap(S, K, backstory.MISSING, GOOD),
}


@pytest.mark.parametrize("name", GOOD_WRITES)
def test_what_is_written_carries_the_schema_that_it_meets(quick: Any, name: str) -> None:
    quick.set("agent:source", K, GOOD)
    bound(quick, scope=S)
    quick.set(S, "free", 1)
    GOOD_WRITES[name](quick)
    assert [None, ("user", "1.0.0")] == [event.schema for event in quick.log(scope=S, types="state.set")]


def test_a_transaction_is_told_before_it_ends_and_commits_nothing(store: Any) -> None:
    bound(store)
    store.set(S, K, GOOD)
    head = store.position()
    with pytest.raises(SchemaError), store.transaction() as tx:  # noqa: PT012 - one transaction
        tx.set(S, "user/2", GOOD)
        tx.update(S, K, lambda value: {**value, "age": -1})
    assert head == store.position()
    with store.transaction() as tx:
        tx.set(S, "user/2", GOOD)
        assert {**GOOD, "age": 37} == tx.update(S, K, lambda value: {**value, "age": 37})
    assert {("user", "1.0.0")} == {event.schema for event in store.log(types="state.set")}


def test_what_an_import_writes_meets_the_schema_too(quick: Any, tmp_path: Path) -> None:
    run = tmp_path / "runs.jsonl"
    run.write_text('{"messages": [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "hi"}]}\n')
    trial = backstory.open("memory://")
    trial.import_runs(run)
    written = list(trial.log(types="state.set"))
    trial.close()
    assert written, "an import that writes no state says nothing here"
    place = written[0]
    quick.schemas.register(Schema("never", "1.0.0", {"x": Field("integer", required=True)}))
    quick.schemas.bind("never", keys=place.key)
    report = quick.import_runs(run)
    [problem] = report.errors
    assert 1 == problem.line
    assert "messages[0] was refused: the value for key" in problem.message
    assert [] == list(quick.log(types="state.set"))
    quick.schemas.unbind("never", keys=place.key)
    quick.import_runs(run)
    assert trial_of(written) == trial_of(quick.log(types="state.set"))


def trial_of(events: Any) -> list[tuple[str, str | None, Any]]:
    """Return what an import wrote."""
    return [(event.stream, event.key, event.data["value"]) for event in events]


@pytest.mark.parametrize("face", FACES)
def test_what_hooks_make_of_a_write_meets_the_schema_too(face: str, store_url: str) -> None:
    def spoils(_context: Any) -> HookResult:
        return HookResult.modified(BAD)

    def forks(context: Any) -> HookResult | None:
        return None if context.key != "free" else HookResult.fork([("set", S, K, BAD)])

    with opened(face, store_url) as store:
        bound(store)
        store.hooks.register("before_state_write", spoils, name="spoils", key="user/*")
        with pytest.raises(SchemaError, match="age"):
            store.set(S, K, GOOD)
        store.hooks.unregister("spoils")
        store.hooks.register("before_state_write", forks, name="forks")
        with pytest.raises(SchemaError, match="age"):
            store.set(S, "free", 1)
        assert {} == store.snapshot()
        store.set(S, K, GOOD)


def test_a_mark_lets_everything_through_and_says_what_met_the_schema(store: Any) -> None:
    bound(store, mode="mark")
    store.set(S, K, GOOD)
    store.set(S, K, BAD)
    assert [("user", "1.0.0"), None] == [event.schema for event in store.log(types="state.set")]
    assert [GOOD, BAD] == [event.data["value"] for event in store.log(types="state.set")]


def test_of_bindings_that_fit_a_key_the_last_one_made_counts(quick: Any) -> None:
    bound(quick)
    quick.schemas.register(Schema("text", "1.0.0", {"text": Field("string", required=True)}))
    quick.schemas.bind("text", scope="agent:*", keys="user/t*")
    quick.set(S, "user/t1", {"text": "x"})
    with pytest.raises(SchemaError):
        quick.set(S, "user/t1", GOOD)
    quick.set("session:s", "user/t1", GOOD)
    quick.set(S, "user/1", GOOD)
    quick.schemas.bind("user", keys="user/*")
    quick.set(S, "user/t1", GOOD)
    assert [("text", "1.0.0"), *[("user", "1.0.0")] * 3] == [event.schema for event in quick.log(types="state.set")]


def test_patterns_say_where(quick: Any) -> None:
    bound(quick, scope="agent:*", keys="a*z")
    for scope, key in (("agent:x", "az"), ("agent:y", "abz"), ("agent:x", "a/b/z")):
        with pytest.raises(SchemaError):
            quick.set(scope, key, BAD)
    for scope, key in (("agent:x", "abzc"), ("session:x", "az"), ("agent:x", "za")):
        quick.set(scope, key, BAD)


def test_a_binding_is_taken_back_by_its_own_selection_alone(store: Any) -> None:
    bound(store)
    assert store.schemas.unbind("user") is False
    assert store.schemas.unbind("user", scope=S, keys="user/*") is False
    assert store.schemas.unbind("other", keys="user/*") is False
    assert store.schemas.unbind("user", keys="user/*") is True
    assert store.schemas.unbind("user", keys="user/*") is False
    store.set(S, K, BAD)
    assert [] == store.schemas.bindings()
    assert BAD == store.get(S, K)


def test_binding_again_replaces_the_version_and_the_mode(quick: Any) -> None:
    bound(quick)
    quick.schemas.register(SECOND)
    quick.schemas.bind("user", keys="user/*", mode="mark")
    quick.set(S, K, {"name": 1})
    quick.set(S, K, GOOD)
    assert [None, ("user", "1.1.0")] == [event.schema for event in quick.log(types="state.set")]
    assert [Binding("user", "1.1.0", selection_of(None, "user/*"), "mark")] == quick.schemas.bindings()


@pytest.mark.parametrize("engine", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_what_one_open_store_binds_the_next_write_of_another_meets(engine: str, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue(f"{engine}_url")
    with backstory.open(url) as one, backstory.open(url) as other, opened("asyncio", url) as third:
        for each in (other, third):
            each.set(S, "free", 1)
            each.set(S, K, BAD)
        bound(one)
        for each in (other, third):
            with pytest.raises(SchemaError):
                each.set(S, K, BAD)
            with pytest.raises(SchemaError), each.transaction() as tx:
                tx.set(S, K, BAD)
            each.set(S, K, GOOD)
        other.schemas.unbind("user", keys="user/*")
        for each in (one, third):
            each.set(S, K, BAD)


def test_a_transaction_that_began_before_a_binding_meets_it(sqlite_url: str) -> None:
    with backstory.open(sqlite_url) as one, backstory.open(sqlite_url) as other:
        one.set(S, "free", 1)
        with pytest.raises(SchemaError), one.transaction() as tx:  # noqa: PT012 - one transaction
            tx.set(S, K, BAD)
            bound(other)
        assert not one.exists(S, K)


def test_forks_have_bindings_of_their_own_from_where_they_part(store: Any) -> None:
    early = store.fork("early")
    bound(store)
    late = store.fork("late")
    late.schemas.unbind("user", keys="user/*")
    late.set(S, K, BAD)
    early.set(S, K, BAD)
    with pytest.raises(SchemaError):
        store.set(S, K, BAD)
    store.set(S, K, GOOD)
    early.schemas.register(Schema("other", "1.0.0", {"o": Field("integer", required=True)}))
    early.schemas.bind("other", keys="o")
    store.set(S, "o", 1)
    late.set(S, "o", 1)
    assert ["user"] == store.schemas.names() == late.schemas.names()
    assert ["other"] == early.schemas.names()
    with pytest.raises(SchemaError):
        early.set(S, "o", 1)
    past = store.fork("past", as_of=1)
    assert [[], []] == [past.schemas.bindings(), late.schemas.bindings()]


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("engine", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_bindings_are_still_there_when_a_store_is_opened_again(
    engine: str, face: str, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue(f"{engine}_url")
    with opened(face, url) as store:
        bound(store)
    with opened(face, url) as store:
        assert [Binding("user", "1.0.0", selection_of(None, "user/*"), "enforce")] == store.schemas.bindings()
        with pytest.raises(SchemaError):
            store.set(S, K, BAD)
        assert ("user", "1.0.0") == store.set(S, K, GOOD).schema
        assert store.verify().ok
    with backstory.open(url, read_only=True) as store:
        assert [FIRST.to_version()] == store.schemas.versions("user")
        assert GOOD == store.get(S, K, schema_version="1.0.0")
        for write in (lambda: store.schemas.register(SECOND), lambda: store.schemas.bind("user")):
            with pytest.raises(ReadOnlyError):
                write()


def test_registering_twice_writes_once_and_other_content_is_refused(store: Any) -> None:
    assert FIRST.to_version() == store.schemas.register(FIRST)
    head = store.position()
    store.schemas.register(FIRST)
    assert head == store.position()
    with pytest.raises(SchemaError, match="other content"):
        registered(store, Schema("user", "1.0.0", {"name": Field("string")}))
    with pytest.raises(SchemaError, match="breaks"):
        registered(store, Schema("user", "1.2.0", {"name": Field("string"), "new": Field("string", required=True)}))
    with pytest.raises(SchemaError, match="depends on"):
        registered(store, Schema("order", "1.0.0", {}, depends_on=["user@1.5.0"]))
    for schema in (THIRD, SECOND):
        registered(store, schema)
    assert ["1.0.0", "1.1.0", "2.0.0"] == [each.version for each in store.schemas.versions("user")]
    assert store.schemas.check("user@1.0.0", "user").risk == "high"
    assert store.schemas.check("user@1.0.0", FIRST).risk == "low"


def registered(store: Any, schema: Any, **options: Any) -> None:
    """Register and look: what only the log can tell is raised by now on either face."""
    store.schemas.register(schema, **options)
    store.schemas.names()


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"name": "nothing"}, SchemaError),
        ({"name": "user", "version": "3.0.0"}, SchemaError),
        ({"name": "user", "mode": "ask"}, InvalidValueError),
        ({"name": "user", "scope": ""}, InvalidScopeError),
        ({"name": "user", "keys": ""}, InvalidKeyError),
    ],
)
def test_what_cannot_be_bound_is_refused(quick: Any, given: dict[str, Any], error: type[Exception]) -> None:
    quick.schemas.register(FIRST)
    with pytest.raises(error):
        quick.schemas.bind(**given)
    assert [] == quick.schemas.bindings()
    with pytest.raises(NotFoundError):
        quick.schemas.versions("nothing")


class Point(BaseModel):
    x: int
    label: str = ""


def test_a_pydantic_model_and_json_schema_are_bound_like_any_other(store: Any) -> None:
    store.schemas.register(Point, version="1.0.0")
    store.schemas.register(
        {"type": "object", "required": ["y"], "properties": {"y": {"type": "array", "items": {"type": "integer"}}}},
        name="list",
        version="1.0.0",
    )
    store.schemas.bind("Point", keys="p/*")
    store.schemas.bind("list", keys="l/*")
    store.set(S, "p/1", {"x": 1})
    store.set(S, "l/1", {"y": [1]})
    with pytest.raises(SchemaError) as refused:
        store.set(S, "p/1", {"x": "one"})
    assert ("Point", "x") == (refused.value.schema, refused.value.path)
    with pytest.raises(SchemaError) as refused:
        store.set(S, "l/1", {"y": [1, "two"]})
    assert ("list", "y[1]") == (refused.value.schema, refused.value.path)
    assert {"Point", "list"} == {event.schema[0] for event in store.log(types="state.set")}


def test_events_of_others_are_no_values(quick: Any) -> None:
    bound(quick, keys="*")
    quick.append(S, Event("tool.called", BAD, key=K))
    quick.set(S, K, GOOD)
    quick.delete(S, K)
    quick.set(S, K, GOOD, ttl=60)
    assert quick.clear(S) == 1
    assert quick.verify().ok


@pytest.mark.parametrize(
    "touch",
    [
        lambda store: store.set(S, K, BAD),
        lambda store: store.update(S, K, lambda _: BAD),
        lambda store: store.get(S, K, schema_version="1.0.0"),
        lambda store: store.schemas.bindings(),
        lambda store: store.migrations.status(),
        lambda store: store.fork("f"),
        lambda store: store.get(S, K),
        lambda store: store.position(),
        lambda store: store.snapshot(),
    ],
)
async def test_what_plain_calls_asked_for_is_there_for_whatever_is_awaited_next(touch: Any) -> None:
    async with backstory.open_async("memory://") as store:
        store.schemas.register(FIRST)
        store.schemas.bind("user", keys="user/*")
        with suppress(SchemaError):
            await touch(store)
        log = [event.type async for event in store.log()]
        assert ["schema.registered", "schema.bound"] == log[:2]


async def test_what_a_plain_call_asked_for_in_vain_comes_out_once_and_the_rest_goes_on() -> None:
    async with backstory.open_async("memory://") as store:
        store.schemas.bind("nothing")
        store.schemas.register(FIRST)
        store.schemas.bind("user", keys="user/*")
        with pytest.raises(SchemaError, match="nothing"):
            await store.set(S, "free", 1)
        await store.set(S, "free", 1)
        with pytest.raises(SchemaError, match="age"):
            await store.set(S, K, BAD)
        with pytest.raises(SchemaError, match="nothing"):
            await store.schemas.bind("nothing")


async def test_what_plain_calls_asked_for_is_written_when_the_store_closes(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'store.db'}"
    async with backstory.open_async(url) as store:
        store.schemas.register(FIRST)
        store.schemas.bind("user", keys="user/*")
    async with backstory.open_async(url) as store:
        with pytest.raises(SchemaError):
            await store.set(S, K, BAD)


async def test_tasks_that_come_at_once_all_meet_what_was_asked_for_before(store_url: str) -> None:
    async with backstory.open_async(store_url) as store:
        store.schemas.register(FIRST)
        store.schemas.bind("user", keys="user/*")
        done = await asyncio.gather(*[store.set(S, f"user/{at}", BAD) for at in range(20)], return_exceptions=True)
        assert [SchemaError] * 20 == [type(each) for each in done]
        assert {} == await store.snapshot()


async def test_a_plain_call_to_bind_may_be_awaited_for_the_binding(sqlite_url: str) -> None:
    async with backstory.open_async(sqlite_url) as store:
        store.schemas.register(FIRST)
        here = Binding("user", "1.0.0", selection_of(None, "user/*"), "enforce")
        assert here == await store.schemas.bind("user", keys="user/*")
        plain = store.schemas.bind("user", keys="user/*")
        await store.set(S, "user/1", {"name": "n"})
        assert here == await plain
        missing = store.schemas.bind("nobody")
        with pytest.raises(SchemaError):
            await missing
        with pytest.raises(SchemaError):
            await missing
        with pytest.raises(InvalidValueError):
            store.schemas.bind("user", mode="perhaps")
        assert [here] == await store.schemas.bindings()


def test_a_scope_is_bound_alone_and_a_text_may_bind_many(quick: Any) -> None:
    bound(quick, scope=Scope.custom("a*"))
    quick.set("custom:ab", K, BAD)
    with pytest.raises(SchemaError):
        quick.set(Scope.custom("a*"), K, BAD)
    quick.hooks.register("before_state_write", lambda _: HookResult.cancel("no"), scope=Scope.custom("a?"))
    quick.set("custom:ab", K, BAD)
    with pytest.raises(HookCancelledError):
        quick.set(Scope.custom("a?"), K, BAD)
    assert quick.schemas.unbind("user", keys="user/*", scope="custom:a%2A")
    quick.set(Scope.custom("a*"), K, BAD)
