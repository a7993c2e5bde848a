"""Paths of transforms: read once, written in one way, and held against each other."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final

from backstory.domain.errors import InvalidValueError, shown
from backstory.domain.paths import EACH, Each, path_tokens, render_path
from backstory.domain.validation import shown_safely

__all__ = [
    "WHOLE",
    "Steps",
    "overlap",
    "path_text",
    "rendered",
    "shown_at",
    "split_at_last_star",
    "starts_with",
    "steps_of",
]

Step = str | int | Each
Steps = tuple[Step, ...]
"""What a path leads through: keys of objects, numbers of elements, and `EACH` for all elements of an array."""

WHOLE: Final = "$"
"""The path of the whole value; the empty text is read as the same."""

_HINT: Final = (
    'Write paths as `profile.age`, `items[*].price`, `items[0]`, `["a key.with a dot"]`, or `$` for all of it.'
)


def steps_of(path: str) -> Steps:
    """Return the steps of a path; raises `InvalidValueError` for what is none."""
    if not isinstance(path, str):
        raise InvalidValueError("path", rule=f"{shown(path)} is {type(path).__name__}, no text", hint=_HINT)
    return _read(path)


@lru_cache(maxsize=2048)
def _read(path: str) -> Steps:
    if path in {"", WHOLE}:
        return ()
    return tuple(_step(*token, path=path) for token in path_tokens(path, hint=_HINT))


def _step(kind: object, step: str | int | None, *, path: str) -> Step:
    if step is None:
        return EACH
    if kind == "name" and "*" in str(step):
        raise InvalidValueError(path, rule="has a `*` in a name", hint='Write `items[*]`, or `["*"]` for such a key.')
    if kind == "name" and step == WHOLE:
        raise InvalidValueError(path, rule="goes on after `$`", hint='Leave `$` out, or write `["$"]` for such a key.')
    return step


def path_text(path: str) -> str:
    """Return a path as it is kept: one text for all ways to write it."""
    return rendered(steps_of(path))


def rendered(steps: Iterable[Step]) -> str:
    """Return steps as a path that `steps_of` reads back; of none, `$`."""
    text = render_path(steps)
    return text or WHOLE


def starts_with(steps: Steps, start: Steps) -> bool:
    """Return whether a path leads to, or into, where another leads."""
    return steps[: len(start)] == start


def overlap(one: Steps, other: Steps) -> bool:
    """Return whether what is done at one path may be seen at another: whether one may lead to, or into, the other."""
    return all(map(_may_be_same, one, other))


def _may_be_same(one: Step, other: Step) -> bool:
    return one == other or (
        isinstance(one, (int, Each)) and isinstance(other, (int, Each)) and (one is EACH or other is EACH)
    )


def split_at_last_star(steps: Steps) -> tuple[Steps, Steps]:
    """Return the steps up to the last `[*]`, which stands at their end, and those after it."""
    at = max((index + 1 for index, step in enumerate(steps) if step is EACH), default=0)
    return steps[:at], steps[at:]


def shown_at(steps: Steps, value: Any) -> str:
    """Return a value as a plan shows it at a path: without secrets."""
    return shown_safely(tuple(step for step in steps if not isinstance(step, Each)), value)
