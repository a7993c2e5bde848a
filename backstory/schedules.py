"""Schedules: how they are kept in the log, and which of their runs is whose.

A schedule is what `<what>.scheduled` says of its name last, until `<what>.unscheduled`. Each run begins with a
`<what>.started` that names the schedule and the instant that it was due: so a restart knows what has run, and of
several processes one runs it. Replays are scheduled, and backups: each have a book of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final, TypeGuard

from backstory.committing import append
from backstory.context import author_of
from backstory.core import Core
from backstory.domain.commits import Commit, Draft, Read
from backstory.domain.errors import ConflictError, InvalidValueError
from backstory.domain.events import from_micros
from backstory.domain.ports import LAST_POSITION, LogQuery, Program
from backstory.due_times import At, Cron, Every, Once, When, when_data, when_of
from backstory.hooks.replaying import ReplayReport
from backstory.hooks.replays import REPLAYS
from backstory.infrastructure import codec
from backstory.infrastructure.clock import new_id

__all__ = [
    "REPLAY_BOOK",
    "At",
    "Book",
    "Cron",
    "Every",
    "Once",
    "Schedule",
    "ScheduledRun",
    "When",
    "claim",
    "is_name",
    "schedule",
    "schedules",
    "unschedule",
]

_PAGE: Final = 1000
_LONGEST_NAME: Final = 128
#: Clocks of machines differ, by less than this.
_AHEAD: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Book:
    """Where schedules of one thing are kept: the stream, and what its events are about.

    `tells` are the arguments that the beginning of a run says again, each with what it is where it was not given.
    """

    stream: str
    what: str
    tells: Mapping[str, Any] = field(default_factory=dict)

    @property
    def scheduled(self) -> str:
        """The type of the event that makes a schedule."""
        return f"{self.what}.scheduled"

    @property
    def unscheduled(self) -> str:
        """The type of the event that takes one away."""
        return f"{self.what}.unscheduled"

    @property
    def started(self) -> str:
        """The type of the event that a run begins with."""
        return f"{self.what}.started"


REPLAY_BOOK: Final = Book(REPLAYS, "replay", {"mode": "exact"})


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule: what it asks for, how often it has run, and when it comes due next (None: no more).

    `seen_at` is when it was looked at.
    """

    name: str
    when: When
    arguments: dict[str, Any]
    made_at: datetime
    runs: int = 0
    last_due: datetime | None = None
    seen_at: datetime | None = field(default=None, compare=False, repr=False)

    @property
    def next_due(self) -> datetime | None:
        """When it comes due next, aware UTC; None where it does no more.

        What it counts from, its last run or its making, lies ahead only where the clock was wrong then: it would wait
        as long as that was wrong, and comes due at once instead.
        """
        due = self.when.due(self.made_at, self.last_due, self.runs)
        counted_from = self.made_at if self.last_due is None else self.last_due
        if due is None or isinstance(self.when, At) or self.seen_at is None or counted_from - self.seen_at <= _AHEAD:
            return due
        return self.seen_at


@dataclass(frozen=True, slots=True)
class ScheduledRun:
    """A run of a schedule, as the schedule was before it; `report` is None where `error` says why nothing was run."""

    schedule: Schedule
    report: ReplayReport | None
    error: str | None = None


def schedules(core: Core, book: Book, now: datetime | None = None) -> Program[list[Schedule]]:
    """Return the schedules that stand, by name, as they are seen now, or at an instant that was taken for it."""
    found: dict[str, Schedule] = {}
    types = (book.scheduled, book.unscheduled, book.started)
    after = 0
    while True:
        query = LogQuery(core.lineage, after, stream=book.stream, types=types, limit=_PAGE)
        rows = yield from core.engine.page(query)
        for row in rows:
            _take(found, book, row)
        if len(rows) < _PAGE:
            seen_at = now or from_micros(core.clock.now_us())
            return [replace(found[name], seen_at=seen_at) for name in sorted(found)]
        after = rows[-1].position


