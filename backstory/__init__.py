"""Backstory: the event-sourced state store for agents. Every value has a backstory.

`open` and `open_async` give a store; `store.hooks` is where hooks are registered and asked about. The hooks that come
with Backstory are in `backstory.hooks.builtin`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from backstory.async_state import AsyncTransaction
from backstory.async_store import AsyncStateStore, AsyncStateView, AsyncSubscription
from backstory.context import WriteContext, carried, context
from backstory.core import Metrics
from backstory.domain.branches import Branch
from backstory.domain.errors import (
    AccessDeniedError,
    BackstoryError,
    BackupError,
    ConfigError,
    ConflictError,
    EncryptionError,
    ErasedError,
    HookCancelledError,
    HookError,
    IntegrityError,
    InvalidKeyError,
    InvalidPointError,
    InvalidScopeError,
    InvalidValueError,
    MigrationError,
    NotFoundError,
    ReadOnlyError,
    SchemaError,
    StoreClosedError,
    StoreUnavailableError,
    StoreVersionError,
    ValueTooLargeError,
)
from backstory.domain.events import ANY, EMPTY, EXISTS, MISSING, Change, Difference, Event, RecordedEvent
from backstory.domain.ports import Recovery
from backstory.domain.scopes import Scope
from backstory.importing import ImportProblem, ImportReport
from backstory.opening import open, open_async  # noqa: A004 - the contract's name
from backstory.state import Transaction
from backstory.store import StateStore, StateView, Subscription
from backstory.verification import Problem, VerificationReport

if TYPE_CHECKING:
    from backstory import transforms
    from backstory.async_stepping import AsyncReplaySession
    from backstory.backups.async_face import AsyncBackups
    from backstory.backups.face import Backups
    from backstory.backups.lost import restore
    from backstory.backups.reports import BackupUsage, BackupValidation, RestoreReport
    from backstory.backups.scheduled import BackupRun
    from backstory.counterfactuals import Counterfactual
    from backstory.domain.backup_manifests import Backup
    from backstory.domain.bindings import Binding
    from backstory.domain.breaker import Breaker
    from backstory.domain.compatibility import Compatibility
    from backstory.domain.fields import Field
    from backstory.domain.hooks import HookResult
    from backstory.domain.migrations import Migration
    from backstory.domain.retention import RetentionPolicy, RetentionReport
    from backstory.domain.schemas import Schema, SchemaVersion
    from backstory.domain.validation import Violation
    from backstory.hooks.handle import HookHandle
    from backstory.hooks.history import HookExecution, HookRegistration
    from backstory.hooks.registry import HookInfo
    from backstory.hooks.replaying import Divergence, ReplayReport, ReplayResult
    from backstory.hooks.retention import CompactionReport, Retention
    from backstory.hooks.run_context import HookContext
    from backstory.hooks.statistics import HookStats
    from backstory.infrastructure.archives.encryption import Encryption
    from backstory.migrations.async_face import AsyncMigrationPlan
    from backstory.migrations.face import MigrationPlan
    from backstory.migrations.reports import MigrationReport, Preview
    from backstory.projections.rates import Rate
    from backstory.replay.breakpoints import Breakpoint
    from backstory.replay.comparison import Comparison, ValueDifference
    from backstory.replay.explanation import Explanation, Impact
    from backstory.replay.inspection import Cascade, Inspection, Loop, SlowHook
    from backstory.replay.timeline import Timeline, TimelineEntry, TimelineStats
    from backstory.schedules import At, Cron, Every, Once, Schedule, ScheduledRun
    from backstory.stepping import ReplaySession
    from backstory.tracing import derive

__all__ = [
    "ANY",
    "EMPTY",
    "EXISTS",
    "MISSING",
    "AccessDeniedError",
    "AsyncBackups",
    "AsyncMigrationPlan",
    "AsyncReplaySession",
    "AsyncStateStore",
    "AsyncStateView",
    "AsyncSubscription",
    "AsyncTransaction",
    "At",
    "BackstoryError",
    "Backup",
    "BackupError",
    "BackupRun",
    "BackupUsage",
    "BackupValidation",
    "Backups",
    "Binding",
    "Branch",
    "Breaker",
    "Breakpoint",
    "Cascade",
    "Change",
    "CompactionReport",
    "Comparison",
    "Compatibility",
    "ConfigError",
    "ConflictError",
    "Counterfactual",
    "Cron",
    "Difference",
    "Divergence",
    "Encryption",
    "EncryptionError",
    "ErasedError",
    "Event",
    "Every",
    "Explanation",
    "Field",
    "HookCancelledError",
    "HookContext",
    "HookError",
    "HookExecution",
    "HookHandle",
    "HookInfo",
    "HookRegistration",
    "HookResult",
    "HookStats",
    "Impact",
    "ImportProblem",
    "ImportReport",
    "Inspection",
    "IntegrityError",
    "InvalidKeyError",
    "InvalidPointError",
    "InvalidScopeError",
    "InvalidValueError",
    "Loop",
    "Metrics",
    "Migration",
    "MigrationError",
    "MigrationPlan",
    "MigrationReport",
    "NotFoundError",
    "Once",
    "Preview",
    "Problem",
    "Rate",
    "ReadOnlyError",
    "RecordedEvent",
    "Recovery",
    "ReplayReport",
    "ReplayResult",
    "ReplaySession",
    "RestoreReport",
    "Retention",
    "RetentionPolicy",
    "RetentionReport",
    "Schedule",
    "ScheduledRun",
    "Schema",
    "SchemaError",
    "SchemaVersion",
    "Scope",
    "SlowHook",
    "StateStore",
    "StateView",
    "StoreClosedError",
    "StoreUnavailableError",
    "StoreVersionError",
    "Subscription",
    "Timeline",
    "TimelineEntry",
    "TimelineStats",
    "Transaction",
    "ValueDifference",
    "ValueTooLargeError",
    "VerificationReport",
    "Violation",
    "WriteContext",
    "carried",
    "context",
    "derive",
    "open",
    "open_async",
    "restore",
    "transforms",
]

#: Where the names of hooks and of questions to the past are: imported when one is first asked for, for most programs
#: need none.
_LATER: Final = {
    "AsyncBackups": "backstory.backups.async_face",
    "AsyncMigrationPlan": "backstory.migrations.async_face",
    "AsyncReplaySession": "backstory.async_stepping",
    "At": "backstory.schedules",
    "Backup": "backstory.domain.backup_manifests",
    "BackupRun": "backstory.backups.scheduled",
    "BackupUsage": "backstory.backups.reports",
    "BackupValidation": "backstory.backups.reports",
    "Backups": "backstory.backups.face",
    "Binding": "backstory.domain.bindings",
    "Breaker": "backstory.domain.breaker",
    "Breakpoint": "backstory.replay.breakpoints",
    "Cascade": "backstory.replay.inspection",
    "CompactionReport": "backstory.hooks.retention",
    "Comparison": "backstory.replay.comparison",
    "Compatibility": "backstory.domain.compatibility",
    "Counterfactual": "backstory.counterfactuals",
    "Cron": "backstory.schedules",
    "Divergence": "backstory.hooks.replaying",
    "Encryption": "backstory.infrastructure.archives.encryption",
    "Every": "backstory.schedules",
    "Explanation": "backstory.replay.explanation",
    "Field": "backstory.domain.fields",
    "HookContext": "backstory.hooks.run_context",
    "HookExecution": "backstory.hooks.history",
    "HookHandle": "backstory.hooks.handle",
    "HookInfo": "backstory.hooks.registry",
    "HookRegistration": "backstory.hooks.history",
    "HookResult": "backstory.domain.hooks",
    "HookStats": "backstory.hooks.statistics",
    "Impact": "backstory.replay.explanation",
    "Inspection": "backstory.replay.inspection",
    "Loop": "backstory.replay.inspection",
    "Migration": "backstory.domain.migrations",
    "MigrationPlan": "backstory.migrations.face",
    "MigrationReport": "backstory.migrations.reports",
    "Once": "backstory.schedules",
    "Preview": "backstory.migrations.reports",
    "Rate": "backstory.projections.rates",
    "ReplayReport": "backstory.hooks.replaying",
    "ReplayResult": "backstory.hooks.replaying",
    "ReplaySession": "backstory.stepping",
    "RestoreReport": "backstory.backups.reports",
    "Retention": "backstory.hooks.retention",
    "RetentionPolicy": "backstory.domain.retention",
    "RetentionReport": "backstory.domain.retention",
    "Schedule": "backstory.schedules",
    "ScheduledRun": "backstory.schedules",
    "Schema": "backstory.domain.schemas",
    "SchemaVersion": "backstory.domain.schemas",
    "SlowHook": "backstory.replay.inspection",
    "Timeline": "backstory.replay.timeline",
    "TimelineEntry": "backstory.replay.timeline",
    "TimelineStats": "backstory.replay.timeline",
    "ValueDifference": "backstory.replay.comparison",
    "Violation": "backstory.domain.validation",
    "derive": "backstory.tracing",
    "restore": "backstory.backups.lost",
}


def __getattr__(name: str) -> Any:
    if name == "transforms":
        return import_module("backstory.transforms")
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(_LATER[name]), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
