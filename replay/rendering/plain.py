"""Plain JSON: values as JSON text, what JSON lacks tagged as the log and `--json` tag it."""

from __future__ import annotations

import json
from base64 import b64encode
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

_INT_64: Final = range(-(2**63), 2**64)


def plain(value: Any) -> Any:
    """Return a value in JSON's own types.

    `{"$bytes": ...}`, `{"$datetime": ...}`, `{"$uuid": ...}`, `{"$decimal": ...}` and `{"$int": ...}` stand for what
    JSON lacks; a key that begins with `$` gets one more.
    """
    if isinstance(value, dict):
        return {f"${key}" if key.startswith("$") else key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, int) and value not in _INT_64:
        return {"$int": hex(value)}
    return _tag(value)


def _tag(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"$bytes": b64encode(value).decode()}
    if isinstance(value, datetime):
        return {"$datetime": value.isoformat()}
    if isinstance(value, UUID):
        return {"$uuid": str(value)}
    if isinstance(value, Decimal):
        return {"$decimal": str(value)}
    return value


def json_of(value: Any) -> str:
    """Return a value as JSON text on one line."""
    return json.dumps(plain(value), ensure_ascii=False, separators=(",", ":"))


def printable_json(value: Any, *, indent: int) -> str:
    """Return a value as indented JSON text of printable characters alone; it is still JSON, and holds the same."""
    text = json.dumps(plain(value), ensure_ascii=False, indent=indent)
    return "".join(char if char.isprintable() or char == "\n" else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    """Return a character as JSON escapes it: one number, or a pair of surrogates."""
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


def brief(value: Any, longest: int) -> str:
    """Return the beginning of a value for people: JSON text, more than `longest` characters only where there is more.

    Only as much is written as is asked for, as values may be large. Times, ids and decimals are texts, and of bytes
    there is the number.
    """
    try:
        return _beginning(value, longest)
    except ValueError:  # an integer of more digits than Python writes in decimals
        return _beginning(plain(value), longest)


def _beginning(value: Any, longest: int) -> str:
    if isinstance(value, str):
        value = value[: longest + 1]
    text = ""
    for chunk in json.JSONEncoder(ensure_ascii=False, default=_in_words).iterencode(value):
        text += chunk[: longest + 1]
        if len(text) > longest:
            return text
    return text


def _in_words(value: Any) -> str:
    return f"{len(value)} bytes" if isinstance(value, bytes) else str(value)
