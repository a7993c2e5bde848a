"""Replaying: a hook's recorded run once more, from its record alone, and what it came to this time.

Nothing is taken from the world: the context answers with the recorded steps, in their order. Asked for anything else,
it says so: the first step that differs is the replay's divergence. What the hook would write itself is refused.
What a replay finds is told as the log would hold it: redacted.
"""

from __future__ import annotations

import inspect
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal, NamedTuple
from uuid import UUID

from backstory.core import Core
from backstory.domain.context import Author
from backstory.domain.errors import BackstoryError, HookError, InvalidValueError
from backstory.domain.events import MISSING, RecordedEvent, StoredEvent
from backstory.domain.hooks import HOOK_FAILED, HookResult, effect_of
from backstory.domain.ports import CallOut, Program
from backstory.domain.redaction import Redaction
from backstory.hooks.calling import Answer, Invocation, late
from backstory.hooks.recording import Recorder
from backstory.hooks.registry import Registration, Registry, check_span
from backstory.hooks.replay_changes import changed, checked
from backstory.hooks.replay_record import DivergedError, Divergence, Recording, StalledError
from backstory.hooks.run_context import Subject
from backstory.hooks.telling import described, told
from backstory.infrastructure import codec
from backstory.replay.comparison import Comparison, compare
from backstory.runners import replaying

