"""Results of hooks: each cell of the table does what the table says, on every engine and face, and no other does."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from backstory import MISSING, HookCancelledError, HookError
from backstory.domain.hooks import RULES, HookResult
from tests.support.hooked import FACES, kinds, opened, runs

Act = Callable[[Any, str], Any]
OLD, NEW, OTHER = {"n": 1}, {"n": 2}, {"n": 3}

#: How a stage comes about: the point, what is done, and what comes of it where no hook has it otherwise.
STAGES: dict[str, tuple[str, Act, Any]] = {
    "write": ("before_state_write", lambda store, home: store.set(home, "k", OTHER).data["value"], OTHER),
    "delete": ("before_state_delete", lambda store, home: store.delete(home, "k"), True),
    "clear": ("before_state_clear", lambda store, home: store.clear(home), 1),
    "read": ("before_state_read", lambda store, home: store.get(home, "k"), OLD),
    "answer": ("after_state_read", lambda store, home: store.get(home, "k"), OLD),
    "fired": ("custom:done", lambda store, _: store.hooks.fire("custom:done", OLD), OLD),
    "after": ("after_state_write", lambda store, home: store.set(home, "k", OTHER).data["value"], OTHER),
}
BEFORE = ("write", "delete", "clear", "read", "fired")


def result_of(kind: str, away: str) -> HookResult:
    """Return a result of a kind; `away` is a scope beside the operation's."""
    return {
        "continue": lambda: HookResult.CONTINUE,
        "skipped": lambda: HookResult.skipped("not mine"),
        "modified": lambda: HookResult.modified(NEW),
        "replace": lambda: HookResult.replace(NEW),
        "cancel": lambda: HookResult.cancel("not now"),
        "redirect": lambda: HookResult.redirect(away),
        "retry": lambda: HookResult.retry(0, 3),
        "fork": lambda: HookResult.fork(
            [("set", away, "made", NEW), ("delete", away, "k"), ("delete", away, "absent"), ("set", away, "made", OLD)]
        ),
        "cache": lambda: HookResult.cache("kept", 60),
    }[kind]()


def cells(effect: str) -> list[tuple[str, str]]:
    """Return the cells of the table with an effect."""
    return [(kind, stage) for kind, row in RULES.items() for stage, found in row.items() if found == effect]


def empty_cells() -> list[tuple[str, str]]:
    """Return the cells of the table that say nothing."""
    return [(kind, stage) for kind, row in RULES.items() for stage in STAGES if stage not in row]


class Trial:
    """A hook under test and one behind it, at the point of a stage, in scopes of their own."""

    def __init__(self, store: Any, kind: str, stage: str, hook: Any = None, **options: Any) -> None:
        self.store, self.stage = store, stage
        self.home, self.away = f"agent:{kind}-{stage}", f"agent:{kind}-{stage}-away"
        self.point, self._act, self.plain = STAGES[stage]
        store.set(self.home, "k", OLD)
        store.set(self.away, "k", NEW)
        self.seen: list[Any] = []
        limits: dict[str, Any] = {} if stage == "fired" else {"scope": f"{self.home}*"}
        if stage == "answer":
            limits["background"] = False
        hook = hook or (lambda _: result_of(kind, self.away))
        self._hooks = [
            store.hooks.register(self.point, hook, name="tried", **limits, **options),
            store.hooks.register(self.point, self.seen.append, name="behind", priority=1, **limits),
        ]
        self.since = store.position()

    def act(self) -> Any:
        answer = self._act(self.store, self.home)
        self.store.hooks.flush()
        return answer

    def runs(self, name: str = "tried") -> list[Any]:
        return runs(self.store, since=self.since, name=name)

    def events(self) -> list[Any]:
        return [event for event in self.store.log(since=self.since) if event.type != "hook.registered"]

    def states(self) -> tuple[dict[str, Any], dict[str, Any]]:
        self.end()
        return self.store.items(self.home), self.store.items(self.away)

    def end(self) -> None:
        for hook in self._hooks:
            hook.unregister()


@pytest.fixture(params=FACES)
def store(request: pytest.FixtureRequest, store_url: str) -> Iterator[Any]:
    with opened(request.param, store_url) as store:
        yield store
        assert store.verify().ok


