"""Figures: the hash and size of the state that a backup is of, counted from what came since its parent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final, NamedTuple, TypeVar

from backstory.backups.entries import Entry
from backstory.domain.branches import Lineage
from backstory.domain.events import to_micros
from backstory.domain.ports import LogHead, Program, Reader
from backstory.domain.scopes import Scope
from backstory.domain.stands import Stand, pack_stand
from backstory.domain.state_hash import StateHash
from backstory.infrastructure.programs import gather
from backstory.infrastructure.sqlite.folded_state import FoldedState

__all__ = ["Seen", "state_hash"]

T = TypeVar("T")
#: So many keys are looked up at once.
_TOGETHER: Final = 500


class Seen(NamedTuple):
    """A branch's state at a head: its lineage up to there, and what was folded since the parent."""

    reader: Reader
    lineage: Lineage
    head: LogHead
    folded: FoldedState


def state_hash(seen: Seen, scopes: tuple[Scope, ...] | None, parent: Entry | None) -> Program[StateHash]:
    """Return the hash and size of the state of some scopes, or of all: the parent's, but for what has changed since.

    What changed is what was touched, and what has expired. Of scopes without a parent, or whose parent holds others
    too, it is counted in the store itself: no hash chain would show that events of theirs were left out.
    """
    if parent is None or parent.backup.scopes != scopes:
        return (yield from _counted(seen, scopes or ()))
    found = StateHash(parent.state_hash, parent.backup.entries)
    for stands in _batches(seen.folded.stands()):
        yield from _exchange(found, stands, seen, parent)
    untouched = yield from _ending(seen, scopes, parent)
    for places in _batches(iter(untouched)):
        yield from _expire(found, places, seen, parent)
    return found


def _batches(items: Iterator[T]) -> Iterator[list[T]]:
    while batch := list(islice(items, _TOGETHER)):
        yield batch


def _ending(seen: Seen, scopes: tuple[Scope, ...] | None, parent: Entry) -> Program[list[tuple[str, str]]]:
    """Return the keys that nobody has touched since, and of which a value, perhaps an earlier one, has expired."""
    span = to_micros(parent.recorded_at), seen.head.recorded_us
    ended = set((yield from seen.reader.expiring(seen.lineage, *span)))
    if ended:
        ended.difference_update((stand.stream, stand.key) for stand in seen.folded.stands())
    wanted = None if scopes is None else set(map(str, scopes))
    return [at for at in sorted(ended) if wanted is None or at[0] in wanted]


def _expire(found: StateHash, places: Sequence[tuple[str, str]], seen: Seen, parent: Entry) -> Program[None]:
    """Take out what some keys held at the parent's position and has expired since."""
    position, instant_us = parent.backup.position, to_micros(parent.recorded_at)
    heads = yield from gather([seen.reader.key_head(seen.lineage, *at, position) for at in places])
    for at, head in zip(places, heads, strict=True):
        if head.present(instant_us) and not head.present(seen.head.recorded_us):
            found.remove(pack_stand(Stand(*at, head.position, head.expires_us)))


def _counted(seen: Seen, scopes: Iterable[Scope]) -> Program[StateHash]:
    found = StateHash()
    for stream in map(str, scopes):
        for key, held in (yield from seen.reader.listing(seen.lineage, stream, seen.head.position, "")):
            if held.present(seen.head.recorded_us):
                found.add(pack_stand(Stand(stream, key, held.position, held.expires_us)))
    return found


def _exchange(found: StateHash, stands: Sequence[Stand], seen: Seen, parent: Entry) -> Program[None]:
    """Put what some keys hold now in the place of what they held at the parent's position."""
    position, instant_us = parent.backup.position, to_micros(parent.recorded_at)
    heads = yield from gather(
        [seen.reader.key_head(seen.lineage, stand.stream, stand.key, position) for stand in stands]
    )
    for stand, head in zip(stands, heads, strict=True):
        if head.present(instant_us):
            found.remove(pack_stand(Stand(stand.stream, stand.key, head.position, head.expires_us)))
        if stand.present(seen.head.recorded_us):
            found.add(pack_stand(stand))
