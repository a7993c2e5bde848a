"""States: what a chain of backups says that keys held at a point, without folding the log from its start."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import NamedTuple

from backstory.backups.contents import lineage_in, own_records, stands_in
from backstory.backups.places import Place
from backstory.backups.shelf import Placed
from backstory.domain.branches import Lineage
from backstory.domain.errors import IntegrityError
from backstory.domain.events import StoredEvent
from backstory.domain.packed_events import touch_of, unpack
from backstory.domain.scopes import Scope
from backstory.domain.selection import Selection
from backstory.domain.sequencer import STATE_SET
from backstory.domain.stands import Stand
from backstory.infrastructure import codec
from backstory.infrastructure.archives.encryption import Encryption
from backstory.infrastructure.sqlite.folded_state import FoldedState

__all__ = ["Held", "held_by", "stands_of", "state_of"]

At = tuple[str, str]


class Held(NamedTuple):
    """A value as it was stored: its JSON, when it expires, the schema it carries, and the position of its write."""

    value: bytes
    expires_us: int | None
    schema: tuple[str, str] | None
    position: int


def held_by(row: StoredEvent) -> Held:
    """Return the value that a write's event holds."""
    value, _ = codec.parts_of_set(row.data)
    return Held(value, row.expires_us, codec.schema_of(row.extra), row.position)


def state_of(
    chain: Sequence[Placed],
    place: Place,
    selection: Selection,
    scopes: Collection[Scope | str] | None,
    *,
    encryption: Encryption | None,
    told: Callable[[int], None] | None = None,
) -> dict[At, Held]:
    """Return the values that were present at a point, by scope and key, of a selection of some scopes or of all.

    Only those events are looked at that wrote what is still there. Memory follows what is selected. `told` hears up to
    which position events have been gone through.
    """
    stands = {
        (stand.stream, stand.key): stand for stand in stands_of(chain, place, selection, scopes, encryption=encryption)
    }
    return _values(chain, stands, encryption, told or _nobody)


def stands_of(
    chain: Sequence[Placed],
    place: Place,
    selection: Selection,
    scopes: Collection[Scope | str] | None,
    *,
    encryption: Encryption | None,
) -> Iterator[Stand]:
    """Yield where the keys stood that were present at a point, by scope and key.

    Each backup's own fold is taken as far as it lies before the point; only the events of the one that the point lies
    in are folded. More keys than memory should hold are on disk.
    """
    wanted = None if scopes is None else set(map(str, scopes))

    def fits(stand: Stand) -> bool:
        return (wanted is None or stand.stream in wanted) and selection.fits(stand.stream, stand.key)

    whole = [placed for placed in chain if placed.entry.backup.position <= place.position]
    rest = chain[len(whole) :]
    folded = FoldedState(_lineage_at(rest, place, encryption))
    try:
        for placed in whole:
            folded.settle(filter(fits, stands_in(placed, encryption)))
        for placed in rest:
            _fold(folded, placed, place, encryption)
        yield from (stand for stand in folded.stands() if stand.present(place.instant_us) and fits(stand))
    finally:
        folded.close()


def _lineage_at(chain: Sequence[Placed], place: Place, encryption: Encryption | None) -> Lineage:
    """Return the lineage up to a point of those who hold it and more."""
    lineage = lineage_in(chain[0], encryption) if chain else ()
    return tuple((branch, min(limit, place.position)) for branch, limit in lineage)


def _fold(folded: FoldedState, placed: Placed, place: Place, encryption: Encryption | None) -> None:
    """Fold the events of a backup up to a point."""
    in_log_order = placed.entry.backup.scopes is None
    for records in own_records(placed, encryption):
        touches = list(map(touch_of, records))
        if in_log_order and touches[0][0] > place.position:
            break
        folded.take(touches, records.__getitem__)


def _nobody(_: int) -> None:
    pass


def _values(
    chain: Sequence[Placed], stands: dict[At, Stand], encryption: Encryption | None, told: Callable[[int], None]
) -> dict[At, Held]:
    """Return the values of writes at known positions, from the archives that hold them."""
    wanted = {stand.position: at for at, stand in stands.items()}
    found: dict[At, Held] = {}
    reached = 0
    for placed in chain:
        backup = placed.entry.backup
        if not any(backup.since_position < position <= backup.position for position in wanted):
            continue
        for records in own_records(placed, encryption):
            for record in records:
                position, _, stream, kind, key, _ = touch_of(record)
                at = wanted.get(position)
                if at is not None and kind == STATE_SET and (stream, key) == at:
                    found[at] = held_by(unpack(record))
            # Of selected scopes one is gone through after the other.
            reached = max(reached, touch_of(records[-1])[0])
            told(reached)
    if len(found) != len(stands):
        lost = next(at for at in stands if at not in found)
        raise IntegrityError(
            f"{lost[1]} of {lost[0]} was written at position {stands[lost].position}, and no such event is there",
            position=stands[lost].position,
        )
    return found
