"""The history of hooks: what the log tells of their registrations and runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple, Self
from uuid import UUID

from backstory.context import packed_correlation
from backstory.core import Core
from backstory.domain.events import RecordedEvent, StoredEvent, from_micros
from backstory.domain.hooks import HOOK_FAILED, HOOK_REGISTERED, HookResult, hook_point
from backstory.domain.ports import LogQuery, Program
from backstory.hooks.recording import stream_of
from backstory.hooks.retention import (
    RUNS,
    Compacted,
    CompactionReport,
    Retention,
    compact,
    compacted,
    hook_of,
    hook_streams,
    left_out,
    runs_after,
)
from backstory.hooks.statistics import HookStats
from backstory.infrastructure import codec

_PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class HookExecution:
    """One run of a hook. `result` is None where it failed: `error` says why. `event` is its event in the log."""

    event: RecordedEvent
    hook: str
    point: str
    result: HookResult | None
    duration_s: float
    error: str | None
    operation_id: UUID


@dataclass(frozen=True, slots=True)
class HookRegistration:
    """What the log knows of a hook at a point: what was said when it was last registered there, differently or first.

    `code` is a digest of the hook's code, equal for equal code; None where there was none to look at.
    """

    hook: str
    point: str
    priority: int
    background: bool
    required: bool
    timeout_s: float | None
    scope: str | None
    key: str | None
    tags: tuple[str, ...]
    code: str | None
    position: int
    registered_at: datetime
    actor: str | None


class Wanted(NamedTuple):
    """What a question to the history looks for, checked."""

    name: str | None
    point: str | None
    correlation: bytes | None
    compacted: bool

    @classmethod
    def of(cls, *, name: str | None, point: str | None, correlation_id: str | None, compacted: bool) -> Self:
        """Return a checked question; raises `InvalidValueError` and, for a name that no hook can have, what that is."""
        if name is not None:
            stream_of(name)
        return cls(
            name,
            None if point is None else hook_point(point).name,
            None if correlation_id is None else packed_correlation(correlation_id),
            compacted,
        )


class Listing:
    """Runs page by page, all as retention had it when the first page was asked for.

    A correlation is looked up in its index, and a name goes along its stream; else the log is looked through, which is
    one question a page where going along all hooks' streams is one for each.
    """

    def __init__(self, core: Core, wanted: Wanted, after: int, until: int) -> None:
        self._core = core
        self._wanted = wanted
        self._stream = None if wanted.name is None else stream_of(wanted.name)
        self._after = after
        self._until = until
        self._past: dict[str, Compacted] = {}
        self._ended = False

    def page(self) -> Program[list[HookExecution] | None]:
        """Return the next runs, perhaps none although there are more; None at the end."""
        if self._ended:
            return None
        along = self._stream if self._wanted.correlation is None else None
        query = LogQuery(
            self._core.lineage, self._after, self._until, along, RUNS, None, self._wanted.correlation, None, _PAGE
        )
        rows = yield from self._core.engine.page(query)
        self._ended = len(rows) < _PAGE
        if rows:
            self._after = rows[-1].position
        out = yield from self._left_out(rows)
        executions = [
            execution_of(row) for row in rows if row.position not in out and self._stream in {None, row.stream}
        ]
        return [each for each in executions if self._wanted.point in {None, each.point}]

    def _left_out(self, rows: Sequence[StoredEvent]) -> Program[set[int]]:
        if self._wanted.compacted:
            return set()
        for row in rows:
            if row.stream not in self._past:
                self._past[row.stream] = yield from compacted(self._core, hook_of(row.stream))
        return (yield from left_out(self._core, rows, self._past))


def execution_of(row: StoredEvent) -> HookExecution:
    """Return the run that an event tells of."""
    data = codec.decode_value(row.data)
    return HookExecution(
        RecordedEvent(row, codec.decode_value),
        data["hook"],
        data["point"],
        None if row.type == HOOK_FAILED else _result_of(data["result"]),
        data["duration_us"] / 1_000_000,
        data["error"],
        UUID(data["operation"]),
    )


def _result_of(data: Mapping[str, Any]) -> HookResult:
    """Return what a hook answered; whether a kept answer was found then is the event's to say."""
    return HookResult.from_data({name: part for name, part in data.items() if name != "hit"})


def stats(core: Core, name: str | None) -> Program[list[HookStats]]:
    """Return counts by hook, those of runs that were left out included."""
    found = []
    for stream in (yield from hook_streams(core, name)):
        hook = hook_of(stream)
        past = yield from compacted(core, hook)
        tally, after = past.tally(), past.until
        while rows := (yield from runs_after(core, stream, after)):
            for row in rows:
                tally.add(row)
            after = rows[-1].position
        if tally.runs:
            found.append(tally.stats(hook))
    return found


def registrations(core: Core, name: str | None) -> Program[list[HookRegistration]]:
    """Return the last registration of each hook at each point, by hook and point."""
    found: dict[tuple[str, str], HookRegistration] = {}
    for stream in (yield from hook_streams(core, name)):
        after = 0
        while rows := (
            yield from core.engine.page(LogQuery(core.lineage, after, stream=stream, types=(HOOK_REGISTERED,)))
        ):
            for row in rows:
                registration = _registration_of(row)
                found[registration.hook, registration.point] = registration
            after = rows[-1].position
    return [found[place] for place in sorted(found)]


def _registration_of(row: StoredEvent) -> HookRegistration:
    data = codec.decode_value(row.data)
    event = RecordedEvent(row, codec.decode_value)
    return HookRegistration(
        data["hook"],
        data["point"],
        data["priority"],
        data["background"],
        data["required"],
        data["timeout_s"],
        data["scope"],
        data["key"],
        tuple(data["tags"]),
        data["code"],
        row.position,
        from_micros(row.recorded_us),
        event.actor,
    )


__all__ = [
    "CompactionReport",
    "HookExecution",
    "HookRegistration",
    "HookStats",
    "Listing",
    "Retention",
    "Wanted",
    "compact",
    "execution_of",
    "registrations",
    "stats",
]
