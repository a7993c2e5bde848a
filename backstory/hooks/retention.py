"""Retention: which runs of a hook the history lists, and counts of those that it leaves out.

The log keeps every event. A compaction says in one event, `hook.compacted`, up to where runs are left out and what they
come to, so that counts stay true. Nothing else is kept: whether a run is left out follows from that event and the run.

    it lies at or before `until`, or at or before `failed_until` if it failed      left out
    but an event, of any branch, names it as a cause, now or when it is asked      listed after all
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, NamedTuple, Self

from backstory.context import author_of
from backstory.core import Core
from backstory.domain.commits import Commit, Draft, Read
from backstory.domain.errors import ConflictError, InvalidValueError, NotFoundError, ReadOnlyError
from backstory.domain.events import StoredEvent
from backstory.domain.hooks import HOOK_COMPACTED, HOOK_EXECUTED, HOOK_FAILED
from backstory.domain.ports import LAST_POSITION, Append, LogQuery, Program
from backstory.domain.scopes import Scope
from backstory.hooks.recording import stream_of
from backstory.hooks.statistics import Tally
from backstory.infrastructure import codec
from backstory.infrastructure.clock import new_id

RUNS: Final = (HOOK_EXECUTED, HOOK_FAILED)
_HOOKS: Final = "hook:"
_PAGE: Final = 2000


@dataclass(frozen=True, slots=True)
class Retention:
    """Which runs of a hook the history lists: those no older than `max_age`, and the last `max_count` of them.

    Failed runs stay, unless `keep_failed` is False. Raises `InvalidValueError`.
    """

    max_age: timedelta | None = None
    max_count: int | None = None
    keep_failed: bool = True

    def __post_init__(self) -> None:
        """Check the bounds."""
        if self.max_age is None and self.max_count is None:
            raise InvalidValueError("policy", rule="it has no bound", hint="Give max_age, max_count, or both.")
        if self.max_age is not None and (not isinstance(self.max_age, timedelta) or self.max_age < timedelta()):
            raise InvalidValueError("max_age", rule=f"is no span of time: {self.max_age!r}", hint="Give a timedelta.")
        if self.max_count is not None and (
            isinstance(self.max_count, bool) or not isinstance(self.max_count, int) or self.max_count < 0
        ):
            raise InvalidValueError("max_count", rule=f"is no count: {self.max_count!r}", hint="Give 0 or more.")
        if not isinstance(self.keep_failed, bool):
            raise InvalidValueError("keep_failed", rule=f"is no bool: {self.keep_failed!r}", hint="Give True or False.")


@dataclass(frozen=True, slots=True)
class CompactionReport:
    """What a compaction left out, by hook too, and how many runs it kept that the bounds would have left out.

    A run that an earlier compaction looked at is in neither count.
    """

    left_out: int
    kept: int
    by_hook: dict[str, int]


class Compacted(NamedTuple):
    """What a hook's compactions have come to: how far executed and failed runs are left out, and all runs' counts."""

    until: int = 0
    failed_until: int = 0
    summary: dict[str, Any] | None = None

    @classmethod
    def of(cls, row: StoredEvent) -> Self:
        """Return what a `hook.compacted` says."""
        data = codec.decode_value(row.data)
        return cls(data["until"], data["failed_until"], data["summary"])

    def leaves_out(self, row: StoredEvent) -> bool:
        """Return whether a run is not listed, unless it is named as a cause."""
        return row.position <= (self.failed_until if row.type == HOOK_FAILED else self.until)

    def tally(self) -> Tally:
        """Return the counts of all runs up to `until`."""
        return Tally() if self.summary is None else Tally.of(self.summary)


def retention_stream(hook: str) -> str:
    """Return the stream of a hook's compactions: its own, so that the last one is found without passing any run."""
    return str(Scope.custom(f"hook-retention:{hook}"))


def hook_of(stream: str) -> str:
    """Return the hook whose runs a stream holds."""
    return Scope.parse(stream).ids[0]


def compacted(core: Core, hook: str) -> Program[Compacted]:
    """Return what a hook's compactions have come to on this branch."""
    query = LogQuery(core.lineage, stream=retention_stream(hook), types=(HOOK_COMPACTED,), limit=1, reverse=True)
    rows = yield from core.engine.page(query)
    return Compacted.of(rows[0]) if rows else Compacted()


def hook_streams(core: Core, name: str | None) -> Program[list[str]]:
    """Return the streams of all hooks, or of one; raises `NotFoundError` where the log knows nothing of it."""
    if name is not None:
        stream = stream_of(name)
        if not (yield from core.engine.stream_version(core.lineage, stream, LAST_POSITION)):
            raise NotFoundError("hook", name, hint="`store.hooks.stats()` lists those that ran.")
        return [stream]
    streams = yield from core.engine.streams(core.lineage, LAST_POSITION)
    return [stream for stream in streams if stream.startswith(_HOOKS)]


def runs_after(core: Core, stream: str, after: int, until: int = LAST_POSITION) -> Program[list[StoredEvent]]:
    """Return the next runs of a hook after a position; none where there are no more."""
    return core.engine.page(LogQuery(core.lineage, after, until, stream, RUNS, limit=_PAGE))