def done(stage: str, value: Any = OTHER) -> dict[str, Any]:
    """Return what is left of the operation's scope when the operation was done."""
    return {"write": {"k": value}, "after": {"k": value}, "delete": {}, "clear": {}}.get(stage, {"k": OLD})


def test_every_effect_is_tried_here() -> None:
    tried = {"next", "value", "final", "cancel", "target", "again", "join", "cache"}

    assert tried == {effect for row in RULES.values() for effect in row.values()}
    assert set(STAGES) == {stage for row in RULES.values() for stage in row}


def test_after_continue_and_skipped_the_next_hook_runs_and_the_operation_goes_on(store: Any) -> None:
    for kind, stage in cells("next"):
        trial = Trial(store, kind, stage)

        assert trial.plain == trial.act(), (kind, stage)
        assert len(trial.seen) == 1
        (run,) = trial.runs()
        assert (run.type, run.data["result"]["kind"]) == ("hook.executed", kind)
        assert trial.states()[0] == done(stage)


def test_modified_goes_to_the_next_hook_and_into_the_operation(store: Any) -> None:
    for kind, stage in cells("value"):
        trial = Trial(store, kind, stage)

        assert trial.act() == NEW, (kind, stage)
        assert [NEW] == [context.after for context in trial.seen]
        assert trial.states()[0] == done(stage, NEW)


def test_replace_ends_the_chain_with_its_value(store: Any) -> None:
    for kind, stage in cells("final"):
        trial = Trial(store, kind, stage)

        assert trial.act() == NEW, (kind, stage)
        assert trial.seen == []
        assert [] == trial.runs("behind")
        assert trial.states()[0] == done(stage, NEW)


def test_cancel_refuses_the_operation_and_leaves_only_the_runs(store: Any) -> None:
    for kind, stage in cells("cancel"):
        trial = Trial(store, kind, stage)

        with pytest.raises(HookCancelledError) as caught:
            trial.act()
        assert (caught.value.reason, caught.value.hook) == ("not now", "tried")
        assert trial.seen == []
        assert ["hook.executed"] == kinds(trial.events()), (kind, stage)
        assert trial.states() == ({"k": OLD}, {"k": NEW})


def test_redirect_has_the_operation_done_elsewhere(store: Any) -> None:
    expected = {
        "write": (OTHER, ({"k": OLD}, {"k": OTHER})),
        "delete": (True, ({"k": OLD}, {})),
        "clear": (1, ({"k": OLD}, {})),
        "read": (NEW, ({"k": OLD}, {"k": NEW})),
    }
    for kind, stage in cells("target"):
        trial = Trial(store, kind, stage)
        answer, states = expected[stage]

        assert trial.act() == answer, (kind, stage)
        (context,) = trial.seen
        assert str(context.scope) == trial.away
        assert context.key == (None if stage == "clear" else "k")
        assert context.before == {"clear": ["k"], "read": MISSING}.get(stage, NEW)
        assert trial.states() == states


def test_a_write_that_is_redirected_answers_with_the_event_elsewhere(store: Any) -> None:
    store.hooks.register("before_state_write", lambda _: HookResult.redirect("user:u", "name"), scope="agent:a")

    event = store.set("agent:a", "k", 1, ttl=60)
    assert (event.stream, event.key, event.data["value"]) == ("user:u", "name", 1)
    assert "expires_at" in event.data
    assert {"name": 1} == store.items("user:u")
    assert [] == store.keys("agent:a")


def test_an_increment_that_is_redirected_adds_there(store: Any) -> None:
    away = lambda _: HookResult.redirect("user:u", "n")  # noqa: E731
    store.set("user:u", "n", 40)
    store.set("agent:a", "n", 7)
    handle = store.hooks.register("before_state_write", away, name="away", scope="agent:a")
    seen: list[Any] = []
    store.hooks.register("before_state_write", lambda c: seen.append((c.before, c.after)), name="seen", priority=1)

    assert store.increment("agent:a", "n", 2) == 42
    assert [(40, 42)] == seen
    (event,) = store.log(since=0, types="state.set", scope="user:u", limit=1, reverse=True)
    assert {"value": 42, "op": "increment", "by": 2} == event.data
    assert store.get("agent:a", "n") == 7
    store.set("user:u", "n", "text")
    assert store.increment("agent:a", "n", 2) == 9
    assert runs(store, name="away")[-1].type == "hook.failed"
    handle.unregister()
    modify = lambda _: HookResult.modified(5)  # noqa: E731
    store.hooks.register("before_state_write", modify, name="modify", scope="agent:a")
    store.hooks.register("before_state_write", away, name="away", scope="agent:a", priority=1)
    assert store.increment("agent:a", "n", 2) == 5
    assert {"value": 5, "op": "set"} == store.blame("user:u", "n").data


