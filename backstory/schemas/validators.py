"""The validator of a schema version, whatever its kind; made once for each content."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import Any, Final

from backstory.domain.schemas import Schema, SchemaVersion
from backstory.domain.validation import Validator, Violation, compiled, violations

__all__ = ["validator_of"]

_MOST: Final = 1024
_made: OrderedDict[str, Validator] = OrderedDict()
_lock: Final = Lock()


def validator_of(version: SchemaVersion) -> Validator:
    """Return the function that tells what is wrong with a value of this version; it may be used by many threads.

    Raises `ConfigError` for JSON Schema where the extra `schemas` is not installed.
    """
    with _lock:
        if (known := _made.get(version.hash)) is not None:
            _made.move_to_end(version.hash)
            return known
    made = _of_json_schema(version) if version.kind == "json_schema" else _of_fields(version.schema())
    with _lock:
        _made[version.hash] = made
        if len(_made) > _MOST:
            _made.popitem(last=False)
    return made


def _of_fields(schema: Schema) -> Validator:
    is_valid = compiled(schema)

    def told(value: Any) -> tuple[Violation, ...]:
        return () if is_valid(value) else violations(schema, value)

    return told


def _of_json_schema(version: SchemaVersion) -> Validator:
    from backstory.infrastructure.json_schema import validator

    return validator(version.document)
