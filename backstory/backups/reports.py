"""Reports: what validating, restoring and counting backups tells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from backstory.backups.shelf import Unreachable
from backstory.domain.backup_manifests import Backup
from backstory.domain.events import Difference

__all__ = ["BackupUsage", "BackupValidation", "RestoreReport"]


@dataclass(frozen=True, slots=True)
class BackupValidation:
    """What was found of a backup and of all that it builds on. `errors` and `warnings` are sentences.

    `backup` is None where not even its manifest could be read. `checked` are the ids looked at, the full one first;
    `events` and `entries` count what the trial restore brought back, None where there was none. `damaged` are the ids
    of those whose files are not what was written, whatever else is wrong: a key may be missing, or a parent.
    """

    backup_id: str
    backup: Backup | None = None
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    checked: tuple[str, ...] = ()
    events: int | None = None
    entries: int | None = None
    damaged: tuple[str, ...] = ()

    @property
    def is_valid(self) -> bool:
        """Whether it can be restored."""
        return not self.errors

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it, without the backup."""
        return {
            "backup_id": self.backup_id,
            "is_valid": self.is_valid,
            "errors": list(self.errors),
            "warnings": list(self.warnings),
            "checked": list(self.checked),
            "events": self.events,
            "entries": self.entries,
        }


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """What a restore did, or would do.

    `position` is the point of the log whose state is there now. `restored` values were written, `removed` ones taken
    away, `unchanged` ones were as they should be. `rollback_point` is the live store's head before, which
    `rollback(rollback_point)` brings back; 0 for a new store. `events` counts those that a new store
    got. `diff` is what differs, or did, sorted by scope and key; a new store has nothing to differ from.
    """

    backup_id: str
    position: int
    restored: int
    removed: int = 0
    unchanged: int = 0
    rollback_point: int = 0
    events: int = 0
    into: str | None = None
    dry_run: bool = False
    diff: Sequence[Difference] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class BackupUsage:
    """What backups take. `missing` are the ids of those that the log knows of and whose files are gone.

    `unreadable` are the paths of files that should be backups and cannot be read; `damaged` those of backups that were
    found not to be what was written when they were last validated. `unreachable` are the places that the log knows of
    and that cannot be looked at, each with its `reason`: what lies there is neither counted nor missing.
    """

    count: int
    full: int
    incremental: int
    size_bytes: int
    raw_bytes: int
    oldest: Backup | None
    newest: Backup | None
    missing: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()
    unreachable: tuple[Unreachable, ...] = ()
