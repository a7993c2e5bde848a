"""The aggregate of a run of a migration: planned, started, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from backstory.domain.scopes import Scope
from backstory.infrastructure.aggregates.kept import KeptAggregate
from backstory.infrastructure.recording.aggregates import TextEvent

RUNS: Final = "custom:migration:"
PLANNED: Final = "planned"
RUNNING: Final = "running"
COMPLETED: Final = "completed"
FAILED: Final = "failed"
ROLLING_BACK: Final = "rolling_back"
ROLLED_BACK: Final = "rolled_back"
ROLLBACK_FAILED: Final = "rollback_failed"
_PLAN: Final = frozenset(
    {"schema", "from_", "to", "scope", "keys", "validation", "batch_size", "steps", "routes", "risk", "warnings"}
)


class MigrationRun(KeptAggregate):
    """A run's life, in a stream of its own."""

    class Planned(TextEvent):
        """What is to be done, whole: it can be taken up by another process."""

        migration_id: str
        schema: str
        from_: str | None
        to: str
        scope: str | None
        keys: str
        validation: str
        batch_size: int
        steps: list[dict[str, Any]]
        routes: dict[str, list[int]]
        risk: str
        warnings: list[str]

        def apply(self, aggregate: MigrationRun) -> None:
            """Know the plan."""
            aggregate.plan = {name: value for name, value in vars(self).items() if name in _PLAN}
            aggregate.status = PLANNED

    class Started(TextEvent):
        """A process began, or took up, what was planned."""

        migration_id: str
        writer: str
        rollback_point: int

        def apply(self, aggregate: MigrationRun) -> None:
            """Be under way."""
            aggregate.status = RUNNING
            aggregate.failed = None
            aggregate.writer = self.writer
            if aggregate.rollback_point is None:
                aggregate.rollback_point = self.rollback_point

    class StepStarted(TextEvent):
        """A step of the plan is applied to what comes by."""

        migration_id: str
        step: int
        from_: str
        to: str
        description: str

    class StepCompleted(TextEvent):
        """All items went through a step."""

        migration_id: str
        step: int
        items: int

    class StepFailed(TextEvent):
        """An item could not go through a step."""

        migration_id: str
        step: int | None
        scope: str
        key: str
        path: str | None
        error: str

        def apply(self, aggregate: MigrationRun) -> None:
            """Know what was wrong."""
            aggregate.failed = {
                "scope": self.scope,
                "key": self.key,
                "message": self.error,
                "path": self.path,
                "step": self.step,
            }

    class Validated(TextEvent):
        """Items were held against their schema."""

        migration_id: str
        phase: str
        level: str
        items: int
        result: str

    class Kept(TextEvent):
        """What was is kept: the log up to a position holds all of it."""

        migration_id: str
        position: int
        items: int

        def apply(self, aggregate: MigrationRun) -> None:
            """Know how many values there are to migrate."""
            aggregate.items = self.items
            aggregate.surveyed = True

    class Completed(TextEvent):
        """All items are migrated."""

        migration_id: str
        items: int
        duration_s: float

        def apply(self, aggregate: MigrationRun) -> None:
            """Be done."""
            aggregate.status = COMPLETED
            aggregate.migrated = self.items
            aggregate.duration_s = self.duration_s

    class Failed(TextEvent):
        """The run gave up, and what was is back."""

        migration_id: str
        error: str
        items: int
        duration_s: float

        def apply(self, aggregate: MigrationRun) -> None:
            """Be done, without success."""
            aggregate.status = FAILED
            aggregate.error = self.error
            aggregate.duration_s = self.duration_s

    class RollbackStarted(TextEvent):
        """What was is being brought back."""

        migration_id: str
        writer: str
        force: bool
        reason: str

        def apply(self, aggregate: MigrationRun) -> None:
            """Be on the way back."""
            aggregate.status = ROLLING_BACK
            aggregate.writer = self.writer
            aggregate.force = self.force
            aggregate.reason = self.reason

    class RollbackCompleted(TextEvent):
        """What was is back, but for what others wrote meanwhile."""

        migration_id: str
        items: int
        conflicts: list[dict[str, Any]]
        duration_s: float

        def apply(self, aggregate: MigrationRun) -> None:
            """Be back."""
            aggregate.status = ROLLED_BACK
            aggregate.restored = self.items
            aggregate.conflicts = self.conflicts
            aggregate.duration_s = self.duration_s

    class RollbackFailed(TextEvent):
        """Not all of it could be brought back."""

        migration_id: str
        error: str

        def apply(self, aggregate: MigrationRun) -> None:
            """Be half way back: to be taken up again."""
            aggregate.status = ROLLBACK_FAILED
            aggregate.error = self.error

    KINDS: ClassVar[Mapping[str, str]] = {
        "migration.planned": "Planned",
        "migration.started": "Started",
        "migration.step_started": "StepStarted",
        "migration.step_completed": "StepCompleted",
        "migration.step_failed": "StepFailed",
        "migration.validated": "Validated",
        "migration.backup": "Kept",
        "migration.completed": "Completed",
        "migration.failed": "Failed",
        "migration.rollback_started": "RollbackStarted",
        "migration.rollback_completed": "RollbackCompleted",
        "migration.rollback_failed": "RollbackFailed",
    }

    def begin(self) -> None:
        """Begin without a plan."""
        self.plan: dict[str, Any] = {}
        self.status = ""
        self.writer: str | None = None
        self.rollback_point: int | None = None
        self.items = 0
        self.migrated = 0
        self.restored = 0
        self.conflicts: list[dict[str, Any]] = []
        self.error: str | None = None
        self.failed: dict[str, Any] | None = None
        self.duration_s = 0.0
        self.force = False
        #: Why what was is brought back: `failed`, or `asked`.
        self.reason = ""
        #: Whether it is known how many values there are.
        self.surveyed = False

    def say(self, event: str, **facts: Any) -> None:
        """Have something happen to the run."""
        self.trigger_event(getattr(type(self), event), migration_id=self.migration_id, **facts)

    @property
    def migration_id(self) -> str:
        """The id of the run."""
        return self.id.removeprefix(RUNS)


def stream_of_run(migration_id: str) -> str:
    """Return the stream of a run."""
    return str(Scope.custom(f"migration:{migration_id}"))
