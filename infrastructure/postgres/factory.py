"""`PERSISTENCE_MODULE=backstory.infrastructure.postgres`: the log that `POSTGRES_...` or `BACKSTORY_STORE` names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

from backstory.domain.ports import Engine
from backstory.infrastructure.clock import SystemClock
from backstory.infrastructure.configuration import Settings
from backstory.infrastructure.postgres.engine import PostgresEngine
from backstory.infrastructure.recording.factory import STORE, LogFactory

DBNAME: Final = "POSTGRES_DBNAME"
SCHEMA: Final = "POSTGRES_SCHEMA"
LOCK_TIMEOUT: Final = "POSTGRES_LOCK_TIMEOUT"
POOL_SIZE: Final = "POSTGRES_POOL_SIZE"
_CONNECTION: Final = {
    "host": "POSTGRES_HOST",
    "port": "POSTGRES_PORT",
    "user": "POSTGRES_USER",
    "password": "POSTGRES_PASSWORD",
    "connect_timeout": "POSTGRES_CONNECT_TIMEOUT",
}


class PostgresFactory(LogFactory):
    """Recorders on a log in a PostgreSQL schema."""

    def open_engine(self, settings: Settings, *, create: bool) -> Engine:
        """Return an engine on the database; raises `OSError` where the environment names none."""
        return PostgresEngine.open(self._url(), SystemClock(), settings, create=create, read_only=False)

    def _url(self) -> str:
        name = self.env.get(DBNAME)
        if name:
            parts = {part: self.env.get(variable) for part, variable in _CONNECTION.items()}
            given = {part: value for part, value in parts.items() if value}
            return "postgresql:///?" + urlencode({"dbname": name, **given}, quote_via=quote)
        url = self.env.get(STORE) or ""
        if not url.startswith(("postgresql://", "postgres://")):
            keys = ", ".join(self.env.create_keys(DBNAME) + self.env.create_keys(STORE))
            raise OSError(f"the environment names no PostgreSQL database; set one of {keys}")
        return url

    def given_settings(self) -> Mapping[str, Any]:
        """Return the settings for which `POSTGRES_...` variables stand."""
        found = {
            "busy_timeout_s": self.number(LOCK_TIMEOUT),
            "pool_size": self.number(POOL_SIZE),
            "namespace": self.env.get(SCHEMA),
        }
        return {name: value for name, value in found.items() if value}


Factory = PostgresFactory
