"""`PERSISTENCE_MODULE=backstory.infrastructure.sqlite`: the log in the file of `SQLITE_DBNAME` or `BACKSTORY_STORE`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from backstory.domain.ports import Engine
from backstory.infrastructure.clock import SystemClock
from backstory.infrastructure.configuration import Settings
from backstory.infrastructure.memory.engine import MemoryEngine
from backstory.infrastructure.recording.factory import STORE, LogFactory
from backstory.infrastructure.sqlite.engine import SqliteEngine

DBNAME: Final = "SQLITE_DBNAME"
LOCK_TIMEOUT: Final = "SQLITE_LOCK_TIMEOUT"
_URL: Final = "sqlite:///"


class SqliteFactory(LogFactory):
    """Recorders on a log in a SQLite file, or in memory for the names that mean that to SQLite."""

    def open_engine(self, settings: Settings, *, create: bool) -> Engine:
        """Return an engine on the file; raises `OSError` where the environment names none."""
        path = self._path()
        if ":memory:" in path or "mode=memory" in path:
            return MemoryEngine(SystemClock())
        return SqliteEngine(path, SystemClock(), settings, create=create, read_only=False)

    def _path(self) -> str:
        name = self.env.get(DBNAME)
        if name:
            return name.removeprefix("file:")
        url = self.env.get(STORE) or ""
        if not url.startswith(_URL) or url == _URL:
            keys = ", ".join(self.env.create_keys(DBNAME) + self.env.create_keys(STORE))
            raise OSError(f"the environment names no SQLite file; set one of {keys} ({STORE} as {_URL}file.db)")
        return url.removeprefix(_URL)

    def given_settings(self) -> Mapping[str, Any]:
        """Return the settings for which `SQLITE_...` variables stand."""
        timeout_s = self.number(LOCK_TIMEOUT)
        return {"busy_timeout_s": timeout_s} if timeout_s else {}


Factory = SqliteFactory
