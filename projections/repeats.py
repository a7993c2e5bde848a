"""Repeats: what an event says, whether that was said before, and how often again and again along one way of causes.

Causes never lead in a circle, so a loop is no circle of events: it is one thing that happens, leads to itself once
more, and so on. Two events are the same where type, stream, key and what they say are equal; what merely tells one
occurrence from the next (the id of a call, a duration, an operation) is left out of what an event says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from hashlib import blake2b
from types import MappingProxyType
from typing import Any, Final

from backstory.domain.events import JSON_FORMAT, StoredEvent
from backstory.projections.causes import Web
from backstory.projections.failures import most_below

Decode = Callable[[bytes], Any]
Canonical = Callable[[object], bytes]

#: Of these types, what an event says; of all others it is the whole data.
_SAYS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "state.set": ("value",),
        "tool.called": ("name", "arguments"),
        "tool.returned": ("name", "content"),
        "hook.executed": ("hook", "point", "input"),
        "hook.failed": ("hook", "point", "input"),
    }
)
_MESSAGE: Final = "message."
_ROWS: Final = 4
_NARROWEST: Final = 1024
_WIDEST: Final = 2**22
_MOST: Final = 255


def signature(row: StoredEvent, decode: Decode, canonical: Canonical) -> bytes:
    """Return 16 bytes that are equal for events which say the same of the same."""
    parts = [row.type.encode(), row.stream.encode(), b"-" if row.key is None else b"+" + row.key.encode()]
    if row.format == JSON_FORMAT:
        parts += [canonical(part) for part in _said(row.type, decode(row.data))]
    else:
        parts += [b"%d" % row.format, row.data]
    digest = blake2b(digest_size=16)
    for part in parts:
        digest.update(b"%d:" % len(part) + part)
    return digest.digest()


def _said(kind: str, data: Any) -> list[Any]:
    if not isinstance(data, dict):
        return [data]
    if kind.startswith(_MESSAGE) and "content" in data:
        return [data["content"], _calls(data.get("tool_calls"))]
    names = _SAYS.get(kind, ())
    return [data[name] for name in names] if names and data.keys() >= set(names) else [data]


def _calls(calls: Any) -> list[Any]:
    """Return what a message calls, without the calls' ids."""
    if not isinstance(calls, list):
        return [calls]
    return [{name: call[name] for name in call if name != "id"} if isinstance(call, dict) else call for call in calls]


class Sketch:
    """Counts by signature that are never too low, in a few bytes for each event that is expected.

    A count-min sketch (Cormode and Muthukrishnan, Journal of Algorithms 55(1), 2005) whose counters stop at 255.
    """

    def __init__(self, expected: int) -> None:
        self._width = min(max(expected, _NARROWEST), _WIDEST)
        self._counters = [bytearray(self._width) for _ in range(_ROWS)]

    def add(self, signature: bytes) -> None:
        """Count one more."""
        for counters, at in zip(self._counters, self._places(signature), strict=True):
            if counters[at] < _MOST:
                counters[at] += 1

    def may_have(self, signature: bytes, times: int) -> bool:
        """Return False only where there are fewer than so many."""
        places = zip(self._counters, self._places(signature), strict=True)
        return min(counters[at] for counters, at in places) >= min(times, _MOST)

    def _places(self, signature: bytes) -> list[int]:
        return [int.from_bytes(signature[at : at + 4]) % self._width for at in range(0, 4 * _ROWS, 4)]


def loops(web: Web, group: Iterable[int], threshold: int) -> list[tuple[int, ...]]:
    """Return the loops among the events of one signature: positions, from the first turn to the last.

    A loop begins at one that no other of the group led to, and goes along a way on which the most of them lie. `web`
    holds all ways between them.
    """
    members = set(group)
    below = most_below(web, members)
    starts = _first(web, members)
    return [_longest(web, at, members, below) for at in sorted(starts) if below[at] + 1 >= threshold]


def _first(web: Web, members: set[int]) -> set[int]:
    """Return those that no other one led to."""
    seen: set[int] = set()
    front = list(members)
    while front:
        for effect in web.effects(front.pop()):
            if effect not in seen:
                seen.add(effect)
                front.append(effect)
    return members - seen


def _longest(web: Web, start: int, members: set[int], below: Mapping[int, int]) -> tuple[int, ...]:
    at, found = start, [start]
    while left := below[at]:
        at = next(effect for effect in web.effects(at) if below[effect] + (effect in members) == left)
        if at in members:
            found.append(at)
    return tuple(found)


__all__ = ["Sketch", "loops", "signature"]
