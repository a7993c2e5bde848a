"""A recorded run as the world of its replay: whatever a hook takes, in whatever order, it takes again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import backstory
from backstory.domain.hooks import HookResult
from backstory.hooks.replay_record import DivergedError, Divergence, Recording
from backstory.hooks.telling import told
from backstory.infrastructure import codec

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**60), 2**60), st.floats(allow_nan=False, allow_infinity=False), st.text()
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)
KEYS = st.sampled_from(["a", "b", "password"])
STEPS = st.lists(
    st.one_of(
        st.sampled_from(["now", "random", "uuid", "refused"]).map(lambda kind: (kind,)),
        st.tuples(st.just("call"), VALUES, st.dictionaries(st.sampled_from(["one", "two"]), VALUES, max_size=2)),
        st.tuples(st.just("read"), st.sampled_from(["agent:a", "agent:b"]), KEYS),
    ),
    max_size=5,
)
ENDS = st.sampled_from(["continue", "modified", "replace", "skipped", "cancel", "fork", "raise"])


def echo(given: Any, **named: Any) -> Any:
    return [given, named]


async def echo_later(given: Any, **named: Any) -> Any:
    await asyncio.sleep(0)
    return [given, named]


def refuse() -> None:
    raise LookupError("refused")


def _ended(end: str, told: list[Any]) -> HookResult | None:
    if end == "raise":
        raise ValueError(repr(told))
    if end == "continue":
        return None
    if end == "fork":
        return HookResult.fork([("set", "agent:told", "k", told)])
    if end in {"cancel", "skipped"}:
        return HookResult(end, reason=repr(told))  # type: ignore[arg-type]
    return HookResult(end, told)  # type: ignore[arg-type]


class Sync:
    """A hook that takes what it is told to take, and answers with all of it."""

    def __init__(self, steps: list[Any], end: str) -> None:
        self.steps, self.end = steps, end

    def __call__(self, context: Any) -> HookResult | None:
        return _ended(self.end, [self._taken(context, *step) for step in self.steps])

    def _taken(self, context: Any, kind: str, *args: Any) -> Any:
        if kind == "call":
            return context.call(echo, args[0], **args[1])
        if kind == "refused":
            with pytest.raises(LookupError) as caught:
                context.call(refuse)
            return str(caught.value)
        return str(getattr(context, kind)(*args))


class Async(Sync):
    """The same, async."""

    async def __call__(self, context: Any) -> HookResult | None:  # type: ignore[override]
        taken = []
        for kind, *args in self.steps:
            if kind == "call":
                taken.append(await context.call(echo_later, args[0], **args[1]))
            elif kind == "read":
                taken.append(str(await context.read(*args)))
            else:
                taken.append(self._taken(context, kind, *args))
        return _ended(self.end, taken)


def _raised(error: str | None) -> str:
    return (error or "").partition(":")[0]


@pytest.mark.parametrize("kind", [Sync, Async])
@example(plans=[([("call", {"AUTHTOKEN": []}, {})], "raise")], values=[None])
@given(plans=st.lists(st.tuples(STEPS, ENDS), min_size=1, max_size=3), values=st.lists(VALUES, min_size=1, max_size=2))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_hooks_take_and_answer_a_replay_is_identical(
    kind: type[Sync], plans: list[tuple[list[Any], str]], values: list[Any]
) -> None:
    with backstory.open("memory://") as store:
        store.set("agent:b", "a", {"x": 1})
        for at, (steps, end) in enumerate(plans):
            store.hooks.register("before_state_write", kind(steps, end), name=f"h{at}", scope="agent:a")
        for value in values:
            try:
                store.set("agent:a", "k", value)
            except backstory.HookCancelledError:
                continue
        results = store.replay.hooks(stop_on_error=False, timeout_s=None).results
        assert results
        for result in results:
            data = result.execution.data
            assert None is result.divergence
            if result.redacted:
                # A secret of the run's is not in its record: what came of it cannot come again, in an error's words
                # neither. What raised then raises now, and nothing else does.
                assert result.error is None or _raised(result.error) == _raised(data["error"])
                continue
            assert None is result.error
            assert result.comparison.identical
            answered = None if result.result is None else result.result.as_data()
            assert codec.canonical(data["result"]) == codec.canonical(answered)
            assert codec.canonical(data["steps"]) == codec.canonical(list(result.steps))


PLAN: list[Any] = [("now",), ("call", 1, {"one": 2}), ("random",), ("read", "agent:b", "a"), ("uuid",), ("refused",)]


@given(at=st.integers(0, len(PLAN) - 1), change=STEPS.filter(lambda steps: len(steps) == 1), cut=st.booleans())
@settings(max_examples=60, deadline=None)
def test_the_divergence_is_the_first_step_that_differs(at: int, change: list[Any], *, cut: bool) -> None:
    changed = PLAN[:at] if cut else [*PLAN[:at], *change, *PLAN[at + 1 :]]
    hook = Sync(PLAN, "modified")
    with backstory.open("memory://") as store:
        store.hooks.register("before_state_write", hook, name="h", scope="agent:a")
        store.set("agent:a", "k", 1)
        hook.steps = changed
        (result,) = store.replay.hooks(timeout_s=None).results
    if changed == PLAN:
        assert result.ok
        return
    assert result.divergence is not None
    assert at == result.divergence.index
    assert cut == (result.divergence.asked is None)


# Recordings


class OwnError(Exception):
    """An error that wants more than a message."""

    def __init__(self, code: int, *, why: str) -> None:
        super().__init__(f"{code}: {why}")


class MuteError(Exception):
    """An error that cannot be told."""

    def __str__(self) -> str:
        raise RuntimeError


def _decoded() -> None:
    b"\xff".decode()


def _raising(error: BaseException) -> Callable[[], None]:
    def fn() -> None:
        raise error

    return fn


@pytest.mark.parametrize(
    ("fn", "kind"),
    [
        (_raising(KeyError("k")), KeyError),
        (_raising(OSError(2, "not there", "file")), OSError),
        (_raising(FileNotFoundError(2, "not there")), OSError),
        (_raising(ValueError()), ValueError),
        (_raising(SystemExit(3)), SystemExit),
        (_raising(OwnError(3, why="a: b")), OwnError),
        (_raising(MuteError()), MuteError),
        (_raising(backstory.HookError("x", hint="Do y.")), backstory.HookError),
        (_decoded, UnicodeDecodeError),
    ],
)
def test_a_recorded_error_is_raised_as_its_type_with_its_text(fn: Any, kind: type[BaseException]) -> None:
    with pytest.raises(kind) as was:
        fn()
    text = told(was.value)
    recording = Recording([{"kind": "call", "fn": "m.fn", "args": [], "error": text}], "h", asynchronous=False)
    with pytest.raises(kind) as now:
        recording.call("m.fn", fn, (), {})
    assert text == told(now.value)


def test_an_error_of_a_type_that_nobody_knows_is_told_all_the_same() -> None:
    step = {"kind": "call", "fn": "m.fn", "args": [], "error": "GoneError: far away"}
    with pytest.raises(backstory.HookError) as now:
        Recording([step], "h", asynchronous=False).call("m.fn", echo, (), {})
    assert "GoneError: far away" == told(now.value)


def test_every_question_after_a_divergence_is_refused_and_the_first_is_kept() -> None:
    now = {"kind": "now", "value": datetime(2026, 1, 1, tzinfo=UTC)}
    recording = Recording([now, now], "h", asynchronous=False)
    assert now["value"] == recording.now()
    for ask in (recording.random, recording.now):
        with pytest.raises(DivergedError):
            ask()
    recording.end()
    assert Divergence(1, now, {"kind": "random"}) == recording.divergence
