"""Conversions: a value in another type, without loss or not at all.

| to | from | how |
| --- | --- | --- |
| `string` | integer, number | the digits that JSON has for it: `12` is `"12"`, `1.5` is `"1.5"` |
| | boolean | `"true"`, `"false"` |
| | timestamp, uuid | ISO 8601, the usual 36 characters |
| `integer` | number | of a whole one: `2.0` is `2`; `1.5` is refused |
| | string | `"12"`, `"-3"`; refused are `"1.0"`, `"1.5"`, `"007"`, `"+7"`, `" 7"`, `"1_000"`, `"-0"` |
| | boolean | `true` is `1`, `false` is `0` |
| `number` | string | as JSON writes it: `"12"` is `12`, `"1.50"` is `1.5`; no more digits than a float keeps |
| | boolean | as `integer` |
| `boolean` | string | `"true"`, `"false"`; refused are `"yes"`, `"True"`, `"1"` |
| | integer | `1` and `0` |
| `timestamp` | string | RFC 3339, with its offset, down to microseconds: `"2026-03-01T12:00:00Z"` |
| `array` | anything else | as its one element: `"a"` is `["a"]` |
| `object` | nothing else | |

What is of the type already stays; integers are numbers. Null stays null, for `array` too.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from backstory.domain.formats import is_date_time

__all__ = ["CONVERSIONS", "Conversion", "LossyError"]

Conversion = Callable[[Any], Any]
"""What converts a value, or raises `LossyError`."""

_INTEGER: Final = re.compile(r"-?[1-9][0-9]*|0", re.ASCII)
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?", re.ASCII)
_ZERO: Final = re.compile(r"-?[0.]+(?:[eE]|$)")
_BOOLEANS: Final = {"true": True, "false": False}
_MOST_DIGITS: Final = 4_000  # Python turns no more than some thousand digits into an integer.
_MOST_FRACTION_DIGITS: Final = 6


class LossyError(Exception):
    """A value cannot be had in another type without loss; the text says why, to follow "it is a string"."""


def _to_string(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and abs(value).bit_length() > 3 * _MOST_DIGITS:
        raise LossyError("with too many digits")
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, (Decimal, UUID)):
        return str(value)
    raise LossyError("that has no one text")


def _to_integer(value: Any) -> Any:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, (float, Decimal)):
        return _whole(value)
    if isinstance(value, str) and len(value) <= _MOST_DIGITS and _INTEGER.fullmatch(value):
        return int(value)
    raise LossyError("that is no integer as JSON writes it")


def _whole(value: float | Decimal) -> int:
    if not math.isfinite(value) or (isinstance(value, Decimal) and value.adjusted() > _MOST_DIGITS):
        raise LossyError("that is no integer")
    number = int(value)
    if number != value:
        raise LossyError("with a fraction")
    return number


def _to_number(value: Any) -> Any:
    if isinstance(value, bool):
        return int(value)
    if not isinstance(value, str) or len(value) > _MOST_DIGITS or not _NUMBER.fullmatch(value):
        raise LossyError("that is no number as JSON writes it")
    if _INTEGER.fullmatch(value):
        return int(value)
    number = float(value)
    # What is too small for a float reads as 0, and may be too small for a Decimal too.
    is_exact = _ZERO.match(value) if number == 0 else math.isfinite(number) and Decimal(repr(number)) == Decimal(value)
    if not is_exact:
        raise LossyError("with more digits than a number keeps")
    return number


def _to_boolean(value: Any) -> Any:
    if isinstance(value, str) and value in _BOOLEANS:
        return _BOOLEANS[value]
    if isinstance(value, int) and value in {0, 1}:
        return bool(value)
    raise LossyError("that is neither true nor false")


def _to_timestamp(value: Any) -> Any:
    if not isinstance(value, str) or not is_date_time(value):
        raise LossyError("that is no time with an offset in RFC 3339")
    fraction = re.search(r"\.([0-9]+)", value)
    if fraction and len(fraction[1].rstrip("0")) > _MOST_FRACTION_DIGITS:
        raise LossyError("that is finer than microseconds")
    return datetime.fromisoformat(value.upper())


def _to_array(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else [value]


def _to_object(_value: Any) -> Any:
    raise LossyError("that has no fields")


def _unless(kind: type | tuple[type, ...], convert: Conversion) -> Conversion:
    """Return a conversion that leaves null, and what is of the type already."""
    stays = kind if isinstance(kind, tuple) else (kind,)

    def converted(value: Any) -> Any:
        if value is None or (isinstance(value, stays) and not (isinstance(value, bool) and bool not in stays)):
            return value
        return convert(value)

    return converted


CONVERSIONS: Final[dict[str, Conversion]] = {
    "string": _unless(str, _to_string),
    "integer": _unless(int, _to_integer),
    "number": _unless((int, float, Decimal), _to_number),
    "boolean": _unless(bool, _to_boolean),
    "timestamp": _unless(datetime, _to_timestamp),
    "array": _unless(list, _to_array),
    "object": _unless(dict, _to_object),
}
"""What converts to each type."""
