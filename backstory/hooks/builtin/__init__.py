"""The hooks that come with Backstory. Each is replayable: what it takes from outside, it takes through its context."""

from backstory.hooks.builtin.agent_persistence import AgentPersistence
from backstory.hooks.builtin.audit import Audit
from backstory.hooks.builtin.backup_on_critical_change import BackupOnCriticalChange
from backstory.hooks.builtin.cache_invalidation import CacheInvalidation
from backstory.hooks.builtin.caching import Caching
from backstory.hooks.builtin.change_log import ChangeLog
from backstory.hooks.builtin.cost_tracking import CostTracking
from backstory.hooks.builtin.debugging import Debugging, Trace
from backstory.hooks.builtin.installing import install
from backstory.hooks.builtin.metrics import Metrics
from backstory.hooks.builtin.rate_limit import RateLimit
from backstory.hooks.builtin.retry import Retry
from backstory.hooks.builtin.security import Security
from backstory.hooks.builtin.validation import Validation

__all__ = [
    "AgentPersistence",
    "Audit",
    "BackupOnCriticalChange",
    "CacheInvalidation",
    "Caching",
    "ChangeLog",
    "CostTracking",
    "Debugging",
    "Metrics",
    "RateLimit",
    "Retry",
    "Security",
    "Trace",
    "Validation",
    "install",
]
