"""The history of hooks: their runs as the log tells them, counts of them, and how long they are listed.

The log keeps every event. Retention decides what the history lists: what it leaves out is summed up in one event,
`hook.compacted`, so that counts stay true; a run that another event names as its cause is always kept.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple, Self
from uuid import UUID

from backstory.context import author_of, packed_correlation
from backstory.core import Core
from backstory.domain.commits import Commit, Draft, Read
from backstory.domain.errors import ConflictError, InvalidValueError, NotFoundError
from backstory.domain.events import RecordedEvent, from_micros, to_micros
from backstory.domain.hooks import HOOK_COMPACTED, HOOK_EXECUTED, HOOK_FAILED, HookResult, hook_point
from backstory.domain.ports import LAST_POSITION, LogQuery, Program
from backstory.domain.scopes import Scope
from backstory.hooks.recording import stream_of
from backstory.infrastructure import codec
from backstory.infrastructure.clock import new_id
from backstory.sessions import append

RUNS: Final = (HOOK_EXECUTED, HOOK_FAILED)
_PAGE: Final = 500
_HOOK: Final = "hook:"


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


class Wanted(NamedTuple):
    """What a question to the history looks for, checked."""

    name: str | None
    point: str | None
    correlation: bytes | None
    compacted: bool

    @classmethod
    def of(cls, *, name: str | None, point: str | None, correlation_id: str | None, compacted: bool) -> Self:
        """Return a checked question; raises `InvalidValueError`."""
        if name is not None:
            stream_of(name)
        return cls(
            name,
            None if point is None else hook_point(point).name,
            None if correlation_id is None else packed_correlation(correlation_id),
            compacted,
        )


@dataclass(frozen=True, slots=True)
class Retention:
    """Which runs of a hook the history lists: those no older than `max_age`, and no more than `max_count`."""

    max_age: timedelta | None = None
    max_count: int | None = None
    keep_failed: bool = True

    def __post_init__(self) -> None:
        """Check the bounds."""
        if self.max_age is None and self.max_count is None:
            raise InvalidValueError("policy", rule="has no bound", hint="Give max_age, max_count, or both.")
        if self.max_age is not None and (not isinstance(self.max_age, timedelta) or self.max_age < timedelta()):
            raise InvalidValueError("max_age", rule=f"is no span of time: {self.max_age!r}", hint="Give a timedelta.")
        if self.max_count is not None and (
            isinstance(self.max_count, bool) or not isinstance(self.max_count, int) or self.max_count < 0
        ):
            raise InvalidValueError("max_count", rule=f"is no count: {self.max_count!r}", hint="Give 0 or more.")


@dataclass(frozen=True, slots=True)
class RetentionReport:
    """What a compaction left out, and what it kept because others name it as their cause (or because it failed)."""

    left_out: int
    kept: int
    by_hook: dict[str, int]


@dataclass(slots=True)
class HookStats:
    """Counts and durations of a hook's runs, in seconds; `results` counts them by kind."""

    hook: str
    runs: int = 0
    failed: int = 0
    total_s: float = 0.0
    longest_s: float = 0.0
    results: Counter[str] = field(default_factory=Counter)
    last_at: datetime | None = None

    @property
    def mean_s(self) -> float:
        """How long a run took on average."""
        return self.total_s / self.runs if self.runs else math.nan

    def add(self, row: Any) -> None:
        """Count one more run."""
        data = codec.decode_value(row.data)
        seconds = data["duration_us"] / 1_000_000
        self.runs += 1
        self.total_s += seconds
        self.longest_s = max(self.longest_s, seconds)
        self.last_at = from_micros(row.recorded_us)
        if row.type == HOOK_FAILED:
            self.failed += 1
        else:
            self.results[data["result"]["kind"]] += 1

    def take(self, summary: dict[str, Any]) -> None:
        """Count runs that were summed up."""
        self.runs += summary["runs"]
        self.failed += summary["failed"]
        self.total_s += summary["total_us"] / 1_000_000
        self.longest_s = max(self.longest_s, summary["longest_us"] / 1_000_000)
        self.results.update(summary["results"])

    def summary(self) -> dict[str, Any]:
        """Return what `hook.compacted` says of these runs."""
        return {
            "runs": self.runs,
            "failed": self.failed,
            "total_us": round(self.total_s * 1_000_000),
            "longest_us": round(self.longest_s * 1_000_000),
            "results": dict(self.results),
        }


class Compacted(NamedTuple):
    """What a hook's last compaction says: runs up to `until` are left out, but for those at `kept` positions."""

    until: int
    kept: frozenset[int]
    summary: dict[str, Any] | None

    def leaves_out(self, position: int) -> bool:
        """Return whether the history does not list the run at a position."""
        return position <= self.until and position not in self.kept


_NOTHING: Final = Compacted(0, frozenset(), None)


def execution_of(row: Any) -> HookExecution:
    """Return the run that an event tells of."""
    data = codec.decode_value(row.data)
    return HookExecution(
        RecordedEvent(row, codec.decode_value),
        data["hook"],
        data["point"],
        None if row.type == HOOK_FAILED else HookResult.from_data(data["result"]),
        data["duration_us"] / 1_000_000,
        data["error"],
        UUID(data["operation"]),
    )


