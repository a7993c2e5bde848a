"""The transformers that come with Backstory. Each is pure, but for what it is given by the context.

Those of one value leave it where it is null or absent, unless they say otherwise.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any, Final, NoReturn

from backstory.domain.events import MISSING
from backstory.domain.formats import FORMATS
from backstory.domain.transform_values import type_name
from backstory.domain.transformers import TransformContext, Transformer

__all__ = ["BUILT_IN"]

Values = tuple[Any, ...]


def now(_values: Values, context: TransformContext) -> Any:
    """Return the time, as a timestamp."""
    return context.now()


def now_iso8601(_values: Values, context: TransformContext) -> Any:
    """Return the time, as text in ISO 8601."""
    return context.now().isoformat()


def uuid(_values: Values, context: TransformContext) -> Any:
    """Return a new id, as text."""
    return str(context.uuid())


def constant(_values: Values, _context: TransformContext, *, value: Any) -> Any:
    """Return `value`."""
    return value


def normalize_score(
    values: Values,
    _context: TransformContext,
    *,
    minimum: float = 0,
    maximum: float = 100,
) -> Any:
    """Return where a number lies between `minimum` (0.0) and `maximum` (1.0); refuse what lies outside."""
    score = _one(values)
    if score is None or score is MISSING:
        return score
    if not minimum < maximum:
        raise ValueError("minimum is not below maximum")
    if not _is_number(score) or not minimum <= score <= maximum:
        raise ValueError(f"a score is a number from {minimum} to {maximum}")
    return (float(score) - minimum) / (maximum - minimum)


def has_valid_email(values: Values, _context: TransformContext) -> Any:
    """Return whether a value is an address of electronic mail; null and absent ones are none."""
    value = _one(values)
    return isinstance(value, str) and FORMATS["email"](value)


def lower(values: Values, _context: TransformContext) -> Any:
    """Return a text in lower case."""
    return _of_text(values, str.lower)


def upper(values: Values, _context: TransformContext) -> Any:
    """Return a text in upper case."""
    return _of_text(values, str.upper)


def trim(values: Values, _context: TransformContext) -> Any:
    """Return a text without the white space around it."""
    return _of_text(values, str.strip)


def slug(values: Values, _context: TransformContext) -> Any:
    """Return the ASCII letters and digits of a text, in lower case, with `-` for what is between; accents go."""
    return _of_text(values, _slug)


def parse_json(values: Values, _context: TransformContext) -> Any:
    """Return what a text in JSON says."""
    return _of_text(values, lambda text: json.loads(text, parse_constant=_refuse_constant))


def length(values: Values, _context: TransformContext) -> Any:
    """Return the number of characters, elements or fields of a value."""
    value = _one(values)
    if value is None or value is MISSING:
        return value
    if not isinstance(value, (str, list, dict)):
        raise TypeError(f"type {type_name(value)} has no length")
    return len(value)


def collect(values: Values, _context: TransformContext) -> Any:
    """Return the values that are there as an array; of one array, such as that of a path with `[*]`, itself."""
    if len(values) == 1 and isinstance(values[0], list):
        return values[0]
    return [value for value in values if value is not MISSING]


def concat(values: Values, _context: TransformContext, *, separator: str = "") -> Any:
    """Return texts, and those in arrays, as one, with `separator` between; nothing if there are none."""
    texts = list(_flat(values))
    for text in texts:
        _require_text(text)
    return separator.join(texts) if texts else MISSING


def sum_(values: Values, _context: TransformContext) -> Any:
    """Return the sum of numbers, and of those in arrays; of none, 0."""
    numbers = list(_flat(values))
    for number in numbers:
        if not _is_number(number):
            raise TypeError(f"type {type_name(number)} is no number")
    return sum(numbers)


def first_non_null(values: Values, _context: TransformContext) -> Any:
    """Return the first value that is neither null nor absent, else null if there is one."""
    there = [value for value in values if value is not MISSING]
    return next((value for value in there if value is not None), None if there else MISSING)


# -- Helpers


def _one(values: Values) -> Any:
    if len(values) != 1:
        raise TypeError(f"it takes one value, not {len(values)}; name one path in from_")
    return values[0]


def _of_text(values: Values, change: Callable[[str], Any]) -> Any:
    value = _one(values)
    if value is None or value is MISSING:
        return value
    _require_text(value)
    return change(value)


def _require_text(value: Any) -> None:
    if not isinstance(value, str):
        raise TypeError(f"type {type_name(value)} is no text")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, Decimal)) and not isinstance(value, bool)


def _flat(values: Any) -> Iterator[Any]:
    """Yield values, and those in arrays among them; null and absent ones are left out."""
    for value in values:
        if isinstance(value, list):
            yield from _flat(value)
        elif value is not None and value is not MISSING:
            yield value


def _slug(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


BUILT_IN: Final[dict[str, Transformer]] = {
    "collect": collect,
    "concat": concat,
    "constant": constant,
    "first_non_null": first_non_null,
    "has_valid_email": has_valid_email,
    "length": length,
    "lower": lower,
    "normalize_score": normalize_score,
    "now": now,
    "now_iso8601": now_iso8601,
    "parse_json": parse_json,
    "slug": slug,
    "sum": sum_,
    "trim": trim,
    "upper": upper,
    "uuid": uuid,
}
"""Transformers by the names that plans give."""
