"""Paths: the steps that lead to a part of a value, as text and back."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from enum import Enum
from typing import Any, Final, Literal

from backstory.domain.errors import InvalidValueError

__all__ = ["EACH", "Each", "Token", "parse_path", "path_tokens", "render_path"]

_IDENTIFIER = re.compile(r"[^\W\d][\w-]*")
_TOKEN: Final = re.compile(r"""\[(\d+|\*)\]|\["((?:[^"\\]|\\.)*)"\]|(\.?)([^.\[\]]+)""", re.DOTALL)
_HINT: Final = 'Write paths as `items[0].price` or `a["odd key"]`.'


class Each(Enum):
    """The type of `EACH`: a step to every element of an array."""

    EACH = "[*]"

    def __repr__(self) -> str:
        return "EACH"


EACH: Final = Each.EACH

Token = tuple[Literal["key"], str] | tuple[Literal["name"], str] | tuple[Literal["index"], int] | tuple[Each, None]
"""A step as it is written: a quoted key, a bare name, the number of an element, or `[*]`."""


def render_path(steps: Iterable[str | int | Each]) -> str:
    """Return steps into a value as text, such as `items[0].price` or `a["odd key"]`; of no steps, the empty text."""
    text = ""
    for step in steps:
        if isinstance(step, int):
            text += f"[{step}]"
        elif isinstance(step, Each):
            text += step.value
        elif _IDENTIFIER.fullmatch(step):
            text += f".{step}" if text else step
        else:
            text += f"[{_quoted(step)}]"
    return text


def parse_path(path: str) -> tuple[str | int, ...]:
    """Return the steps of a path such as `items[0].price` or `a["odd key"]`; raises `InvalidValueError`."""
    if not isinstance(path, str):
        raise InvalidValueError("path", rule=f"is {type(path).__name__}, no text", hint=_HINT)
    return tuple(_exact(step, path) for _, step in path_tokens(path, hint=_HINT))


def path_tokens(path: str, *, hint: str) -> Iterator[Token]:
    """Yield the steps of a path as they are written; raises `InvalidValueError` with this hint for what is no path."""
    at = 0
    while at < len(path):
        match = _TOKEN.match(path, at)
        # A dot stands between a name and what is before it, and nowhere else.
        if match is None or (match[4] and bool(match[3]) != bool(at)):
            raise InvalidValueError(path, rule="is no path", hint=hint)
        yield _token(match, path, hint)
        at = match.end()


def _token(match: re.Match[str], path: str, hint: str) -> Token:
    index, quoted, _, name = match.groups()
    if name:
        return "name", name
    if index == "*":
        return EACH, None
    return ("index", _number(index, path, hint)) if index else ("key", _unquoted(quoted, path, hint))


def _exact(step: str | int | None, path: str) -> str | int:
    if step is None:
        raise InvalidValueError(path, rule="leads to more than one part", hint=_HINT)
    return step


def _quoted(text: str) -> str:
    """Return a key in double quotes, escaped as in JSON; a lone surrogate too, so that the path can be printed."""
    return json.dumps(text, ensure_ascii=not text.isprintable())


def _unquoted(quoted: str, path: str, hint: str) -> str:
    """Return a quoted key without its escapes, which are those of JSON."""
    try:
        key: Any = json.loads(f'"{quoted}"', strict=False)
    except ValueError:
        raise InvalidValueError(path, rule="holds an escape that JSON does not know", hint=hint) from None
    return str(key)


def _number(digits: str, path: str, hint: str) -> int:
    try:
        return int(digits)
    except ValueError:  # Python reads no more than some thousand digits.
        raise InvalidValueError(path, rule="counts further than any list", hint=hint) from None
