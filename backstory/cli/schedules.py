"""Commands on replays that run when they come due: replay schedule, schedules, unschedule, due."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final

from typer import Argument, Option

from backstory.cli import values
from backstory.cli.commands import command
from backstory.cli.failures import Exit, UsageError
from backstory.cli.options import Runs
from backstory.cli.render import SHORT, counted, field, instant, short
from backstory.cli.replays import as_asked, replays, report_data, report_lines
from backstory.cli.session import Session
from backstory.domain.errors import NotFoundError, shown

if TYPE_CHECKING:
    from backstory.schedules import Schedule, ScheduledRun, When
    from backstory.store import StateStore, Subscription

Name = Annotated[str, Argument(metavar="NAME", help="The schedule.")]
#: The group of `replay`, with these in it.
app: Final = replays
_LONGEST: Final = timedelta(days=36_500)
_LONGEST_WAIT_S: Final = 60.0


@command(replays, "schedule")
def schedule(
    session: Session,
    name: Annotated[str, Argument(metavar="NAME", help="What to call it; it replaces one of the same name.")],
    runs: Runs,
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
) -> None:
    """Have runs of hooks replayed when they come due. They run in `backstory replay due`, and in programs."""
    when = _when(once=once, at=at, every=every, max_runs=max_runs, cron=cron)
    with session.open(write=True, hooks=False) as store:
        made = store.replay.schedule(name, when, **runs.arguments)
    if session.out.json:
        session.out.value(_data(made))
    else:
        session.out.line(f"scheduled {field(made.name)}: {_said(made)}, {_next(made)}")


def _when(*, once: str | None, at: str | None, every: str | None, max_runs: int | None, cron: str | None) -> When:
    from backstory.schedules import At, Cron, Every, Once

    if sum(each is not None for each in (once, at, every, cron)) != 1:
        raise UsageError("one thing must say when", hint="Give one of --once, --at, --every and --cron.")
    if max_runs is not None and every is None:
        raise UsageError("--max-runs goes with --every", hint="Leave it out, or give --every.")
    if once is not None:
        return Once(_seconds(once))
    if every is not None:
        return Every(_seconds(every), max_runs)
    return Cron(cron) if cron is not None else At(_time(at or ""))


def _seconds(text: str) -> float:
    found = values.span(text)
    if found > _LONGEST:
        raise UsageError(f"{shown(text)} is longer than anybody waits", hint="Give 100 years at most.")
    return found.total_seconds()


def _time(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
        if found.utcoffset() is not None:
            return found.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise UsageError(f"{shown(text)} is no time with a zone", hint="Write one such as `2026-12-24T18:00:00+01:00`.")


@command(replays, "schedules")
def schedules(session: Session) -> None:
    """List the schedules by name. When, what is replayed, how often they ran, when they come due next."""
    with session.open() as store:
        found = store.replay.schedules()
    if session.out.json:
        session.out.value([_data(each) for each in found])
        return
    width = max((len(field(each.name)) for each in found), default=0)
    for each in found:
        name = session.out.paint(field(each.name).ljust(width), "cyan")
        what = f"  {short(each.arguments, limit=SHORT)}" if each.arguments else ""
        session.out.line(f"{name}  {_said(each)}, {_next(each)}, {counted(each.runs, 'run')}{what}")


@command(replays, "unschedule")
def unschedule(session: Session, name: Name) -> None:
    """Take a schedule away. Exit code 1: there is none of this name."""
    with session.open(write=True, hooks=False) as store:
        if not store.replay.unschedule(name):
            raise NotFoundError("schedule", name, hint="`backstory replay schedules` lists them.")
    if session.out.json:
        session.out.value({"unscheduled": name})
    else:
        session.out.line(f"took {field(name)} away")


@command(replays, "due")
def due(
    session: Session,
    *,
    follow: Annotated[
        bool, Option("--follow", "-f", help="Stay, and run what comes due from now on, until Ctrl-C.")
    ] = False,
) -> int:
    """Run what is due now; what was missed is made up for by one run. Exit code 1: not all went as recorded."""
    with session.open(write=True) as store:
        if not follow:
            runs = store.replay.run_due()
            _tell(session, runs)
            if not runs and not session.out.json:
                session.out.line("nothing is due")
            return Exit.DONE if all(each.report is not None and as_asked(each.report) for each in runs) else Exit.NO
        with store.subscribe(types=("replay.scheduled", "replay.unscheduled")) as changes:
            _follow(session, store, changes)
    return Exit.DONE


def _follow(session: Session, store: StateStore, changes: Subscription) -> None:
    """Run what comes due, until somebody interrupts it."""
    while True:
        _tell(session, store.replay.run_due())
        session.out.flush()
        coming = [each.next_due for each in store.replay.schedules() if each.next_due is not None]
        left_s = (min(coming) - datetime.now(UTC)).total_seconds() if coming else _LONGEST_WAIT_S
        changes.poll(min(max(left_s, 0.0), _LONGEST_WAIT_S))


def _tell(session: Session, runs: Iterable[ScheduledRun]) -> None:
    for each in runs:
        if session.out.json:
            report = None if each.report is None else report_data(each.report)
            session.out.value({"schedule": each.schedule.name, "report": report, "error": each.error})
            continue
        session.out.line(session.out.paint(field(each.schedule.name), "cyan"))
        lines = [f"failed: {field(each.error or '')}"] if each.report is None else report_lines(session, each.report)
        for line in lines:
            session.out.line(line)


def _data(each: Schedule) -> dict[str, Any]:
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


def _said(each: Schedule) -> str:
    parts = _when_data(each)
    kind = parts.pop("kind")
    said = ", ".join(_part(name, part) for name, part in parts.items() if part is not None)
    return f"{kind} {said}"


def _part(name: str, part: Any) -> str:
    if isinstance(part, datetime):
        return instant(part)
    if name == "max_runs":
        return f"{part} times at most"
    return f"{part:g} s" if isinstance(part, float) else field(str(part))


def _next(each: Schedule) -> str:
    return "done" if each.next_due is None else f"next at {instant(each.next_due)}"