def runs_page(
    core: Core, wanted: Wanted, after: int, until: int, limit: int
) -> Program[tuple[list[HookExecution], int, bool]]:
    """Return the next runs after a position, how far that looked, and whether there may be more."""
    stream = None if wanted.name is None else stream_of(wanted.name)
    query = LogQuery(core.lineage, after, until, stream, RUNS, None, wanted.correlation, None, limit)
    rows = yield from core.engine.page(query)
    left_out: dict[str, Compacted] = {}
    found: list[HookExecution] = []
    for row in rows:
        if not wanted.compacted:
            if row.stream not in left_out:
                left_out[row.stream] = yield from _compacted(core, row.stream)
            if left_out[row.stream].leaves_out(row.position):
                continue
        execution = execution_of(row)
        if wanted.point is None or execution.point == wanted.point:
            found.append(execution)
    return found, rows[-1].position if rows else until, len(rows) == limit


def _compacted(core: Core, stream: str) -> Program[Compacted]:
    query = LogQuery(core.lineage, stream=stream, types=(HOOK_COMPACTED,), limit=1, reverse=True)
    rows = yield from core.engine.page(query)
    if not rows:
        return _NOTHING
    data = codec.decode_value(rows[0].data)
    return Compacted(data["until"], frozenset(data["kept"]), data["summary"])


def _streams(core: Core, name: str | None) -> Program[list[str]]:
    if name is not None:
        stream = stream_of(name)
        if not (yield from core.engine.stream_version(core.lineage, stream, LAST_POSITION)):
            raise NotFoundError("hook", name)
        return [stream]
    streams = yield from core.engine.streams(core.lineage, LAST_POSITION)
    return [stream for stream in streams if stream.startswith(_HOOK)]


def _runs(core: Core, stream: str, after: int) -> Program[list[Any]]:
    found: list[Any] = []
    while True:
        rows = yield from core.engine.page(LogQuery(core.lineage, after, stream=stream, types=RUNS, limit=_PAGE))
        found += rows
        if len(rows) < _PAGE:
            return found
        after = rows[-1].position


def stats(core: Core, name: str | None) -> Program[list[HookStats]]:
    """Return counts by hook, those that were summed up included."""
    found: list[HookStats] = []
    for stream in (yield from _streams(core, name)):
        past = yield from _compacted(core, stream)
        rows = yield from _runs(core, stream, past.until)
        counted = HookStats("")
        if past.summary is not None:
            counted.take(past.summary)
        for row in rows:
            counted.add(row)
        counted.hook = _hook_of(stream)
        if counted.runs:
            found.append(counted)
    return found


def _hook_of(stream: str) -> str:
    return Scope.parse(stream).ids[0]


def compact(core: Core, policy: Retention, name: str | None, *, dry_run: bool) -> Program[RetentionReport]:
    """Sum up what a policy does not keep; return how much that is."""
    if not isinstance(policy, Retention):
        raise InvalidValueError("policy", rule=f"is no Retention: {policy!r}", hint="Give a Retention.")
    left_out, kept, by_hook = 0, 0, {}
    for stream in (yield from _streams(core, name)):
        out, stay = yield from _compact(core, stream, policy, dry_run=dry_run)
        left_out += out
        kept += stay
        if out:
            by_hook[_hook_of(stream)] = out
    return RetentionReport(left_out, kept, by_hook)


def _compact(core: Core, stream: str, policy: Retention, *, dry_run: bool) -> Program[tuple[int, int]]:
    while True:
        version = yield from core.engine.stream_version(core.lineage, stream, LAST_POSITION)
        past = yield from _compacted(core, stream)
        rows = yield from _runs(core, stream, 0)
        listed = [row for row in rows if not past.leaves_out(row.position)]
        old = _beyond(listed, policy, (yield from core.state.now_us()))
        named = yield from core.engine.named_as_cause([row.position for row in old])
        stay = [row for row in old if row.position in named or (policy.keep_failed and row.type == HOOK_FAILED)]
        out = [row for row in old if row not in stay]
        if not out or dry_run:
            return len(out), len(stay)
        until = max(row.position for row in old)
        # Counts of what is behind `until`, kept or not: what comes after is counted as it is found.
        summed = HookStats("")
        for row in rows:
            if row.position <= until:
                summed.add(row)
        data = {
            "until": until,
            "kept": sorted(row.position for row in listed if row.position <= until and row not in out),
            "left_out": len(out),
            "summary": summed.summary(),
        }
        actor = author_of({}, core.actor).actor
        draft = Draft(new_id(), stream, HOOK_COMPACTED, codec.encode_value(data), actor=actor)
        try:
            yield from append(Commit(core.branch.id, [draft], reads=[Read(stream, None, version)]))
        except ConflictError:
            continue  # a run came meanwhile
        return len(out), len(stay)


def _beyond(rows: Sequence[Any], policy: Retention, now_us: int) -> list[Any]:
    """Return the runs that a policy's bounds leave out, oldest first."""
    start = 0
    if policy.max_count is not None:
        start = max(0, len(rows) - policy.max_count)
    if policy.max_age is not None:
        earliest = now_us - max(0, to_micros(from_micros(0) + policy.max_age))
        start = max(start, sum(1 for row in rows if row.recorded_us < earliest))
    return list(rows[:start])


__all__ = [
    "RUNS",
    "HookExecution",
    "HookStats",
    "Retention",
    "RetentionReport",
    "Wanted",
    "compact",
    "execution_of",
    "runs_page",
    "stats",
]
