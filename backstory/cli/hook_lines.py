"""Hooks as lines for people, and as what `--json` prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from backstory.cli.output import Output
from backstory.cli.render import SHORT, field, instant, short

if TYPE_CHECKING:
    from backstory.domain.hooks import HookResult
    from backstory.hooks.configured import ConfiguredHook
    from backstory.hooks.history import HookExecution, HookRegistration, HookStats

_HOOK_WIDTH: Final = 16
_POINT_WIDTH: Final = 18
_MILLISECOND_S: Final = 0.001


def configured_data(hook: ConfiguredHook) -> dict[str, Any]:
    """Return a configured hook as JSON; `points` is null where the hook says which it is made for."""
    arguments = {name: value for name, value in hook.arguments.items() if name != "breaker"}
    points = None if hook.points is None else list(hook.points)
    return {"hook": hook.hook, "points": points, **arguments, "tags": list(hook.arguments["tags"])}


def configured_line(out: Output, hook: ConfiguredHook) -> str:
    """Return a configured hook as a line."""
    points = ", ".join(hook.points) if hook.points is not None else "(where it belongs)"
    return f"{out.paint('configured', 'cyan')}  {field(hook.hook)}  {points}{_said(hook.arguments, named=True)}"


def registration_data(each: HookRegistration) -> dict[str, Any]:
    """Return what the log knows of a hook as JSON."""
    return {
        "hook": each.hook,
        "point": each.point,
        "priority": each.priority,
        "background": each.background,
        "required": each.required,
        "timeout_s": each.timeout_s,
        "scope": each.scope,
        "key": each.key,
        "tags": list(each.tags),
        "code": each.code,
        "position": each.position,
        "registered_at": each.registered_at.isoformat(),
        "actor": each.actor,
    }


def registration_line(out: Output, each: HookRegistration) -> str:
    """Return what the log knows of a hook as a line."""
    where = f"{field(each.hook).ljust(_HOOK_WIDTH)}  {each.point.ljust(_POINT_WIDTH)}"
    when = f"{out.paint(instant(each.registered_at), 'dim')} at {each.position}"
    return f"{out.paint('recorded'.ljust(10), 'green')}  {where}  {when}{_said(registration_data(each))}"


def _said(arguments: Mapping[str, Any], *, named: bool = False) -> str:
    """Return what was said of a hook beyond the usual."""
    said = [
        f"{name} {field(str(arguments[name]))}"
        for name in (*(("name",) if named else ()), "priority", "timeout_s", "scope", "key")
        if arguments[name] not in (None, 0)
    ]
    said += [name for name in ("background", "required") if arguments[name]]
    said += [f"#{field(tag)}" for tag in arguments["tags"]]
    return f"  {', '.join(said)}" if said else ""


def execution_data(run: HookExecution) -> dict[str, Any]:
    """Return a run as JSON; `result` is null where it failed."""
    return {
        "position": run.event.position,
        "event_id": str(run.event.event_id),
        "recorded_at": run.event.recorded_at.isoformat(),
        "hook": run.hook,
        "point": run.point,
        "operation_id": str(run.operation_id),
        "correlation_id": run.event.correlation_id,
        "result": None if run.result is None else run.result.as_data(),
        "error": run.error,
        "duration_s": run.duration_s,
    }


def execution_line(out: Output, run: HookExecution) -> str:
    """Return a run as a line: position, time, hook, point, what came of it, how long it took."""
    what = out.paint(f"failed: {field(run.error or '')}", "red") if run.result is None else _answer(out, run.result)
    return (
        f"{run.event.position:>5}  {out.paint(instant(run.event.recorded_at), 'dim')}  "
        f"{out.paint(field(run.hook).ljust(_HOOK_WIDTH), 'cyan')}  {run.point.ljust(_POINT_WIDTH)}  "
        f"{what}  ({span(run.duration_s)})"
    )


def _answer(out: Output, result: HookResult) -> str:
    parts = result.as_data()
    kind = out.paint(parts.pop("kind"), "yellow")
    said = next(iter(parts.values())) if len(parts) == 1 else parts
    return f"{kind} {short(said, limit=SHORT)}" if parts else kind


def stats_data(stats: HookStats) -> dict[str, Any]:
    """Return a hook's counts as JSON."""
    return {
        "hook": stats.hook,
        "runs": stats.runs,
        "failed": stats.failed,
        "results": stats.results,
        "total_s": stats.total_s,
        "mean_s": stats.mean_s,
        "p50_s": stats.p50_s,
        "p95_s": stats.p95_s,
        "longest_s": stats.longest_s,
        "last_at": stats.last_at.isoformat(),
    }


def stats_lines(out: Output, found: list[HookStats]) -> list[str]:
    """Return counts as a table."""
    head = ("hook", "runs", "failed", "mean", "p50", "p95", "longest", "results")
    rows = [
        (
            field(each.hook),
            str(each.runs),
            str(each.failed),
            *(span(seconds) for seconds in (each.mean_s, each.p50_s, each.p95_s, each.longest_s)),
            ", ".join(f"{kind} {count}" for kind, count in each.results.items()),
        )
        for each in found
    ]
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    lines = ["  ".join(_cell(row, column, width) for column, width in enumerate(widths)) for row in (head, *rows)]
    return [out.paint(lines[0].rstrip(), "bold"), *(line.rstrip() for line in lines[1:])]


def _cell(row: tuple[str, ...], column: int, width: int) -> str:
    return row[column].ljust(width) if column in {0, len(row) - 1} else row[column].rjust(width)


def span(seconds: float) -> str:
    """Return a duration in the unit that suits it."""
    if seconds < _MILLISECOND_S:
        return f"{seconds * 1_000_000:.0f} us"
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"
