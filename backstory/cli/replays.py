"""The command that runs recorded hooks again, or goes through what happened step by step: replay.

Those that do so on a schedule are in `schedules.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Final

from typer import Option, Typer

from backstory.cli.commands import runner
from backstory.cli.failures import Exit, UsageError
from backstory.cli.hook_lines import span
from backstory.cli.options import Runs
from backstory.cli.progress import progress_bar
from backstory.cli.render import SHORT, counted, field, short
from backstory.cli.session import Session

if TYPE_CHECKING:
    from backstory.domain.hooks import HookResult
    from backstory.hooks.replaying import ReplayReport, ReplayResult

replays: Final = Typer(help="Run recorded hooks again, from their records, now or on a schedule.")
#: In this mode no hook is run.
SIMULATE: Final = "simulate"
#: In these modes a hook is asked for nothing new: another answer than the recorded one is a finding.
_FAITHFUL: Final = ("exact", "debug")
_HOOK_WIDTH: Final = 16


def replay(
    session: Session,
    runs: Runs,
    *,
    interactive: Annotated[
        bool, Option("--interactive", help="Go through the events instead; `help` there lists what to type.")
    ] = False,
) -> int:
    """Run recorded hooks again, from their records. Exit code 1: not all went as recorded."""
    if interactive:
        if runs.hook or runs.point or runs.changes or runs.keep_going or runs.mode != "exact":
            raise UsageError(
                "--interactive goes through events, not through runs of hooks",
                hint="Choose events with --session, --correlation, --since and --until.",
            )
        from backstory.cli.stepping import converse

        return converse(session, correlation_id=runs.correlation_id, about=runs.home, bounds=(runs.since, runs.until))
    with (
        session.open(write=True, hooks=runs.mode != SIMULATE) as store,
        progress_bar(session.out, "replay") as progress,
    ):
        report = store.replay.hooks(**runs.arguments, progress=progress)
    _tell(session, report)
    return Exit.DONE if as_asked(report) else Exit.NO


replays.callback(invoke_without_command=True)(runner(replay))


def as_asked(report: ReplayReport) -> bool:
    """Return whether all runs came to what their mode asks for."""
    return all(_as_asked(each, report.mode) for each in report.results)


def _as_asked(result: ReplayResult, mode: str) -> bool:
    return result.ok and (mode not in _FAITHFUL or result.comparison.identical)


def _tell(session: Session, report: ReplayReport) -> None:
    if session.out.json:
        session.out.value(report_data(report))
        return
    for line in report_lines(session, report):
        session.out.line(line)


def report_lines(session: Session, report: ReplayReport) -> Iterator[str]:
    """Yield a line for each run, and one that counts them."""
    for result in report.results:
        yield _line(session, result, report.mode)
    differ = sum(not result.comparison.identical for result in report.results)
    yield (
        f"{counted(len(report.results), 'run')} replayed, {report.failed} failed, "
        f"{differ} answered otherwise ({span(report.duration_s)})"
    )


def _line(session: Session, result: ReplayResult, mode: str) -> str:
    """Return a run as a line: position, hook, point, what came of it."""
    event = result.execution
    start = f"{event.position:>5}  {session.out.paint(field(result.hook).ljust(_HOOK_WIDTH), 'cyan')}"
    colour = "green" if _as_asked(result, mode) else "red"
    return f"{start}  {event.data['point']}  {session.out.paint(_outcome(result), colour)}"


def _outcome(result: ReplayResult) -> str:
    if result.divergence is not None:
        recorded, asked = (_step(each) for each in (result.divergence.recorded, result.divergence.asked))
        return f"diverged at step {result.divergence.index}: {recorded} was recorded, asked was {asked}"
    if result.error is not None:
        return f"failed: {field(result.error)}"
    if result.comparison.identical:
        return f"as recorded: {_answer(result.recorded)}"
    return f"otherwise: {_answer(result.recorded)} -> {_answer(result.result)}"


def _step(step: dict[str, Any] | None) -> str:
    return "nothing" if step is None else short(step, limit=SHORT)


def _answer(result: HookResult | None) -> str:
    return "failed" if result is None else short(result.as_data(), limit=SHORT)


def report_data(report: ReplayReport) -> dict[str, Any]:
    """Return a report as `--json` prints it."""
    return {
        "mode": report.mode,
        "succeeded": report.succeeded,
        "failed": report.failed,
        "duration_s": round(report.duration_s, 6),
        "results": [_result(each) for each in report.results],
    }


def _result(result: ReplayResult) -> dict[str, Any]:
    divergence = result.divergence
    return {
        "position": result.execution.position,
        "event_id": str(result.execution.event_id),
        "hook": result.hook,
        "point": result.execution.data["point"],
        "recorded": None if result.recorded is None else result.recorded.as_data(),
        "result": None if result.result is None else result.result.as_data(),
        "error": result.error,
        "divergence": None
        if divergence is None
        else {"index": divergence.index, "recorded": divergence.recorded, "asked": divergence.asked},
        "comparison": result.comparison.as_dict(),
        "duration_s": result.duration_s,
    }
