"""Finding: where the backups of a store are, which ones there are, and what the log knows of those that are lost."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple

from backstory.backups.aside import aside
from backstory.backups.fitting import fitted
from backstory.backups.knowing import damage_told, known_backups
from backstory.backups.paths import canonical, folder_of, is_path, names, target_holding
from backstory.backups.reports import BackupUsage
from backstory.backups.shelf import Placed, Shelf, Unreachable, shelf_of
from backstory.backups.target import Target
from backstory.backups.targets import target_of
from backstory.core import Core
from backstory.domain.backup_manifests import Backup
from backstory.domain.errors import BackupError, ConfigError, NotFoundError
from backstory.domain.ports import Program
from backstory.infrastructure.aggregates.snapshot import Snapshot
from backstory.infrastructure.archives.encryption import Encryption

__all__ = ["Survey", "default_target", "find", "informed", "listed", "shelf", "survey", "usage"]


class Survey(NamedTuple):
    """The backups that there are, and what the log tells of any, by id."""

    shelf: Shelf
    known: Mapping[str, Snapshot]

    def kept(self) -> dict[str, str]:
        """Return where the log says that backups lie that were made and not given up, by id."""
        told = {each.backup_id: each.backup for each in self.known.values() if not each.is_pruned}
        return {backup_id: backup["path"] for backup_id, backup in told.items() if backup}

    def hidden(self, backup_id: str) -> Unreachable | None:
        """Return the place that cannot be looked at where a backup lies, if it does."""
        folder = folder_of(self.kept().get(backup_id, ""))
        return next((each for each in self.shelf.unreachable if each.place == folder), None)


def _folders(known: Iterable[Snapshot]) -> dict[str, None]:
    return dict.fromkeys(folder_of(each.backup["path"]) for each in known if each.backup)


def default_target(core: Core) -> Target:
    """Return where the store's backups are kept unless told otherwise; raises `ConfigError` where nothing says so."""
    if not core.settings.backups:
        raise ConfigError(
            "this store has no folder for backups",
            key="backups",
            hint="Open it with `backups=` a folder or URL, or give a `target`.",
        )
    return target_of(core.settings.backups)


def shelf(core: Core, *others: Target) -> Program[Shelf]:
    """Return the backups in the default target, in others, and wherever the log says that some were put.

    Raises `BackupError` where the default target or one of the others cannot be looked at.
    """
    surveyed = yield from survey(core, *others)
    return surveyed.shelf


def survey(core: Core, *others: Target, named: Target | None = None) -> Program[Survey]:
    """Return what `shelf` does, and what the log tells; with a `named` target the default one need not be there."""
    known = yield from known_backups(core)
    kept = _folders(each for each in known.values() if not each.is_pruned)
    # Whoever is killed amid a prune leaves files that the log has given up: the next one deletes them.
    left = _folders(each for each in known.values() if each.is_pruned)
    home = [core.settings.backups] if core.settings.backups else []
    if named is None:
        sure, perhaps = [*map(target_of, home), *others], [*kept, *left]
    else:
        sure, perhaps = [named, *others], [*map(os.fspath, home), *kept, *left]
    found = yield from aside(lambda: shelf_of(sure, perhaps=perhaps))
    seen = tuple(each for each in found.unreachable if each.place in kept)
    return Survey(replace(found, unreachable=seen).marked(damage_told(known.values())), known)


def find(core: Core, wanted: object, encryption: Encryption | None = None) -> Program[tuple[Shelf, Placed]]:
    """Return a backup and the shelf that it is on; raises `NotFoundError`, and `BackupError` for a lost file.

    Of copies that need different keys it is one that `encryption` opens, if any.
    """
    named = target_holding(wanted) if is_path(wanted) else None
    surveyed = yield from survey(core, named=named)
    try:
        found = yield from aside(lambda: fitted(surveyed.shelf, encryption))
        return found, (yield from aside(lambda: found.get(wanted)))
    except NotFoundError:
        for backup_id, path in surveyed.kept().items():
            if names(wanted, backup_id, path):
                raise _lost(backup_id, path, surveyed.hidden(backup_id)) from None
        raise


def _lost(backup_id: str, path: str, hidden: Unreachable | None) -> BackupError:
    if hidden is None:
        what = f"the file of backup {backup_id} is gone: {path}"
        hint = "Bring it back from another copy, or restore another backup."
    else:
        what = f"backup {backup_id} lies in {hidden.place}, which cannot be looked at: {hidden.reason}"
        hint = "Bring that place back, or restore another backup."
    return BackupError(what, backup_id=backup_id, path=path, hint=hint)


def listed(core: Core) -> Program[list[Backup]]:
    """Return the backups that are there, newest first."""
    found = yield from shelf(core)
    return [each.entry.backup for each in found.placed]


def informed(core: Core, wanted: object) -> Program[Backup]:
    """Return one backup."""
    _, placed = yield from find(core, wanted)
    return placed.entry.backup


def usage(core: Core) -> Program[BackupUsage]:
    """Return what backups take."""
    surveyed = yield from survey(core)
    found = surveyed.shelf
    backups = [each.entry.backup for each in found.placed]
    unreadable = tuple(each.path for each in found.unreadable)
    accounted = {backup.id for backup in backups}, set(map(canonical, unreadable))
    missing = [
        backup_id
        for backup_id, path in surveyed.kept().items()
        if backup_id not in accounted[0] and canonical(path) not in accounted[1] and not surveyed.hidden(backup_id)
    ]
    full = sum(backup.kind == "full" for backup in backups)
    return BackupUsage(
        count=len(backups),
        full=full,
        incremental=len(backups) - full,
        size_bytes=sum(backup.size_bytes for backup in backups),
        raw_bytes=sum(backup.raw_bytes for backup in backups),
        oldest=backups[-1] if backups else None,
        newest=backups[0] if backups else None,
        missing=tuple(missing),
        unreadable=unreadable,
        damaged=tuple(found.damage()),
        unreachable=found.unreachable,
    )
