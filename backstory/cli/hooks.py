"""Commands on hooks: hooks list, history, stats, compact. What they need of hooks is imported when they run."""

from __future__ import annotations

from itertools import islice
from typing import Annotated, Final

from typer import Option, Typer

from backstory.cli import hook_lines, values
from backstory.cli.commands import command, runner
from backstory.cli.failures import UsageError
from backstory.cli.render import counted
from backstory.cli.session import Session

hooks: Final = Typer(help="List hooks, tell of their runs, or leave old runs out.")
HookName = Annotated[str | None, Option("--name", metavar="HOOK", help="Only this hook.")]


@command(hooks, "list")
def list_(session: Session) -> None:
    """List the hooks of backstory.toml, and those that the log knows. It imports none."""
    from backstory.hooks.configured import configured_hooks

    configured = configured_hooks(session.config().get("hooks"))
    with session.open() as store:
        recorded = store.hooks.registrations()
    if session.out.json:
        session.out.value(
            {
                "configured": [hook_lines.configured_data(each) for each in configured],
                "recorded": [hook_lines.registration_data(each) for each in recorded],
            }
        )
        return
    for hook in configured:
        session.out.line(hook_lines.configured_line(session.out, hook))
    for each in recorded:
        session.out.line(hook_lines.registration_line(session.out, each))


hooks.callback(invoke_without_command=True)(runner(list_))


@command(hooks, "history")
def history(
    session: Session,
    *,
    name: HookName = None,
    point: Annotated[
        str | None, Option("--point", metavar="POINT", help="Only runs there, such as `before_state_write`.")
    ] = None,
    since: Annotated[
        str, Option("--since", metavar="POINT", help="Only runs after this position, time or event id.")
    ] = "0",
    until: Annotated[
        str | None, Option("--until", metavar="POINT", help="Only runs up to this point, itself included.")
    ] = None,
    correlation_id: Annotated[
        str | None, Option("--correlation-id", "--correlation", metavar="ID", help="Only runs that belong to this.")
    ] = None,
    limit: Annotated[int | None, Option("--limit", "-n", min=0, metavar="N", help="At most so many.")] = None,
    everything: Annotated[bool, Option("--all", help="Runs too that `hooks compact` left out.")] = False,
) -> None:
    """List the runs of hooks in the order of the log."""
    with session.open() as store:
        found = store.hooks.history(
            name=name,
            point=point,
            since=values.point(since),
            until=values.optional_point(until),
            correlation_id=correlation_id,
            compacted=everything,
        )
        for run in islice(found, limit):
            if session.out.json:
                session.out.value(hook_lines.execution_data(run))
            else:
                session.out.line(hook_lines.execution_line(session.out, run))


@command(hooks, "stats")
def stats(session: Session, *, name: HookName = None) -> None:
    """Print how often each hook ran and how long it took. Exit code 1: the log knows no such hook."""
    with session.open() as store:
        found = list(store.hooks.stats(name=name))
    if session.out.json:
        session.out.value([hook_lines.stats_data(each) for each in found])
        return
    for line in hook_lines.stats_lines(session.out, found) if found else ():
        session.out.line(line)


@command(hooks, "compact")
def compact(
    session: Session,
    *,
    max_age: Annotated[
        str | None, Option("--max-age", metavar="AGE", help="Leave out older runs: `90s`, `15m`, `12h`, `30d`, `4w`.")
    ] = None,
    max_count: Annotated[
        int | None, Option("--max-count", min=0, metavar="N", help="Leave out all but a hook's last N runs.")
    ] = None,
    failed: Annotated[bool, Option("--failed", help="Failed runs too; without, they stay.")] = False,
    name: HookName = None,
    dry_run: Annotated[bool, Option("--dry-run", help="Only say how many runs that would be.")] = False,
) -> None:
    """Leave old runs out of the history of hooks; counts and the log stay. Exit code 1: no such hook."""
    from backstory.hooks.retention import Retention

    if max_age is None and max_count is None:
        raise UsageError("nothing says which runs are old", hint="Give --max-age, --max-count, or both.")
    policy = Retention(None if max_age is None else values.span(max_age), max_count, keep_failed=not failed)
    with session.open(write=not dry_run, hooks=False) as store:
        report = store.hooks.compact(policy, name=name, dry_run=dry_run)
    if session.out.json:
        session.out.value(
            {"left_out": report.left_out, "kept": report.kept, "by_hook": report.by_hook, "dry_run": dry_run}
        )
        return
    done = "would leave out" if dry_run else "left out"
    session.out.line(f"{done} {counted(report.left_out, 'run')} of {counted(len(report.by_hook), 'hook')}")
    if report.kept:
        session.out.line(f"kept {counted(report.kept, 'older run')}: failed, or named as a cause")