def test_a_redirect_to_the_same_place_changes_nothing(store: Any) -> None:
    store.hooks.register("before_state_write", lambda c: HookResult.redirect(c.scope, c.key))

    event = store.set("agent:a", "k", 1)
    assert (event.stream, event.key, event.causation_ids) == ("agent:a", "k", ())


def test_a_delete_that_is_redirected_to_nothing_deletes_nothing(store: Any) -> None:
    store.set_many("agent:a", {"k": 1, "l": 1, "m": 1})
    store.hooks.register("before_state_delete", lambda _: HookResult.redirect("agent:none"), key="k")
    since = store.position()

    assert store.delete("agent:a", "k") is False
    assert store.delete_many("agent:a", ["k", "l", "absent"]) == 1
    assert ["state.deleted"] == [event.type for event in store.log(since=since, types="state.*")]
    assert {"k": 1, "m": 1} == store.items("agent:a")


def test_a_redirected_clear_clears_another_scope_and_names_no_key(store: Any) -> None:
    handle = store.hooks.register("before_state_clear", lambda _: HookResult.redirect("agent:b", "k"))
    store.set_many("agent:a", {"k": 1})
    store.set_many("agent:b", {"k": 1, "l": 1})

    assert store.clear("agent:a") == 1
    assert "names a key" in runs(store)[-1].data["error"]
    assert {"k": 1, "l": 1} == store.items("agent:b")
    handle.unregister()
    store.hooks.register("before_state_clear", lambda _: HookResult.redirect("agent:b"))
    assert store.clear("agent:b") == 2
    assert store.clear("agent:b") == 0
    store.set("agent:a", "k", 1)
    assert store.clear("agent:a") == 0
    assert {"k": 1} == store.items("agent:a")


def test_retry_begins_anew_until_it_gives_up(store: Any) -> None:
    for kind, stage in cells("again"):
        trial = Trial(store, kind, stage)

        if stage == "after":
            assert trial.act() == OTHER
            assert len(trial.seen) == 1, "the next hook behind the commit runs whatever this one waits for"
        else:
            with pytest.raises(HookError, match="given up after 3 attempts") as caught:
                trial.act()
            assert (caught.value.hook, caught.value.point) == ("tried", trial.point)
            assert trial.seen == []
            assert ["hook.executed"] * 3 == kinds(trial.events())
        assert [None, 2, 3] == [run.data.get("attempt") for run in trial.runs()], (kind, stage)
        assert len({run.data["operation"] for run in trial.runs()}) == 1
        assert trial.states()[0] == (done(stage) if stage == "after" else {"k": OLD})


def test_retry_lets_the_operation_be_done_once_at_a_later_attempt(store: Any) -> None:
    for kind, stage in cells("again"):
        trial = Trial(store, kind, stage, lambda context: HookResult.retry(0, 3) if context.attempt < 3 else None)

        assert trial.plain == trial.act(), (kind, stage)
        assert len(trial.seen) == 1
        assert ["retry", "retry", "continue"] == [run.data["result"]["kind"] for run in trial.runs()]
        changes = [event for event in trial.events() if event.type in {"state.set", "state.deleted", "scope.cleared"}]
        assert len(changes) == (stage in {"write", "delete", "clear", "after"})
        assert trial.states()[0] == done(stage)


def test_a_fork_joins_the_commit(store: Any) -> None:
    for kind, stage in cells("join"):
        trial = Trial(store, kind, stage)

        assert trial.plain == trial.act(), (kind, stage)
        assert trial.states() == (done(stage), {"made": OLD})
        (run,) = trial.runs()
        forked = [event for event in trial.events() if event.stream == trial.away]
        assert ["state.set", "state.deleted", "state.set"] == kinds(forked)
        assert [(run.event_id,)] * 3 == [event.causation_ids for event in forked]
        assert {run.correlation_id} == {event.correlation_id for event in forked}
        assert len({event.recorded_at for event in (run, *forked)}) == 1


