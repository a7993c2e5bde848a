"""Scheduled backups: the book of their schedules, what a run of one builds on, and what it came to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from backstory.backups.announcing import snapshot_of
from backstory.backups.finding import default_target
from backstory.backups.orders import BackupOrder
from backstory.backups.shelf import target_holding
from backstory.backups.targets import target_of
from backstory.committing import append
from backstory.context import author_of
from backstory.core import Core
from backstory.domain.backup_manifests import Backup, standings
from backstory.domain.commits import Commit, Draft
from backstory.domain.ports import Program
from backstory.domain.retention import RetentionReport
from backstory.domain.scopes import Scope
from backstory.infrastructure import codec
from backstory.infrastructure.clock import new_id
from backstory.schedules import Book, Schedule

__all__ = ["BACKUP_BOOK", "BackupRun", "completed", "parent_for"]

BACKUP_BOOK: Final = Book("custom:backups", "backup", {"kind": "full"})


@dataclass(frozen=True, slots=True)
class BackupRun:
    """A run of a schedule, as the schedule was before it.

    `backup` is what was made, None where nothing was; `pruned` what became of older ones, None where no policy was
    asked. `error` says what went wrong: the backup may be there all the same, and older ones still be there too.
    """

    schedule: Schedule
    backup: Backup | None
    pruned: RetentionReport | None = None
    error: str | None = None


def parent_for(core: Core, order: BackupOrder, backups: Sequence[Backup]) -> Program[Backup | None]:
    """Return which backup the next incremental one is to be made on; None: it is time for a full one.

    A chain of a schedule lies in its target as a whole, so that losing another place does not tear it. It is made of
    backups that this log knows to be its own: a store that was restored begins anew.
    """
    known = {backup.id: backup for backup in reversed(backups)}
    fitting = [each for each, place in zip(backups, standings(backups), strict=True) if place.fault is None]
    for parent in sorted(fitting, key=lambda each: -each.position):
        chain = _chain(parent, known)
        if _fits(core, order, parent, chain) and (yield from _made_here(core, parent)):
            return parent if order.full_every is None or len(chain) < order.full_every else None
    return None


def _chain(last: Backup, known: dict[str, Backup]) -> list[Backup]:
    """Return what a backup that can be restored builds on, with itself."""
    chain = [last]
    while (parent_id := chain[-1].parent_id) is not None:
        chain.append(known[parent_id])
    return chain


def _fits(core: Core, order: BackupOrder, parent: Backup, chain: Sequence[Backup]) -> bool:
    wanted = None if order.scopes is None else {Scope.parse(each) for each in order.scopes}
    alike = parent.scopes is None if wanted is None else parent.scopes is None or wanted <= set(parent.scopes)
    if not alike or parent.branch != core.branch.name or parent.encrypted != (order.encryption_from is not None):
        return False
    place = (default_target(core) if order.target is None else target_of(order.target)).place
    return all(target_holding(each.path).place == place for each in chain)


def _made_here(core: Core, backup: Backup) -> Program[bool]:
    """Return whether the log says that a backup was made from it."""
    snapshot = yield from snapshot_of(core, backup.id)
    return bool(snapshot.backup)


def completed(core: Core, begun: bytes, run: BackupRun) -> Program[None]:
    """Write what a run came to, caused by the event that it began with."""
    author = author_of({"cause": UUID(bytes=begun)}, core.actor)
    data: dict[str, Any] = {
        "schedule": run.schedule.name,
        "backup_id": None if run.backup is None else run.backup.id,
        "pruned": [] if run.pruned is None else [each.id for each in run.pruned.deleted],
        "error": run.error,
    }
    draft = Draft(
        new_id(),
        BACKUP_BOOK.stream,
        "backup.completed" if run.error is None else "backup.failed",
        codec.encode_value(data),
        correlation=author.correlation,
        causes=author.causes,
        actor=author.actor,
        extra=author.extra,
    )
    yield from append(Commit(core.branch.id, [draft]))
