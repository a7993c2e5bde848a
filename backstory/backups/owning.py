"""Owning: which backups are of this store's own history, and which of them somebody else needs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from backstory.backups.finding import Survey
from backstory.backups.shelf import Placed
from backstory.core import Core
from backstory.domain.chain import genesis
from backstory.domain.ports import Program
from backstory.infrastructure.aggregates.snapshot import Snapshot

__all__ = ["Owned", "needed_elsewhere", "needed_since", "owned"]


class Owned(NamedTuple):
    """The backups of a log: those of this store's history, and those of another store's that went on from it."""

    own: list[Placed]
    other: list[Placed]


def owned(core: Core, placed: Iterable[Placed]) -> Program[Owned]:
    """Return whose the backups of this log are; those of other logs are left out.

    A store that was restored has the log id of the one before. Both may go on: a backup is of the one that has, at its
    position, the hash that it ends with.
    """
    found = [each for each in placed if each.entry.log_id == core.engine.log_id]
    rows = yield from core.engine.events_at(sorted({each.entry.backup.position for each in found}))
    hashes = {row.position: row.hash for row in rows} | {0: genesis(core.engine.log_id)}
    own = [each for each in found if hashes.get(each.entry.backup.position) == each.entry.head_hash]
    paths = {each.entry.backup.path for each in own}
    return Owned(own, [each for each in found if each.entry.backup.path not in paths])


def needed_elsewhere(surveyed: Survey, other: Iterable[Placed]) -> dict[str, str]:
    """Return, by id, who needs backups that are not seen to be needed: another history, or what cannot be looked at."""
    parents = {snapshot.backup_id: snapshot.backup.get("parent_id") for snapshot in surveyed.known.values()}
    parents |= {each.entry.backup.id: each.entry.backup.parent_id for each in surveyed.shelf.placed}
    needed: dict[str, str] = {}
    for each in other:
        words = f"{each.entry.backup.id} builds on it, of another history of this log"
        _climb(each.entry.backup.id, parents, words, needed)
    for backup_id in surveyed.kept():
        if (hidden := surveyed.hidden(backup_id)) is not None:
            words = f"{backup_id} builds on it, in {hidden.place}, which cannot be looked at"
            _climb(backup_id, parents, words, needed)
    return needed


def needed_since(before: Mapping[str, Snapshot], now: Mapping[str, Snapshot]) -> dict[str, str]:
    """Return, by id, what was made meanwhile on backups that nobody needed before."""
    parents = {snapshot.backup_id: snapshot.backup.get("parent_id") for snapshot in now.values()}
    needed: dict[str, str] = {}
    for backup_id, snapshot in now.items():
        if backup_id not in before and not snapshot.is_pruned:
            _climb(backup_id, parents, f"{backup_id}, made meanwhile, builds on it", needed)
    return needed


def _climb(backup_id: str, parents: Mapping[str, str | None], words: str, needed: dict[str, str]) -> None:
    """Say of all that a backup builds on who needs it."""
    at = parents.get(backup_id)
    while at is not None and at not in needed:
        needed[at] = words
        at = parents.get(at)