def compact(core: Core, policy: Retention, name: str | None, *, dry_run: bool) -> Program[CompactionReport]:
    """Leave out what a policy does not keep; return how much that is."""
    if not isinstance(policy, Retention):
        raise InvalidValueError("policy", rule=f"is no Retention: {policy!r}", hint="Give a Retention.")
    if core.engine.read_only and not dry_run:
        raise ReadOnlyError("compact")
    kept, by_hook = 0, {}
    for stream in (yield from hook_streams(core, name)):
        out, stay = yield from _compact(core, stream, policy, dry_run=dry_run)
        kept += stay
        if out:
            by_hook[hook_of(stream)] = out
    return CompactionReport(sum(by_hook.values()), kept, by_hook)


def _compact(core: Core, stream: str, policy: Retention, *, dry_run: bool) -> Program[tuple[int, int]]:
    hook = hook_of(stream)
    home = retention_stream(hook)
    while True:
        version = yield from core.engine.stream_version(core.lineage, home, LAST_POSITION)
        past = yield from compacted(core, hook)
        cut = yield from _cut(core, stream, policy, past)
        out, stay, tally = yield from _beyond(core, stream, policy, past, cut)
        if not out or dry_run:
            return out, stay
        failed_until = past.failed_until if policy.keep_failed else cut
        data = {
            "hook": hook,
            "until": max(past.until, cut),
            "failed_until": failed_until,
            "left_out": out,
            "policy": {
                "max_age_s": None if policy.max_age is None else policy.max_age.total_seconds(),
                "max_count": policy.max_count,
                "keep_failed": policy.keep_failed,
            },
            "summary": tally.summary(),
        }
        correlation, causes, actor, extra = author_of({}, core.actor)
        draft = Draft(
            new_id(),
            home,
            HOOK_COMPACTED,
            codec.encode_value(data),
            correlation=correlation,
            causes=causes,
            actor=actor,
            extra=extra,
        )
        outcome = yield Append(Commit(core.branch.id, [draft], reads=[Read(home, None, version)]))
        if isinstance(outcome.error, ConflictError):
            continue  # another compaction was faster; runs that come meanwhile lie behind the cut, and are no matter
        if outcome.error is not None:
            raise outcome.error
        return out, stay


def _settled(policy: Retention, past: Compacted) -> int:
    """Return up to where a policy leaves out nothing that is not left out already."""
    return past.until if policy.keep_failed else past.failed_until


def _cut(core: Core, stream: str, policy: Retention, past: Compacted) -> Program[int]:
    """Return the position up to which runs are beyond a policy's bounds."""
    cut = 0
    if policy.max_age is not None:
        earliest_us = (yield from core.state.now_us()) - policy.max_age // timedelta(microseconds=1)
        if earliest_us > 0:
            cut = yield from core.engine.position_at(earliest_us - 1)
    if policy.max_count is not None:
        cut = max(cut, (yield from _cut_by_count(core, stream, policy.max_count, past, _settled(policy, past))))
    return cut


def _cut_by_count(core: Core, stream: str, count: int, past: Compacted, settled: int) -> Program[int]:
    """Go back along a hook's runs, over so many listed ones, and return where the next one lies."""
    until = LAST_POSITION
    while True:
        query = LogQuery(core.lineage, settled, until, stream, RUNS, limit=min(count + 1, _PAGE), reverse=True)
        rows = yield from core.engine.page(query)
        if not rows:
            return 0
        out = yield from left_out(core, rows, {stream: past})
        for row in rows:
            if row.position not in out:
                if not count:
                    return row.position
                count -= 1
        until = rows[-1].position - 1


def _beyond(core: Core, stream: str, policy: Retention, past: Compacted, cut: int) -> Program[tuple[int, int, Tally]]:
    """Return how many listed runs up to a cut a policy leaves out and keeps, and the counts of all runs up to it."""
    out, stay, tally = 0, 0, past.tally()
    after = _settled(policy, past)
    now = Compacted(cut, 0 if policy.keep_failed else cut)
    while rows := (yield from runs_after(core, stream, after, cut)):
        gone = yield from left_out(core, rows, {stream: past})
        going = yield from left_out(core, rows, {stream: now})
        for row in rows:
            if row.position > past.until:
                tally.add(row)
            if row.position not in gone:
                out += row.position in going
                stay += row.position not in going
        after = rows[-1].position
    return out, stay, tally


def left_out(core: Core, rows: Sequence[StoredEvent], past: Mapping[str, Compacted]) -> Program[set[int]]:
    """Return where those of these runs lie that are not listed, `past` saying what their streams have come to."""
    beyond = [row.position for row in rows if past[row.stream].leaves_out(row)]
    if not beyond:
        return set()
    named = yield from core.engine.named_as_cause(beyond)
    return {position for position in beyond if position not in named}


__all__ = [
    "RUNS",
    "Compacted",
    "CompactionReport",
    "Retention",
    "compact",
    "compacted",
    "hook_of",
    "hook_streams",
    "left_out",
    "runs_after",
]
