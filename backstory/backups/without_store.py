"""Without their store: the backups in one place, by id or path, where the store is lost or cannot be opened."""

from __future__ import annotations

from os import PathLike

from backstory.backups.aside import Progress
from backstory.backups.bringing_back import Asked
from backstory.backups.lost import restored_in, validated_in
from backstory.backups.ordering import check_encryption
from backstory.backups.paths import is_path, target_holding
from backstory.backups.reports import BackupValidation, RestoreReport
from backstory.backups.rotating import with_new_key
from backstory.backups.shelf import shelf_of
from backstory.backups.target import Target
from backstory.backups.targets import target_of
from backstory.domain.backup_manifests import Backup
from backstory.domain.errors import BackstoryError
from backstory.domain.scopes import Scope
from backstory.domain.selection import selection_of
from backstory.infrastructure.archives.encryption import Encryption
from backstory.infrastructure.configuration import Settings
from backstory.projections.points import Point

__all__ = ["BackupsAlone", "kept_in"]


def kept_in(place: str | PathLike[str]) -> list[Backup]:
    """Return the backups that lie in a place, newest first, whatever log they are of; raises `BackupError`."""
    return [each.entry.backup for each in shelf_of([target_of(place)]).placed]


class BackupsAlone:
    """What `store.backups` does without a log to ask: of an id in the store's place, of a path in its folder.

    It blocks.
    """

    def __init__(self, settings: Settings, *, why: BackstoryError) -> None:
        """Take the settings of the store, which new ones are made with, and why it cannot be asked."""
        self._settings = settings
        self._why = why

    def info(self, id_or_path: str | PathLike[str]) -> Backup:
        """Return a backup; raises as `store.backups.info` does."""
        return shelf_of([self._holding(id_or_path)]).get(id_or_path).entry.backup

    def validate(
        self,
        id_or_path: str | PathLike[str],
        *,
        encryption: Encryption | None = None,
        trial_restore: bool = True,
        progress: Progress | None = None,
    ) -> BackupValidation:
        """Find out whether a backup can be restored, as `store.backups.validate` does."""
        target = self._holding(id_or_path)
        return validated_in(target, id_or_path, encryption, trial_restore=trial_restore, progress=progress)

    def restore(
        self,
        id_or_path: str | PathLike[str],
        *,
        as_of: Point | str | None = None,
        scope: Scope | str | None = None,
        keys: str | None = None,
        into: str | None = None,
        dry_run: bool = False,
        encryption: Encryption | None = None,
        progress: Progress | None = None,
    ) -> RestoreReport:
        """Make a new store, as `store.backups.restore` does; raises why there is no store where that is wanted."""
        if into is None:
            raise self._why
        selection = selection_of(scope, "*" if keys is None else keys)
        asked = Asked(selection, encryption, into, self._settings, None, dry_run)
        return restored_in(self._holding(id_or_path), id_or_path, asked, as_of=as_of, progress=progress)

    def rewrap(self, id_or_path: str | PathLike[str], old: Encryption, new: Encryption) -> Backup:
        """Have an encrypted backup need another key; raises as `store.backups.rewrap` does."""
        check_encryption(old, needed=True)
        check_encryption(new, needed=True)
        return with_new_key(shelf_of([self._holding(id_or_path)]).get(id_or_path), old, new)

    def _holding(self, id_or_path: str | PathLike[str]) -> Target:
        return target_holding(id_or_path) if is_path(id_or_path) else target_of(self._settings.backups)
