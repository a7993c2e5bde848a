"""Shapes: what a schema demands in one form, read from declared fields or from JSON Schema, to be compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple

from backstory.domain.canonical import canonical_text
from backstory.domain.fields import Field
from backstory.domain.schemas import SchemaVersion
from backstory.domain.validation import same, time_of

__all__ = ["ANYTHING", "Bound", "Shape", "shape_of"]


class Bound(NamedTuple):
    """A limit, and whether it is itself outside."""

    limit: int | float | Decimal | datetime
    exclusive: bool = False


@dataclass(frozen=True)
class Shape:
    """What is demanded of one part of a value.

    `types` None is any type; `rest` holds the words that can only be equal or not, by name, as canonical text.
    """

    types: frozenset[str] | None = None
    required: bool = False
    nullable: bool = False
    default: Any = ...
    fields: Mapping[str, Shape] = field(default_factory=dict)
    items: Shape | None = None
    enum: tuple[Any, ...] | None = None
    min: Bound | None = None
    max: Bound | None = None
    min_length: Bound | None = None
    max_length: Bound | None = None
    pattern: str | None = None
    format: str | None = None
    rest: Mapping[str, str] = field(default_factory=dict)


ANYTHING: Final = Shape(nullable=True)
"""The shape that demands nothing."""


def shape_of(version: SchemaVersion) -> Shape:
    """Return the shape of a version's values."""
    if version.kind == "json_schema":
        return _JsonReader(version.document).shape(version.document, "", ())
    fields = version.schema().fields
    return Shape(frozenset({"object"}), fields={name: _of_field(part) for name, part in fields.items()})


# -- From declared fields


def _of_field(declared: Field) -> Shape:
    enum = declared.enum
    takes_null = declared.type == "any" and (enum is None or any(value is None for value in enum))
    return Shape(
        types=None if declared.type == "any" else frozenset({declared.type}),
        required=declared.required,
        nullable=declared.nullable or takes_null,
        default=declared.default,
        fields={name: _of_field(part) for name, part in (declared.fields or {}).items()},
        items=None if declared.items is None else _of_field(declared.items),
        enum=None if enum is None else tuple(value for value in enum if value is not None),
        min=_bound(declared.min),
        max=_bound(declared.max),
        max_length=_bound(declared.max_length),
        pattern=declared.pattern,
        format=declared.format,
    )


def _bound(limit: Any) -> Bound | None:
    return None if limit is None else Bound(time_of(limit) if isinstance(limit, str) else limit)


# -- From JSON Schema

_SAYS_NOTHING: Final = frozenset(
    ("$anchor", "$comment", "$defs", "$id", "$schema", "definitions", "deprecated", "description", "examples")
) | {"readOnly", "title", "writeOnly"}
_READ: Final = frozenset(
    ("const", "default", "enum", "exclusiveMaximum", "exclusiveMinimum", "format", "items", "maxItems", "maxLength")
) | {"maximum", "minItems", "minLength", "minimum", "pattern", "properties", "required", "type"}

_Stack = tuple[tuple[str, str], ...]
"""The references being followed: where each leads, and the path it was met at."""


