"""Patterns of paths into a value: which parts a comparison leaves out, or compares without order."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Any, Final, NamedTuple

from backstory.domain.errors import InvalidValueError
from backstory.domain.paths import path_tokens
from backstory.domain.patterns import any_match

__all__ = ["NOWHERE", "Places", "exact_steps", "names_an_index", "places", "places_below"]

_HINT: Final = 'Write paths as `items[*].id`, `**.updated_at` or `a["odd key"]`.'


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
    return tuple(_step(*token) for token in path_tokens(pattern, hint=_HINT))


def _step(kind: object, step: str | int | None) -> str | int | _Glob | _Wild:
    if step is None:
        return _Wild.INDEX
    if kind != "name" or isinstance(step, int) or "*" not in step:
        return step
    return _Wild.DEPTH if step == "**" else _Glob(step)
