"""Derivation: the events that a value follows from, and the value that follows from events.

An increment needs what lies back to the last absolute value; a copy or a move needs its source's derivation; anything
else is its own event. Sufficient: `derive` gives the value back. Minimal: without any one of them it does not, so that
what added nothing is left out, a 0 that was counted up from as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, Final

from backstory.domain.branches import Lineage
from backstory.domain.decisions import add
from backstory.domain.errors import IntegrityError, InvalidValueError, NotFoundError
from backstory.domain.events import MISSING, StoredEvent
from backstory.domain.ports import Program, Reader
from backstory.domain.sequencer import SCOPE_CLEARED, STATE_DELETED, STATE_EXPIRED, STATE_SET

Decode = Callable[[bytes], Any]
Canonical = Callable[[object], bytes]
COPIES: Final = frozenset({"copy", "move"})
INCREMENT: Final = "increment"


class Derivations:
    """Finds derivations on one branch. `canonical` gives equal values the same bytes."""

    def __init__(self, reader: Reader, lineage: Lineage, decode: Decode, canonical: Canonical) -> None:
        self._reader = reader
        self._lineage = lineage
        self._decode = decode
        self._canonical = canonical

    def of(self, row: StoredEvent) -> Program[list[StoredEvent]]:
        """Return the derivation of the value that an event wrote, in log order."""
        path = [row]
        while True:
            data = self._decode(path[-1].data)
            if data["op"] in COPIES:
                path.append((yield from self._source(data["source"], path[-1])))
            elif data["op"] == INCREMENT:
                base = yield from self._base(path[-1])
                if base is None:
                    break
                path.append(base)
            else:
                break
        return _Path(path[::-1], self._decode, self._canonical).needed()

    def _source(self, source: dict[str, Any], copy: StoredEvent) -> Program[StoredEvent]:
        rows = yield from self._reader.events_at([source["position"]])
        if not rows:
            raise IntegrityError("a copy's source is not in the log", position=copy.position, kind="reference")
        return rows[0]

    def _base(self, row: StoredEvent) -> Program[StoredEvent | None]:
        """Return what an increment added to; None where it began from nothing."""
        assert row.key is not None
        head = yield from self._reader.key_head(self._lineage, row.stream, row.key, row.position - 1)
        if not head.present(row.recorded_us):
            return None
        rows = yield from self._reader.events_at([head.position])
        return rows[0]


class _Path:
    """The events from the one that wrote a value back to an absolute value, oldest first: each needs the one before."""

    def __init__(self, rows: list[StoredEvent], decode: Decode, canonical: Canonical) -> None:
        self._rows = rows
        self._data = [decode(row.data) for row in rows]
        self._canonical = canonical
        self._values: list[Any] = []
        for at in range(len(rows)):
            self._values.append(self._value(at, at - 1, self._values[at - 1] if at else MISSING))

    def needed(self) -> list[StoredEvent]:
        """Return the events without those that change nothing, the latest of them left out first."""
        again = True
        while again:
            again = False
            least = self._rounding()
            for at in [at for at in reversed(range(len(self._rows))) if self._is_small(at, least)]:
                if self._is_idle(at):
                    again = True
        return self._rows

    def _value(self, at: int, before: int, value: Any) -> Any:
        """Return what an event leaves when another, which left a value, stands before it; -1 for none."""
        data = self._data[at]
        if data["op"] in COPIES:
            return data["value"] if before < 0 else value
        if data["op"] != INCREMENT:
            return data["value"]
        expires_us = None if before < 0 else self._rows[before].expires_us
        gone = before < 0 or (expires_us is not None and expires_us <= self._rows[at].recorded_us)
        return add(0 if gone else value, data["by"], "value")

    def _rounding(self) -> float:
        """Return what all roundings of the path's sums can come to."""
        numbers = [value for value in self._values if isinstance(value, (int, float))]
        if not any(isinstance(value, float) for value in numbers):
            return 0.0
        try:
            return 2 * (len(self._rows) + 1) * math.ulp(2 * max(abs(float(value)) for value in numbers))
        except OverflowError:
            return math.inf

    def _is_small(self, at: int, least: float) -> bool:
        """Return whether an event may change nothing: what it adds, or what was counted up from, is so little."""
        data = self._data[at]
        if data["op"] in COPIES or (data["op"] != INCREMENT and at):
            return False
        amount = data["by"] if data["op"] == INCREMENT else data["value"]
        if isinstance(amount, bool) or not isinstance(amount, (int, float, Decimal)):
            return False
        size: Any = abs(amount)
        return bool(size <= least)

    def _is_idle(self, at: int) -> bool:
        """Leave an event out if the value comes to the same without it; return whether it was left out."""
        last = len(self._rows) - 1
        if not last or (at < last and self._data[at + 1]["op"] in COPIES):
            return False
        before, value = at - 1, self._values[at - 1] if at else MISSING
        fresh: list[Any] = []
        for later in range(at + 1, last + 1):
            try:
                value = self._value(later, before, value)
            except InvalidValueError:
                return False
            fresh.append(value)
            before = later
            if self._same(value, self._values[later]):
                break
        else:
            if not self._same(value, self._values[last]):
                return False
        self._values[at + 1 : at + 1 + len(fresh)] = fresh
        del self._rows[at], self._data[at], self._values[at]
        return True

    def _same(self, one: Any, other: Any) -> bool:
        if one is MISSING or other is MISSING:
            return one is other
        return self._canonical(one) == self._canonical(other)


