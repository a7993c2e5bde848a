"""Commands on backups: backup create, list, info, usage, validate, restore, prune, rewrap."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from typer import Argument, Option, Typer

from backstory.cli import backup_lines, values
from backstory.cli.backup_keys import Keys, MakingKeys, NewKeys
from backstory.cli.backup_options import Making
from backstory.cli.commands import command, runner
from backstory.cli.failures import Exit
from backstory.cli.options import AsOf, KeyPattern, ScopePattern
from backstory.cli.output import is_terminal
from backstory.cli.policies import Policy
from backstory.cli.progress import progress_bar
from backstory.cli.render import counted, field
from backstory.cli.session import Session
from backstory.domain.errors import BackstoryError, StoreUnavailableError

if TYPE_CHECKING:
    from backstory.backups.reports import BackupValidation, RestoreReport
    from backstory.domain.backup_manifests import Backup
    from backstory.projections.points import Point

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
def list_(session: Session) -> None:
    """List the backups, the newest first."""
    with session.open() as store:
        found = store.backups.list()
    _tell(session, [backup_lines.backup_data(each) for each in found], backup_lines.list_lines(session.out, found))


backups.callback(invoke_without_command=True)(runner(list_))


@command(backups, "info")
def info(session: Session, backup: Wanted) -> None:
    """Tell what a backup holds, without a key. Exit code 1: there is none of this name."""
    with session.open() as store:
        found = store.backups.info(backup)
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

    Of a path, the store is not needed: it may be lost.
    """
    try:
        with session.open(write=True) as store:
            encryption = keys.opening(lambda: _encrypted(lambda: store.backups.info(backup)))
            with progress_bar(session.out, "validate") as progress:
                found = store.backups.validate(
                    backup, encryption=encryption, trial_restore=not no_trial_restore, progress=progress
                )
    except StoreUnavailableError:
        if not _is_path(backup):
            raise
        found = _examined(session, backup, keys, trial_restore=not no_trial_restore)
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
            help="A new store of this URL. With the path of an archive, --store is not needed: it may be lost.",
        ),
    ] = None,
    dry_run: Annotated[bool, Option("--dry-run", help="Write nothing; show what would change.")] = False,
    yes: Annotated[bool, Option("--yes", "-y", help="Do not ask. Without a terminal, nobody is asked anyway.")] = False,
) -> int:
    """Bring state back from a backup, into the store by appending, or a new one.

    Exit code 1: there is no such backup, or somebody said no; 5: it is damaged, and the store is what it was.
    """
    part: dict[str, Any] = {"as_of": values.optional_point(as_of), "scope": scope, "keys": pattern}
    if into is not None and not dry_run and scope is None and pattern == "*" and _is_path(backup):
        report = _rescued(session, backup, keys, into=into, as_of=part["as_of"])
    else:
        with session.open(write=not dry_run) as store:
            part["encryption"] = keys.opening(lambda: _encrypted(lambda: store.backups.info(backup)))
            if into is None and not dry_run and not yes and is_terminal(sys.stdin):
                would = store.backups.restore(backup, dry_run=True, **part)
                if not _agreed(would):
                    _tell(session, backup_lines.restore_data(would), ["nothing was restored"])
                    return Exit.NO
            with progress_bar(session.out, "restore") as progress:
                report = store.backups.restore(backup, into=into, dry_run=dry_run, progress=progress, **part)
    told = backup_lines.would_lines(session.out, report) if dry_run else backup_lines.restore_lines(report)
    _tell(session, backup_lines.restore_data(report), told)
    return Exit.DONE


def _is_path(backup: str) -> bool:
    from backstory.backups.shelf import is_path

    return is_path(backup)


def _examined(session: Session, path: str, keys: Keys, *, trial_restore: bool) -> BackupValidation:
    """Look at a backup without the store that it is of."""
    from backstory.backups.lost import validate as validate_alone

    encryption = keys.opening(lambda: _encrypted(lambda: _manifest(path)))
    with progress_bar(session.out, "validate") as progress:
        return validate_alone(path, encryption=encryption, trial_restore=trial_restore, progress=progress)


def _rescued(session: Session, path: str, keys: Keys, *, into: str, as_of: Point | None) -> RestoreReport:
    """Restore without the store that the backup is of."""
    from backstory import restore as restore_new

    encryption = keys.opening(lambda: _encrypted(lambda: _manifest(path)))
    with progress_bar(session.out, "restore") as progress:
        return restore_new(path, into, as_of=as_of, encryption=encryption, progress=progress)


def _manifest(path: str) -> Backup:
    from backstory.backups.shelf import shelf_of, target_holding

    return shelf_of([target_holding(path)]).get(path).entry.backup


def _agreed(would: RestoreReport) -> bool:
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
    with session.open(write=True) as store:
        store.backups.info(backup)  # Nobody is asked for the keys of what is not there.
        old = keys.asked()
        made = store.backups.rewrap(backup, old, new.encryption())
    _tell(session, backup_lines.backup_data(made), [f"backup {made.id} needs the new key now", field(made.path)])


def _tell(session: Session, data: Any, lines: Iterable[str]) -> None:
    if session.out.json:
        session.out.value(data)
        return
    for line in lines:
        session.out.line(line)
