"""Trees of values: what a comparison looks at, without the parts left out, each part with a digest of its content.

Two parts are the same where their digests are: the order of keys does not count, nor that of elements where a list is
compared without order; types do, so that 1 is neither True nor 1.0, nor 0.0 the same as -0.0, nor Decimal("1.0") as
Decimal("1.00"). It is the equality by which values are stored and swapped. A tuple is a list.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from hashlib import blake2b
from typing import Any, Final, NoReturn
from uuid import UUID

from backstory.domain.errors import InvalidValueError, shown
from backstory.domain.events import MISSING
from backstory.domain.paths import render_path
from backstory.replay.comparison_paths import Places, names_an_index, places, places_below

__all__ = ["MAX_DEPTH", "Node", "Path", "Planter", "steps_of"]

MAX_DEPTH: Final = 200
"""The most containers inside each other, as for values that are stored."""

Path = tuple["Path", str | int] | None
"""Steps into a value, innermost first: None, or (what leads to the container, key or index)."""


@dataclass(slots=True)
class Node:
    """A part of a value.

    `parts` are those inside it: by key, one after the other, or, where patterns name elements by number, by index; of
    a leaf there are none. `leaves` counts the leaves in it, and an empty container as one.
    """

    kind: str
    digest: bytes
    leaves: int
    leaf: Any = None
    parts: dict[Any, Node] | list[Node] | None = None
    unordered: bool = False

    def value(self) -> Any:
        """Return the part as a new value, without what was left out of it."""
        if self.parts is None:
            return self.leaf
        if self.kind == "dict" and isinstance(self.parts, dict):
            return {key: part.value() for key, part in self.parts.items()}
        return [part.value() for part in (self.parts.values() if isinstance(self.parts, dict) else self.parts)]


def steps_of(path: Path) -> tuple[str | int, ...]:
    """Return the steps of a path, outermost first."""
    steps: list[str | int] = []
    while path is not None:
        path, step = path
        steps.append(step)
    return tuple(reversed(steps))


class Planter:
    """Makes trees of values that are to be compared under the same patterns."""

    def __init__(self, ignore: Iterable[str], unordered: Iterable[str]) -> None:
        self._start = places(ignore), places(unordered)
        self._below: dict[tuple[Places, str | int], Places] = {}

    def tree(self, value: object) -> Node | None:
        """Return the tree of a value; None for `MISSING`, and where the whole value is left out.

        Raises `InvalidValueError`, with the path to the culprit, for what cannot be a value of the store.
        """
        return self._node(value, None, *self._start, depth=0)

    def _node(self, value: Any, path: Path, ignored: Places, unordered: Places, *, depth: int) -> Node | None:
        if () in ignored or value is MISSING:
            return None
        if isinstance(value, Enum):
            _refuse(path, f"an Enum member, {shown(value)}, is no value", "Give its .value.")
        if not isinstance(value, (dict, list, tuple)):
            return _leaf(value, path)
        if depth >= MAX_DEPTH:
            _refuse(path, f"it is nested deeper than {MAX_DEPTH} levels", "Flatten it, or break its cycle.")
        parts: dict[Any, Node] = {}
        for step, inner in value.items() if isinstance(value, dict) else enumerate(value):
            if isinstance(value, dict) and (not isinstance(step, str) or isinstance(step, Enum)):
                _refuse(path, f"the dict key {shown(step)} is no text", "Make every dict key a str.")
            below = self._step(ignored, step), self._step(unordered, step)
            part = self._node(inner, (path, step), *below, depth=depth + 1)
            if part is not None:
                parts[step] = part
            elif inner is MISSING and not isinstance(value, dict):
                _refuse((path, step), "MISSING is no element of a list", "Leave it out.")
        if isinstance(value, dict):
            return _object(parts)
        return _array(parts, path, numbered=names_an_index(ignored | unordered), unordered=() in unordered)

    def _step(self, here: Places, step: str | int) -> Places:
        """Return where patterns get to; elements whose numbers no pattern names are all alike."""
        if not here:
            return here
        known = 0 if isinstance(step, int) and not names_an_index(here) else step
        found = self._below.get((here, known))
        if found is None:
            found = self._below[here, known] = places_below(here, known)
        return found


def _object(parts: dict[str, Node]) -> Node:
    content = [b"dict:"]
    for key, part in sorted(parts.items()):
        name = key.encode("utf-8", "surrogatepass")
        content += (len(name).to_bytes(8, "big"), name, part.digest)
    return Node("dict", _digest(b"".join(content)), _leaves(parts), parts=parts)


def _array(parts: dict[int, Node], path: Path, *, numbered: bool, unordered: bool) -> Node:
    if numbered and unordered:
        _refuse(path, "a list compared without order has no element of a certain number", "Write `[*]` in its place.")
    digests = [part.digest for part in parts.values()]
    content = b"list:" + b"".join(sorted(digests) if unordered else digests)
    inner: dict[Any, Node] | list[Node] = parts if numbered else list(parts.values())
    return Node("list", _digest(content), _leaves(parts), parts=inner, unordered=unordered)


def _leaves(parts: dict[Any, Node]) -> int:
    return sum(part.leaves for part in parts.values()) or 1


def _digest(content: bytes) -> bytes:
    return blake2b(content, digest_size=16).digest()


# In the order of the checks: a bool is an int, and comes before. Hexadecimal is exact, and an int's decimals can be
# too many for Python to write.
_CONTENTS: Final[dict[type, Callable[[Any], bytes]]] = {
    str: lambda value: str.encode(value, "utf-8", "surrogatepass"),
    bool: lambda value: b"%d" % value,
    int: lambda value: int.__format__(value, "x").encode(),
    float: lambda value: float.hex(value).encode(),
    type(None): lambda _: b"",
    bytes: bytes,
    datetime: lambda value: datetime.isoformat(value).encode(),
    UUID: lambda value: value.bytes,
    Decimal: lambda value: Decimal.__str__(value).encode(),
}


def _leaf(value: Any, path: Path) -> Node:
    base = type(value) if type(value) in _CONTENTS else next((one for one in _CONTENTS if isinstance(value, one)), None)
    if base is None:
        _refuse(path, f"a {type(value).__name__} is no value of a store", "Convert it to what can be stored.")
    if not (math.isfinite(value) if base is float else base is not Decimal or value.is_finite()):
        _refuse(path, f"{value} is no number", "Put None or a text in its place.")
    kind = "None" if value is None else base.__name__
    return Node(kind, _digest(f"{kind}:".encode() + _CONTENTS[base](value)), 1, leaf=value)


def _refuse(path: Path, rule: str, hint: str) -> NoReturn:
    raise InvalidValueError(render_path(steps_of(path)), rule=rule, hint=hint)
