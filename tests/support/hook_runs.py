"""Runs of hooks without a store: in a world made of a dict and a clock that is set by hand, and again from a record."""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from types import CodeType, FrameType
from typing import Any
from uuid import UUID, uuid4

from backstory.domain.events import MISSING, from_micros, pack_correlation
from backstory.domain.hooks import HookResult
from backstory.domain.scopes import Scope
from backstory.hooks.run_context import HookContext, Subject
from backstory.infrastructure import codec

START_US = 1_700_000_000_000_000


class FakeWorld:
    """A dict of values, and a clock that stands still until it is set."""

    def __init__(self, now_us: int = START_US) -> None:
        self.now_us = now_us
        self.state: dict[tuple[str, str], Any] = {}

    def now(self) -> datetime:
        return from_micros(self.now_us)

    def random(self) -> float:
        return 0.5

    def uuid(self) -> UUID:
        return uuid4()

    def call(self, name: str, fn: Callable[..., Any], args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        assert name
        return fn(*args, **named)

    def read(self, scope: Scope, key: str) -> Any:
        value = self.state.get((str(scope), key), MISSING)
        return value, None if value is MISSING else 1

    def apply(self, result: HookResult | None) -> None:
        """Do what a fork asks for."""
        for verb, scope, key, *value in () if result is None else result.operations:
            if verb == "set":
                self.state[str(scope), key] = codec.decode_value(codec.encode_value(value[0]))
            else:
                del self.state[str(scope), key]


class Record:
    """Answers with what was recorded, in order, and refuses everything else: the functions are never called."""

    def __init__(self, steps: list[dict[str, Any]]) -> None:
        self.steps = codec.decode_value(codec.encode_value(steps))

    def now(self) -> datetime:
        found: datetime = self._next("now")["value"]
        return found

    def random(self) -> float:
        found: float = self._next("random")["value"]
        return found

    def uuid(self) -> UUID:
        found: UUID = self._next("uuid")["value"]
        return found

    def call(self, name: str, fn: Callable[..., Any], args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        step = self._next("call", fn=name, args=codec.decode_value(codec.encode_value(list(args))))
        assert step.get("named", {}) == named
        if inspect.iscoroutinefunction(fn):
            return self._later(step)
        return self._answer(step)

    def read(self, scope: Scope, key: str) -> Any:
        step = self._next("read", scope=str(scope), key=key)
        return step.get("value", MISSING), step.get("position")

    def _next(self, kind: str, **asked: Any) -> dict[str, Any]:
        assert self.steps, f"nothing more was recorded, but a {kind} is asked for"
        step: dict[str, Any] = self.steps.pop(0)
        assert step["kind"] == kind
        assert {name: step[name] for name in asked} == asked
        return step

    def _answer(self, step: dict[str, Any]) -> Any:
        if "error" in step:
            raise RuntimeError(step["error"])
        return step["value"]

    async def _later(self, step: dict[str, Any]) -> Any:
        return self._answer(step)


def subject(
    point: str = "after_state_write",
    *,
    scope: str | None = "agent:a1",
    key: str | None = "plan",
    before: Any = MISSING,
    after: Any = MISSING,
    **others: Any,
) -> Subject:
    """Return what a hook is run for."""
    default = point.rpartition("_")[2] if "_state_" in point else point
    actor, correlation_id = others.pop("actor", None), others.pop("correlation_id", None)
    return Subject(
        point,
        others.pop("operation", {"write": "set", "read": "get"}.get(default, default)),
        others.pop("operation_id", uuid4()).bytes,
        scope,
        key,
        None if before is MISSING else codec.encode_value(before),
        None if after is MISSING else codec.encode_value(after),
        None if actor is None else actor.encode(),
        None if correlation_id is None else pack_correlation(correlation_id),
        **others,
    )


def run(hook: Any, about: Subject, world: Any) -> tuple[HookResult | None, list[dict[str, Any]]]:
    """Run a hook as either face would; return its result and its steps."""
    asynchronous = inspect.iscoroutinefunction(hook.__call__)
    context = HookContext(hook.name, about, _Later(world) if asynchronous else world, asynchronous=asynchronous)
    result = asyncio.run(hook(context)) if asynchronous else hook(context)
    context.end()
    return result, context.steps


class _Later:
    """A world that answers reads as the async face does."""

    def __init__(self, world: Any) -> None:
        self._world = world

    def __getattr__(self, name: str) -> Any:
        return getattr(self._world, name)

    async def read(self, scope: Scope, key: str) -> Any:
        return self._world.read(scope, key)


def again(hook: Any, about: Subject, steps: list[dict[str, Any]]) -> HookResult | None:
    """Run a hook from the record of a run, cut off from everything else; return its result."""
    record = Record(steps)
    asynchronous = inspect.iscoroutinefunction(hook.__call__)
    context = HookContext(hook.name, about, _Later(record) if asynchronous else record, asynchronous=asynchronous)
    if asynchronous:
        # The loop itself needs the clock and sockets: what the hook does is stepped through by hand.
        with cut_off():
            result: HookResult | None = _stepped(hook(context))
    else:
        with cut_off():
            result = hook(context)
    assert record.steps == [], "not all that was recorded was asked for"
    return result


def _stepped(coroutine: Any) -> Any:
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("the hook waits for something that is in no record")


_MODULES = {"time", "posix", "nt", "_io", "io", "_socket", "_random", "_uuid", "uuid_utils", "uuid_utils._uuid_utils"}
_FILES = {"socket.py", "random.py", "secrets.py", "subprocess.py", "tempfile.py"}
_CLOCKS = {"now", "utcnow", "today"}


class OutsideError(AssertionError):
    """Something was taken from outside that is in no record."""


@contextmanager
def cut_off() -> Iterator[None]:
    """Fail if anything inside the block, in this thread, takes from the clock, chance, files, processes or sockets."""
    taken: list[str] = []

    def watch(frame: FrameType, event: str, called: Any) -> None:
        if "hypothesis" in frame.f_code.co_filename:
            return  # it times the collector's pauses, whoever causes them
        if event == "c_call" and _is_outside(called):
            taken.append(f"{called.__qualname__} in {Path(frame.f_code.co_filename).name}:{frame.f_lineno}")
        elif event == "call" and _is_of_outside(frame.f_code):
            taken.append(f"{frame.f_code.co_qualname} of {Path(frame.f_code.co_filename).name}")

    sys.setprofile(watch)
    try:
        yield
    finally:
        sys.setprofile(None)
    if taken:
        raise OutsideError(f"taken from outside, and in no record: {taken}")


def _is_outside(called: Any) -> bool:
    owner = getattr(called, "__self__", None)
    if isinstance(owner, type) and issubclass(owner, date):
        return called.__name__ in _CLOCKS
    return called.__module__ in _MODULES or any(kind.__module__ in _MODULES for kind in type(owner).__mro__)


def _is_of_outside(code: CodeType) -> bool:
    file = Path(code.co_filename).name
    return file in _FILES or (file == "uuid.py" and code.co_name.startswith("uuid"))
