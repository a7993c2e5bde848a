"""Finding: where the backups of a store are, which ones there are, and what the log knows of those that are lost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from backstory.backups.aside import aside
from backstory.backups.reports import BackupUsage
from backstory.backups.shelf import Placed, Shelf, is_path, names, shelf_of, target_holding
from backstory.backups.target import Target
from backstory.backups.targets import target_of
from backstory.core import Core
from backstory.domain.backup_manifests import Backup
from backstory.domain.errors import BackupError, ConfigError, NotFoundError
from backstory.domain.ports import LogQuery, Program
from backstory.infrastructure import codec
from backstory.infrastructure.aggregates.snapshot import BACKUP_CREATED, BACKUP_PRUNED

__all__ = ["default_target", "find", "informed", "listed", "shelf", "usage"]

_PAGE: Final = 1000


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
    """Return the backups in the default target, in others, and wherever the log says that some were put."""
    targets = [*others]
    if core.settings.backups:
        targets.insert(0, default_target(core))
    kept, given_up = yield from _told(core)
    targets += [target_holding(said["path"]) for said in kept.values()]
    # Whoever is killed amid a prune leaves files that the log has given up: the next one deletes them.
    left = [target_holding(said["path"]) for said in given_up.values()]
    return (yield from aside(lambda: shelf_of(targets, perhaps=left)))


def _known(core: Core) -> Program[dict[str, Mapping[str, Any]]]:
    """Return what the log says of the backups that were made and not given up, by id."""
    return (yield from _told(core))[0]


def _told(core: Core) -> Program[tuple[dict[str, Mapping[str, Any]], dict[str, Mapping[str, Any]]]]:
    """Return what the log says of backups, by id: of those that are kept, and of those that were given up."""
    found: dict[str, Mapping[str, Any]] = {}
    gone: dict[str, Mapping[str, Any]] = {}
    after = 0
    while True:
        query = LogQuery(core.lineage, after, types=(BACKUP_CREATED, BACKUP_PRUNED), limit=_PAGE)
        rows = yield from core.engine.page(query)
        for row in rows:
            backup_id = row.stream.rsplit(":", 1)[-1]
            if row.type == BACKUP_CREATED:
                found[backup_id] = codec.decode_value(row.data)["backup"]
            elif backup_id in found:
                gone[backup_id] = found.pop(backup_id)
        if len(rows) < _PAGE:
            return found, gone
        after = rows[-1].position


def find(core: Core, wanted: object) -> Program[tuple[Shelf, Placed]]:
    """Return a backup and the shelf that it is on; raises `NotFoundError`, and `BackupError` for a lost file."""
    if is_path(wanted):
        holding = target_holding(wanted)  # type: ignore[arg-type]
        found = yield from shelf(core, holding)
    else:
        found = yield from shelf(core)
    try:
        return found, found.get(wanted)
    except NotFoundError:
        known = yield from _known(core)
        lost = [
            (backup_id, said["path"]) for backup_id, said in known.items() if names(wanted, backup_id, said["path"])
        ]
        if lost:
            backup_id, path = lost[0]
            raise BackupError(
                f"the file of backup {backup_id} is gone: {path}",
                backup_id=backup_id,
                path=path,
                hint="Bring it back from another copy, or restore another backup.",
            ) from None
        raise


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
    found = yield from shelf(core)
    known = yield from _known(core)
    backups = [each.entry.backup for each in found.placed]
    there = {backup.id for backup in backups}
    unreadable = tuple(each.path for each in found.unreadable)
    missing = [each for each, said in known.items() if each not in there and said["path"] not in unreadable]
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
    )
