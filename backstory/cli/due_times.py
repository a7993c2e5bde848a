"""When what is scheduled comes due, on the command line: the options that say so, and schedules as they are printed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

from typer import Option

from backstory.cli import values
from backstory.cli.failures import UsageError
from backstory.cli.render import field, second, short, table
from backstory.cli.session import Session
from backstory.domain.errors import NotFoundError, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from backstory.due_times import When
    from backstory.schedules import Schedule
    from backstory.store import StateStore

__all__ = ["Due", "check_name", "due", "left_s", "list_schedules", "schedule_data", "take_away", "tell_scheduled"]

_UNITS: Final = (("w", 604_800), ("d", 86_400), ("h", 3600), ("m", 60))
_LONGEST: Final = timedelta(days=36_500)
_LONGEST_WAIT_S: Final = 60.0


class Due(NamedTuple):
    """When a schedule comes due."""

    when: When


def due(
    *,
    once: Annotated[
        str | None, Option("--once", metavar="SPAN", help="Once, after `90s`, `15m`, `12h`, `30d` or `4w`.")
    ] = None,
    at: Annotated[str | None, Option("--at", metavar="TIME", help="Once, at an ISO time with a zone.")] = None,
    every: Annotated[
        str | None, Option("--every", metavar="SPAN", help="Again and again, so far apart; the first after as long.")
    ] = None,
    max_runs: Annotated[
        int | None, Option("--max-runs", min=1, metavar="N", help="With --every: so often at most.")
    ] = None,
    cron: Annotated[
        str | None, Option("--cron", metavar="TEXT", help="As cron says, in UTC: `30 2 * * 1-5`, in quotes.")
    ] = None,
) -> Due:
    """Return when a schedule comes due; raises `UsageError` and `InvalidValueError`."""
    from backstory.due_times import At, Cron, Every, Once

    if sum(each is not None for each in (once, at, every, cron)) != 1:
        raise UsageError("one thing must say when", hint="Give one of --once, --at, --every and --cron.")
    if max_runs is not None and every is None:
        raise UsageError("--max-runs goes with --every", hint="Leave it out, or give --every.")
    if once is not None:
        return Due(Once(_seconds(once)))
    if every is not None:
        return Due(Every(_interval(every), max_runs))
    return Due(Cron(cron) if cron is not None else At(_time(at or "")))


def _seconds(text: str) -> float:
    found = values.span(text)
    if found > _LONGEST:
        raise UsageError(f"{shown(text)} is longer than anybody waits", hint="Give 100 years at most.")
    return found.total_seconds()


def _interval(text: str) -> float:
    found = _seconds(text)
    if not found:
        raise UsageError(f"--every {field(text)} would never end", hint="Give a span above 0, such as `15m` or `12h`.")
    return found


def check_name(name: str) -> None:
    """Raise `UsageError` for what no schedule can be called."""
    from backstory.schedules import is_name

    if not is_name(name):
        raise UsageError(f"a schedule cannot be called {shown(name)}", hint="Give a short printable text.")


def _time(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
        if found.utcoffset() is not None:
            return found.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise UsageError(f"{shown(text)} is no time with a zone", hint="Write one such as `2026-12-24T18:00:00+01:00`.")


def left_s(known: Iterable[Schedule]) -> float:
    """Return how many seconds there are until the next of some schedules comes due; a minute at most."""
    coming = [each.next_due for each in known if each.next_due is not None]
    left = (min(coming) - datetime.now(UTC)).total_seconds() if coming else _LONGEST_WAIT_S
    return min(max(left, 0.0), _LONGEST_WAIT_S)


def tell_scheduled(session: Session, made: Schedule) -> None:
    """Print a schedule that was made."""
    if session.out.json:
        session.out.value(schedule_data(made))
    else:
        session.out.line(f"scheduled {field(made.name)}: {when_words(made)}, next {next_words(made)}")


def take_away(session: Session, name: str, unschedule: Callable[[StateStore], bool], *, group: str) -> None:
    """Take a schedule away, and say so; raises `NotFoundError` where there is none of this name."""
    with session.open(write=True, hooks=False) as store:
        if not unschedule(store):
            raise NotFoundError("schedule", name, hint=f"`backstory {group} schedules` lists them.")
    if session.out.json:
        session.out.value({"unscheduled": name})
    else:
        session.out.line(f"took {field(name)} away")


def list_schedules(session: Session, found: list[Schedule]) -> None:
    """Print schedules, a line each."""
    if session.out.json:
        session.out.value([schedule_data(each) for each in found])
        return
    rows = [(field(each.name), when_words(each), next_words(each), str(each.runs), _asked(each)) for each in found]
    for line in table(session.out, ("name", "when", "next", "runs", "what"), rows) if rows else []:
        session.out.line(line)


def _asked(each: Schedule) -> str:
    """Return what a schedule was told to replay, in a line."""
    told = (f"{name} {part if isinstance(part, str) else short(part)}" for name, part in each.arguments.items())
    return ", ".join(map(field, told)) or "all runs"


def schedule_data(each: Schedule) -> dict[str, Any]:
    """Return a schedule as JSON has it."""
    when = {name: part.isoformat() if isinstance(part, datetime) else part for name, part in _when_data(each).items()}
    return {
        "schedule": each.name,
        "when": when,
        "arguments": each.arguments,
        "made_at": each.made_at.isoformat(),
        "runs": each.runs,
        "last_due": None if each.last_due is None else each.last_due.isoformat(),
        "next_due": None if each.next_due is None else each.next_due.isoformat(),
    }


def _when_data(each: Schedule) -> dict[str, Any]:
    from backstory.due_times import when_data

    return when_data(each.when)


def when_words(each: Schedule) -> str:
    """Return when a schedule comes due, as its options say it."""
    parts = _when_data(each)
    kind = parts.pop("kind")
    said = ", ".join(_part(name, part) for name, part in parts.items() if part is not None)
    return f"{kind} {said}"


def _part(name: str, part: Any) -> str:
    if isinstance(part, datetime):
        return second(part)
    if name == "max_runs":
        return f"{part} times at most"
    if isinstance(part, float):
        return f"after {span_words(part)}" if name == "delay_s" else span_words(part)
    return field(str(part))


def span_words(seconds: float) -> str:
    """Return a span of time in the largest unit that it is a whole number of: `90s`, `12h`, `30d`."""
    whole = (f"{int(seconds) // unit_s}{unit}" for unit, unit_s in _UNITS if seconds and not seconds % unit_s)
    return next(whole, f"{seconds:g}s")


def next_words(each: Schedule) -> str:
    """Return when a schedule comes due next."""
    return "no more" if each.next_due is None else second(each.next_due)
