"""The command that runs recorded hooks again, or goes through what happened step by step: replay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

from typer import Option, Typer

from backstory.cli import values
from backstory.cli.commands import command
from backstory.cli.failures import Exit, UsageError
from backstory.cli.hook_lines import span
from backstory.cli.progress import progress_bar
from backstory.cli.render import SHORT, counted, field, short
from backstory.cli.session import Session
from backstory.domain.errors import shown

if TYPE_CHECKING:
    from backstory.domain.hooks import HookResult
    from backstory.hooks.replaying import ReplayReport, ReplayResult

app: Final = Typer()
_SIMULATE: Final = "simulate"
#: In these modes a hook is asked for nothing new: another answer than the recorded one is a finding.
_FAITHFUL: Final = ("exact", "debug")
_HOOK_WIDTH: Final = 16


@command(app, "replay")
def replay(
    session: Session,
    *,
    hook: Annotated[str | None, Option("--hook", metavar="HOOK", help="Only runs of this hook.")] = None,
    point: Annotated[
        str | None, Option("--point", metavar="POINT", help="Only runs there, such as `before_state_write`.")
    ] = None,
    correlation_id: Annotated[
        str | None, Option("--correlation-id", "--correlation", metavar="ID", help="Only what belongs to this.")
    ] = None,
    home: Annotated[str | None, Option("--session", metavar="ID", help="Only what is about this session.")] = None,
    since: Annotated[
        str, Option("--since", metavar="POINT", help="Only what comes after this position, time or event id.")
    ] = "0",
    until: Annotated[
        str | None, Option("--until", metavar="POINT", help="Only what comes up to this point, itself included.")
    ] = None,
    mode: Annotated[
        str,
        Option(
            "--mode",
            metavar="MODE",
            help="exact; modified, with --change; simulate: the recorded answers, nothing is run; or debug: as exact, "
            "all of them, whatever fails.",
        ),
    ] = "exact",
    change: Annotated[
        list[str] | None,
        Option(
            "--change",
            metavar="PATH=VALUE",
            help="Another value in the hook's context, such as `after.price=3`; may be repeated.",
        ),
    ] = None,
    timeout: Annotated[float, Option("--timeout", metavar="SECONDS", help="How long one run may take.")] = 30.0,
    keep_going: Annotated[bool, Option("--keep-going", help="Go on after a run that failed.")] = False,
    concurrency: Annotated[int, Option("--concurrency", min=1, metavar="N", help="So many at once.")] = 1,
    interactive: Annotated[
        bool, Option("--interactive", help="Go through the events instead; `help` there lists what to type.")
    ] = False,
) -> int:
    """Run recorded hooks again, from their records. Exit code 1: not all went as recorded."""
    if interactive:
        if hook or point or change or keep_going or mode != "exact":
            raise UsageError(
                "--interactive goes through events, not through runs of hooks",
                hint="Choose events with --session, --correlation, --since and --until.",
            )
        from backstory.cli.stepping import converse

        bounds = (values.point(since), values.optional_point(until))
        return converse(session, correlation_id=correlation_id, about=home, bounds=bounds)
    changes = dict(_change(each) for each in change or ())
    with (
        session.open(write=True, hooks=mode != _SIMULATE) as store,
        progress_bar(session.out, "replay") as progress,
    ):
        report = store.replay.hooks(
            name=hook,
            point=point,
            correlation_id=correlation_id,
            session=home,
            since=values.point(since),
            until=values.optional_point(until),
            mode=mode,
            changes=changes or None,
            timeout_s=timeout,
            stop_on_error=not keep_going,
            concurrency=concurrency,
            progress=progress,
        )
    _tell(session, report)
    return Exit.DONE if all(_as_asked(each, report.mode) for each in report.results) else Exit.NO


def _change(text: str) -> tuple[str, Any]:
    path, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"{shown(text)} changes nothing", hint="Write a path, `=` and the value: `after.price=3`.")
    return path, values.value(value)


def _as_asked(result: ReplayResult, mode: str) -> bool:
    return result.ok and (mode not in _FAITHFUL or result.comparison.identical)


def _tell(session: Session, report: ReplayReport) -> None:
    if session.out.json:
        session.out.value(_report(report))
        return
    for result in report.results:
        session.out.line(_line(session, result, report.mode))
    differ = sum(not result.comparison.identical for result in report.results)
    session.out.line(
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


def _report(report: ReplayReport) -> dict[str, Any]:
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
