"""Replaying: a hook's recorded run once more, from its record alone, and what it came to this time.

Nothing is taken from the world: the context answers with the recorded steps, in their order. Asked for anything else,
it says so: the first step that differs is the replay's divergence. What the hook would write itself is refused.
"""

from __future__ import annotations

import builtins
import inspect
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple
from uuid import UUID

from backstory.core import Core
from backstory.domain.context import Author
from backstory.domain.errors import HookError, InvalidValueError
from backstory.domain.events import MISSING, RecordedEvent, StoredEvent, pack_correlation
from backstory.domain.hooks import HOOK_FAILED, HookResult
from backstory.domain.ports import CallOut, Program
from backstory.domain.scopes import Scope
from backstory.hooks.calling import Answer, Invocation
from backstory.hooks.registry import Registration, Registry
from backstory.hooks.run_context import Subject
from backstory.infrastructure import codec
from backstory.replay.blame import parse_path
from backstory.replay.comparison import Comparison, compare
from backstory.runners import replaying

Mode = Literal["exact", "modified", "simulate", "debug"]
MODES: Final = ("exact", "modified", "simulate", "debug")
_CHANGEABLE: Final = ("operation", "scope", "key", "before", "after", "metadata", "tags", "actor", "correlation_id")


@dataclass(frozen=True, slots=True)
class Divergence:
    """The first step that a replay asked for otherwise: `recorded` None where the record had ended."""

    index: int
    recorded: dict[str, Any] | None
    asked: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """One run, replayed. `recorded` is what it answered then, `result` now; None where it failed: `error` says why.

    `comparison` sets the two side by side; `divergence` is the first recorded step that differs, or None. `steps`
    are those that this time took.
    """

    execution: RecordedEvent
    hook: str
    result: HookResult | None
    recorded: HookResult | None
    comparison: Comparison
    error: str | None
    divergence: Divergence | None
    steps: tuple[dict[str, Any], ...] = ()
    duration_s: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether it ran as it was asked to: no error that was not recorded, and no divergence."""
        return self.error is None and self.divergence is None


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """What a replay came to. `succeeded` and `failed` count the results; `position` is that of its event, if any."""

    mode: Mode
    results: list[ReplayResult]
    duration_s: float

    @property
    def succeeded(self) -> int:
        """How many ran as they were asked to."""
        return sum(result.ok for result in self.results)

    @property
    def failed(self) -> int:
        """How many did not."""
        return len(self.results) - self.succeeded


class DivergedError(HookError):
    """A hook asked its context for something else than what is recorded."""


class Recording:
    """Answers from recorded steps, in order. The first that differs is kept, whatever the hook makes of the error."""

    def __init__(self, steps: Sequence[Mapping[str, Any]], hook: str, *, asynchronous: bool) -> None:
        self._steps = steps
        self._hook = hook
        self._asynchronous = asynchronous
        self._at = 0
        self.divergence: Divergence | None = None

    def _next(self, asked: dict[str, Any]) -> Mapping[str, Any]:
        step = self._steps[self._at] if self._at < len(self._steps) else None
        if self.divergence is None and (step is None or any(not _same(step.get(part), asked[part]) for part in asked)):
            self.divergence = Divergence(self._at, None if step is None else dict(step), asked)
        if self.divergence is not None:
            raise DivergedError(
                f"step {self.divergence.index} is not what was recorded",
                hook=self._hook,
                hint="The hook's code, or its input, is not what it was; look at the divergence.",
            )
        self._at += 1
        assert step is not None
        return step

    def end(self) -> None:
        """Note steps that were recorded and not asked for."""
        if self.divergence is None and self._at < len(self._steps):
            self.divergence = Divergence(self._at, dict(self._steps[self._at]), None)

    def now(self) -> datetime:
        """Return the recorded instant."""
        found: datetime = self._next({"kind": "now"})["value"]
        return found

    def random(self) -> float:
        """Return the recorded number."""
        found: float = self._next({"kind": "random"})["value"]
        return found

    def uuid(self) -> UUID:
        """Return the recorded id."""
        found: UUID = self._next({"kind": "uuid"})["value"]
        return found

    def call(self, name: str, fn: Callable[..., Any], args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Return the recorded answer, or raise the recorded error; nothing is called."""
        asked: dict[str, Any] = {"kind": "call", "fn": name, "args": list(args)}
        if named:
            asked["named"] = named
        step = self._next(asked)
        if inspect.iscoroutinefunction(fn):
            return _later(step)
        return _answered(step)

    def read(self, scope: Scope, key: str) -> Any:
        """Return the recorded value and its position."""
        step = self._next({"kind": "read", "scope": str(scope), "key": key})
        found = (step.get("value", MISSING), step.get("position"))
        return _found(found) if self._asynchronous else found