def derive(events: Iterable[StoredEvent], stream: str, key: str, decode: Decode) -> Any:
    """Return the value of a key that follows from these events alone; `MISSING` where they end in its removal.

    Raises `NotFoundError` where an event that it needs is not among them.
    """
    ordered = sorted({event.position: event for event in events}.values(), key=lambda event: event.position)
    state = _Fold(decode)
    for event in ordered:
        state.take(event)
    value = state.last.get((stream, key))
    if value is None:
        raise NotFoundError("value", f"{key} in {stream}", hint="Give the events of its derivation.")
    if isinstance(value[1], NotFoundError):
        raise value[1]
    return value[1]


class _Fold:
    """What keys hold as far as some events say; a `NotFoundError` where they do not say enough."""

    def __init__(self, decode: Decode) -> None:
        self._decode = decode
        self._known: dict[tuple[int, str, str], Any] = {}
        #: By place: the event that last touched it, and what it left.
        self.last: dict[tuple[str, str], tuple[StoredEvent, Any]] = {}

    def take(self, event: StoredEvent) -> None:
        """Take in the next event."""
        if event.type == SCOPE_CLEARED:
            for key in self._decode(event.data)["keys"]:
                self.last[event.stream, key] = event, MISSING
        elif event.key is not None and event.type in {STATE_SET, STATE_DELETED, STATE_EXPIRED}:
            place = (event.stream, event.key)
            value = self._left(event, place) if event.type == STATE_SET else MISSING
            self._known[(event.position, *place)] = value
            self.last[place] = event, value

    def _left(self, event: StoredEvent, place: tuple[str, str]) -> Any:
        data = self._decode(event.data)
        if data["op"] in COPIES:
            source = data["source"]
            at = (source["position"], source["scope"], source["key"])
            return self._known.get(at, _missing(source["scope"], source["key"]))
        if data["op"] != INCREMENT:
            return data["value"]
        base, value = self.last.get(place, (None, MISSING))
        if isinstance(value, NotFoundError):
            return value
        if base is None or (base.expires_us is not None and base.expires_us <= event.recorded_us):
            value = MISSING
        try:
            return add(0 if value is MISSING else value, data["by"], place[1])
        except InvalidValueError:
            return _missing(*place)  # it was not added to that: something lay between


def _missing(stream: str, key: str) -> NotFoundError:
    return NotFoundError("value", f"{key} in {stream}", hint="Give the events that it comes from too.")


__all__ = ["COPIES", "INCREMENT", "Derivations", "derive"]
