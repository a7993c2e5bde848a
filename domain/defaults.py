"""Defaults: a value with what its schema puts where nothing is."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from backstory.domain.fields import Field
from backstory.domain.schemas import Schema

__all__ = ["with_defaults"]


def with_defaults(schema: Schema | Field, value: Any) -> Any:
    """Return a value with the defaults of absent fields, also inside objects and arrays that are there.

    What was there stays as it is, valid or not; the same value comes back where nothing is absent.
    """
    if isinstance(value, dict) and schema.fields is not None:
        return _object_with_defaults(schema, value)
    if isinstance(value, (list, tuple)) and schema.items is not None:
        filled = [with_defaults(schema.items, item) for item in value]
        return value if all(one is other for one, other in zip(filled, value, strict=True)) else filled
    return value


def _object_with_defaults(schema: Schema | Field, value: dict[str, Any]) -> dict[str, Any]:
    filled = dict(value)
    for name, field in (schema.fields or {}).items():
        if name in value:
            filled[name] = with_defaults(field, value[name])
        elif field.has_default:
            filled[name] = with_defaults(field, deepcopy(field.default))
    same = len(filled) == len(value) and all(filled[name] is item for name, item in value.items())
    return value if same else filled
