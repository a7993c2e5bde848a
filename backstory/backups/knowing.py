"""Knowing: what the log says of backups, whichever branch it was said on. Files are nobody's branch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from backstory.backups.paths import canonical
from backstory.core import Core
from backstory.domain.branches import FOREVER, Lineage
from backstory.domain.ports import LogQuery, Program
from backstory.infrastructure.aggregates.snapshot import (
    BACKUP_CREATED,
    BACKUP_PRUNED,
    BACKUP_REWRAPPED,
    BACKUP_VERIFIED,
    Snapshot,
)

__all__ = ["all_branches", "damage_told", "known_backups"]

_PAGE: Final = 1000
_TYPES: Final = (BACKUP_CREATED, BACKUP_VERIFIED, BACKUP_REWRAPPED, BACKUP_PRUNED)


def all_branches(core: Core) -> Program[Lineage]:
    """Return what shows the events of every branch, those that were dropped too, in the order of the log."""
    rows = yield from core.engine.branches()
    return tuple((row.id, FOREVER) for row in rows)


def known_backups(core: Core) -> Program[dict[str, Snapshot]]:
    """Return the backups that the log tells of, by id, in the order in which it first did."""
    found: dict[str, Snapshot] = {}
    query = LogQuery((yield from all_branches(core)), types=_TYPES, limit=_PAGE)
    while True:
        rows = yield from core.engine.page(query)
        for row in rows:
            backup_id = row.stream.rsplit(":", 1)[-1]
            found.setdefault(backup_id, Snapshot.empty(row.stream)).take([row])
        if len(rows) < _PAGE:
            return found
        query = query._replace(after=rows[-1].position)


def damage_told(known: Iterable[Snapshot]) -> Mapping[tuple[str, str], str]:
    """Return in words what is known of damaged files, by canonical path and the checksum that they had."""
    return {
        (canonical(path), checksum): f"validated on {at:%Y-%m-%d}: not valid"
        for snapshot in known
        for path, (checksum, at) in snapshot.damage.items()
    }
