"""Scheduled backups: the book of their schedules, what a run of one builds on, and what it came to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final
from uuid import UUID

from backstory.backups.aside import Progress
from backstory.backups.finding import shelf
from backstory.backups.ordering import made as make_wished
from backstory.backups.ordering import wish_of
from backstory.backups.parents import farthest_fitting
from backstory.backups.shelf import Placed, Shelf
from backstory.backups.standing_orders import BackupOrder
from backstory.backups.wishes import Wish
from backstory.committing import append
from backstory.context import author_of
from backstory.core import Core
from backstory.domain.backup_manifests import Backup
from backstory.domain.commits import Commit, Draft
from backstory.domain.ports import Program
from backstory.domain.retention import RetentionReport
from backstory.domain.scopes import Scope
from backstory.infrastructure import codec
from backstory.infrastructure.archives.encryption import Encryption
from backstory.infrastructure.clock import new_id
from backstory.schedules import Book, Schedule

__all__ = ["BACKUP_BOOK", "BackupRun", "completed", "made"]

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


def made(core: Core, order: BackupOrder, encryption: Encryption | None, progress: Progress | None) -> Program[Backup]:
    """Make a backup as it is ordered: a full one where there is none to build on, and where it is time for one.

    `encryption` is what it is encrypted with where the order names no key.
    """
    wish = wish_of(
        core,
        order.kind,
        target=order.target,
        scopes=None if order.scopes is None else [Scope.parse(each) for each in order.scopes],
        compression=order.compression,
        level=order.level,
        encryption=order.encryption() or encryption,
        importance=order.importance,
    )
    found = Shelf()
    if wish.kind == "incremental":
        found = yield from shelf(core, wish.target)
        parent = yield from _parent(core, wish, found, order.full_every)
        wish = replace(wish, kind="full") if parent is None else replace(wish, parent_id=parent.entry.backup.id)
    return (yield from make_wished(core, replace(wish, scheduled=True), found, progress))


def _parent(core: Core, wish: Wish, found: Shelf, full_every: int | None) -> Program[Placed | None]:
    """Return what the next backup is made on; None: it is time for a full one.

    A chain of a schedule lies in its target as a whole, so that losing another place does not tear it.
    """
    chains = [found.chain_of(each) for each in found.restorable()]
    whole = [chain[-1] for chain in chains if all(each.target.identity == wish.target.identity for each in chain)]
    parent = yield from farthest_fitting(core, wish, whole)
    if parent is None or (full_every is not None and len(found.chain_of(parent)) >= full_every):
        return None
    return parent


def completed(core: Core, begun: bytes, run: BackupRun) -> Program[None]:
    """Write what a run came to, caused by the event that it began with."""
    author = author_of({"cause": UUID(bytes=begun)}, core.actor)
    what = {} if run.error is None else {"what": "create" if run.backup is None else "prune"}
    data: dict[str, Any] = {
        **what,
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
