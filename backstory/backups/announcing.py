"""Announcing: what happens to backups, as events of their aggregates."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

from backstory.committing import append
from backstory.context import author_of
from backstory.core import Core
from backstory.domain.commits import Commit
from backstory.domain.errors import BackstoryError, StoreUnavailableError
from backstory.domain.ports import LogQuery, Program
from backstory.infrastructure.aggregates.snapshot import Snapshot, stream_of_snapshot

__all__ = ["failed", "said", "snapshot_of"]

_PAGE: Final = 1000


def snapshot_of(core: Core, backup_id: str) -> Program[Snapshot]:
    """Return the aggregate of a backup: an empty one where the log knows nothing of it."""
    stream = stream_of_snapshot(backup_id)
    snapshot, after = Snapshot.empty(stream), 0
    while True:
        rows = yield from core.engine.page(LogQuery(core.lineage, after, stream=stream, limit=_PAGE))
        snapshot.take(rows)
        if len(rows) < _PAGE:
            return snapshot
        after = rows[-1].position


def said(
    core: Core, backup_id: str, event: str | None = None, *, snapshot: Snapshot | None = None, **facts: Any
) -> Program[None]:
    """Put into the log what happened to a backup."""
    snapshot = snapshot or (yield from snapshot_of(core, backup_id))
    if event is not None:
        snapshot.say(event, **facts)
    drafts = snapshot.drafts(author_of({}, core.actor))
    yield from append(Commit(core.branch.id, drafts))


def failed(core: Core, backup_id: str, what: str, error: Exception) -> Program[None]:
    """Put into the log that something failed, if it can be told: the error at hand says more than one about telling.

    What nobody knows the outcome of is not called failed.
    """
    if core.engine.read_only or (isinstance(error, StoreUnavailableError) and error.outcome == "unknown"):
        return
    with suppress(BackstoryError):
        yield from said(core, backup_id, "Failed", what=what, error=str(error))
