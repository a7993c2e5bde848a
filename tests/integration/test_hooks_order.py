"""Order: which hooks an operation meets, in which order, what each sees, and all the operations that meet them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from backstory import ANY, EMPTY, EXISTS, MISSING, ConflictError, HookCancelledError, HookError
from backstory.domain.hooks import HookResult
from tests.support.hooked import FACES, opened, runs

Write = Callable[[Any], Any]


@pytest.fixture(params=FACES)
def store(request: pytest.FixtureRequest, store_url: str) -> Iterator[Any]:
    with opened(request.param, store_url) as store:
        yield store
        assert store.verify().ok


def appending(text: str) -> Callable[[Any], HookResult]:
    """Return a hook that adds a letter to what is written."""
    return lambda context: HookResult.modified(context.after + text)


def of_state(store: Any, since: int = 0) -> list[Any]:
    return list(store.log(since=since, types=["state.*", "scope.cleared"]))


def test_lower_priorities_run_first_and_ties_in_the_order_of_registration(store: Any) -> None:
    for name, priority in (("c", 0), ("d", 0), ("e", 7), ("b", -1), ("a", -(10**20)), ("f", 10**20)):
        store.hooks.register("before_state_write", appending(name), name=name, priority=priority)

    assert store.set("agent:a", "k", "").data["value"] == "abcdef"
    assert list("abcdef") == [run.data["hook"] for run in runs(store)]
    assert list("abcdef") == [info.name for info in store.hooks.list("before_state_write")]
    store.hooks.unregister("c")
    store.hooks.register("before_state_write", appending("c"), name="c")
    assert store.set("agent:a", "k", "").data["value"] == "abdcef"


def test_a_hook_that_is_switched_off_does_not_run_until_it_is_on_again(store: Any) -> None:
    handle = store.hooks.register("before_state_write", appending("x"), name="x")
    handle.disable()
    assert store.set("agent:a", "k", "").data["value"] == ""
    assert [False] == [info.enabled for info in store.hooks.list()]
    handle.enable()
    assert store.set("agent:a", "k", "").data["value"] == "x"
    assert handle.unregister() is True
    assert handle.unregister() is False
    assert store.hooks.unregister("x") is False
    assert store.set("agent:a", "k", "").data["value"] == ""


def test_a_hook_stays_registered_when_its_handle_is_let_go_of(store: Any) -> None:
    store.hooks.register("before_state_write", appending("x"))
    __import__("gc").collect()

    assert store.set("agent:a", "k", "").data["value"] == "x"


def test_filters_choose_by_scope_and_key(store: Any) -> None:
    limits: dict[str, dict[str, str]] = {
        "all": {},
        "one": {"scope": "agent:a"},
        "agents": {"scope": "agent:*"},
        "steps": {"scope": "step:wf/*"},
        "key": {"key": "price"},
        "under": {"key": "orders/*"},
        "both": {"scope": "agent:?", "key": "*"},
        "none": {"scope": "agent:*", "key": "other"},
    }
    for name, limit in limits.items():
        store.hooks.register("before_state_write", lambda _: None, name=name, **limit)
    expected = {
        ("agent:a", "price"): {"all", "one", "agents", "key", "both"},
        ("agent:ab", "orders/1"): {"all", "agents", "under"},
        ("step:wf/one", "x"): {"all", "steps"},
        ("global", "orders"): {"all"},
    }
    for (scope, key), names in expected.items():
        since = store.position()
        store.set(scope, key, 1)
        assert names == {run.data["hook"] for run in runs(store, since=since)}


def test_redirect_changes_which_of_the_hooks_behind_it_fit(store: Any) -> None:
    seen: list[str] = []
    for name, scope, priority in (("late", "agent:b", -1), ("left", "agent:a", 1), ("right", "agent:b", 1)):
        note = lambda context, name=name: seen.append(f"{name} {context.scope} {context.before}")  # noqa: E731
        store.hooks.register("before_state_write", note, name=name, scope=scope, priority=priority)
    store.set("agent:b", "k", 5)
    store.hooks.register("before_state_write", lambda _: HookResult.redirect("agent:b"), name="moves", scope="agent:a")
    seen.clear()

    assert store.set("agent:a", "k", 1).stream == "agent:b"
    assert ["right agent:b 5"] == seen


def test_a_hook_runs_once_for_an_operation_wherever_it_is_redirected(store: Any) -> None:
    there = {"agent:a": "agent:b", "agent:b": "agent:a"}
    for number in range(3):
        bounce = lambda context: HookResult.redirect(there[str(context.scope)])  # noqa: E731
        store.hooks.register("before_state_write", bounce, name=f"bounce{number}")

    event = store.set("agent:a", "k", 1)
    assert event.stream == "agent:b"
    assert len(event.causation_ids) == 3


WRITES: dict[str, tuple[Write, list[str]]] = {
    "set": (lambda s: s.set("agent:a", "n", 5).data["value"], ["set n"]),
    "update": (lambda s: s.update("agent:a", "n", lambda value: value + 1), ["update n"]),
    "increment": (lambda s: s.increment("agent:a", "n", 2), ["increment n"]),
    "set_if_absent": (lambda s: s.set_if_absent("agent:a", "new", 1), ["set new"]),
    "set_if_absent in vain": (lambda s: s.set_if_absent("agent:a", "n", 1), []),
    "compare_and_swap": (lambda s: s.compare_and_swap("agent:a", "n", 1, 2), ["set n"]),
    "compare_and_swap of what is not there": (lambda s: s.compare_and_swap("agent:a", "x", MISSING, 2), ["set x"]),
    "compare_and_swap in vain": (lambda s: s.compare_and_swap("agent:a", "n", 9, 2), []),
    "set_many": (lambda s: [e.key for e in s.set_many("agent:a", {"b": 1, "a": 2})], ["set b", "set a"]),
    "copy": (lambda s: s.copy("agent:a", "agent:b"), ["copy m", "copy n"]),
    "move": (lambda s: s.move("agent:a", "agent:b", keys="n"), ["move n", "move n"]),
    "delete": (lambda s: s.delete("agent:a", "n"), ["delete n"]),
    "delete in vain": (lambda s: s.delete("agent:a", "x"), []),
    "delete_many": (lambda s: s.delete_many("agent:a", ["n", "m", "x"]), ["delete n", "delete m"]),
    "clear": (lambda s: s.clear("agent:a"), ["clear None"]),
    "clear in vain": (lambda s: s.clear("agent:x"), []),
}


def _in_transaction(store: Any, write: Write) -> Any:
    with store.transaction() as tx:
        return write(tx)


@pytest.mark.parametrize("within", [False, True])
def test_every_operation_that_changes_state_meets_its_hooks_and_answers_as_without(store: Any, within: bool) -> None:
    seen: list[str] = []
    act = _in_transaction if within else lambda store, write: write(store)
    for number, (name, (write, expected)) in enumerate(WRITES.items()):
        answers, states = [], []
        for branch in ("plain", "hooked"):
            side = store.fork(f"{branch}-{number}")
            side.set_many("agent:a", {"n": 1, "m": 2})
            handles = [
                store.hooks.register(
                    f"before_state_{verb}", lambda c: seen.append(f"{c.operation} {c.key}"), name="sees"
                )
                for verb in ("write", "delete", "clear")
                if branch == "hooked"
            ]
            seen.clear()
            answers.append(act(side, write))
            states.append(side.snapshot())
            for handle in handles:
                handle.unregister()
        assert answers[0] == answers[1], name
        assert states[0] == states[1], name
        assert expected == seen, name


TENFOLD: dict[str, tuple[Write, Any, dict[str, Any]]] = {
    "set": (lambda s: s.set("agent:a", "n", 5).data, {"value": 50, "op": "set"}, {"n": 50}),
    "update": (lambda s: s.update("agent:a", "n", lambda value: value + 1), 110, {"n": 110}),
    "increment": (lambda s: s.increment("agent:a", "n", 2), 120, {"n": 120}),
    "set_if_absent": (lambda s: s.set_if_absent("agent:a", "x", 1), True, {"n": 10, "x": 10}),
    "compare_and_swap": (lambda s: s.compare_and_swap("agent:a", "n", 10, 2), True, {"n": 20}),
    "set_many": (
        lambda s: [e.data["value"] for e in s.set_many("agent:a", {"n": 2, "x": 3})],
        [20, 30],
        {"n": 20, "x": 30},
    ),
    "copy": (lambda s: s.copy("agent:a", "agent:b"), 1, {"n": 10}),
    "move": (lambda s: s.move("agent:a", "agent:b"), 1, {}),
}


@pytest.mark.parametrize("within", [False, True])
def test_a_hook_can_change_what_any_operation_writes(store: Any, within: bool) -> None:
    act = _in_transaction if within else lambda store, write: write(store)
    store.hooks.register("before_state_write", lambda c: HookResult.modified(c.after * 10), name="tenfold")
    for name, (write, answer, state) in TENFOLD.items():
        side = store.fork(name)
        side.set("agent:a", "n", 1)

        assert act(side, write) == answer, name
        assert side.items("agent:a") == state, name
        if name in {"copy", "move"}:
            assert side.items("agent:b") == {"n": 100}
        last = of_state(side)[-1 if name != "move" else -2]
        expected = name if name == "update" else "set"
        assert (last.data["op"], sorted(last.data)) == (expected, ["op", "value"]), (
            "how it came about is not told wrongly"
        )


def test_what_a_hook_leaves_alone_keeps_how_it_came_about(store: Any) -> None:
    store.hooks.register("before_state_write", lambda c: HookResult.modified(c.after), name="same")
    store.set("agent:a", "n", 1, ttl=60)
    store.increment("agent:a", "n", 2)
    store.copy("agent:a", "agent:b")

    ops = [{name: part for name, part in event.data.items() if name != "value"} for event in of_state(store)]
    expires_at = ops[0].pop("expires_at")
    assert expires_at is not None
    position = of_state(store)[1].position
    assert [{"op": "set"}, {"op": "increment", "by": 2}] == ops[:2]
    assert {"op": "copy", "source": {"scope": "agent:a", "key": "n", "position": position}} == ops[2]


def test_one_of_many_that_is_refused_refuses_them_all(store: Any) -> None:
    store.hooks.register("before_state_write", lambda _: HookResult.cancel("no"), name="no", key="m", scope="agent:a")
    store.hooks.register("before_state_delete", lambda _: HookResult.cancel("no"), name="no", key="m", scope="agent:b")
    store.set_many("agent:b", {"l": 1, "m": 1, "n": 1})
    writes: list[Write] = [
        lambda s: s.set_many("agent:a", {"l": 1, "m": 1}),
        lambda s: s.copy("agent:b", "agent:a"),
        lambda s: s.move("agent:b", "agent:a"),
        lambda s: s.move("agent:b", "agent:c"),
        lambda s: s.delete_many("agent:b", ["l", "m"]),
    ]
    for write in writes:
        with pytest.raises(HookCancelledError):
            write(store)

    assert {"agent:b": {"l": 1, "m": 1, "n": 1}} == {str(scope): state for scope, state in store.snapshot().items()}


def test_replace_stops_the_chain_of_its_key_alone(store: Any) -> None:
    store.hooks.register("before_state_write", lambda _: HookResult.replace(0), name="zero", key="m")
    store.hooks.register("before_state_write", lambda c: HookResult.modified(c.after + 1), name="adds", priority=1)

    events = store.set_many("agent:a", {"l": 1, "m": 1, "n": 1})
    assert [2, 0, 2] == [event.data["value"] for event in events]


def test_a_moved_key_can_be_redirected_and_its_source_goes(store: Any) -> None:
    store.set_many("agent:a", {"k": 1, "l": 2})
    store.hooks.register("before_state_write", lambda _: HookResult.redirect("agent:c"), name="away", key="k")

    assert store.move("agent:a", "agent:b") == 2
    assert {} == store.items("agent:a")
    assert ({"l": 2}, {"k": 1}) == (store.items("agent:b"), store.items("agent:c"))
    moved = next(event for event in of_state(store) if event.stream == "agent:c")
    assert moved.data["op"] == "move"
    assert moved.data["source"]["key"] == "k"


def test_what_a_writer_expects_holds_with_hooks_too(store: Any) -> None:
    ran: list[Any] = []
    store.set("agent:a", "k", 1)
    store.hooks.register("before_state_write", ran.append, name="sees")
    store.hooks.register("before_state_delete", ran.append, name="sees")
    writes: list[Callable[..., Any]] = [
        lambda **given: store.set("agent:a", "k", 2, **given),
        lambda **given: store.delete("agent:a", "k", **given),
    ]
    for expected in (0, 7, EMPTY):
        for field in ("expected_version", "expected_key_version"):
            for write in writes:
                with pytest.raises(ConflictError) as caught:
                    write(**{field: expected})
                assert (caught.value.expected, caught.value.actual) == (expected, 1)
                assert (caught.value.stream, caught.value.key) == ("agent:a", "k" if "key" in field else None)
    assert ran == []
    for expected in (1, EXISTS, ANY):
        store.set("agent:a", "k", 2, expected_version=expected if expected != 1 else 1)
    assert len(ran) == 3
    assert store.set("agent:a", "k", 2, expected_version=4, expected_key_version=4).version == 5


def test_an_import_meets_the_hooks_of_its_writes(store: Any, tmp_path: Path) -> None:
    run = {"id": "r1", "messages": [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "hi"}]}
    (tmp_path / "runs.jsonl").write_text(json.dumps(run) + "\n" + json.dumps({**run, "id": "r2"}) + "\n")
    store.hooks.register("before_state_write", lambda _: HookResult.modified("u"), name="marks", key="last_role")
    guard = lambda c: HookResult.cancel("not r2") if c.after == 2 else None  # noqa: E731
    store.hooks.register("before_state_write", guard, name="guards", key="messages", scope="session:r2")

    report = store.import_runs(tmp_path / "runs.jsonl")
    assert store.items("session:r1")["last_role"] == "u"
    assert store.items("session:r1")["messages"] == 2
    assert store.items("session:r2")["messages"] == 1
    assert [2] == [problem.line for problem in report.errors]
    assert "not r2" in report.errors[0].message
    assert store.import_runs(tmp_path / "runs.jsonl").events == 0


def test_threads_that_increment_a_hooked_key_lose_nothing(store_url: str) -> None:
    with opened("blocking", store_url) as store:
        store.hooks.register("before_state_write", lambda c: c.read("agent:a", "n") and None, name="reads")
        totals: list[int] = []

        def work() -> None:
            totals.extend(store.increment("agent:a", "n") for _ in range(5))

        _at_once(work, 16)
        assert sorted(totals) == list(range(1, 81))
        assert store.get("agent:a", "n") == 80
        assert len(runs(store)) == 80, "those of one process wait for each other: no hook runs in vain"
        assert store.verify().ok


def test_stores_that_increment_a_hooked_key_lose_nothing(sqlite_url: str, postgres_url: str) -> None:
    for url in (sqlite_url, postgres_url):
        failures: list[BaseException] = []

        def work(url: str = url) -> None:
            with opened("blocking", url) as store:
                store.hooks.register("before_state_write", lambda _: None, name="sees")
                for _ in range(10):
                    store.increment("agent:a", "n")

        _at_once(work, 4, failures)
        assert failures == []
        with opened("blocking", url) as store:
            assert store.get("agent:a", "n") == 40
            assert store.verify().ok


def test_hooks_that_write_to_each_others_keys_wait_for_nobody(store_url: str) -> None:
    with opened("blocking", store_url) as store:
        other = {"a": "b", "b": "a"}
        write = lambda context: store.increment("agent:w", other[context.key]) and None  # noqa: E731
        for key in other:
            store.hooks.register("before_state_write", write, name=f"from-{key}", key=key)
        keys = iter("abababab")

        def work() -> None:
            key = next(keys)
            for _ in range(3):
                store.set("agent:w", key, 0)

        _at_once(work, 8)
        assert store.verify().ok


def _at_once(work: Callable[[], None], count: int, failures: list[BaseException] | None = None) -> None:
    found = [] if failures is None else failures

    def guarded() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - told to the test
            found.append(error)

    threads = [threading.Thread(target=guarded) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    if failures is None:
        assert found == []


def test_a_retry_that_gives_up_within_a_transaction_leaves_the_others_writes(store: Any) -> None:
    store.hooks.register("before_state_write", lambda _: HookResult.retry(0, 2), name="waits", key="k")
    with store.transaction() as tx:
        tx.set("agent:a", "l", 1)
        with pytest.raises(HookError, match="2 attempts"):
            tx.set("agent:a", "k", 1)

    assert {"l": 1} == store.items("agent:a")
    assert len(runs(store)) == 2
