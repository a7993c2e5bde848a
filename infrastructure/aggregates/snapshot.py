"""The aggregate of a backup: a snapshot of the store that was made, looked at, restored from, and given up."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar, Final

from backstory.domain.scopes import Scope
from backstory.infrastructure.aggregates.kept import KeptAggregate
from backstory.infrastructure.recording.aggregates import TextEvent

BACKUP_CREATED: Final = "backup.created"
BACKUP_VERIFIED: Final = "backup.verified"
BACKUP_REWRAPPED: Final = "backup.rewrapped"
BACKUP_RESTORED: Final = "backup.restored"
BACKUP_PRUNED: Final = "backup.pruned"
BACKUP_FAILED: Final = "backup.failed"
_SNAPSHOTS: Final = "custom:backup:"


class Snapshot(KeptAggregate):
    """A backup's life, in a stream of its own."""

    class Made(TextEvent):
        """It was written, whole, and is on disk."""

        backup: dict[str, Any]

        def apply(self, aggregate: Snapshot) -> None:
            """Know what its manifest says."""
            aggregate.backup = self.backup

    class Verified(TextEvent):
        """It was looked at: the file at `path` that had this `checksum`."""

        is_valid: bool
        errors: list[str]
        trial_restore: bool
        is_damaged: bool = False
        path: str = ""
        checksum: str = ""

        def apply(self, aggregate: Snapshot) -> None:
            """Know of the file whether it is what was written, if that was found out: a key may have been missing."""
            if self.is_damaged:
                aggregate.damage[self.path] = self.checksum, self.timestamp
            elif self.is_valid:
                aggregate.damage.pop(self.path, None)

    class Rewrapped(TextEvent):
        """The file at `path` needs another key from here on, and has another checksum."""

        path: str
        key_id: str
        checksum: str
        size_bytes: int

        def apply(self, aggregate: Snapshot) -> None:
            """Know the checksum that the file has now."""
            aggregate.checksums[self.path] = self.checksum

    class Restored(TextEvent):
        """What it holds, or a part of it, was brought back here; or that was taken back, as `what` says."""

        position: int
        scope: str | None
        keys: str | None
        restored: int
        removed: int
        unchanged: int
        rollback_point: int
        scopes: list[str] | None = None
        what: str = "restore"

    class Pruned(TextEvent):
        """It is not kept any longer; its file is deleted."""

        reason: str

        def apply(self, aggregate: Snapshot) -> None:
            """Be gone."""
            aggregate.is_pruned = True

    class Failed(TextEvent):
        """It could not be made, or not restored; what was is as it was."""

        what: str
        error: str

    KINDS: ClassVar[Mapping[str, str]] = {
        BACKUP_CREATED: "Made",
        BACKUP_VERIFIED: "Verified",
        BACKUP_REWRAPPED: "Rewrapped",
        BACKUP_RESTORED: "Restored",
        BACKUP_PRUNED: "Pruned",
        BACKUP_FAILED: "Failed",
    }

    def begin(self) -> None:
        """Begin as nothing."""
        #: What the manifest said when it was made; empty for one that was made elsewhere, or not at all.
        self.backup: dict[str, Any] = {}
        self.is_pruned = False
        #: The files, by path, that were damaged when they were last looked at: the checksum they bear, and when.
        self.damage: dict[str, tuple[str, datetime]] = {}
        #: The checksums, by path, of files that got another key.
        self.checksums: dict[str, str] = {}

    def say(self, event: str, **facts: Any) -> None:
        """Have something happen to the backup."""
        self.trigger_event(getattr(type(self), event), **facts)

    @property
    def backup_id(self) -> str:
        """The id of the backup."""
        return self.id.removeprefix(_SNAPSHOTS)


def stream_of_snapshot(backup_id: str) -> str:
    """Return the stream of a backup; raises `InvalidScopeError` for an id that is none."""
    return str(Scope.custom(f"backup:{backup_id}"))
