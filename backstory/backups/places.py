"""Places: which point of a backed-up log a caller means, and which backups hold the log up to there."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from backstory.backups.contents import own_records
from backstory.backups.shelf import Placed, Shelf
from backstory.domain.errors import BackupError, InvalidPointError
from backstory.domain.events import StoredEvent, to_micros
from backstory.domain.packed_events import unpack
from backstory.infrastructure.archives.encryption import Encryption

__all__ = ["Place", "beyond", "chain_to", "check_point", "place_in", "refuse_beyond"]


class Place(NamedTuple):
    """A position of a log, and the instant at which its state is looked at, microseconds."""

    position: int
    instant_us: int


def check_point(as_of: object) -> None:
    """Raise `InvalidPointError` for what can be no point of any log."""
    if as_of is None:
        return
    if isinstance(as_of, bool) or not isinstance(as_of, (int, datetime, UUID)):
        raise InvalidPointError(as_of, rule="is no position, datetime or event id")
    if isinstance(as_of, datetime) and as_of.utcoffset() is None:
        raise InvalidPointError(as_of, rule="is a naive datetime", hint="Give it a time zone, such as datetime.UTC.")
    if isinstance(as_of, int) and as_of < 0:
        raise InvalidPointError(as_of, rule="is negative")


def beyond(placed: Placed, as_of: object) -> bool:
    """Return whether a point surely lies after what a backup holds; an event id may lie anywhere."""
    backup = placed.entry.backup
    if isinstance(as_of, datetime):
        return as_of > placed.entry.recorded_at
    return isinstance(as_of, int) and as_of > backup.position


def chain_to(shelf: Shelf, placed: Placed, as_of: object) -> list[Placed] | None:
    """Return the shortest chain with a point that lies after a backup, made of later ones on top of it; or None."""
    found = None
    waiting = shelf.children_of(placed)
    while waiting:
        child = waiting.pop()
        if child.entry.backup.scopes != placed.entry.backup.scopes:
            continue
        if not beyond(child, as_of):
            chain = shelf.chain_of(child)
            if found is None or len(chain) < len(found):
                found = chain
        else:
            waiting += shelf.children_of(child)
    return found


def place_in(chain: Sequence[Placed], as_of: object, encryption: Encryption | None) -> tuple[list[Placed], Place]:
    """Return the part of a chain that holds a point, and where it lies; raises `InvalidPointError`.

    The point must not lie beyond the chain.
    """
    last = chain[-1].entry
    if as_of is None:
        return list(chain), Place(last.backup.position, to_micros(last.recorded_at))
    if isinstance(as_of, UUID):
        return _by_id(chain, as_of, encryption)
    needed = next((at for at, each in enumerate(chain) if not beyond(each, as_of)), len(chain) - 1)
    holding = chain[needed]
    part = list(chain[: needed + 1])
    if isinstance(as_of, datetime):
        instant_us = to_micros(as_of)
        if as_of >= holding.entry.recorded_at:
            return part, Place(holding.entry.backup.position, instant_us)
        return part, Place(_last_by(holding, instant_us, encryption), instant_us)
    assert isinstance(as_of, int)
    if as_of == holding.entry.backup.position:
        return part, Place(as_of, to_micros(holding.entry.recorded_at))
    return part, Place(as_of, _instant_of(holding, as_of, encryption))


def _by_id(chain: Sequence[Placed], event_id: UUID, encryption: Encryption | None) -> tuple[list[Placed], Place]:
    for at, placed in enumerate(chain):
        for page in map(_events, own_records(placed, encryption)):
            for row in page:
                if row.event_id == event_id.bytes:
                    return list(chain[: at + 1]), Place(row.position, row.recorded_us)
    raise InvalidPointError(event_id, rule="is the id of no event in this backup")


def _last_by(placed: Placed, instant_us: int, encryption: Encryption | None) -> int:
    """Return the last position that an archive has recorded at or before an instant."""
    found = placed.entry.backup.since_position
    for page in map(_events, own_records(placed, encryption)):
        if placed.entry.backup.scopes is None and page[0].recorded_us > instant_us:
            break
        found = max([found, *(row.position for row in page if row.recorded_us <= instant_us)])
    return found


def _instant_of(placed: Placed, position: int, encryption: Encryption | None) -> int:
    """Return when the last event at or before a position was recorded, as far as an archive tells."""
    found = 0
    for page in map(_events, own_records(placed, encryption)):
        found = max([found, *(row.recorded_us for row in page if row.position <= position)])
        if placed.entry.backup.scopes is None and page[-1].position >= position:
            break
    return found


def _events(records: list[bytes]) -> list[StoredEvent]:
    return list(map(unpack, records))


def refuse_beyond(placed: Placed, as_of: object) -> BackupError:
    """Return the error for a point that no backup and no live log holds."""
    backup = placed.entry.backup
    return BackupError(
        f"backup {backup.id} ends at position {backup.position}, recorded {placed.entry.recorded_at.isoformat()}; "
        f"nothing that is here holds the log up to {as_of}",
        backup_id=backup.id,
        path=backup.path,
        hint="Restore it without `as_of`, or as of an earlier point.",
    )
