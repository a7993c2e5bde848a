"""Failures: which events tell that something went wrong, and which of them led to others.

The one table of what counts as an error is here; everything that counts errors asks it. Of an event whose type alone
does not say, its data does. What a failure led to is told by causes, never by clocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from backstory.domain.events import JSON_FORMAT, StoredEvent
from backstory.projections.causes import Web

Decode = Callable[[bytes], Any]


def _always(_data: Any) -> bool:
    return True


def _says_error(data: Any) -> bool:
    return isinstance(data, dict) and bool(data.get("error"))


#: Types of events, `*` standing for any text, and what their data must be for one to be an error.
FAILURES: Final[Mapping[str, Callable[[Any], bool]]] = MappingProxyType(
    {
        "*.failed": _always,
        "*_failed": _always,
        "circuit.opened": _always,
        "tool.returned": _says_error,
    }
)


def failing(row: StoredEvent, decode: Decode) -> bool:
    """Return whether an event is an error; one that another library wrote is none."""
    if row.format != JSON_FORMAT:
        return False
    for pattern, test in FAILURES.items():
        if fnmatchcase(row.type, pattern):
            return test is _always or test(decode(row.data))
    return False


class Spread(NamedTuple):
    """What a failure led to: positions of further failures, how many lie on the longest way, and all its effects."""

    root: int
    failures: tuple[int, ...]
    depth: int
    events: int


def spread(web: Web, root: int, *, failed: set[int], below: Mapping[int, int]) -> Spread:
    """Return what a failure led to in a web; `below` is what `most_below` says of the failures in it."""
    reached = effects_of(web, root)
    return Spread(root, tuple(sorted(reached & failed)), below[root], len(reached))


def effects_of(web: Web, start: int) -> set[int]:
    """Return the positions of all that an event led to, directly or not."""
    seen, front = {start}, [start]
    while front:
        for effect in web.effects(front.pop()):
            if effect not in seen:
                seen.add(effect)
                front.append(effect)
    return seen - {start}


def most_below(web: Web, marked: Iterable[int]) -> dict[int, int]:
    """Return of each event how many marked ones lie at most on one way that leads on from it, itself not counted."""
    marks = set(marked)
    depths = web.depths()
    found: dict[int, int] = {}
    for at in sorted(depths, key=lambda position: -depths[position]):
        found[at] = max((found[effect] + (effect in marks) for effect in web.effects(at)), default=0)
    return found


__all__ = ["FAILURES", "Spread", "effects_of", "failing", "most_below", "spread"]
