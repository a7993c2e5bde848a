"""Migrations as they are printed: plans with what becomes of values, and reports of runs, as lines for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from backstory.cli.hook_lines import span
from backstory.cli.output import Output
from backstory.cli.render import changed, counted, field, short, table
from backstory.cli.schema_lines import risk
from backstory.migrations.reports import MigrationReport, PlanFacts, PlanStep, Preview

_CELL: Final = 36
_STATUS_COLOURS: Final = {"completed": "green", "running": "yellow", "rolled_back": "yellow", "dry_run": "yellow"}


def plan_lines(out: Output, plan: PlanFacts, previews: Sequence[Preview]) -> Iterator[str]:
    """Yield a plan: what it is about, its steps, its warnings, and what becomes of some values."""
    start = "" if plan.from_ is None else f" from {plan.from_}"
    values = counted(plan.estimated_items, "value")
    yield f"{field(plan.schema)}{start} to {plan.to}: {values} in the store, risk {risk(out, plan.risk)}"
    for number, step in enumerate(plan.steps, 1):
        yield ""
        yield from _step_lines(out, number, step)
    if plan.warnings:
        yield ""
        yield out.paint("warnings", "bold")
        yield from (f"  {field(each)}" for each in plan.warnings)
    for preview in previews:
        yield ""
        yield from _preview_lines(out, preview)


def _step_lines(out: Output, number: int, step: PlanStep) -> Iterator[str]:
    back = "" if step.reversible else ", no way back"
    said = f"  {field(step.description)}" if step.description else ""
    yield f"{out.paint(f'step {number}', 'bold')}  {step.from_} to {step.to}, risk {risk(out, step.risk)}{back}{said}"
    yield from (f"  {field(each)}" for each in step.changes)


def _preview_lines(out: Output, preview: Preview) -> Iterator[str]:
    """Yield what changes in a value, part by part."""
    yield f"{out.paint(f'{field(preview.scope)}  {field(preview.key)}', 'cyan')}  {preview.version}"
    if preview.error is not None:
        yield out.paint(f"  cannot be carried: {field(preview.error)}", "red")
        return
    rows = [
        (f"  {path.removesuffix(': ') or 'the value'}", short(was, limit=_CELL), short(is_, limit=_CELL))
        for path, was, is_ in changed(preview.before, preview.after)
    ]
    yield from table(out, ("  part", "before", "after"), rows)


def outcome_lines(out: Output, report: MigrationReport, *, force: bool) -> Iterator[str]:
    """Yield what a run, a dry run or a rollback has come to, and what to do next."""
    where = f"{field(report.schema)} to {report.to}"
    took = f" ({span(report.duration_s)})"
    if report.status == "dry_run":
        good = report.items_total - len(report.errors)
        yield f"would migrate {good} of {counted(report.items_total, 'value')} of {where}; nothing was written"
    elif report.status == "completed":
        yield f"migrated {report.items_migrated} of {counted(report.items_total, 'value')} of {where}{took}"
        yield f"`backstory migrate rollback {report.migration_id}` takes it back"
    else:
        yield f"brought back {counted(report.items_restored, 'value')} of {field(report.schema)}{took}"
    yield from _trouble_lines(out, report)
    if report.conflicts:
        stays = "that stays; `--force` replaces what the run had written"
        yield "where the run had written, what was before is back" if force else stays


def _trouble_lines(out: Output, report: MigrationReport) -> Iterator[str]:
    """Yield what could not be carried, and what others wrote since."""
    for error in report.errors:
        yield out.paint(f"cannot be carried: {field(str(error))}", "red")
    for each in report.conflicts:
        yield out.paint(f"written since: {field(each.scope)} {field(each.key)} (position {each.position})", "yellow")


def status_lines(out: Output, found: Sequence[MigrationReport]) -> list[str]:
    """Return runs as a table; nothing where there are none."""
    rows = [
        (
            each.migration_id,
            each.status,
            field(each.schema),
            f"{each.from_ or 'older'} to {each.to}",
            f"{each.items_migrated}/{each.items_total}",
        )
        for each in found
    ]
    return table(out, ("id", "status", "schema", "versions", "values"), rows) if rows else []


def report_lines(out: Output, report: MigrationReport) -> Iterator[str]:
    """Yield all that is known of a run, a line each."""
    facts = [
        ("migration", report.migration_id),
        ("status", out.paint(report.status, _STATUS_COLOURS.get(report.status, "red"))),
        ("schema", field(report.schema)),
        ("versions", f"{report.from_ or 'older'} to {report.to}"),
        ("scope", field(report.scope or "all scopes")),
        ("keys", field(report.keys)),
        ("migrated", f"{report.items_migrated} of {counted(report.items_total, 'value')}"),
        ("brought back", str(report.items_restored)),
        ("as it was", "not begun" if report.rollback_point is None else f"at position {report.rollback_point}"),
        ("correlation", field(report.correlation_id)),
    ]
    for name, fact in facts:
        yield f"{out.paint(name.ljust(14), 'cyan')}  {fact}"
    yield from (out.paint(f"warning: {field(each)}", "yellow") for each in report.warnings)
    yield from _trouble_lines(out, report)
    if report.status == "dead":
        yield f"its process died: `backstory migrate resume {report.migration_id}` goes on, `rollback` takes it back"
