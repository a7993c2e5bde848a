"""Patterns of paths into a value: which parts a comparison leaves out, or compares without order."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from enum import Enum
from typing import Any, Final, NamedTuple

from backstory.domain.errors import InvalidValueError
from backstory.domain.patterns import any_match

__all__ = ["NOWHERE", "Places", "exact_steps", "names_an_index", "places", "places_below"]

_HINT: Final = 'Write paths as `items[*].id`, `**.updated_at` or `a["odd key"]`.'
_STEP: Final = re.compile(r"""\[(\d+|\*)\]|\["((?:[^"\\]|\\.)*)"\]|(\.?)([^.\[\]]+)""", re.DOTALL)


class _Wild(Enum):
    INDEX = "[*]"
    DEPTH = "**"


class _Glob(NamedTuple):
    """A name with `*` for any text in it."""

    text: str


_Pattern = tuple[str | int | _Glob | _Wild, ...]
Places = frozenset[_Pattern]
"""Where patterns have got to: what is left of each. One of which nothing is left has arrived."""

NOWHERE: Final[Places] = frozenset()


def places(patterns: Iterable[str]) -> Places:
    """Return where patterns begin: at the whole value, which the empty pattern means. One text is one pattern.

    Raises `InvalidValueError` for what is no pattern.
    """
    many = (patterns,) if isinstance(patterns, str) else patterns
    return _settled(_parsed(pattern) for pattern in many)


def places_below(here: Places, step: str | int) -> Places:
    """Return where patterns have got to one step further inside."""
    return _settled(_rests(here, step)) if here else NOWHERE


def names_an_index(here: Places) -> bool:
    """Return whether a pattern goes on with the number of an element."""
    return any(rest and isinstance(rest[0], int) for rest in here)


def exact_steps(path: str) -> tuple[str | int, ...]:
    """Return the steps of a path without any `*`; raises `InvalidValueError`."""
    steps = tuple(step for step in _parsed(path) if isinstance(step, (str, int)))
    if len(steps) != len(_parsed(path)):
        raise InvalidValueError(path, rule="leads to more than one part", hint="Name one part.")
    return steps


def _settled(rests: Iterable[_Pattern]) -> Places:
    """Return rests, and for one that goes on at any depth also what may begin right here."""
    found: set[_Pattern] = set()
    for rest in rests:
        found.add(rest)
        while rest and rest[0] is _Wild.DEPTH:
            rest = rest[1:]  # noqa: PLW2901 - peeled, step by step
            found.add(rest)
    return frozenset(found)


def _rests(here: Places, step: str | int) -> Iterable[_Pattern]:
    for rest in here:
        if rest and rest[0] is _Wild.DEPTH:
            yield rest
        elif rest and _fits(rest[0], step):
            yield rest[1:]


def _fits(wanted: object, step: str | int) -> bool:
    if isinstance(wanted, _Glob):
        return isinstance(step, str) and any_match((wanted.text,), step)
    return isinstance(step, int) if wanted is _Wild.INDEX else wanted == step


def _parsed(pattern: Any) -> _Pattern:
    if not isinstance(pattern, str):
        raise InvalidValueError("pattern", rule=f"is {type(pattern).__name__}, no text", hint=_HINT)
    steps: list[str | int | _Glob | _Wild] = []
    at = 0
    while at < len(pattern):
        match = _STEP.match(pattern, at)
        # A dot stands between a name and what is before it, and nowhere else.
        if match is None or (match[4] and bool(match[3]) != bool(steps)):
            raise InvalidValueError(pattern, rule="is no path", hint=_HINT)
        steps.append(_step(match, pattern))
        at = match.end()
    return tuple(steps)


def _step(match: re.Match[str], pattern: str) -> str | int | _Glob | _Wild:
    index, quoted, _, name = match.groups()
    if index:
        return _Wild.INDEX if index == "*" else _number(index, pattern)
    if name:
        return _Wild.DEPTH if name == "**" else _Glob(name) if "*" in name else name
    try:
        return str(json.loads(f'"{quoted}"', strict=False))
    except ValueError:
        raise InvalidValueError(pattern, rule="holds an escape that JSON does not know", hint=_HINT) from None


def _number(digits: str, pattern: str) -> int:
    try:
        return int(digits)
    except ValueError:  # Python reads no more than some thousand digits.
        raise InvalidValueError(pattern, rule="counts further than any list", hint=_HINT) from None
