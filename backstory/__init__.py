"""Backstory: the event-sourced state store for agents. Every value has a backstory."""

from backstory.async_state import AsyncTransaction
from backstory.async_store import AsyncStateStore, AsyncStateView, AsyncSubscription
from backstory.context import WriteContext, context
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

__all__ = [
    "ANY",
    "EMPTY",
    "EXISTS",
    "MISSING",
    "AccessDeniedError",
    "AsyncStateStore",
    "AsyncStateView",
    "AsyncSubscription",
    "AsyncTransaction",
    "BackstoryError",
    "BackupError",
    "Branch",
    "Change",
    "ConfigError",
    "ConflictError",
    "Difference",
    "EncryptionError",
    "ErasedError",
    "Event",
    "HookCancelledError",
    "HookError",
    "ImportProblem",
    "ImportReport",
    "IntegrityError",
    "InvalidKeyError",
    "InvalidPointError",
    "InvalidScopeError",
    "InvalidValueError",
    "Metrics",
    "MigrationError",
    "NotFoundError",
    "Problem",
    "ReadOnlyError",
    "RecordedEvent",
    "Recovery",
    "SchemaError",
    "Scope",
    "StateStore",
    "StateView",
    "StoreClosedError",
    "StoreUnavailableError",
    "StoreVersionError",
    "Subscription",
    "Transaction",
    "ValueTooLargeError",
    "VerificationReport",
    "WriteContext",
    "context",
    "open",
    "open_async",
]
