"""`PERSISTENCE_MODULE=backstory.infrastructure.memory`: a log of its own for each factory, gone with it."""

from __future__ import annotations

from backstory.domain.ports import Engine
from backstory.infrastructure.clock import SystemClock
from backstory.infrastructure.configuration import Settings
from backstory.infrastructure.memory.engine import MemoryEngine
from backstory.infrastructure.recording.factory import LogFactory


class MemoryFactory(LogFactory):
    """Recorders on a log in this process's memory."""

    def open_engine(self, settings: Settings, *, create: bool) -> Engine:  # noqa: ARG002 - nothing to set or create
        """Return a new engine: a log in memory is nobody else's."""
        return MemoryEngine(SystemClock())


Factory = MemoryFactory
