"""Tags: how values that JSON lacks stand in JSON data, and how they are found again.

A tag is an object with one key: `{"$bytes": base64}`, `{"$datetime": ISO 8601}`, `{"$uuid": text}`,
`{"$decimal": text}`, `{"$int": hexadecimal}` for integers beyond 64 bits. A caller's key that begins with `$` gets one
more, so that nothing a caller stores can be taken for a tag. A datetime keeps its offset from UTC, not its zone's name.
"""

from __future__ import annotations

import math
import re
from base64 import b64decode, b64encode
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any, Final, NoReturn
from uuid import UUID

from backstory.domain.errors import IntegrityError, InvalidValueError, ValueTooLargeError, shown
from backstory.domain.paths import render_path

__all__ = ["MAX_DEPTH", "named", "refuse_depth", "tagged", "untagged"]

MAX_DEPTH: Final = 200

_SUBSECOND: Final = re.compile(r"([+-])00:00:00\.(\d{6})$")
_INT_64: Final = range(-(2**63), 2**64)

# The steps from the value to a part of it, innermost first: None, or (what leads to the container, key or index).
_Path = tuple["_Path", str | int] | None


def tagged(value: object, max_depth: int = MAX_DEPTH, *, max_bytes: int | None = None) -> Any:
    """Return a copy of `value` in JSON's own types, with tags for the others.

    Raises `InvalidValueError`, with the path to the culprit, for what has no form, and `ValueTooLargeError` as soon as
    it is sure to take more than `max_bytes`.
    """
    return _Walk(max_depth, max_bytes).tagged(value, None)


class _Walk:
    """One walk over a value that needs tags, or is refused: it makes a copy of base types that orjson takes whole."""

    def __init__(self, max_depth: int, max_bytes: int | None) -> None:
        self._max_depth = max_depth
        self._max_bytes = max_bytes
        self._bytes = 0
        self._open: set[int] = set()

    def tagged(self, value: Any, path: _Path) -> Any:
        """Return the tagged copy of `value`, which lies at `path`."""
        leaf = _LEAVES.get(type(value))
        if leaf is not None:
            return leaf(value, path)
        if isinstance(value, Enum):
            _refuse(path, f"{named(value)} is an Enum member", "Store its .value.")
        if isinstance(value, (dict, list, tuple)):
            return self._container(value, path)
        for base, leaf in _LEAVES.items():
            if isinstance(value, base):
                return leaf(value, path)
        return _refuse_type(value, path)

    def _container(self, value: Any, path: _Path) -> Any:
        if id(value) in self._open:
            _refuse(path, "it contains itself", "Break the cycle, for instance by storing an id in its place.")
        if len(self._open) >= self._max_depth:
            refuse_depth(path, self._max_depth)
        self._count(2 * len(value))
        self._open.add(id(value))
        try:
            if isinstance(value, dict):
                return self._object(value, path)
            return [self.tagged(item, (path, index)) for index, item in enumerate(value)]
        finally:
            self._open.discard(id(value))

    def _object(self, value: dict[Any, Any], path: _Path) -> dict[str, Any]:
        copy: dict[str, Any] = {}
        for key, item in value.items():
            if not isinstance(key, str) or isinstance(key, Enum):
                _refuse(path, f"the dict key {shown(key)} is {named(key)}", "Make every dict key a str.")
            text = _text(key, path)
            name = f"${text}" if text.startswith("$") else text
            if name in copy:
                _refuse(path, f"two dict keys read {shown(text)}", "Make every dict key a plain str.")
            copy[name] = self.tagged(item, (path, text))
        return copy

    def _count(self, size: int) -> None:
        """Stop where the parts alone pass the limit: a value that shares its parts may be too large to build."""
        self._bytes += size
        if self._max_bytes is not None and self._bytes > self._max_bytes:
            raise ValueTooLargeError(size=self._bytes, limit=self._max_bytes)


def _text(value: str, path: _Path) -> str:
    text = str.__str__(value)
    try:
        text.encode()
    except UnicodeEncodeError:
        _refuse(path, f"{shown(text)} holds a lone surrogate", "Decode the text with the encoding it was written in.")
    return text


def _float(value: float, path: _Path) -> float:
    number = float.__float__(value)
    if not math.isfinite(number):
        _refuse(path, f"{number} is no JSON number", "Store None or a text in its place.")
    return number


def _int(value: int, _path: _Path) -> object:
    number = int.__int__(value)
    return number if number in _INT_64 else {"$int": hex(number)}


def _datetime(value: datetime, path: _Path) -> object:
    tag = {"$datetime": datetime.isoformat(value)}
    return _exact(value, datetime, tag, path)


def _uuid(value: UUID, path: _Path) -> object:
    return _exact(value, UUID, {"$uuid": UUID.__str__(value)}, path)


def _decimal(value: Decimal, path: _Path) -> object:
    if not value.is_finite():
        _refuse(path, f"Decimal {value} is no number", "Store None or a text in its place.")
    return _exact(value, Decimal, {"$decimal": Decimal.__str__(value)}, path)


