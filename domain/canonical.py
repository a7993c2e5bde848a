"""Canonical text of a value: one text for all equal values, whatever the order of their keys, to be hashed."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from hashlib import sha256
from math import isfinite
from typing import Any, Final
from uuid import UUID

from backstory.domain.errors import InvalidValueError, shown
from backstory.domain.paths import render_path

__all__ = ["canonical_text", "content_digest"]

_DEEPEST: Final = 200
_INT_64: Final = range(-(2**63), 2**64)
_STORED: Final = "Use null, booleans, numbers, text, lists, dicts, bytes, datetime, UUID or Decimal."


def canonical_text(value: Any) -> str:
    """Return JSON text with sorted keys, in ASCII; what JSON lacks is an object with one key, such as `$bytes`.

    Raises `InvalidValueError`, with the path, for what cannot be stored: NaN, infinities, lone surrogates, keys that
    are no text, cycles, other types.
    """
    return json.dumps(_plain(value, ()), sort_keys=True, separators=(",", ":"), allow_nan=False)


def content_digest(value: Any) -> str:
    """Return the SHA-256 of the canonical text, in hexadecimal."""
    return sha256(canonical_text(value).encode("ascii")).hexdigest()


def _plain(value: Any, path: tuple[str | int, ...]) -> Any:
    if len(path) > _DEEPEST:
        raise _refusal(path[:5], f"it is more than {_DEEPEST} containers deep, or inside itself")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, (int, float)):
        return _number(value, path)
    if isinstance(value, str):
        return _text(value, path)
    if isinstance(value, Mapping):
        return {_name(name, path): _plain(item, (*path, name)) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, (*path, index)) for index, item in enumerate(value)]
    return _tagged(value, path)


def _number(value: float, path: tuple[str | int, ...]) -> Any:
    if isinstance(value, int):
        return int(value) if value in _INT_64 else {"$int": hex(value)}  # Python refuses the decimals of a huge one.
    if not isfinite(value):
        raise _refusal(path, f"{value} is no number that can be stored")
    return value


def _tagged(value: Any, path: tuple[str | int, ...]) -> dict[str, str]:
    if isinstance(value, bytes):
        return {"$bytes": b64encode(value).decode()}
    if isinstance(value, datetime):
        if value.utcoffset() is None:
            raise _refusal(path, "a datetime without time zone is no point in time")
        return {"$datetime": value.isoformat()}
    if isinstance(value, UUID):
        return {"$uuid": str(value)}
    if isinstance(value, Decimal) and value.is_finite():
        return {"$decimal": str(value)}
    raise _refusal(path, f"a {type(value).__name__} cannot be stored")


def _name(name: Any, path: tuple[str | int, ...]) -> str:
    if not isinstance(name, str):
        raise _refusal(path, f"key {shown(name)} is no text")
    return _text("$" + name if name.startswith("$") else name, path)


def _text(text: str, path: tuple[str | int, ...]) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _refusal(path, "text with a lone surrogate cannot be stored") from None
    return text


def _refusal(path: tuple[str | int, ...], rule: str) -> InvalidValueError:
    return InvalidValueError(render_path(path), rule=rule, hint=_STORED)