Mode = Literal["exact", "modified", "simulate", "debug"]
MODES: Final[tuple[Mode, ...]] = ("exact", "modified", "simulate", "debug")
_OPEN: Final = "its circuit is open"
_LATE: Final = re.compile(r"TimeoutError: did not end within (\S+) s")
_MARKS: Final = re.compile(rb"\[(?:redacted|hashed):[a-z0-9_]+")
_RECORDER: Final = Recorder(Redaction(), track_reads=False)


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """One run, replayed. `recorded` is what it answered then, `result` now; None where it failed.

    `error` says why it failed, or could not be replayed; None where it failed as it did then. `comparison` sets the
    two outcomes side by side; `divergence` is the first recorded step that differs, or None. `steps` are those that
    this time took. `redacted` says that something the hook was given or took is redacted in its record, so that what
    it answers may differ for that alone.
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
    redacted: bool = False

    @property
    def ok(self) -> bool:
        """Whether it ran as it was asked to: no error that was not recorded, and no divergence."""
        return self.error is None and self.divergence is None


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """What a replay came to: `results` in log order, `succeeded` and `failed` count them; `duration_s` in seconds."""

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


class Question(NamedTuple):
    """How runs are to be replayed."""

    mode: Mode
    changes: Mapping[str, Any]
    timeout_s: float | None

    @classmethod
    def of(cls, mode: str, changes: Mapping[str, Any] | None, timeout_s: float | None) -> Question:
        """Return a checked question; raises `InvalidValueError`."""
        if mode not in MODES:
            raise InvalidValueError("mode", rule=f"is {mode!r}", hint=f"Use one of {', '.join(MODES)}.")
        found = checked(changes)
        if found and mode != "modified":
            raise InvalidValueError("changes", rule=f"go with mode `modified`, not `{mode}`", hint="Set the mode.")
        check_span(timeout_s)
        return cls(mode, found, timeout_s)


class _Record:
    """What is recorded of a run."""

    def __init__(self, row: StoredEvent) -> None:
        """Take the event of a run; raises a `LookupError`, `TypeError` or `ValueError` where it is none."""
        data = codec.decode_value(row.data)
        self.event = RecordedEvent(row, codec.decode_value)
        self.data: dict[str, Any] = data
        self.hook: str = data["hook"]
        self.point: str = data["point"]
        self.error: str | None = data["error"]
        self.result = None if row.type == HOOK_FAILED else HookResult.from_data(data["result"])
        self.outcome = _outcome(data["result"], self.error)
        limit = _LATE.fullmatch(self.error or "")
        #: How long the hook had, where its time was up; seconds.
        self.limit_s = None if limit is None else float(limit[1])
        taken = codec.encode_value([data["input"], data["steps"]])
        self.redacted = _MARKS.search(taken) is not None

    @property
    def left_out(self) -> bool:
        """Whether the hook was not run, for its circuit was open."""
        if self.data["duration_us"] or self.data["steps"]:
            return False
        return self.error == _OPEN or (self.data["result"] or {}).get("reason") == _OPEN

    def as_it_was(self) -> ReplayResult:
        """Return what it came to then."""
        same = compare(self.outcome, self.outcome)
        return ReplayResult(self.event, self.hook, self.result, self.result, same, None, None, redacted=self.redacted)

    def failed(self, error: str) -> ReplayResult:
        """Return that it cannot be replayed."""
        comparison = compare(self.outcome, _outcome(None, error))
        return ReplayResult(self.event, self.hook, None, self.result, comparison, error, None, redacted=self.redacted)

    def subject(self) -> Subject:
        """Return what the hook was run for."""
        given = self.data["input"]
        row = self.event.stored

        def encoded(name: str) -> bytes | None:
            return codec.encode_value(given[name]) if name in given else None

        return Subject(
            self.point,
            given["operation"],
            UUID(self.data["operation"]).bytes,
            given.get("scope"),
            given.get("key"),
            encoded("before"),
            encoded("after"),
            row.actor,
            row.correlation or b"u" + row.event_id,
            encoded("metadata"),
            tuple(given.get("tags", ())),
            given.get("as_of"),
            self.data.get("attempt", 1),
            self.data.get("redelivered", False),
        )


def replay_run(core: Core, registry: Registry | None, row: StoredEvent, question: Question) -> Program[ReplayResult]:
    """Replay one recorded run."""
    try:
        record = _Record(row)
        subject = record.subject()
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        return _unreadable(row, told(error))
    if question.mode == "simulate" or record.left_out:
        return record.as_it_was()
    registration = _registered(registry, record.hook, record.point)
    if registration is None:
        return record.failed(f"no hook {record.hook!r} is registered at {record.point}")
    try:
        subject = changed(subject, question.changes)
    except InvalidValueError as error:  # a path that leads into other runs, not into this one
        return record.failed(told(error))
    return (yield from _run_again(core, registration, record, subject, question))


def _run_again(
    core: Core, registration: Registration, record: _Record, subject: Subject, question: Question
) -> Program[ReplayResult]:
    row = record.event.stored
    limits = [limit for limit in (question.timeout_s, record.limit_s) if limit is not None]
    outside = Recording(
        record.data["steps"],
        record.hook,
        asynchronous=registration.asynchronous,
        timed_out=record.limit_s is not None,
    )
    invocation = Invocation(
        _harmless(registration),
        subject,
        name=registration.name,
        asynchronous=registration.asynchronous,
        timeout_s=min(limits, default=None),
        author=Author(row.correlation, None, row.actor, row.extra),
        clock=core.clock,
        find=_nothing,
        outside=outside,
    )
    answer: Answer = yield CallOut(invocation.blocking, invocation.awaiting)
    stalled = isinstance(answer.error, _TimeUpError) or (
        bool(limits) and isinstance(answer.error, TimeoutError) and str(answer.error) == str(late(min(limits)))
    )
    if not stalled:
        outside.end()
    data, failure = _judged(answer, registration, core.settings.max_value_bytes)
    if stalled and record.limit_s is not None:
        failure = record.error  # its time was up then too: how long it had is no fact of the run
    elif _is_refused_target(record, data, subject) and outside.divergence is None:
        data, failure = None, record.error
    cleaned = _cleaned(subject, data, failure, invocation.steps)
    result = None if cleaned["result"] is None else HookResult.from_data(cleaned["result"])
    failure = cleaned["error"]
    diverged = isinstance(answer.error, DivergedError) and outside.divergence is not None
    return ReplayResult(
        record.event,
        record.hook,
        result,
        record.result,
        compare(record.outcome, _outcome(cleaned["result"], failure)),
        None if diverged or failure == record.error else failure,
        outside.divergence,
        tuple(cleaned["steps"]),
        answer.duration_us / 1_000_000,
        record.redacted,
    )


class _TimeUpError(TimeoutError):
    """A hook has come to where its time was up when it was recorded."""


def _harmless(registration: Registration) -> Callable[[Any], Any]:
    """Return the hook as one whose own writes are refused."""
    hook = registration.hook

    def blocking(context: Any) -> Any:
        token = replaying.set(True)
        try:
            value = hook(context)
        except StalledError:
            raise _TimeUpError from None
        finally:
            replaying.reset(token)
        return awaiting(value) if inspect.isawaitable(value) else value

    async def awaiting(value: Awaitable[Any]) -> Any:
        replaying.set(True)  # for its task alone, and for what that starts
        try:
            return await value
        except StalledError:
            raise _TimeUpError from None

    async def called(context: Any) -> Any:
        replaying.set(True)
        return await awaiting(hook(context))

    return called if registration.asynchronous else blocking


def _nothing(stream: str, key: str) -> Program[tuple[Any, int | None]]:
    raise HookError(f"a replay reads nothing: {key} in {stream}", hint="Read through the context only.")
    yield


def _outcome(result: Mapping[str, Any] | None, error: str | None) -> dict[str, Any]:
    """Return what is compared: the answer without what only the record says of it, or the failure."""
    if result is None:
        return {"error": error}
    return {name: part for name, part in result.items() if name != "hit"}


def _registered(registry: Registry | None, name: str, point: str) -> Registration | None:
    there = [] if registry is None else registry.named(name)
    return next((each for each in there if each.point.name == point), None)


def _judged(answer: Answer, registration: Registration, max_bytes: int) -> tuple[dict[str, Any] | None, str | None]:
    """Return the answer as it is recorded, or why it is a failure: by the rules of a chain."""
    if answer.error is not None:
        return None, told(answer.error)
    result = HookResult.CONTINUE if answer.value is None else answer.value
    try:
        if not isinstance(result, HookResult):
            raise InvalidValueError(
                "result", rule=f"is nonsense: {described(result)}", hint="Return a HookResult, or None."
            )
        effect_of(result, registration.point.stage(background=registration.background))
        encode = partial(codec.encode_value, max_bytes=max_bytes)
        if result.value is not MISSING:
            encode(result.value)
        for each in result.operations:
            if each[0] == "set":
                encode(each[3])
    except BackstoryError as error:
        return None, told(error)
    return result.as_data(), None


def _is_refused_target(record: _Record, data: Mapping[str, Any] | None, subject: Subject) -> bool:
    """Return whether an answer was good, but the operation could not follow it: no number to increment was there.

    That failure is the operation's, not the hook's: the state that it met is in no record of this run.
    """
    return (
        data is not None
        and data["kind"] == "redirect"
        and subject.operation == "increment"
        and (record.error or "").startswith("InvalidValueError: ")
    )


def _cleaned(
    subject: Subject, result: Mapping[str, Any] | None, error: str | None, steps: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return what came of it as the log would hold it."""
    encoded = codec.encode_value({"input": {}, "result": result, "error": error, "steps": steps})
    found: dict[str, Any] = codec.decode_value(_RECORDER.cleaned(encoded, subject.key))
    return found


def _unreadable(row: StoredEvent, error: str) -> ReplayResult:
    """Return that an event is no record of a run, whatever its type says."""
    event = RecordedEvent(row, codec.decode_value)
    error = f"this is no record of a run: {error}"
    hook = event.stream.partition(":")[2]
    return ReplayResult(event, hook, None, None, compare({}, {"error": error}), error, None)


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
