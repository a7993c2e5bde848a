"""Connections to PostgreSQL: how they are made and set, and its errors in our words."""

from __future__ import annotations

import re
from typing import Any, Final

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from psycopg.types.numeric import Int8Dumper
from psycopg_pool import PoolClosed, PoolTimeout, TooManyRequests

from backstory.domain.errors import BackstoryError, ConfigError, IntegrityError, ReadOnlyError, StoreUnavailableError
from backstory.infrastructure.configuration import Settings

_NAMESPACE: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}")
LOST: Final = (psycopg.OperationalError, psycopg.InterfaceError)
_LAST_WORDS: Final = frozenset({"FATAL", "PANIC"})
POOL: Final = (PoolTimeout, PoolClosed, TooManyRequests)


def check_settings(settings: Settings) -> None:
    """Raise `ConfigError` where a setting is nothing for PostgreSQL."""
    if not _NAMESPACE.fullmatch(settings.namespace):
        raise ConfigError(
            f"namespace is {settings.namespace!r}", key="namespace", hint="Use small letters, digits and underscores."
        )


def public_url(url: str) -> str:
    """Return a URL as a log may keep it, without its password and options.

    Raises `ConfigError`, without a word of it, for one that is none: what does not fit may be a part of the password.
    """
    refusal = ConfigError(
        "the PostgreSQL URL is none",
        key="url",
        hint="Write postgresql://user:password@host:port/database, with `%2F` for `/` in the password, and so on.",
    )
    try:
        parts = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        raise refusal from None  # the cause has words of the URL
    user, host, port, name = (str(parts.get(part) or "") for part in ("user", "host", "port", "dbname"))
    if "@" in host + name or (port and not port.replace(",", "").isdigit()):
        raise refusal
    place = f"{host}:{port}" if port else host
    return f"postgresql://{user}@{place}/{name}" if user else f"postgresql://{place}/{name}"


def adapt(connection: psycopg.Connection[Any] | psycopg.AsyncConnection[Any]) -> None:
    """Send every int as a bigint: one prepared statement, whatever the number."""
    connection.adapters.register_dumper(int, Int8Dumper)


def session_settings(settings: Settings, *, read_only: bool) -> sql.Composed:
    """Return the statement that every connection starts with."""
    durable = "on" if settings.durability == "full" else "off"
    parts = [
        sql.SQL("SELECT set_config('search_path', {}, false)").format(settings.namespace),
        sql.SQL("set_config('synchronous_commit', {}, false)").format(durable),
        # Who waited for the log's lock must see what was committed meanwhile, whatever the database's default.
        sql.SQL("set_config('default_transaction_isolation', 'read committed', false)"),
        sql.SQL("set_config('lock_timeout', {}, false)").format(f"{int(settings.busy_timeout_s * 1000)}ms"),
        sql.SQL("set_config('default_transaction_read_only', {}, false)").format("on" if read_only else "off"),
    ]
    return sql.SQL(", ").join(parts)


def ends_session(error: psycopg.Error) -> bool:
    """Return whether an error is a session's last word: no server's at all, or one that hangs up after it.

    The connection may not know yet that it is closed. What the server had done before it hung up, this does not say.
    """
    return isinstance(error, LOST) and (error.sqlstate is None or error.diag.severity_nonlocalized in _LAST_WORDS)


def named(error: Exception, action: str, *, outcome: Any = "unavailable") -> BackstoryError:
    """Return our error for one of psycopg's."""
    text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if isinstance(error, psycopg.errors.ReadOnlySqlTransaction):
        return ReadOnlyError(action)
    if isinstance(error, (psycopg.errors.DataCorrupted, psycopg.errors.IndexCorrupted)):
        return IntegrityError(f"the database is damaged: {text}", kind="file", hint="Restore a backup.")
    if isinstance(error, psycopg.errors.LockNotAvailable):
        return StoreUnavailableError(
            "another writer holds the log's lock", outcome=outcome, hint="Try again, or raise `busy_timeout_s`."
        )
    if outcome == "unknown":
        hint = "Read the log to see whether it was written; events with ids of your own can be appended again."
    else:
        hint = "Check that the server runs and the URL is right, then try again."
    return StoreUnavailableError(f"cannot {action} the store: {text}", outcome=outcome, hint=hint)
