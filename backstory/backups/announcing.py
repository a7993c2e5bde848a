"""Announcing: what happens to backups, as events of their aggregates."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from backstory.backups.reports import BackupValidation
from backstory.backups.shelf import Placed
from backstory.committing import append
from backstory.context import author_of
from backstory.core import Core
from backstory.domain.commits import Commit, Draft
from backstory.domain.errors import BackstoryError, StoreUnavailableError
from backstory.domain.ports import Program
from backstory.infrastructure.aggregates.snapshot import Snapshot, stream_of_snapshot

__all__ = ["failed", "said", "unsaid", "verified"]


def unsaid(backup_id: str) -> Snapshot:
    """Return an aggregate to say something of a backup with: what was said before does not matter for that."""
    return Snapshot.empty(stream_of_snapshot(backup_id))


def said(core: Core, backup_id: str, event: str, **facts: Any) -> Program[None]:
    """Put into the log what happened to a backup."""
    snapshot = unsaid(backup_id)
    snapshot.say(event, **facts)
    yield from append(Commit(core.branch.id, snapshot.drafts(author_of({}, core.actor))))


def verified(core: Core, report: BackupValidation, chain: Sequence[Placed], *, trial_restore: bool) -> Program[None]:
    """Put into the log what was found of a backup, and of each other one of its chain of which that is news."""
    author = author_of({}, core.actor)
    drafts: list[Draft] = []
    for placed in chain:
        backup = placed.entry.backup
        is_damaged = backup.id in report.damaged
        is_news = is_damaged or (report.is_valid and placed.is_damaged)
        if backup.id != report.backup_id and not is_news:
            continue
        snapshot = unsaid(backup.id)
        snapshot.say(
            "Verified",
            is_valid=report.is_valid,
            errors=list(report.errors),
            trial_restore=trial_restore,
            is_damaged=is_damaged,
            path=backup.path,
            checksum=backup.checksum,
        )
        drafts += snapshot.drafts(author)
    yield from append(Commit(core.branch.id, drafts))


def failed(core: Core, backup_id: str, what: str, error: Exception) -> Program[None]:
    """Put into the log that something failed, if it can be told: the error at hand says more than one about telling.

    What nobody knows the outcome of is not called failed.
    """
    if core.engine.read_only or (isinstance(error, StoreUnavailableError) and error.outcome == "unknown"):
        return
    with suppress(BackstoryError):
        yield from said(core, backup_id, "Failed", what=what, error=str(error))