def test_operations_that_are_forked_have_hooks_too_each_its_own_event(store: Any) -> None:
    def ask(context: Any) -> HookResult:
        assert context.operation == "set"
        return HookResult.fork([("set", "agent:b", "n", 1), ("set", "agent:b", "n", 2), ("set", "agent:a", "k", 3)])

    store.hooks.register("before_state_write", ask, name="asking")
    store.hooks.register("before_state_write", lambda c: HookResult.modified(c.after * 10), name="tenfold", priority=1)

    event = store.set("agent:a", "k", 7)
    assert event.data["value"] == 70
    written = list(store.log(types="state.set"))
    assert [70, 10, 20, 30] == [each.data["value"] for each in written]
    assert len({each.event_id for each in store.log()}) == store.position()
    assert len(runs(store, name="asking")) == 1
    assert [str(each.event_id) for each in written] == [run.data["operation"] for run in runs(store, name="tenfold")]


def test_what_is_forked_can_be_refused_and_the_operation_with_it(store: Any) -> None:
    store.hooks.register("before_state_write", lambda _: HookResult.cancel("closed"), name="guard", scope="agent:b")
    ask = lambda _: HookResult.fork([("set", "agent:b", "k", 1)])  # noqa: E731
    for point in ("before_state_write", "before_state_read", "custom:x"):
        handle = store.hooks.register(point, ask, **({} if point == "custom:x" else {"scope": "agent:a"}))
        since = store.position()
        with pytest.raises(HookCancelledError, match="closed"):
            (store.hooks.fire("custom:x") if point == "custom:x" else _do(store, point))
        handle.unregister()
        assert ["hook.executed"] * 2 == kinds(list(store.log(since=since, types=["hook.executed", "state.*"])))

    assert store.snapshot() == {}


def _do(store: Any, point: str) -> Any:
    return store.set("agent:a", "k", 1) if point == "before_state_write" else store.get("agent:a", "k")


def test_a_retry_of_what_is_forked_begins_the_whole_anew(store: Any) -> None:
    wait = lambda context: HookResult.retry(0, 2) if context.attempt == 1 else None  # noqa: E731
    store.hooks.register("before_state_write", wait, name="wait", scope="agent:b")
    ask = lambda _: HookResult.fork([("set", "agent:b", "k", 1)])  # noqa: E731
    store.hooks.register("before_state_write", ask, name="write", scope="agent:a")
    store.hooks.register("before_state_read", ask, name="read")
    store.hooks.register("custom:x", ask, name="fired")

    store.set("agent:a", "k", 1)
    assert store.get("agent:a", "k") == 1
    store.hooks.fire("custom:x")
    for name in ("write", "read", "fired"):
        assert [None, 2] == [run.data.get("attempt") for run in runs(store, name=name)], name
    assert len(list(store.log(scope="agent:b"))) == 3


def test_a_kept_answer_is_given_until_its_time_is_up(store_url: str) -> None:
    from backstory.testing.clock import ManualClock  # noqa: PLC0415

    for face in FACES:
        clock = ManualClock()
        with opened(face, store_url, clock=clock) as store:
            scope = f"agent:{face}"
            behind = lambda context: HookResult.modified(context.after + 1)  # noqa: E731
            store.hooks.register("before_state_read", lambda c: HookResult.cache(str(c.key), 10), name="keeper")
            store.hooks.register("before_state_read", lambda _: None, name="next", priority=1)
            store.hooks.register("after_state_read", behind, name="behind", background=False)
            store.set(scope, "k", 1)
            since = store.position()

            assert store.get(scope, "k") == 2
            store.set(scope, "k", 5)
            clock.advance(9)
            assert store.get(scope, "k") == 2, "a hook behind the read changes the answer once, kept or not"
            clock.advance(2)
            assert store.get(scope, "k") == 6
            assert store.get(scope, "absent", "default") == "default"
            found = [run.data["result"]["hit"] for run in runs(store, since=since, name="keeper")]
            assert [False, True, False, False] == found
            assert len(runs(store, since=since, name="next")) == 3, "a kept answer ends the chain"


