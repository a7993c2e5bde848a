"""Lost stores: a backup looked at, and a new store made of it, where there is nothing left to ask."""

from __future__ import annotations

from os import PathLike
from typing import Any

from backstory.backups.aside import Progress, telling
from backstory.backups.bringing_back import Asked, brought_into, checked_point
from backstory.backups.locating import Located
from backstory.backups.ordering import for_one_operation
from backstory.backups.paths import target_holding
from backstory.backups.renewing import check_into
from backstory.backups.reports import BackupValidation, RestoreReport
from backstory.backups.shelf import shelf_of
from backstory.backups.target import Target
from backstory.backups.timelines import archived, refuse_beyond
from backstory.backups.validating import validated
from backstory.domain.errors import BackupError, IntegrityError
from backstory.domain.selection import Selection
from backstory.infrastructure.archives.encryption import Encryption
from backstory.infrastructure.configuration import settings_of
from backstory.projections.points import Point

__all__ = ["restore", "restored_in", "validate", "validated_in"]


def validate(
    path: str | PathLike[str],
    *,
    encryption: Encryption | None = None,
    trial_restore: bool = True,
    progress: Progress | None = None,
) -> BackupValidation:
    """Find out whether the backup at `path` can be restored, as `store.backups.validate` does, without the store.

    What it builds on is looked for beside it. Raises `NotFoundError`. It blocks.
    """
    return validated_in(target_holding(path), path, encryption, trial_restore=trial_restore, progress=progress)


def validated_in(
    target: Target,
    wanted: object,
    encryption: Encryption | None,
    *,
    trial_restore: bool,
    progress: Progress | None,
) -> BackupValidation:
    """Return what is wrong with a backup in a target, by its id or path."""
    encryption = for_one_operation(encryption)
    shelf = shelf_of([target])
    try:
        placed = shelf.get(wanted)
    except (BackupError, IntegrityError) as error:
        return BackupValidation(str(wanted), errors=(error.message,))
    told = telling(progress, placed.entry.backup.position)
    return validated(shelf, placed, encryption, trial_restore=trial_restore, told=told)


def restore(
    path: str | PathLike[str],
    url: str,
    *,
    as_of: Point | str | None = None,
    encryption: Encryption | None = None,
    progress: Progress | None = None,
    **settings: Any,
) -> RestoreReport:
    """Make a new store at `url` from a backup at `path`, a file or URL: for when the store itself is lost.

    What the backup builds on is looked for beside it. The log comes back up to `as_of` (a position, an instant or an
    event id; by default all of it), with its positions, ids and hashes; later backups beside it carry on where `as_of`
    is later. A backup of some scopes gives a store of these values. `settings` are those of `open`, such as
    `namespace`. It blocks: call it in a thread where an event loop must go on.

    Raises `ConfigError` for a URL that is none, `NotFoundError`, `BackupError` where there is a store already, or a
    link of the chain is missing, `InvalidPointError`, `IntegrityError` for damage, `EncryptionError` for a wrong or
    missing key. Then there is no new store.
    """
    asked = Asked(Selection(), encryption, url, settings_of(None, settings), None, dry_run=False)
    return restored_in(target_holding(path), path, asked, as_of=as_of, progress=progress)


def restored_in(
    target: Target, wanted: object, asked: Asked, *, as_of: Point | str | None, progress: Progress | None
) -> RestoreReport:
    """Make a new store from a backup in a target, by its id or path: all that it holds, or a selection."""
    asked = asked._replace(encryption=for_one_operation(asked.encryption))
    assert asked.into is not None
    check_into(asked.into)
    point = checked_point(as_of)
    shelf = shelf_of([target])
    placed = shelf.get(wanted)
    found = archived(shelf, placed, point, asked.encryption)
    if found is None:
        raise refuse_beyond(placed, point)
    where = Located(*found)
    return brought_into(where, placed, asked, telling(progress, where.place.position))
