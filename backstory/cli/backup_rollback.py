"""The command that takes a restore back: backup rollback."""

from __future__ import annotations

import sys
from typing import Annotated, Final

from typer import Argument, Option

from backstory.cli import backup_lines
from backstory.cli.backups import agreed, backups
from backstory.cli.commands import command
from backstory.cli.failures import Exit
from backstory.cli.output import is_terminal
from backstory.cli.session import Session

#: The group of `backup`, with this in it.
app: Final = backups


@command(backups, "rollback")
def rollback(
    session: Session,
    position: Annotated[
        int, Argument(metavar="POSITION", min=0, help="The rollback point that the restore told, and its event.")
    ],
    *,
    dry_run: Annotated[bool, Option("--dry-run", help="Write nothing; show what would change.")] = False,
    yes: Annotated[bool, Option("--yes", "-y", help="Do not ask. Without a terminal, nobody is asked anyway.")] = False,
) -> int:
    """Take a restore back: what it was about becomes what it was before.

    It was a restore into the store itself; of a new one there is nothing to take back.
    Exit code 1: no restore has this rollback point, or somebody said no.
    """
    out = session.out
    with session.open(write=not dry_run) as store:
        report = None
        if not dry_run and not yes and is_terminal(sys.stdin):
            report = store.backups.rollback(position, dry_run=True)
        if report is not None and not agreed(report):
            code, lines = Exit.NO, ["nothing was restored"]
        else:
            report = store.backups.rollback(position, dry_run=dry_run)
            code = Exit.DONE
            lines = list(backup_lines.would_lines(out, report) if dry_run else backup_lines.restore_lines(report))
    if out.json:
        out.value(backup_lines.restore_data(report))
        return code
    for line in lines:
        out.line(line)
    return code
