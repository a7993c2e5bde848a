"""Commands on replays that run when they come due: replay schedule, schedules, unschedule, due."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any, Final

from typer import Argument, Option

from backstory.cli import due_times
from backstory.cli.commands import command
from backstory.cli.failures import Exit
from backstory.cli.options import Runs
from backstory.cli.render import counted, field
from backstory.cli.replays import as_asked, replays, report_data, report_lines
from backstory.cli.session import Session

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
    due_times.take_away(session, name, lambda store: store.replay.unschedule(name), group="replay")


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
            tell(session, runs)
            if not runs and not session.out.json:
                session.out.line("nothing is due")
            return Exit.DONE if all(each.report is not None and as_asked(each.report) for each in runs) else Exit.NO
        with store.subscribe(types=("replay.scheduled", "replay.unscheduled")) as changes:
            _follow(session, store, changes)
    return Exit.DONE


def _follow(session: Session, store: StateStore, changes: Subscription) -> None:
    """Run what comes due, until somebody interrupts it."""
    while True:
        tell(session, store.replay.run_due())
        session.out.flush()
        changes.poll(due_times.left_s(store.replay.schedules()))


def tell(session: Session, runs: Iterable[ScheduledRun], *, in_short: bool = False) -> None:
    """Print what runs came to: the whole report of each, or a line."""
    for each in runs:
        if session.out.json:
            session.out.value(run_data(each))
            continue
        name = session.out.paint(field(each.schedule.name), "cyan")
        for line in [f"{name}: {_said(each)}"] if in_short else [name, *_told(session, each)]:
            session.out.line(line)


def run_data(run: ScheduledRun) -> dict[str, Any]:
    """Return what a run came to as JSON has it."""
    report = None if run.report is None else report_data(run.report)
    return {"schedule": run.schedule.name, "report": report, "error": run.error}


def _said(run: ScheduledRun) -> str:
    if run.report is None:
        return f"failed: {field(run.error or '')}"
    replayed = counted(run.report.succeeded + run.report.failed, "run")
    return f"{replayed} replayed, {run.report.failed} failed"


def _told(session: Session, run: ScheduledRun) -> Iterable[str]:
    return [_said(run)] if run.report is None else report_lines(session, run.report)
