"""Places: where in a chain of backups a point lies that a caller means."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from backstory.backups.contents import own_records
from backstory.backups.shelf import Placed
from backstory.domain.errors import InvalidPointError
from backstory.domain.events import StoredEvent, from_micros, to_micros
from backstory.domain.packed_events import unpack
from backstory.infrastructure.archives.encryption import Encryption

__all__ = [
    "Place",
    "before_the_log",
    "check_point",
    "is_of_backups",
    "last_event",
    "part_to",
    "place_in",
    "place_of_event",
    "within",
]

_OF_BACKUPS: Final = "backup."


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


def within(placed: Placed, as_of: object) -> bool:
    """Return whether a backup surely holds all events up to a position or instant.

    What came after it may have been recorded at the same instant as its last event: clocks stand still, or are set
    back.
    """
    if isinstance(as_of, datetime):
        return as_of < placed.entry.recorded_at
    return isinstance(as_of, int) and as_of <= placed.entry.backup.position


def part_to(chain: Sequence[Placed], position: int) -> list[Placed]:
    """Return as much of a chain as holds the log up to a position."""
    needed = next((at for at, each in enumerate(chain) if position <= each.entry.backup.position), len(chain) - 1)
    return list(chain[: needed + 1])


def place_in(chain: Sequence[Placed], as_of: object, encryption: Encryption | None) -> tuple[list[Placed], Place]:
    """Return the part of a chain that holds a position or instant (None: all of it), and where that lies.

    It must not lie beyond the chain. Raises `InvalidPointError` for an instant before the log began.
    """
    last = chain[-1].entry
    if as_of is None:
        return list(chain), Place(last.backup.position, to_micros(last.recorded_at))
    needed = next((at for at, each in enumerate(chain) if within(each, as_of)), len(chain) - 1)
    part = list(chain[: needed + 1])
    if isinstance(as_of, datetime):
        return part, _place_at(part[-1], as_of, encryption)
    assert isinstance(as_of, int)
    holding = part[-1]
    if as_of == holding.entry.backup.position:
        return part, Place(as_of, to_micros(holding.entry.recorded_at))
    return part, Place(as_of, _instant_of(holding, as_of, encryption))


def _place_at(holding: Placed, as_of: datetime, encryption: Encryption | None) -> Place:
    instant_us = to_micros(as_of)
    if as_of >= holding.entry.recorded_at:
        return Place(holding.entry.backup.position, instant_us)
    position = _last_by(holding, instant_us, encryption)
    if not position:
        recorded = (row.recorded_us for page in _pages(holding, encryption) for row in page)
        begins_us = min(recorded, default=None)
        if begins_us is not None:
            raise before_the_log(as_of, begins_us)
    return Place(position, instant_us)


def before_the_log(as_of: object, begins_us: int) -> InvalidPointError:
    """Return the error for an instant at which there was nothing yet: it is mistyped more often than meant."""
    return InvalidPointError(
        as_of,
        rule=f"lies before the first event, recorded {from_micros(begins_us).isoformat()}",
        hint="Give a later instant; position 0 is how to say that nothing was there yet.",
    )


def place_of_event(placed: Placed, event_id: UUID, encryption: Encryption | None) -> Place | None:
    """Return where an event lies that one archive holds, None where it does not."""
    for page in _pages(placed, encryption):
        for row in page:
            if row.event_id == event_id.bytes:
                return Place(row.position, row.recorded_us)
    return None


def last_event(chain: Sequence[Placed], as_of: object, encryption: Encryption | None, *, after: int) -> bytes | None:
    """Return the id of the last event up to a position or instant that a chain holds after a position; None: none.

    What became of backups does not count.
    """
    upto = _upto(as_of)
    for placed in reversed(chain):
        if placed.entry.backup.position <= after:
            break
        rows = (row for page in _pages(placed, encryption) for row in page)
        counting = (row for row in rows if row.position > after and upto(row) and not is_of_backups(row))
        found = max(((row.position, row.event_id) for row in counting), default=None)
        if found is not None:
            return found[1]
    return None


def is_of_backups(row: StoredEvent) -> bool:
    """Return whether an event tells what became of a backup: logs do not differ in what matters by those."""
    return row.type.startswith(_OF_BACKUPS)


def _upto(as_of: object) -> Callable[[StoredEvent], bool]:
    if isinstance(as_of, datetime):
        instant_us = to_micros(as_of)
        return lambda row: row.recorded_us <= instant_us
    assert isinstance(as_of, int)
    return lambda row: row.position <= as_of


def _last_by(placed: Placed, instant_us: int, encryption: Encryption | None) -> int:
    """Return the last position that an archive has recorded at or before an instant."""
    found = placed.entry.backup.since_position
    for page in _pages(placed, encryption):
        if placed.entry.backup.scopes is None and page[0].recorded_us > instant_us:
            break
        found = max([found, *(row.position for row in page if row.recorded_us <= instant_us)])
    return found


def _instant_of(placed: Placed, position: int, encryption: Encryption | None) -> int:
    """Return when the last event at or before a position was recorded, as far as an archive tells."""
    found = 0
    for page in _pages(placed, encryption):
        found = max([found, *(row.recorded_us for row in page if row.position <= position)])
        if placed.entry.backup.scopes is None and page[-1].position >= position:
            break
    return found


def _pages(placed: Placed, encryption: Encryption | None) -> Iterator[list[StoredEvent]]:
    return (list(map(unpack, records)) for records in own_records(placed, encryption))