def _exact(value: object, base: type, tag: dict[str, str], path: _Path) -> dict[str, str]:
    """Return `tag`, unless `value` is of a subclass that holds more than its base does."""
    if type(value) is not base and _tag_value(tag) != value:
        _refuse(path, f"{named(value)} holds more than a {base.__name__} can", f"Convert it to {base.__name__}.")
    return tag


# In the order of the checks: a bool is an int, and is let through before.
_LEAVES: Final[dict[type, Callable[[Any, _Path], object]]] = {
    str: _text,
    bool: lambda value, _path: value,
    int: _int,
    float: _float,
    type(None): lambda value, _path: value,
    bytes: lambda value, _path: {"$bytes": b64encode(value).decode()},
    datetime: _datetime,
    UUID: _uuid,
    Decimal: _decimal,
}

_HINTS: Final = {
    "bytearray": "Store bytes(it).",
    "date": "Store a datetime, or the text of .isoformat().",
    "frozenset": "Store a sorted list.",
    "memoryview": "Store bytes(it).",
    "ndarray": "Store its .tolist().",
    "set": "Store a sorted list.",
    "time": "Store the text of .isoformat().",
    "timedelta": "Store its .total_seconds().",
}


def _refuse_type(value: object, path: _Path) -> NoReturn:
    hint = _HINTS.get(type(value).__name__)
    if hint is None and hasattr(type(value), "__dataclass_fields__"):
        hint = "Store dataclasses.asdict(it)."
    if hint is None and hasattr(type(value), "model_dump"):
        hint = 'Store its .model_dump(mode="json").'
    _refuse(
        path,
        f"{named(value)} is not a type that can be stored",
        hint or "Convert it to dict, list, str, int, float, bool, None, bytes, datetime, UUID or Decimal.",
    )


def refuse_depth(path: _Path, limit: int) -> NoReturn:
    """Refuse a value for its depth, as `InvalidValueError`."""
    _refuse(path, f"it is nested deeper than {limit} levels", "Flatten it, or spread it over several keys.")


def _refuse(path: _Path, rule: str, hint: str) -> NoReturn:
    steps: list[str | int] = []
    while path is not None:
        path, step = path
        steps.append(step)
    raise InvalidValueError(render_path(reversed(steps)), rule=rule, hint=hint)


def named(value: object) -> str:
    """Return the name of the type with its article, for a message."""
    name = type(value).__name__
    return f"an {name}" if name[:1].lower() in "aeio" else f"a {name}"


# -- Decoding: the parsed value is new and nobody else's, so tags are replaced in place.


def _finite_decimal(text: str) -> Decimal:
    number = Decimal(text)
    if not number.is_finite():
        raise ValueError(text)
    return number


def _read_datetime(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    # An offset below a second is read as none by some versions of Python: the datetime would be another.
    if cut := _SUBSECOND.search(text):
        offset = timedelta(microseconds=int(cut[2]))
        found = found.replace(tzinfo=timezone(-offset if cut[1] == "-" else offset))
    return found


_TAGS: Final[dict[str, Callable[[str], object]]] = {
    "$bytes": lambda text: b64decode(text, validate=True),
    "$datetime": _read_datetime,
    "$decimal": _finite_decimal,
    "$int": lambda text: int(text, 16),
    "$uuid": UUID,
}


def untagged(value: Any) -> Any:
    """Return a parsed value with its tags decoded and its keys without their escape."""
    root = [value]
    containers: list[Any] = [root]
    while containers:
        container = containers.pop()
        is_object = type(container) is dict
        for key, item in list(container.items() if is_object else enumerate(container)):
            if type(item) is list:
                containers.append(item)
            elif type(item) is dict:
                if _is_tag(item):
                    container[key] = _tag_value(item)
                else:
                    containers.append(item)
        if is_object:
            _strip_escapes(container)
    return root[0]


def _is_tag(item: dict[str, Any]) -> bool:
    """Return whether an object is a tag: it has a single key, with a single `$` in front."""
    if len(item) != 1:
        return False
    (key,) = item
    return key.startswith("$") and not key.startswith("$$")


def _tag_value(tag: dict[str, Any]) -> object:
    ((name, text),) = tag.items()
    try:
        return _TAGS[name](text)
    except (KeyError, ValueError, TypeError, AttributeError, ArithmeticError) as error:
        raise _unreadable(name) from error


def _unreadable(name: str) -> IntegrityError:
    return IntegrityError(
        f"a stored value holds the tag {shown(name)}, which cannot be read",
        kind="encoding",
        hint="Read it with the release that wrote it; if that fails too, run `backstory verify`.",
    )


def _strip_escapes(container: dict[str, Any]) -> None:
    """Take one `$` off the keys that begin with it, and keep the order of the keys."""
    marked = [key for key in container if key.startswith("$")]
    if marked:
        for key in marked:
            if not key.startswith("$$"):
                raise _unreadable(key)
        items = [(key.removeprefix("$"), item) for key, item in container.items()]
        container.clear()
        container.update(items)
