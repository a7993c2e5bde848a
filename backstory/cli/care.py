"""Commands that look after the store: verify, stats, rebuild."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Final

from typer import Argument, Option, Typer

from backstory.cli import values
from backstory.cli.commands import command
from backstory.cli.failures import Exit
from backstory.cli.progress import progress_bar
from backstory.cli.render import counted, field
from backstory.cli.session import Session
from backstory.domain.ports import ProjectionInfo

app: Final = Typer()


@command(app, "verify")
def verify(
    session: Session,
    *,
    since: Annotated[str, Option("--since", metavar="POINT", help="Check only what comes after this point.")] = "0",
) -> int:
    """Check the log: numbering, hashes, times, encoding, projections. Exit code 5: something does not fit."""
    with session.open() as store, progress_bar(session.out, "verify") as progress:
        report = store.verify(since=values.point(since), progress=progress)
    if session.out.json:
        problems = [problem._asdict() for problem in report.problems]
        session.out.value({**asdict(report), "problems": problems})
    else:
        for problem in report.problems:
            session.out.line(
                session.out.paint(f"{problem.position:>5}  {problem.kind}  {field(problem.message)}", "red")
            )
        verdict = "all is whole" if report.ok else counted(len(report.problems), "problem")
        checked = f"{counted(report.events, 'event')} checked, {verdict}"
        session.out.line(f"{checked}; head {report.head}, hash {report.head_hash}")
    return Exit.DONE if report.ok else Exit.DAMAGED


@command(app, "stats")
def stats(session: Session) -> None:
    """Print the numbers of the store."""
    with session.open() as store:
        metrics = store.metrics()
    numbers: dict[str, Any] = {
        name: getattr(metrics, name) for name in ("position", "events", "streams", "keys", "branches", "bytes")
    }
    if session.out.json:
        session.out.value({**numbers, "projections": [info._asdict() for info in metrics.projections]})
        return
    for name, number in numbers.items():
        session.out.line(f"{name.ljust(10)}  {number}")
    _print_projections(session, metrics.projections)


def _print_projections(session: Session, found: tuple[ProjectionInfo, ...]) -> None:
    for info in found:
        session.out.line(f"projection  {field(info.name)}: {counted(info.rows, 'row')}, checkpoint {info.checkpoint}")


@command(app, "rebuild")
def rebuild(
    session: Session,
    projection: Annotated[str | None, Argument(metavar="PROJECTION", help="Which one; left out: all.")] = None,
) -> None:
    """Drop a projection and build it again from the events. Exit code 1: there is none of this name."""
    with session.open(write=True) as store:
        built = tuple(store.rebuild(projection))
    if session.out.json:
        session.out.value([info._asdict() for info in built])
    else:
        _print_projections(session, built)
