"""State: what a reader sees of the keys, now and at any point, and the plain fold it must equal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from backstory.domain.branches import FOREVER, Lineage
from backstory.domain.commits import KeyHead
from backstory.domain.events import MISSING, StoredEvent, value_in
from backstory.domain.ports import Clock, Held, Program, Reader
from backstory.domain.sequencer import SCOPE_CLEARED, STATE_DELETED, STATE_EXPIRED, STATE_SET
from backstory.projections.points import At, resolve

Decode = Any


class StateReader:
    """Questions about the state of one branch. Every method is a program."""

    def __init__(self, reader: Reader, lineage: Lineage, clock: Clock, decode: Decode) -> None:
        self.reader: Final = reader
        self.lineage: Final = lineage
        self.clock: Final = clock
        self._decode = decode
        self._reached = 0

    def now_us(self) -> Program[int]:
        """Return this instant, never before the last event's."""
        head = yield from self.reader.head()
        return max(self.clock.now_us(), head.recorded_us)

    def at(self, as_of: object) -> Program[At]:
        """Return a point's place; None is now."""
        if as_of is None:
            head = yield from self.reader.head()
            return At(head.position, max(self.clock.now_us(), head.recorded_us))
        return (yield from resolve(self.reader, as_of))

    def value(self, head: KeyHead) -> Any:
        """Return the value that a live head holds, a fresh copy."""
        assert head.data is not None
        return value_in(head.data, self._decode)

    def get(self, stream: str, key: str, as_of: object) -> Program[Any]:
        """Return a key's value, or `MISSING`."""
        if as_of is None and len(self.lineage) > 1:
            # A fork's key is looked for in several places: at one position, so that no commit falls in between.
            return (yield from self.get_at(stream, key, (yield from self.at(None))))
        if as_of is None:
            head = yield from self.reader.key_head(self.lineage, stream, key, FOREVER)
            if not head.live:
                return MISSING
            if head.expires_us is not None and not head.present((yield from self.now_us())):
                return MISSING
            return self.value(head)
        return (yield from self._get_at(stream, key, as_of))

    def _get_at(self, stream: str, key: str, as_of: object) -> Program[Any]:
        """Return a key's value at a point, or `MISSING`."""
        if type(as_of) is int and 0 <= as_of <= self._reached:
            # The log never shrinks: a position once seen is one for ever, and needs no question.
            head = yield from self.reader.key_head(self.lineage, stream, key, as_of)
            if not head.live:
                return MISSING
            if head.expires_us is None:
                return self.value(head)
        at = yield from resolve(self.reader, as_of)
        self._reached = max(self._reached, at.position)
        return (yield from self.get_at(stream, key, at))

    def get_at(self, stream: str, key: str, at: At) -> Program[Any]:
        """Return a key's value at a resolved point, or `MISSING`."""
        head = yield from self.reader.key_head(self.lineage, stream, key, at.position)
        return self.value(head) if head.present(at.instant_us) else MISSING

    def heads(self, stream: str, prefix: str, as_of: object) -> Program[list[tuple[str, KeyHead]]]:
        """Return the keys of a scope that are present at a point, sorted, with their heads."""
        if as_of is None and len(self.lineage) == 1:
            listed = yield from self.reader.listing(self.lineage, stream, None, prefix)
            if any(head.expires_us is not None for _, head in listed):
                now_us = yield from self.now_us()
                return [(key, head) for key, head in listed if head.present(now_us)]
            return listed
        at = yield from self.at(as_of)
        return (yield from self.heads_at(stream, prefix, at))

    def heads_at(self, stream: str, prefix: str, at: At) -> Program[list[tuple[str, KeyHead]]]:
        """Return the keys of a scope that are present at a resolved point, sorted."""
        listed = yield from self.reader.listing(self.lineage, stream, at.position, prefix)
        return [(key, head) for key, head in listed if head.present(at.instant_us)]

    def snapshot(self, at: At) -> Program[dict[str, dict[str, Any]]]:
        """Return the whole state at a resolved point: values by stream and key."""
        whole = yield from self.reader.whole(self.lineage, at.position)
        state: dict[str, dict[str, Any]] = {}
        for stream in sorted(whole):
            values = self._values(whole[stream], at.instant_us)
            if values:
                state[stream] = values
        return state

    def _values(self, held: Mapping[str, Held], instant_us: int) -> dict[str, Any]:
        decode = self._decode
        return {
            key: value_in(data, decode)
            for key, (expires_us, data) in sorted(held.items())
            if expires_us is None or expires_us > instant_us
        }

    def present_streams(self, as_of: object) -> Program[list[str]]:
        """Return the streams that hold a value at a point, sorted."""
        at = yield from self.at(as_of)
        if as_of is None and len(self.lineage) == 1:
            found = yield from self.reader.present(self.lineage[0][0], at.instant_us)
            if found is not None:
                return found
        whole = yield from self.reader.whole(self.lineage, at.position)
        return sorted(
            stream
            for stream, held in whole.items()
            if any(expires_us is None or expires_us > at.instant_us for expires_us, _ in held.values())
        )


State = dict[tuple[str, str], StoredEvent]


def fold(events: Iterable[StoredEvent], decode: Decode, state: State | None = None, *, swept: bool = False) -> State:
    """Return the last set of every key that was neither deleted nor cleared: the plain fold.

    It knows nothing of indexes or projections; they are checked against it. `state` goes on
    from an earlier fold. Whether a value is expired is up to the reader's instant; with `swept`
    those whose end was recorded are gone, as in the current-state projection.
    """
    state = {} if state is None else state
    for event in events:
        if event.type == SCOPE_CLEARED:
            for key in decode(event.data)["keys"]:
                state.pop((event.stream, key), None)
        elif event.key is None:
            continue
        elif event.type == STATE_SET:
            state[event.stream, event.key] = event
        elif event.type == STATE_DELETED or (swept and event.type == STATE_EXPIRED):
            state.pop((event.stream, event.key), None)
    return state