def _same(one: Any, other: Any) -> bool:
    try:
        return codec.canonical(one) == codec.canonical(other)
    except InvalidValueError:
        return False


def _answered(step: Mapping[str, Any]) -> Any:
    if "error" not in step:
        return step.get("value")
    name, _, message = str(step["error"]).partition(": ")
    kind = getattr(builtins, name, None)
    if isinstance(kind, type) and issubclass(kind, Exception):
        raise kind(message)
    raise HookError(str(step["error"]), hint="The call failed so when it was recorded.")


async def _later(step: Mapping[str, Any]) -> Any:
    return _answered(step)


async def _found(found: Any) -> Any:
    return found


class Question(NamedTuple):
    """How runs are to be replayed."""

    mode: Mode
    changes: Mapping[str, Any]
    timeout_s: float | None

    @classmethod
    def of(cls, mode: str, changes: Mapping[str, Any] | None, timeout_s: object) -> Question:
        """Return a checked question; raises `InvalidValueError`."""
        if mode not in MODES:
            raise InvalidValueError("mode", rule=f"is {mode!r}", hint=f"Use one of {', '.join(MODES)}.")
        if changes and mode != "modified":
            raise InvalidValueError("changes", rule=f"go with mode `modified`, not `{mode}`", hint="Set the mode.")
        if changes is not None and not isinstance(changes, Mapping):
            raise InvalidValueError("changes", rule="is no mapping of paths", hint='Give {"after.price": 3}.')
        for path, value in (changes or {}).items():
            steps = parse_path(path)
            if not steps or steps[0] not in _CHANGEABLE:
                raise InvalidValueError(
                    "changes",
                    rule=f"{path!r} is no path into a hook's context",
                    hint=f"Begin paths with one of {', '.join(_CHANGEABLE)}.",
                )
            codec.encode_value(value)
        if timeout_s is not None and (
            isinstance(timeout_s, bool) or not isinstance(timeout_s, (int, float)) or not timeout_s > 0
        ):
            raise InvalidValueError(
                "timeout_s", rule=f"is no span of time: {timeout_s!r}", hint="Give seconds above 0."
            )
        return cls(mode, dict(changes or {}), timeout_s)  # type: ignore[arg-type]


def replay_run(core: Core, registry: Registry | None, row: StoredEvent, question: Question) -> Program[ReplayResult]:
    """Replay one recorded run."""
    data = codec.decode_value(row.data)
    recorded = None if row.type == HOOK_FAILED else HookResult.from_data(data["result"])
    event = RecordedEvent(row, codec.decode_value)
    told = _told(data["result"], data["error"])
    if question.mode == "simulate":
        return ReplayResult(event, data["hook"], recorded, recorded, compare(told, told), None, None)
    registration = _registered(registry, data["hook"], data["point"])
    if registration is None:
        missing = f"no hook {data['hook']!r} is registered at {data['point']}"
        return ReplayResult(event, data["hook"], None, recorded, compare(told, _told(None, missing)), missing, None)
    if data["duration_us"] == 0 and (data["result"] or {}).get("reason") == "its circuit is open":
        return ReplayResult(event, data["hook"], recorded, recorded, compare(told, told), None, None)
    outside = Recording(data["steps"], data["hook"], asynchronous=registration.asynchronous)
    invocation = Invocation(
        _harmless(registration),
        _changed(_subject(event, data), question.changes),
        name=registration.name,
        asynchronous=registration.asynchronous,
        timeout_s=question.timeout_s,
        author=Author(row.correlation, None, row.actor, row.extra),
        clock=core.clock,
        find=_nothing,
        outside=outside,
    )
    answer: Answer = yield CallOut(invocation.blocking, invocation.awaiting)
    outside.end()
    result, failure = _judged(answer)
    comparison = compare(told, _told(None if result is None else result.as_data(), failure))
    error = None if failure == data["error"] else failure  # it may fail as it did then
    return ReplayResult(
        event,
        data["hook"],
        result,
        recorded,
        comparison,
        None if outside.divergence is not None and _is_divergence(answer) else error,
        outside.divergence,
        tuple(invocation.steps),
        answer.duration_us / 1_000_000,
    )