def test_answers_are_kept_for_a_branch_and_never_for_a_transaction(store: Any) -> None:
    store.set("agent:a", "k", 1)
    fork = store.fork("side")
    store.hooks.register("before_state_read", lambda _: HookResult.cache("k", 60))

    with contextlib.suppress(KeyError), store.transaction() as tx:
        tx.set("agent:a", "k", 2)
        assert tx.get("agent:a", "k") == 2
        raise KeyError
    assert store.get("agent:a", "k") == 1
    fork.set("agent:a", "k", 3)
    assert fork.get("agent:a", "k") == 3
    with store.transaction() as tx:
        tx.set("agent:a", "k", 4)
        assert tx.get("agent:a", "k") == 4
    assert store.get("agent:a", "k") == 1


def test_a_result_that_does_nothing_at_a_point_is_a_failure_and_the_operation_goes_on(store: Any) -> None:
    for kind, stage in empty_cells():
        trial = Trial(store, kind, stage)

        assert trial.plain == trial.act(), (kind, stage)
        assert len(trial.seen) == 1
        (run,) = trial.runs()
        assert (run.type, run.data["result"]) == ("hook.failed", None)
        assert f"`{kind}` does nothing here" in run.data["error"]
        assert trial.states() == (done(stage), {"k": NEW})


def test_of_a_required_hook_such_a_result_refuses_the_operation_and_nothing_is_written(store: Any) -> None:
    for kind, stage in empty_cells():
        if stage not in BEFORE:
            continue
        trial = Trial(store, kind, stage, required=True)

        with pytest.raises(HookError, match="does nothing here") as caught:
            trial.act()
        assert (caught.value.hook, caught.value.point) == ("tried", trial.point)
        assert ["hook.failed"] == kinds(trial.events()), (kind, stage)
        assert trial.states() == ({"k": OLD}, {"k": NEW})


class Odd:
    """Something that cannot say what it is."""

    def __repr__(self) -> str:
        raise SystemExit(3)


NONSENSE = [0, False, "continue", [], {"kind": "cancel"}, object(), Odd(), HookResult, "\ud800"]
UNSTORABLE = [float("nan"), object(), {1: 2}, "\ud800", b"x" * 2_000_000]


def test_what_is_no_result_or_cannot_be_stored_is_a_failure(store: Any) -> None:
    answers: list[Any] = []
    store.hooks.register("before_state_write", lambda _: answers[-1], name="odd", breaker=False)
    made = [HookResult.modified(value) for value in UNSTORABLE]
    made += [HookResult.fork([("set", "agent:b", "k", value)]) for value in UNSTORABLE]
    for answer in (*NONSENSE, *made):
        answers.append(answer)
        store.set("agent:a", "k", len(answers))

        run = runs(store, name="odd")[-1]
        assert (run.type, run.data["result"]) == ("hook.failed", None)
        assert run.data["error"].split(":")[0] in {"InvalidValueError", "ValueTooLargeError"}
        assert store.get("agent:a", "k") == len(answers)


def test_hooks_at_reads_run_for_each_key_that_is_read_and_for_no_listing(store: Any) -> None:
    def tell(context: Any) -> HookResult | None:
        return None if context.after is MISSING else HookResult.modified([context.operation, context.after])

    store.set_many("agent:a", {"k": 1, "l": 2})
    store.hooks.register("after_state_read", tell, background=False)
    store.hooks.register("before_state_read", lambda c: HookResult.replace("hidden") if c.key == "l" else None)

    assert store.get("agent:a", "k") == ["get", 1]
    assert store.get_many("agent:a", ["k", "l", "m"]) == {"k": ["get_many", 1], "l": ["get_many", "hidden"]}
    assert store.items("agent:a") == {"k": ["items", 1], "l": ["items", "hidden"]}
    assert store.exists("agent:a", "k")
    since = store.position()
    assert ["k", "l"] == store.keys("agent:a")
    assert len(store.snapshot()) == 1
    assert [1] == [change.after for change in store.history("agent:a", "k")]
    assert store.increment("agent:a", "k") == 2
    assert store.position() == since + 1
    assert store.at(since).get("agent:a", "k") == ["get", 1]
