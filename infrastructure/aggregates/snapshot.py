"""The aggregate of a backup: a snapshot of the store that was made, looked at, restored from, and given up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from backstory.domain.scopes import Scope
from backstory.infrastructure.aggregates.kept import KeptAggregate
from backstory.infrastructure.recording.aggregates import TextEvent

BACKUP_CREATED: Final = "backup.created"
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
            aggregate.status = "created"

    class Verified(TextEvent):
        """It was looked at."""

        is_valid: bool
        errors: list[str]
        trial_restore: bool

        def apply(self, aggregate: Snapshot) -> None:
            """Know whether it is good."""
            aggregate.status = "verified" if self.is_valid else "damaged"

    class Restored(TextEvent):
        """What it holds, or a part of it, was brought back here."""

        position: int
        scope: str | None
        keys: str | None
        restored: int
        removed: int
        unchanged: int
        rollback_point: int

        def apply(self, aggregate: Snapshot) -> None:
            """Count it."""
            aggregate.restores += 1

    class Pruned(TextEvent):
        """It is not kept any longer; its file is deleted."""

        reason: str

        def apply(self, aggregate: Snapshot) -> None:
            """Be gone."""
            aggregate.status = "pruned"

    class Failed(TextEvent):
        """It could not be made, or not restored; what was is as it was."""

        what: str
        error: str

        def apply(self, aggregate: Snapshot) -> None:
            """Know what was wrong."""
            aggregate.error = self.error
            if self.what == "create":
                aggregate.status = "failed"

    KINDS: ClassVar[Mapping[str, str]] = {
        BACKUP_CREATED: "Made",
        "backup.verified": "Verified",
        BACKUP_RESTORED: "Restored",
        BACKUP_PRUNED: "Pruned",
        BACKUP_FAILED: "Failed",
    }

    def begin(self) -> None:
        """Begin as nothing."""
        self.backup: dict[str, Any] = {}
        self.status = ""
        self.error: str | None = None
        self.restores = 0

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
