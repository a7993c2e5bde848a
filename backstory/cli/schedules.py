"""Commands on replays that run when they come due: replay schedule, schedules, unschedule, due."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Final

from typer import Argument, Option

from backstory.cli import due_times
from backstory.cli.commands import command
from backstory.cli.failures import Exit
from backstory.cli.options import Runs
from backstory.cli.render import field
from backstory.cli.replays import as_asked, replays, report_data, report_lines
from backstory.cli.session import Session
from backstory.domain.errors import NotFoundError

if TYPE_CHECKING:
    from backstory.schedules import ScheduledRun
    from backstory.store import StateStore, Subscription

Name = Annotated[str, Argument(metavar="NAME", help="The schedule.")]
#: The group of `replay`, with these in it.
app: Final = replays


@command(replays, "schedule")
def schedule(
    session: Session,
    name: Annotated[str, Argument(metavar="NAME", help="What to call it; it replaces one of the same name.")],
    runs: Runs,
    due: due_times.Due,
) -> None:
    """Have runs of hooks replayed when they come due. They run in `backstory replay due`, and in programs."""
    due_times.check_name(name)
    with session.open(write=True, hooks=False) as store:
        made = store.replay.schedule(name, due.when, **runs.arguments)
    due_times.tell_scheduled(session, made)


@command(replays, "schedules")
def schedules(session: Session) -> None:
    """List the schedules by name. When, what is replayed, how often they ran, when they come due next."""
    with session.open() as store:
        due_times.list_schedules(session, store.replay.schedules())


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
        changes.poll(due_times.left_s(store.replay.schedules()))


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