def _take(found: dict[str, Schedule], book: Book, row: Any) -> None:
    if row.type == book.scheduled:
        data = codec.decode_value(row.data)
        when, made_at = when_of(data["when"]), from_micros(row.recorded_us)
        found[data["schedule"]] = Schedule(data["schedule"], when, data["arguments"], made_at)
    elif row.type == book.unscheduled:
        found.pop(codec.decode_value(row.data)["schedule"], None)
    elif row.type == book.started:
        data = codec.decode_value(row.data)
        known = found.get(data.get("schedule", ""))
        if known is not None:
            found[known.name] = Schedule(
                known.name, known.when, known.arguments, known.made_at, known.runs + 1, data["due"]
            )


def is_name(given: object) -> TypeGuard[str]:
    """Return whether a schedule may be called so: by a short printable text."""
    return isinstance(given, str) and 1 <= len(given) <= _LONGEST_NAME and given.isprintable()


def schedule(core: Core, book: Book, name: object, when: object, arguments: Mapping[str, Any]) -> Program[Schedule]:
    """Write a schedule, instead of one of the same name; raises `InvalidValueError`."""
    if not is_name(name):
        raise InvalidValueError("schedule_name", rule=f"is no name: {name!r}", hint="Give a short printable text.")
    if not isinstance(when, (Once, At, Every, Cron)):
        raise InvalidValueError("when", rule=f"is {when!r}", hint="Give Once, At, Every or Cron.")
    data = {"schedule": name, "when": when_data(when), "arguments": dict(arguments)}
    outcome = yield from append(Commit(core.branch.id, [_draft(core, book, book.scheduled, data)]))
    made_at, seen_at = (from_micros(at_us) for at_us in (outcome.events[0].recorded_us, core.clock.now_us()))
    return Schedule(name, when, dict(arguments), made_at, seen_at=seen_at)


def unschedule(core: Core, book: Book, name: str) -> Program[bool]:
    """Take a schedule away; return whether there was one."""
    while True:
        version = yield from core.engine.stream_version(core.lineage, book.stream, LAST_POSITION)
        known = yield from schedules(core, book)
        if name not in {each.name for each in known}:
            return False
        draft = _draft(core, book, book.unscheduled, {"schedule": name})
        try:
            yield from append(Commit(core.branch.id, [draft], reads=[Read(book.stream, None, version)]))
        except ConflictError:
            continue
        return True


def claim(core: Core, book: Book, name: str, now: datetime) -> Program[tuple[Schedule, bytes] | None]:
    """Write that a schedule's run begins, if it is due and nobody else's: return it and the event's id, or None.

    Runs that were missed are made up for by one: the next one counts from now.
    """
    while True:
        version = yield from core.engine.stream_version(core.lineage, book.stream, LAST_POSITION)
        known = next((each for each in (yield from schedules(core, book, now)) if each.name == name), None)
        due = None if known is None else known.next_due
        if known is None or due is None or due > now:
            return None
        later = known.when.due(known.made_at, due, known.runs + 1)
        counted = now if later is not None and later <= now else due
        said = {argument: known.arguments.get(argument, other) for argument, other in book.tells.items()}
        data = {**said, "schedule": name, "due": counted}
        draft = _draft(core, book, book.started, data)
        try:
            yield from append(Commit(core.branch.id, [draft], reads=[Read(book.stream, None, version)]))
        except ConflictError:
            continue  # somebody else may have begun it
        return known, draft.event_id


def _draft(core: Core, book: Book, kind: str, data: Mapping[str, Any]) -> Draft:
    author = author_of({}, core.actor)
    return Draft(
        new_id(),
        book.stream,
        kind,
        codec.encode_value(dict(data)),
        correlation=author.correlation,
        causes=author.causes,
        actor=author.actor,
        extra=author.extra,
    )
