"""Figures: the hash and size of the state that a backup is of, counted from what came since its parent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final, NamedTuple

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

#: So many keys are looked up at once.
_TOGETHER: Final = 500


class Seen(NamedTuple):
    """A branch's state at a head: its lineage up to there, and what was folded since the parent."""

    reader: Reader
    lineage: Lineage
    head: LogHead
    folded: FoldedState


def state_hash(seen: Seen, scopes: tuple[Scope, ...] | None, parent: Entry) -> Program[StateHash]:
    """Return the hash and size of the state of some scopes, or of all: the parent's, but for what has changed since.

    What changed is what was touched, and what has expired. Of scopes whose parent holds others too it is counted anew.
    """
    if parent.backup.scopes != scopes:
        return (yield from _counted(seen, scopes or ()))
    found = StateHash(parent.state_hash, parent.backup.entries)
    for stands in _batches(seen.folded.stands()):
        yield from _exchange(found, stands, seen, parent)
    gone = yield from _expired(seen, scopes, parent)
    for stands in _batches(iter(gone)):
        yield from _exchange(found, stands, seen, parent)
    return found


def _batches(stands: Iterator[Stand]) -> Iterator[list[Stand]]:
    while batch := list(islice(stands, _TOGETHER)):
        yield batch


def _expired(seen: Seen, scopes: tuple[Scope, ...] | None, parent: Entry) -> Program[list[Stand]]:
    """Return the keys that nobody has touched since, and whose value has expired."""
    span = to_micros(parent.recorded_at), seen.head.recorded_us
    ended = set((yield from seen.reader.expiring(seen.lineage, *span)))
    if ended:
        ended.difference_update((stand.stream, stand.key) for stand in seen.folded.stands())
    wanted = None if scopes is None else set(map(str, scopes))
    return [Stand(stream, key, 0) for stream, key in sorted(ended) if wanted is None or stream in wanted]


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
