"""Values on the command line: JSON with tags, from an argument, a file or standard input."""

from __future__ import annotations

import re
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, NoReturn
from uuid import UUID

from backstory.cli.failures import UsageError
from backstory.domain.errors import IntegrityError, InvalidPointError, InvalidValueError, shown
from backstory.domain.events import ANY, EMPTY, EXISTS, ExpectedVersion
from backstory.infrastructure.tags import untagged
from backstory.projections.points import Point

_EXPECTED: Final = {"any": ANY, "empty": EMPTY, "exists": EXISTS}
#: No log has a position of this size.
_BEYOND: Final = 1 << 63
_SPAN: Final = re.compile(r"(\d{1,9})([smhdw])", re.ASCII)
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_HINT: Final = """Write JSON, such as 42, '"text"' or '{"a": 1}'; --text takes it as it stands."""


def read(given: str) -> str:
    """Return the text that an argument stands for: itself, a file's (`@file`) or standard input (`-`)."""
    if given == "-":
        if sys.stdin is None:
            raise UsageError("standard input is closed", hint="Give the value as an argument, or as @file.")
        return _decoded(sys.stdin.buffer.read(), "standard input")
    if not given.startswith("@"):
        return given
    try:
        return _decoded(Path(given[1:]).read_bytes(), given[1:])
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageError(f"cannot read {shown(given[1:])}: {reason}", hint="Name a file that can be read.") from error


def _decoded(data: bytes, source: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidValueError(
            rule=f"{source} is not UTF-8 at byte {error.start}", hint="Convert it to UTF-8 first."
        ) from error


def value(given: str, *, text: bool = False) -> Any:
    """Return the value that an argument stands for; raises `InvalidValueError`."""
    content = read(given)
    return content if text else parsed(content)


def parsed(text: str) -> Any:
    """Return the value of JSON text, tags decoded; raises `InvalidValueError` for anything that is not exactly one."""
    return decoded(plain(text))


def plain(text: str) -> Any:
    """Return what JSON text says, tags as they are; raises `InvalidValueError` for anything that is not exactly one."""
    import json

    try:
        return json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_object)
    except RecursionError:
        raise InvalidValueError(rule="it is nested too deeply", hint="Flatten it.") from None
    except ValueError as error:
        raise InvalidValueError(rule=f"{shown(text)} is no JSON: {error}", hint=_HINT) from error


def decoded(found: Any) -> Any:
    """Return JSON with its tags decoded; raises `InvalidValueError` for a tag that is none."""
    try:
        return untagged(found)
    except IntegrityError as error:
        raise InvalidValueError(
            rule=error.message.replace("a stored value", "it"),
            hint="A key that begins with `$` is written with one more: `$$`.",
        ) from error


def _refuse_constant(name: str) -> NoReturn:
    raise InvalidValueError(rule=f"{name} is no JSON number", hint="Store null or a text in its place.")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidValueError(rule=f"the key {shown(twice)} stands twice in an object", hint="Keep one of them.")
    return found


def point(given: str) -> Point:
    """Return the point that a text names: a position, an ISO time with a zone, or an event id."""
    text = given.strip()
    if text.removeprefix("-").isdecimal() and text.isascii():
        return _position(text)
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        pass
    try:
        return UUID(text)
    except ValueError:
        raise InvalidPointError(given, rule="is no position, ISO time or event id") from None


def _position(text: str) -> int:
    try:
        return int(text)
    except ValueError:  # Python reads no number of more than 4,300 digits.
        raise InvalidPointError(text, rule="lies beyond the head of any log") from None


def span(given: str) -> timedelta:
    """Return the span of time that a text names: a number and s, m, h, d or w."""
    found = _SPAN.fullmatch(given)
    if found is None:
        raise UsageError(f"{shown(given)} is no span of time", hint="Write a number and s, m, h, d or w: `30d`.")
    try:
        return timedelta(**{_UNITS[found[2]]: int(found[1])})
    except OverflowError:
        return timedelta.max


def optional_point(given: str | None) -> Point | None:
    """Return the point that a text names, or None."""
    return None if given is None else point(given)


def event(given: str) -> int | UUID:
    """Return what names one event: its position, or its id. Raises `InvalidPointError`."""
    found = point(given)
    if isinstance(found, datetime) or (isinstance(found, int) and not 0 < found < _BEYOND):
        raise InvalidPointError(given, rule="is no event's id or position")
    return found


def expected(given: str | None) -> ExpectedVersion | int:
    """Return the expected version that a text names."""
    if given is None:
        return ANY
    if given in _EXPECTED:
        return _EXPECTED[given]
    if given.isdecimal() and given.isascii():
        return _position(given)
    raise UsageError(f"{shown(given)} is no version", hint="Give a number from 0, `any`, `empty` or `exists`.")
