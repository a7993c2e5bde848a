"""Derivation: the events that a value follows from, and the value that follows from events.

An increment needs what lies back to the last absolute value; a copy or a move needs its source's derivation; anything
else is its own event. Sufficient: `derive` gives the value back. Minimal: without any one of them it does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow, localcontext
from typing import Any, Final

from backstory.domain.branches import Lineage
from backstory.domain.errors import IntegrityError, NotFoundError
from backstory.domain.events import MISSING, StoredEvent
from backstory.domain.ports import Program, Reader
from backstory.domain.sequencer import SCOPE_CLEARED, STATE_DELETED, STATE_EXPIRED, STATE_SET

Decode = Callable[[bytes], Any]
_COPIES: Final = frozenset({"copy", "move"})
_EXACT: Final = Context(prec=10_000, traps=[Inexact, InvalidOperation, Overflow])


class Derivations:
    """Finds derivations on one branch."""

    def __init__(self, reader: Reader, lineage: Lineage, decode: Decode, canonical: Callable[[object], bytes]) -> None:
        self._reader = reader
        self._lineage = lineage
        self._decode = decode
        self._canonical = canonical

    def of(self, row: StoredEvent) -> Program[list[StoredEvent]]:
        """Return the derivation of the value that an event wrote, in log order."""
        found: dict[int, StoredEvent] = {}
        todo = [row]
        while todo:
            row = todo.pop()
            data = self._decode(row.data)
            if row.position in found:
                continue
            found[row.position] = row
            if data["op"] in _COPIES:
                todo.append((yield from self._source(data["source"], row)))
            elif data["op"] == "increment":
                base = yield from self._base(row)
                if base is not None:
                    todo.append(base)
        return [found[at] for at in sorted(found)]

    def _source(self, source: dict[str, Any], copy: StoredEvent) -> Program[StoredEvent]:
        rows = yield from self._reader.events_at([source["position"]])
        if not rows:
            raise IntegrityError("a copy's source is not in the log", position=copy.position, kind="reference")
        return rows[0]

    def _base(self, row: StoredEvent) -> Program[StoredEvent | None]:
        """Return what an increment added to; those that added nothing are left out."""
        assert row.key is not None
        position, recorded_us = row.position, row.recorded_us
        while True:
            head = yield from self._reader.key_head(self._lineage, row.stream, row.key, position - 1)
            if not head.present(recorded_us):
                return None
            rows = yield from self._reader.events_at([head.position])
            data = self._decode(rows[0].data)
            if data["op"] != "increment":
                return rows[0]
            below = yield from self._reader.key_head(self._lineage, row.stream, row.key, head.position - 1)
            if not below.present(rows[0].recorded_us) or below.data is None:
                return rows[0]
            if self._canonical(self._decode(below.data)["value"]) != self._canonical(data["value"]):
                return rows[0]
            position, recorded_us = head.position, rows[0].recorded_us


def derive(events: Iterable[StoredEvent], stream: str, key: str, decode: Decode) -> Any:
    """Return the value of a key that follows from these events alone; `MISSING` where they end in its removal.

    Raises `NotFoundError` where an event that it needs is not among them.
    """
    ordered = sorted({event.position: event for event in events}.values(), key=lambda event: event.position)
    last = _last(ordered, stream, key, decode, before=None)
    if last is None:
        raise NotFoundError("value", f"{key} in {stream}", hint="Give the events of its derivation.")
    return _value(last, ordered, decode, {})


def _last(
    events: Sequence[StoredEvent], stream: str, key: str, decode: Decode, *, before: int | None
) -> StoredEvent | None:
    for event in reversed(events):
        if event.stream != stream or (before is not None and event.position >= before):
            continue
        if event.key == key and event.type in {STATE_SET, STATE_DELETED, STATE_EXPIRED}:
            return event
        if event.type == SCOPE_CLEARED and key in decode(event.data)["keys"]:
            return event
    return None


def _value(event: StoredEvent, events: Sequence[StoredEvent], decode: Decode, known: dict[int, Any]) -> Any:
    """Return the value that an event leaves, from the others; without recursion, for chains are long."""
    todo = [event]
    while todo:
        top = todo[-1]
        if top.position in known:
            todo.pop()
            continue
        needs = _needs(top, events, decode)
        if needs is not None and needs.position not in known:
            todo.append(needs)
            continue
        known[top.position] = _computed(top, None if needs is None else known[needs.position], decode)
        todo.pop()
    return known[event.position]


def _needs(event: StoredEvent, events: Sequence[StoredEvent], decode: Decode) -> StoredEvent | None:
    if event.type != STATE_SET or event.key is None:
        return None
    data = decode(event.data)
    if data["op"] in _COPIES:
        source = data["source"]
        for each in events:
            if each.position == source["position"] and (each.stream, each.key) == (source["scope"], source["key"]):
                return each
        raise NotFoundError("value", f"{source['key']} in {source['scope']}", hint="Give the source's events too.")
    if data["op"] != "increment":
        return None
    base = _last(events, event.stream, event.key, decode, before=event.position)
    expired = base is not None and base.expires_us is not None and base.expires_us <= event.recorded_us
    return None if expired else base


def _computed(event: StoredEvent, base: Any, decode: Decode) -> Any:
    if event.type != STATE_SET:
        return MISSING
    data = decode(event.data)
    if data["op"] in _COPIES:
        return base
    if data["op"] != "increment":
        return data["value"]
    return added(0 if base is None or base is MISSING else base, data["by"])


def added(current: Any, by: Any) -> Any:
    """Return a sum as `increment` computes it: exact for decimals."""
    if not isinstance(current, Decimal) and not isinstance(by, Decimal):
        return current + by
    with localcontext(_EXACT):
        return current + by
