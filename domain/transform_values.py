"""Values as transforms handle them: copied, so that no two share a part, and named by type in messages."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from backstory.domain.canonical import canonical_text

__all__ = ["fresh", "storable", "type_name"]

_TYPE_NAMES: Final[dict[type, str]] = {
    type(None): "null",
    bool: "boolean",
    int: "integer",
    float: "number",
    Decimal: "number",
    str: "string",
    dict: "object",
    list: "array",
    tuple: "array",
    bytes: "bytes",
    datetime: "timestamp",
    UUID: "uuid",
}


def type_name(value: Any) -> str:
    """Return the name of a value's type, in the words of schemas where they have one, such as `integer`."""
    for base in type(value).__mro__:
        if base in _TYPE_NAMES:
            return _TYPE_NAMES[base]
    return type(value).__name__


def fresh(value: Any) -> Any:
    """Return a value with no container in common with the one given, all of them plain dicts and lists."""
    if isinstance(value, dict):
        return {key: fresh(item) if isinstance(item, (dict, list, tuple)) else item for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [fresh(item) if isinstance(item, (dict, list, tuple)) else item for item in value]
    return value


def storable(value: Any) -> Any:
    """Return a copy of a value for a plan; raises `InvalidValueError`, with the path, for what no store keeps."""
    canonical_text(value)
    return fresh(value)