def _harmless(registration: Registration) -> Callable[[Any], Any]:
    """Return the hook as one whose own writes are refused."""
    hook = registration.hook

    def blocking(context: Any) -> Any:
        token = replaying.set(True)
        try:
            return hook(context)
        finally:
            replaying.reset(token)

    async def awaiting(context: Any) -> Any:
        token = replaying.set(True)
        try:
            return await hook(context)
        finally:
            replaying.reset(token)

    return awaiting if registration.asynchronous else blocking


def _is_divergence(answer: Answer) -> bool:
    return isinstance(answer.error, DivergedError)


def _nothing(stream: str, key: str) -> Program[tuple[Any, int | None]]:
    raise HookError(f"a replay reads nothing: {key} in {stream}", hint="Read through the context only.")
    yield


def _told(result: Mapping[str, Any] | None, error: str | None) -> dict[str, Any]:
    """Return what is compared: the answer without what only the record says of it, or the failure."""
    if result is None:
        return {"error": error}
    return {name: part for name, part in result.items() if name != "hit"}


def _registered(registry: Registry | None, name: str, point: str) -> Registration | None:
    there = [] if registry is None else registry.named(name)
    return next((each for each in there if each.point.name == point), None)


def _judged(answer: Answer) -> tuple[HookResult | None, str | None]:
    if answer.error is not None:
        return None, f"{type(answer.error).__name__}: {answer.error}"
    result = HookResult.CONTINUE if answer.value is None else answer.value
    if isinstance(result, HookResult):
        return result, None
    return None, f"answered nonsense: {type(result).__name__}"


def _subject(event: RecordedEvent, data: Mapping[str, Any]) -> Subject:
    given = data["input"]
    row = event.stored

    def encoded(name: str) -> bytes | None:
        return codec.encode_value(given[name]) if name in given else None

    return Subject(
        data["point"],
        given["operation"],
        UUID(data["operation"]).bytes,
        given.get("scope"),
        given.get("key"),
        encoded("before"),
        encoded("after"),
        row.actor,
        row.correlation or b"u" + row.event_id,
        encoded("metadata"),
        tuple(given.get("tags", ())),
        given.get("as_of"),
        data.get("attempt", 1),
        data.get("redelivered", False),
    )


def _changed(subject: Subject, changes: Mapping[str, Any]) -> Subject:
    """Return a subject in which what lies at some paths is something else."""
    parts: dict[str, Any] = subject._asdict()
    for path, value in changes.items():
        first, *inner = parse_path(path)
        if first in {"before", "after", "metadata"}:
            held = parts[str(first)]
            whole = _put(MISSING if held is None else codec.decode_value(held), inner, value, path)
            parts[str(first)] = codec.encode_value(whole)
        elif inner:
            raise InvalidValueError("changes", rule=f"{path!r} leads into a text", hint="Change the whole of it.")
        else:
            parts.update(_renamed(str(first), value))
    return Subject(**parts)


def _renamed(name: str, value: Any) -> dict[str, Any]:
    """Return the part of a subject that a change of a whole text, or of the tags, makes."""
    if name == "scope":
        return {"stream": str(Scope.parse(value))}
    if name == "actor":
        return {"actor": str(value).encode()}
    if name == "correlation_id":
        return {"correlation": pack_correlation(str(value))}
    return {name: tuple(value) if name == "tags" else value}


def _put(whole: Any, steps: Sequence[str | int], value: Any, path: str) -> Any:
    """Return a value with another one at a path inside it; objects on the way are made."""
    if not steps:
        return value
    first, *rest = steps
    if isinstance(first, int) and isinstance(whole, list):
        if first >= len(whole):
            raise InvalidValueError("changes", rule=f"{path!r} leads beyond a list's end", hint="Change what is there.")
        return [*whole[:first], _put(whole[first], rest, value, path), *whole[first + 1 :]]
    inside = {} if whole is MISSING or whole is None else whole
    if not isinstance(inside, dict):
        raise InvalidValueError(
            "changes", rule=f"{path!r} leads into {type(whole).__name__}", hint="Change what is there."
        )
    return {**inside, str(first): _put(inside.get(str(first), MISSING), rest, value, path)}


def report_of(mode: Mode, results: list[ReplayResult], started: float) -> ReplayReport:
    """Return the report of a replay that began at an instant of the monotonic clock."""
    return ReplayReport(mode, results, time.monotonic() - started)


__all__ = [
    "MODES",
    "DivergedError",
    "Divergence",
    "Mode",
    "Question",
    "Recording",
    "ReplayReport",
    "ReplayResult",
    "replay_run",
    "report_of",
]
