"""Commands on backups that are made when they come due: backup schedule, schedules, unschedule, due."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Any, Final

from typer import Argument, Option

from backstory.cli import backup_keys, backup_lines, backup_options, backup_schedule_lines, due_times, policies
from backstory.cli.backup_rollback import app as backups
from backstory.cli.commands import command
from backstory.cli.failures import Exit, UsageError
from backstory.cli.last_runs import last_runs
from backstory.cli.progress import progress_bar
from backstory.cli.render import counted, field
from backstory.cli.session import Session

if TYPE_CHECKING:
    from backstory.backups.scheduled import BackupRun

#: The group of `backup`, with these in it.
app: Final = backups


@command(backups, "schedule")
def schedule(
    session: Session,
    name: Annotated[str, Argument(metavar="NAME", help="What to call it; it replaces one of the same name.")],
    due: due_times.Due,
    making: backup_options.Making,
    policy: policies.Policy,
    *,
    incremental: Annotated[
        bool, Option("--incremental", help="Only what came since the one before; a full one where there is none.")
    ] = False,
    full_every: Annotated[
        int | None,
        Option("--full-every", min=1, metavar="N", help="With --incremental: of so many in a row the first is full."),
    ] = None,
    key_file: Annotated[
        str | None, Option("--key-file", metavar="FILE", help="Encrypt with the key in this file.")
    ] = None,
    key_command: Annotated[
        str | None,
        Option("--key-command", metavar="COMMAND", help="Encrypt with the key that this prints; the log keeps it."),
    ] = None,
    algorithm: Annotated[
        str | None, Option("--algorithm", metavar="NAME", help="AES-256-GCM, as by itself, or ChaCha20-Poly1305.")
    ] = None,
) -> None:
    """Have backups made when they come due, and old ones pruned. `serve` makes them, or `backup due` in cron."""
    due_times.check_name(name)
    if full_every is not None and not incremental:
        raise UsageError("--full-every goes with --incremental", hint="Leave it out, or give --incremental.")
    keys = {"key_file": key_file, "key_command": key_command, "algorithm": algorithm}
    given = {name: each for name, each in keys.items() if each is not None}
    if algorithm is not None and len(given) == 1:
        raise UsageError(
            "--algorithm is of no use where nothing is encrypted", hint="Give --key-file or --key-command."
        )
    standing = policy.standing()
    with session.open(write=True, hooks=False) as store:
        made = store.backups.schedule(
            name,
            due.when,
            kind="incremental" if incremental else "full",
            encryption_from=given or None,
            policy=standing,
            full_every=full_every,
            **making.asked,
        )
    due_times.tell_scheduled(session, made)


@command(backups, "schedules")
def schedules(session: Session) -> None:
    """List the schedules by name. When, and when next; how often they ran, how the last run went; what is made."""
    with session.open() as store:
        found = store.backups.schedules()
        last = last_runs(store, found)
    if session.out.json:
        session.out.value([backup_schedule_lines.list_data(each, last.get(each.name)) for each in found])
        return
    for line in backup_schedule_lines.list_lines(session.out, found, last):
        session.out.line(line)


@command(backups, "unschedule")
def unschedule(session: Session, name: Annotated[str, Argument(metavar="NAME", help="The schedule.")]) -> None:
    """Take a schedule away; its backups stay. Exit code 1: there is none of this name."""
    due_times.take_away(session, name, lambda store: store.backups.unschedule(name), group="backup")


@command(backups, "due")
def due(session: Session) -> int:
    """Make the backups that are due now; what was missed is made up for by one. Exit code 1: one failed."""
    encryption = backup_keys.environment_key()
    with session.open(write=True) as store, progress_bar(session.out, "back up") as progress:
        runs = store.backups.run_due(encryption=encryption, progress=progress)
    tell(session, runs)
    if not runs and not session.out.json:
        session.out.line("nothing is due")
    return Exit.DONE if all(each.error is None for each in runs) else Exit.NO


def tell(session: Session, runs: Iterable[BackupRun]) -> None:
    """Print what runs came to, a line each."""
    for each in runs:
        if session.out.json:
            session.out.value(run_data(each))
        else:
            session.out.line(f"{session.out.paint(field(each.schedule.name), 'cyan')}: {'; '.join(_said(each))}")


def run_data(run: BackupRun) -> dict[str, Any]:
    """Return what a run came to as JSON has it."""
    return {
        "schedule": run.schedule.name,
        "backup": None if run.backup is None else backup_lines.backup_data(run.backup),
        "pruned": [] if run.pruned is None else [each.id for each in run.pruned.deleted],
        "error": run.error,
    }


def _said(run: BackupRun) -> Iterator[str]:
    if run.backup is not None:
        size = backup_lines.size(run.backup.size_bytes)
        yield f"{run.backup.kind} backup {run.backup.id} of position {run.backup.position}, {size}"
    if run.pruned is not None and run.pruned.deleted:
        yield f"{counted(len(run.pruned.deleted), 'older one')} pruned"
    if run.error is not None:
        yield f"failed: {field(run.error)}"
