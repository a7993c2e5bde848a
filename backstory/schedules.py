"""Schedules of replays: when they come due, how they are kept in the log, and what is due of them.

A schedule is what `replay.scheduled` says of its name last, until `replay.unscheduled`. Each run begins with a
`replay.started` that names the schedule and the instant that it was due: so a restart knows what has run, and of
several processes one runs it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, Final

from backstory.committing import append
from backstory.context import author_of
from backstory.core import Core
from backstory.domain.commits import Commit, Draft, Read
from backstory.domain.durations import FINITE_S, seconds
from backstory.domain.errors import ConflictError, InvalidValueError
from backstory.domain.events import from_micros
from backstory.domain.ports import LAST_POSITION, LogQuery, Program
from backstory.hooks.replaying import ReplayReport
from backstory.hooks.replays import REPLAYS
from backstory.infrastructure import codec
from backstory.infrastructure.clock import new_id
from backstory.infrastructure.cron import check_cron, next_due

SCHEDULED: Final = "replay.scheduled"
UNSCHEDULED: Final = "replay.unscheduled"
STARTED: Final = "replay.started"
_PAGE: Final = 1000
_LONGEST_NAME: Final = 128


@dataclass(frozen=True, slots=True)
class Once:
    """Once, so many seconds after it was scheduled."""

    delay_s: float

    def __post_init__(self) -> None:
        """Check the delay."""
        seconds("delay_s", self.delay_s, most=FINITE_S)

    def due(self, made: datetime, last: datetime | None, runs: int) -> datetime | None:  # noqa: ARG002 - as all have it
        """Return when it comes due next, None where it does no more."""
        return None if runs else made + timedelta(seconds=self.delay_s)


@dataclass(frozen=True, slots=True)
class At:
    """Once, at an instant; one that is past comes due at once."""

    instant: datetime

    def __post_init__(self) -> None:
        """Check the instant."""
        if not isinstance(self.instant, datetime) or self.instant.utcoffset() is None:
            raise InvalidValueError("instant", rule=f"is no aware datetime: {self.instant!r}", hint="Give a time zone.")

    def due(self, made: datetime, last: datetime | None, runs: int) -> datetime | None:  # noqa: ARG002 - as all have it
        """Return when it comes due next, None where it does no more."""
        return None if runs else self.instant


@dataclass(frozen=True, slots=True)
class Every:
    """Again and again, so many seconds apart, the first after as many; up to `max_runs`."""

    interval_s: float
    max_runs: int | None = None

    def __post_init__(self) -> None:
        """Check interval and bound."""
        seconds("interval_s", self.interval_s, most=FINITE_S, above=True)
        if self.max_runs is not None and (
            isinstance(self.max_runs, bool) or not isinstance(self.max_runs, int) or self.max_runs < 1
        ):
            raise InvalidValueError("max_runs", rule=f"is {self.max_runs!r}", hint="Give 1 or more, or None.")

    def due(self, made: datetime, last: datetime | None, runs: int) -> datetime | None:
        """Return when it comes due next, None where it does no more."""
        if self.max_runs is not None and runs >= self.max_runs:
            return None
        return (made if last is None else last) + timedelta(seconds=self.interval_s)


@dataclass(frozen=True, slots=True)
class Cron:
    """As cron says, in UTC: minute, hour, day of month, month, day of week."""

    text: str

    def __post_init__(self) -> None:
        """Check the expression."""
        check_cron(self.text)

    def due(self, made: datetime, last: datetime | None, runs: int) -> datetime | None:  # noqa: ARG002 - as all have it
        """Return when it comes due next, None where it does no more."""
        return next_due(self.text, made if last is None else last)


When = Once | At | Every | Cron
_KINDS: Final[dict[str, Any]] = {"once": Once, "at": At, "every": Every, "cron": Cron}


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule: what it replays, how often it has run, and when it comes due next (None: no more)."""

    name: str
    when: When
    arguments: dict[str, Any]
    made_at: datetime
    runs: int = 0
    last_due: datetime | None = None

    @property
    def next_due(self) -> datetime | None:
        """When it comes due next, aware UTC; None where it does no more."""
        return self.when.due(self.made_at, self.last_due, self.runs)


@dataclass(frozen=True, slots=True)
class ScheduledRun:
    """A run of a schedule, as the schedule was before it; `report` is None where `error` says why nothing was run."""

    schedule: Schedule
    report: ReplayReport | None
    error: str | None = None


