"""Reports: what a plan would do, and what became of a run, as users see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from backstory.domain.migrations import Step

Status = str
Json = dict[str, Any]


@dataclass(frozen=True)
class PlanStep:
    """One step of a plan: from a version to the next, what it does in words, and what is at stake."""

    schema: str
    from_: str
    to: str
    changes: tuple[str, ...]
    reversible: bool
    risk: str
    breaking: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    description: str = ""

    def as_dict(self) -> Json:
        """Return the step as JSON."""
        return {
            "schema": self.schema,
            "from": self.from_,
            "to": self.to,
            "changes": list(self.changes),
            "reversible": self.reversible,
            "risk": self.risk,
            "breaking": list(self.breaking),
            "warnings": list(self.warnings),
            "description": self.description,
        }


@dataclass(frozen=True)
class Preview:
    """What would become of one value; `error` says why nothing can (then `after` is None)."""

    scope: str
    key: str
    version: str
    before: Any
    after: Any
    error: str | None = None
    path: str | None = None

    def as_dict(self) -> Json:
        """Return the preview as JSON."""
        return {
            "scope": self.scope,
            "key": self.key,
            "version": self.version,
            "before": self.before,
            "after": self.after,
            "error": self.error,
            "path": self.path,
        }


@dataclass(frozen=True)
class PlanFacts:
    """What is to be done, decided: `routes` are the numbers of steps by the version that they begin at.

    `estimated_items` is how many values there were in the whole store when the plan was made; `waiting` names what
    must be migrated before.
    """

    schema: str
    to: str
    from_: str | None
    steps: tuple[PlanStep, ...]
    risk: str
    warnings: tuple[str, ...]
    estimated_items: int
    work: tuple[Step, ...] = field(repr=False)
    routes: Mapping[str, tuple[int, ...]] = field(repr=False)
    waiting: tuple[str, ...] = ()

    def as_dict(self) -> Json:
        """Return the plan as JSON."""
        return {
            "schema": self.schema,
            "from": self.from_,
            "to": self.to,
            "steps": [step.as_dict() for step in self.steps],
            "risk": self.risk,
            "warnings": list(self.warnings),
            "estimated_items": self.estimated_items,
            "waiting": list(self.waiting),
        }


@dataclass(frozen=True)
class ItemError:
    """Why a value could not be migrated: where it is, the step (its number in the plan), the path inside it."""

    scope: str
    key: str
    message: str
    path: str | None = None
    step: int | None = None

    def __str__(self) -> str:
        """Say it in one line."""
        return f"{self.scope} {self.key}: {self.message}"


@dataclass(frozen=True)
class RollbackConflict:
    """A value that was written after it was migrated, and is left alone; or, with force, was not.

    Also one that others wrote since the run began and that carries the new version: the run replaced nothing there.
    """

    scope: str
    key: str
    position: int


@dataclass(frozen=True)
class MigrationReport:
    """What became of a run. `status`: completed, failed, rolled_back, dry_run; in `status()` also running and dead.

    `items_total` counts what was to be migrated, `items_migrated` what the run has migrated (0 where it failed),
    `items_restored` what was brought back. `rollback_point` is the position that holds what was before.
    """

    migration_id: str
    schema: str
    from_: str | None
    to: str
    status: Status
    items_total: int
    items_migrated: int
    duration_s: float
    correlation_id: str
    errors: tuple[ItemError, ...] = ()
    warnings: tuple[str, ...] = ()
    conflicts: tuple[RollbackConflict, ...] = ()
    items_restored: int = 0
    rollback_point: int | None = None
    scope: str | None = None
    keys: str = "*"

    def as_dict(self) -> Json:
        """Return the report as JSON."""
        return {
            "migration_id": self.migration_id,
            "schema": self.schema,
            "from": self.from_,
            "to": self.to,
            "scope": self.scope,
            "keys": self.keys,
            "status": self.status,
            "items_total": self.items_total,
            "items_migrated": self.items_migrated,
            "items_restored": self.items_restored,
            "duration_s": self.duration_s,
            "correlation_id": self.correlation_id,
            "rollback_point": self.rollback_point,
            "errors": [
                {"scope": e.scope, "key": e.key, "path": e.path, "step": e.step, "message": e.message}
                for e in self.errors
            ],
            "warnings": list(self.warnings),
            "conflicts": [{"scope": c.scope, "key": c.key, "position": c.position} for c in self.conflicts],
        }


__all__ = ["ItemError", "MigrationReport", "PlanFacts", "PlanStep", "Preview", "RollbackConflict", "Status"]
