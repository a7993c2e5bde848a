"""Joining: the parts of the hooks of an open store, put together when the first is registered."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final

from backstory.context import author_of, packed_actor
from backstory.core import Core
from backstory.domain.branches import lineage_of
from backstory.domain.ports import Program
from backstory.domain.redaction import Redaction
from backstory.hooks.after import After
from backstory.hooks.announcing import Announcer
from backstory.hooks.doubts import Doubts
from backstory.hooks.due import short
from backstory.hooks.path import Path
from backstory.hooks.recording import Recorder
from backstory.hooks.registry import Registry
from backstory.sessions import DirectSession

_lock: Final = threading.Lock()


def path_of(core: Core, background: Callable[[After], Any]) -> Path:
    """Return the path of a store's operations, made where there is none yet; all its branches share it."""
    with _lock:
        if core.gate.path is None:
            core.gate.path = _made(core, background)
        assert isinstance(core.gate.path, Path)
        return core.gate.path


def _made(core: Core, background: Callable[[After], Any]) -> Path:
    registry = Registry()
    recorder = Recorder(Redaction(), track_reads=core.settings.track_reads)
    max_bytes = core.settings.max_value_bytes
    after = After(registry, recorder, clock=core.clock, max_bytes=max_bytes, writer=short(core.engine.writer_id))
    after.queue = background(after)

    def session_on(branch: int) -> Program[DirectSession]:
        rows = yield from core.engine.branches()
        row = next(row for row in rows if row.id == branch)
        return core.on(row, lineage_of(rows, branch)).session

    after.clear_up = Doubts(core.engine, after, registry, session_on).clear
    announcer = Announcer(
        core.engine,
        after,
        actor=None if core.actor is None else packed_actor(core.actor),
        session_on=session_on,
    )
    return Path(
        registry,
        recorder,
        core.decisions,
        after=after,
        announcer=announcer,
        clock=core.clock,
        max_bytes=max_bytes,
        author=lambda: author_of({}, core.actor),
    )
