"""Commands on backups: backup create, list, info, usage, validate, restore, prune, rewrap."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from typer import Argument, Option, Typer

from backstory.cli import backup_lines, values
from backstory.cli.backup_keys import Keys, MakingKeys, NewKeys
from backstory.cli.backup_options import Making, check_lasting
from backstory.cli.commands import command, runner
from backstory.cli.failures import Exit
from backstory.cli.lost_stores import backups_of, listed
from backstory.cli.options import AsOf, KeyPattern, ScopePattern
from backstory.cli.output import is_terminal
from backstory.cli.policies import Policy
from backstory.cli.progress import progress_bar
from backstory.cli.render import counted, field
from backstory.cli.session import Session
from backstory.domain.errors import BackstoryError

if TYPE_CHECKING:
    from backstory.backups.reports import RestoreReport
    from backstory.domain.backup_manifests import Backup

#: The group of `backup`; other modules may put commands of theirs into it.
backups: Final = Typer(help="Backups: keep the store elsewhere, and get it back, whole or in part.")
Wanted = Annotated[
    str,
    Argument(metavar="BACKUP", help="Its id, or the first 8 digits or more of it; or the path or URL of its archive."),
]


@command(backups, "create")
def create(
    session: Session,
    making: Making,
    keys: MakingKeys,
    *,
    incremental: Annotated[
        bool, Option("--incremental", help="Only what came since an earlier backup, which stays needed.")
    ] = False,
    parent: Annotated[
        str | None,
        Option(
            "--parent", metavar="ID", help="An incremental one, on this backup; without it, on the latest that fits."
        ),
    ] = None,
) -> None:
    """Back up the store while others go on writing. It holds the log up to its head."""
    kind = "incremental" if incremental or parent is not None else "full"
    if making.asked["target"] is None:
        check_lasting(session.settings().backups)
    with session.open(write=True) as store, progress_bar(session.out, "back up") as progress:
        made = store.backups.create(
            kind,
            parent=parent,
            encryption=keys.encryption,
            progress=progress,
            **making.asked,
        )
    _tell(session, backup_lines.backup_data(made), backup_lines.made_lines(session.out, made))


@command(backups, "list")
def list_(
    session: Session,
    *,
    target: Annotated[
        str | None, Option("--target", metavar="PLACE", help="Those in this folder or at this URL, of whatever store.")
    ] = None,
) -> None:
    """List the backups, the newest first. Where the store is lost, those in its folder."""
    found, log_id = listed(session, target)
    _tell(session, backup_lines.list_data(found, log_id), backup_lines.list_lines(session.out, found, log_id))


backups.callback(invoke_without_command=True)(runner(list_))


@command(backups, "info")
def info(session: Session, backup: Wanted) -> None:
    """Tell what a backup holds, without a key. The store may be lost. Exit code 1: there is none of this name."""
    with backups_of(session, backup) as there:
        found = there.info(backup)
    _tell(session, backup_lines.backup_data(found), backup_lines.backup_lines(session.out, found))


@command(backups, "usage")
def usage(session: Session) -> None:
    """Tell what the backups take, and which are gone or cannot be read."""
    with session.open() as store:
        found = store.backups.usage()
    _tell(session, backup_lines.usage_data(found), backup_lines.usage_lines(session.out, found))


@command(backups, "validate")
def validate(
    session: Session,
    backup: Wanted,
    keys: Keys,
    *,
    no_trial_restore: Annotated[
        bool, Option("--no-trial-restore", help="Check the archives alone; restore nothing to see whether it works.")
    ] = False,
) -> int:
    """Check a backup and all it builds on, to a restore on trial. Exit code 1: it is not valid.

    The store is not needed: it may be lost.
    """
    with backups_of(session, backup, write=True) as there:
        encryption = keys.opening(lambda: _encrypted(lambda: there.info(backup)))
        with progress_bar(session.out, "validate") as progress:
            found = there.validate(backup, encryption=encryption, trial_restore=not no_trial_restore, progress=progress)
    lines = backup_lines.validation_lines(session.out, found, trial_restore=not no_trial_restore)
    _tell(session, backup_lines.validation_data(found), lines)
    return Exit.DONE if found.is_valid else Exit.NO


def _encrypted(manifest: Callable[[], Backup]) -> bool:
    """Return whether a backup needs a key; of one that cannot be read, whoever opens it tells why."""
    try:
        return manifest().encrypted
    except BackstoryError:
        return False


@command(backups, "restore")
def restore(
    session: Session,
    backup: Wanted,
    keys: Keys,
    *,
    as_of: AsOf = None,
    scope: ScopePattern = None,
    pattern: KeyPattern = "*",
    into: Annotated[
        str | None,
        Option(
            "--into",
            metavar="URL",
            help="A new store of this URL. The one that was backed up is not needed: it may be lost.",
        ),
    ] = None,
    dry_run: Annotated[bool, Option("--dry-run", help="Write nothing; show what would change.")] = False,
    yes: Annotated[bool, Option("--yes", "-y", help="Do not ask. Without a terminal, nobody is asked anyway.")] = False,
) -> int:
    """Bring state back from a backup, into the store by appending, or a new one.

    Exit code 1: there is no such backup, or somebody said no; 5: it is damaged, and the store is what it was.
    """
    part: dict[str, Any] = {"as_of": values.optional_point(as_of), "scope": scope, "keys": pattern}
    with backups_of(session, backup, write=not dry_run) as there:
        part["encryption"] = keys.opening(lambda: _encrypted(lambda: there.info(backup)))
        if into is None and not dry_run and not yes and is_terminal(sys.stdin):
            would = there.restore(backup, dry_run=True, **part)
            if not agreed(would):
                _tell(session, backup_lines.restore_data(would), ["nothing was restored"])
                return Exit.NO
        with progress_bar(session.out, "restore") as progress:
            report = there.restore(backup, into=into, dry_run=dry_run, progress=progress, **part)
    told = backup_lines.would_lines(session.out, report) if dry_run else backup_lines.restore_lines(report)
    _tell(session, backup_lines.restore_data(report), told)
    return Exit.DONE


def agreed(would: RestoreReport) -> bool:
    """Ask whoever sits there whether a restore shall go on. Standard output is for the answer alone."""
    changes = f"{counted(would.restored, 'value')} written, {would.removed} removed"
    typer.echo(
        f"The store gets what it held at position {would.position}: {changes}. Go on? [y/N]: ", nl=False, err=True
    )
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


@command(backups, "prune")
def prune(
    session: Session,
    policy: Policy,
    *,
    dry_run: Annotated[bool, Option("--dry-run", help="Delete nothing; say what would go.")] = False,
) -> None:
    """Delete backups beyond the bounds, and say why each goes or stays. What others build on stays."""
    wanted = policy.pruning()
    with session.open(write=not dry_run) as store:
        report = store.backups.prune(wanted, dry_run=dry_run)
    data = backup_lines.prune_data(report, dry_run=dry_run)
    _tell(session, data, backup_lines.prune_lines(session.out, report, dry_run=dry_run))


@command(backups, "rewrap")
def rewrap(session: Session, backup: Wanted, keys: Keys, new: NewKeys) -> None:
    """Have an encrypted backup need another key from now on. Exit code 1: the old one does not fit."""
    with backups_of(session, backup, write=True) as there:
        there.info(backup)  # Nobody is asked for the keys of what is not there.
        old = keys.asked()
        made = there.rewrap(backup, old, new.encryption())
    _tell(session, backup_lines.backup_data(made), [f"backup {made.id} needs the new key now", field(made.path)])


def _tell(session: Session, data: Any, lines: Iterable[str]) -> None:
    if session.out.json:
        session.out.value(data)
        return
    for line in lines:
        session.out.line(line)
