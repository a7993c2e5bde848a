"""Locating: whether backups hold the point that a restore is to bring back, or the live log that carries on from them.

The live log carries on from a backup that it contains: where it has the same hash at the backup's position.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from backstory.backups.aside import aside
from backstory.backups.contents import check_chain
from backstory.backups.knowing import all_branches
from backstory.backups.parents import hash_at
from backstory.backups.places import Place, before_the_log, is_of_backups, last_event, part_to, within
from backstory.backups.shelf import Placed, Shelf
from backstory.backups.timelines import archived, holding, refuse_beyond
from backstory.core import Core
from backstory.domain.branches import lineage_of
from backstory.domain.errors import BackupError, EncryptionError, IntegrityError
from backstory.domain.events import StoredEvent
from backstory.domain.ports import LogQuery, Program
from backstory.infrastructure.archives.encryption import Encryption
from backstory.projections.points import At

__all__ = ["Located", "located"]

_PAGE: Final = 100


class Located(NamedTuple):
    """The backups that hold a log up to a place; or, on a branch of it, the `live` log that carries on from them."""

    chain: list[Placed]
    place: Place
    live: Core | None = None


def located(core: Core, shelf: Shelf, placed: Placed, point: object, encryption: Encryption | None) -> Program[Located]:
    """Return where a point is read.

    Raises `BackupError` where a later backup and the live log both hold it, and not the same, or nothing does, and
    `InvalidPointError`.
    """
    at = None
    if point is not None and (yield from _contains(core, placed)):
        at = yield from _reached(core, point)
    if at is None:
        return (yield from _in_archives(core, shelf, placed, point, encryption))
    if not isinstance(point, UUID) and not within(placed, point):
        yield from _check_agreement(core, shelf, placed, point, at=at, encryption=encryption)
    chain, place = shelf.chain_of(placed), Place(*at)
    if at.position <= placed.entry.backup.position:
        yield from aside(lambda: check_chain(chain, encryption))
        return Located(part_to(chain, at.position), place)
    return Located(chain, place, (yield from _branch_of(core, placed)))


def _contains(core: Core, placed: Placed) -> Program[bool]:
    if core.engine.log_id != placed.entry.log_id:
        return False
    return (yield from hash_at(core, placed.entry.backup.position)) == placed.entry.head_hash


def _reached(core: Core, point: object) -> Program[At | None]:
    """Return where a point lies in the live log, None where that does not reach it."""
    if isinstance(point, UUID):
        row = yield from core.engine.event(point.bytes)
        return None if row is None else At(row.position, row.recorded_us)
    head = yield from core.engine.head()
    if isinstance(point, int) and point > head.position:
        return None
    at = yield from core.state.at(point)
    if isinstance(point, datetime) and not at.position and head.position:
        raise before_the_log(point, (yield from core.engine.events_at([1]))[0].recorded_us)
    return at


def _in_archives(
    core: Core, shelf: Shelf, placed: Placed, point: object, encryption: Encryption | None
) -> Program[Located]:
    found = yield from aside(lambda: archived(shelf, placed, point, encryption))
    if found is not None:
        return Located(*found)
    if (yield from _contains(core, placed)):
        yield from core.state.at(point)  # says how far the live log reaches
    raise refuse_beyond(placed, point)


# Other timelines


def _check_agreement(
    core: Core, shelf: Shelf, placed: Placed, point: object, *, at: At, encryption: Encryption | None
) -> Program[None]:
    """Raise `BackupError` where a later backup holds other events up to a point than the live log.

    It was made before the store was brought back from an earlier one. Later backups of the live log add nothing to it.
    """
    for chain in holding(shelf, placed, point):
        last = chain[-1].entry
        if (yield from hash_at(core, last.backup.position)) == last.head_hash:
            continue
        event_id = yield from _last_event(core, placed, at)
        if not (yield from _ends_with(chain, placed, point, event_id=event_id, encryption=encryption)):
            raise _ambiguous(placed, chain[-1], point)


def _last_event(core: Core, placed: Placed, at: At) -> Program[bytes | None]:
    """Return the id of the last event of the live log after a backup and up to a place, of the backup's scopes.

    What became of backups does not count.
    """
    backup = placed.entry.backup
    query = LogQuery((yield from all_branches(core)), backup.position, at.position, limit=_PAGE, reverse=True)
    found = []
    for stream in [None] if backup.scopes is None else map(str, backup.scopes):
        row = yield from _last_counting(core, query._replace(stream=stream))
        found += [] if row is None else [(row.position, row.event_id)]
    return max(found, default=(0, None))[1]


def _last_counting(core: Core, query: LogQuery) -> Program[StoredEvent | None]:
    while True:
        rows = yield from core.engine.page(query)
        row = next((row for row in rows if not is_of_backups(row)), None)
        if row is not None or len(rows) < query.limit:
            return row
        query = query._replace(until=rows[-1].position - 1)


def _ends_with(
    chain: list[Placed], placed: Placed, point: object, *, event_id: bytes | None, encryption: Encryption | None
) -> Program[bool]:
    """Return whether a chain surely has the same last event up to a point."""
    after = placed.entry.backup.position
    try:
        found = yield from aside(lambda: last_event(chain, point, encryption, after=after))
    except (BackupError, EncryptionError, IntegrityError):
        return False
    return found == event_id


def _ambiguous(placed: Placed, other: Placed, point: object) -> BackupError:
    backup = other.entry.backup
    return BackupError(
        f"{point} lies in the live log and in backup {backup.id}, which is made on {placed.entry.backup.id} and of a "
        f"log that went on otherwise",
        backup_id=backup.id,
        path=backup.path,
        hint=f"Restore {backup.id} for what it holds. For the live log give the id of an event; `rollback` takes a "
        "restore back.",
    )


# Branches


def _branch_of(core: Core, placed: Placed) -> Program[Core]:
    """Return the branch of the live log that a backup is of; its name may have been given again."""
    backup = placed.entry.backup
    rows = yield from core.engine.branches()
    row = next((row for row in rows if (row.id, row.name) == (backup.branch_id, backup.branch)), None)
    if row is None:
        raise BackupError(
            f"backup {backup.id} is of branch {backup.branch}, of which the live log knows nothing",
            backup_id=backup.id,
            path=backup.path,
            hint="Restore it without `as_of`, or as of a point that it holds.",
        )
    return core if row.id == core.branch.id else core.on(row, lineage_of(rows, row.id))