class _JsonReader:
    """Reads one JSON Schema document, which holds its own definitions."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root

    def shape(self, schema: Any, path: str, stack: _Stack) -> Shape:
        """Return the shape of a part of the document; `path` is where its values lie."""
        if schema is True:
            return ANYTHING
        if not isinstance(schema, Mapping):
            return replace(ANYTHING, rest={"schema": canonical_text(schema)})
        said = {word: schema[word] for word in schema if word not in _SAYS_NOTHING}
        if "$ref" in said and said.keys() <= {"$ref", "default"}:
            return self._referred(said, path, stack)
        if "anyOf" in said and said.keys() <= {"anyOf", "default"} and (other := _other_than_null(said["anyOf"])):
            shape = replace(self.shape(other, path, stack), nullable=True)
            return replace(shape, default=said.get("default", shape.default))
        return self._demanded(said, path, stack)

    def _referred(self, said: dict[str, Any], path: str, stack: _Stack) -> Shape:
        target = said["$ref"]
        for known, met_at in stack:
            if known == target:
                return replace(ANYTHING, rest={"$ref": f"back to {met_at or 'the value'}"})
        shape = self.shape(_at(self._root, target), path, (*stack, (target, path)))
        return replace(shape, default=said.get("default", shape.default))

    def _demanded(self, said: dict[str, Any], path: str, stack: _Stack) -> Shape:
        types, nullable, enum = _types_and_values(said)
        required = said.get("required", ())
        properties = {**dict.fromkeys(required, True), **said.get("properties", {})}
        fields = {
            name: replace(self.shape(part, f"{path}.{name}", stack), required=name in required)
            for name, part in properties.items()
        }
        is_array = types == frozenset({"array"})
        rest = {word: canonical_text(self._inlined(said[word], stack)) for word in said if word not in _READ}
        if rest.get("additionalProperties") in {"true", "{}"}:
            del rest["additionalProperties"]
        if not is_array:  # Of several types: which one a limit is about cannot be told.
            rest |= {word: canonical_text(said[word]) for word in ("minItems", "maxItems") if word in said}
        else:
            rest |= {word: canonical_text(said[word]) for word in ("minLength", "maxLength") if word in said}
        return Shape(
            types=types,
            nullable=nullable,
            default=said.get("default", ...),
            fields=fields,
            items=self.shape(said["items"], f"{path}[*]", stack) if "items" in said else None,
            enum=enum,
            min=_tightest(said.get("minimum"), said.get("exclusiveMinimum"), largest=True),
            max=_tightest(said.get("maximum"), said.get("exclusiveMaximum"), largest=False),
            min_length=_bound(said.get("minItems" if is_array else "minLength")),
            max_length=_bound(said.get("maxItems" if is_array else "maxLength")),
            pattern=said.get("pattern"),
            format=said.get("format"),
            rest=rest,
        )

    def _inlined(self, part: Any, stack: _Stack) -> Any:
        """Return a part that is compared as a whole, with what it refers to in it."""
        if isinstance(part, (list, tuple)):
            return [self._inlined(item, stack) for item in part]
        if not isinstance(part, Mapping):
            return part
        copy = {name: self._inlined(item, stack) for name, item in part.items() if name != "$ref"}
        if isinstance(target := part.get("$ref"), str):
            known = any(target == one for one, _ in stack)
            inner = target if known else self._inlined(_at(self._root, target), (*stack, (target, "")))
            copy["$ref"] = inner
        elif "$ref" in part:
            copy["$ref"] = self._inlined(part["$ref"], stack)
        return copy


def _at(root: Mapping[str, Any], pointer: Any) -> Any:
    """Return what a local reference leads to; the reference itself where it leads elsewhere."""
    if not isinstance(pointer, str) or not (pointer == "#" or pointer.startswith("#/")):
        return [pointer]
    found: Any = root
    for step in pointer.split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(found, Mapping) and name in found:
            found = found[name]
        elif isinstance(found, list) and name.isdecimal() and int(name) < len(found):
            found = found[int(name)]
        else:
            return [pointer]
    return found


def _other_than_null(choices: Any) -> Any:
    """Return the one choice of two that is not null; None where it is not so."""
    others = [choice for choice in choices if choice != {"type": "null"}]
    return others[0] if len(choices) == 2 and len(others) == 1 else None  # noqa: PLR2004 - something, or null


def _types_and_values(said: Mapping[str, Any]) -> tuple[frozenset[str] | None, bool, tuple[Any, ...] | None]:
    """Return the types, whether null is among them, and the values allowed other than null."""
    enum = (said["const"],) if "const" in said else tuple(said["enum"]) if "enum" in said else None
    null_is_listed = enum is None or any(value is None for value in enum)
    rest = None if enum is None else tuple(value for value in enum if value is not None)
    if "const" in said and "enum" in said:
        rest = tuple(value for value in said["enum"] if same(value, said["const"]))
    if "type" not in said:
        return None, null_is_listed, rest
    types = {said["type"]} if isinstance(said["type"], str) else set(said["type"])
    if "number" in types:
        types.discard("integer")
    nullable = "null" in types and null_is_listed
    return frozenset(types - {"null"} or {"null"}), nullable, rest


def _tightest(inclusive: Any, exclusive: Any, *, largest: bool) -> Bound | None:
    if exclusive is None:
        return _bound(inclusive)
    if inclusive is None or (exclusive >= inclusive if largest else exclusive <= inclusive):
        return Bound(exclusive, exclusive=True)
    return Bound(inclusive)
