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
    from backstory.domain.breaker import Breaker
    from backstory.domain.hooks import HookResult
    from backstory.hooks.handle import HookHandle
    from backstory.hooks.history import HookExecution, HookRegistration
    from backstory.hooks.registry import HookInfo
    from backstory.hooks.retention import Retention, RetentionReport
    from backstory.hooks.run_context import HookContext
    from backstory.hooks.statistics import HookStats

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
    "Breaker",
    "Change",
    "ConfigError",
    "ConflictError",
    "Difference",
    "EncryptionError",
    "ErasedError",
    "Event",
    "HookCancelledError",
    "HookContext",
    "HookError",
    "HookExecution",
    "HookHandle",
    "HookInfo",
    "HookRegistration",
    "HookResult",
    "HookStats",
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
    "Retention",
    "RetentionReport",
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
    "carried",
    "context",
    "open",
    "open_async",
]

#: Where the names of hooks are: imported when one is first asked for, for most programs need none.
_LATER: Final = {
    "Breaker": "backstory.domain.breaker",
    "HookContext": "backstory.hooks.run_context",
    "HookExecution": "backstory.hooks.history",
    "HookHandle": "backstory.hooks.handle",
    "HookInfo": "backstory.hooks.registry",
    "HookRegistration": "backstory.hooks.history",
    "HookResult": "backstory.domain.hooks",
    "HookStats": "backstory.hooks.statistics",
    "Retention": "backstory.hooks.retention",
    "RetentionReport": "backstory.hooks.retention",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(_LATER[name]), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