def schedules(core: Core) -> Program[list[Schedule]]:
    """Return the schedules that stand, by name."""
    found: dict[str, Schedule] = {}
    after = 0
    while True:
        query = LogQuery(core.lineage, after, stream=REPLAYS, types=("replay.*",), limit=_PAGE)
        rows = yield from core.engine.page(query)
        for row in rows:
            _take(found, row)
        if len(rows) < _PAGE:
            return [found[name] for name in sorted(found)]
        after = rows[-1].position


def _take(found: dict[str, Schedule], row: Any) -> None:
    if row.type == SCHEDULED:
        data = codec.decode_value(row.data)
        when = _KINDS[data["when"]["kind"]](**{name: part for name, part in data["when"].items() if name != "kind"})
        found[data["schedule"]] = Schedule(data["schedule"], when, data["arguments"], from_micros(row.recorded_us))
    elif row.type == UNSCHEDULED:
        found.pop(codec.decode_value(row.data)["schedule"], None)
    elif row.type == STARTED:
        data = codec.decode_value(row.data)
        known = found.get(data.get("schedule", ""))
        if known is not None:
            found[known.name] = Schedule(
                known.name, known.when, known.arguments, known.made_at, known.runs + 1, data["due"]
            )


def when_data(when: When) -> dict[str, Any]:
    """Return when a schedule comes due as plain data: its `kind`, and what that takes."""
    kind = next(kind for kind, cls in _KINDS.items() if isinstance(when, cls))
    return {"kind": kind, **{field.name: getattr(when, field.name) for field in fields(when)}}


def schedule(core: Core, name: object, when: object, arguments: Mapping[str, Any]) -> Program[Schedule]:
    """Write a schedule, instead of one of the same name; raises `InvalidValueError`."""
    if not isinstance(name, str) or not 1 <= len(name) <= _LONGEST_NAME or not name.isprintable():
        raise InvalidValueError("schedule_name", rule=f"is no name: {name!r}", hint="Give a short printable text.")
    if not isinstance(when, (Once, At, Every, Cron)):
        raise InvalidValueError("when", rule=f"is {when!r}", hint="Give Once, At, Every or Cron.")
    data = {"schedule": name, "when": when_data(when), "arguments": dict(arguments)}
    outcome = yield from append(Commit(core.branch.id, [_draft(core, SCHEDULED, data)]))
    return Schedule(name, when, dict(arguments), from_micros(outcome.events[0].recorded_us))


def unschedule(core: Core, name: str) -> Program[bool]:
    """Take a schedule away; return whether there was one."""
    while True:
        version = yield from core.engine.stream_version(core.lineage, REPLAYS, LAST_POSITION)
        known = yield from schedules(core)
        if name not in {each.name for each in known}:
            return False
        draft = _draft(core, UNSCHEDULED, {"schedule": name})
        try:
            yield from append(Commit(core.branch.id, [draft], reads=[Read(REPLAYS, None, version)]))
        except ConflictError:
            continue
        return True


def claim(core: Core, name: str, now: datetime) -> Program[tuple[Schedule, bytes] | None]:
    """Write that a schedule's run begins, if it is due and nobody else's: return it and the event's id, or None.

    Runs that were missed are made up for by one: the next one counts from now.
    """
    while True:
        version = yield from core.engine.stream_version(core.lineage, REPLAYS, LAST_POSITION)
        known = next((each for each in (yield from schedules(core)) if each.name == name), None)
        due = None if known is None else known.next_due
        if known is None or due is None or due > now:
            return None
        later = known.when.due(known.made_at, due, known.runs + 1)
        counted = now if later is not None and later <= now else due
        data = {"mode": known.arguments.get("mode", "exact"), "schedule": name, "due": counted}
        draft = _draft(core, STARTED, data)
        try:
            yield from append(Commit(core.branch.id, [draft], reads=[Read(REPLAYS, None, version)]))
        except ConflictError:
            continue  # somebody else may have begun it
        return known, draft.event_id


def _draft(core: Core, kind: str, data: Mapping[str, Any]) -> Draft:
    author = author_of({}, core.actor)
    return Draft(
        new_id(),
        REPLAYS,
        kind,
        codec.encode_value(dict(data)),
        correlation=author.correlation,
        causes=author.causes,
        actor=author.actor,
        extra=author.extra,
    )
