"""Fitting: of copies that need different keys, those that a key opens come first. These functions block."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

from backstory.backups.contents import opened
from backstory.backups.shelf import Placed, Shelf
from backstory.domain.errors import BackupError, EncryptionError, IntegrityError
from backstory.infrastructure.archives.encryption import Encryption

__all__ = ["fitted", "opens"]


def opens(placed: Placed, encryption: Encryption | None) -> bool:
    """Return whether a key opens a backup's file."""
    try:
        with opened(placed, encryption):
            return True
    except (BackupError, EncryptionError, IntegrityError):
        return False


def fitted(shelf: Shelf, encryption: Encryption | None) -> Shelf:
    """Return a shelf on which of copies with different keys those come first that this one opens."""
    keys: dict[str, set[str | None]] = defaultdict(set)
    for each in shelf.placed:
        keys[each.entry.backup.id].add(each.entry.key_id)
    mixed = {backup_id for backup_id, found in keys.items() if len(found) > 1}
    if encryption is None or not mixed:
        return shelf
    fits = {id(each.entry): opens(each, encryption) for each in shelf.placed if each.entry.backup.id in mixed}
    order = {each.entry.backup.id: at for at, each in reversed(list(enumerate(shelf.placed)))}
    placed = sorted(shelf.placed, key=lambda each: (order[each.entry.backup.id], not fits.get(id(each.entry), True)))
    return replace(shelf, placed=tuple(placed))
