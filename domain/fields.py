"""Fields: what a schema says about one part of a value, checked when it is said."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import KW_ONLY, dataclass
from datetime import datetime
from decimal import Decimal
from math import isfinite
from types import MappingProxyType
from typing import Any, Final, Literal, NoReturn, get_args

from backstory.domain.canonical import canonical_text
from backstory.domain.errors import InvalidValueError, SchemaError, shown
from backstory.domain.formats import FORMATS
from backstory.domain.paths import render_path
from backstory.domain.validation import compiled, same, time_of, violations

__all__ = ["MAX_DEPTH", "Field", "FieldType", "field_from_document"]

FieldType = Literal["string", "integer", "number", "boolean", "object", "array", "timestamp", "bytes", "any"]
"""The types of a field."""

MAX_DEPTH: Final = 64
"""How many fields may lie inside each other."""

_ONLY_FOR: Final[dict[str, tuple[str, ...]]] = {
    "fields": ("object",),
    "items": ("array",),
    "pattern": ("string",),
    "format": ("string",),
    "min": ("integer", "number", "timestamp"),
    "max": ("integer", "number", "timestamp"),
    "max_length": ("string", "bytes", "array"),
}
_HINT: Final = "Correct the declaration of the field."


@dataclass(frozen=True, eq=False)
class Field:
    """What a schema says about one part of a value.

    `type` is one of `FieldType`. `required` parts must be there; `nullable` ones may be None. `default` is what a
    migration puts where nothing is (`...`: there is none). `fields` are the members of an object that are known, others
    may be there too; `items` is what each item of an array is. `enum` lists the values allowed; `pattern` is a regular
    expression searched in a text; `min` and `max` bound numbers and timestamps, themselves included; `max_length`
    counts characters, bytes or items; `format` is a name in `FORMATS`.

    Raises `SchemaError` for a declaration that contradicts itself: its `path` is the argument. Equal declarations are
    equal, whatever the order of their fields and enum values.
    """

    type: FieldType
    _: KW_ONLY
    required: bool = False
    default: Any = ...
    fields: Mapping[str, Field] | None = None
    items: Field | None = None
    enum: Sequence[Any] | None = None
    pattern: str | None = None
    min: int | float | Decimal | datetime | str | None = None
    max: int | float | Decimal | datetime | str | None = None
    max_length: int | None = None
    format: str | None = None
    nullable: bool = False

    def __post_init__(self) -> None:
        """Check the declaration, and make what it holds unchangeable from outside."""
        _check_type(self)
        if self.fields is not None:
            object.__setattr__(self, "fields", checked_fields(self.fields))
        if self.items is not None and not isinstance(self.items, Field):
            _refuse("items", f"must be a Field, not {shown(self.items)}")
        if self.depth > MAX_DEPTH:
            _refuse("fields", f"are more than {MAX_DEPTH} inside each other")
        _check_text(self)
        _check_bounds(self)
        object.__setattr__(self, "default", deepcopy(self.default))
        if self.enum is not None:
            object.__setattr__(self, "enum", _checked_enum(self))
        if self.default is not ...:
            _check_default(self)

    @property
    def has_default(self) -> bool:
        """Whether there is a default; None may be one."""
        return self.default is not ...

    @property
    def depth(self) -> int:
        """How many fields lie inside each other, this one included."""
        inner = [*(self.fields or {}).values(), *([] if self.items is None else [self.items])]
        known: int | None = self.__dict__.get("_depth")
        if known is None:
            known = self.__dict__["_depth"] = 1 + max((field.depth for field in inner), default=0)
        return known

    def to_document(self) -> dict[str, Any]:
        """Return the declaration as data: the type, and what differs from the defaults. It is the caller's own."""
        document: dict[str, Any] = {"type": self.type}
        for name in ("required", "nullable"):
            if getattr(self, name):
                document[name] = True
        if self.default is not ...:
            document["default"] = deepcopy(self.default)
        if self.fields is not None:
            document["fields"] = {name: field.to_document() for name, field in self.fields.items()}
        if self.items is not None:
            document["items"] = self.items.to_document()
        if self.enum is not None:
            document["enum"] = deepcopy(list(self.enum))
        for name in ("pattern", "min", "max", "max_length", "format"):
            if (value := getattr(self, name)) is not None:
                document[name] = value
        return document

    @property
    def content(self) -> dict[str, Any]:
        """What identifies the declaration: its document, with the enum's values in an order of their own."""
        document = self.to_document()
        if self.fields is not None:
            document["fields"] = {name: field.content for name, field in self.fields.items()}
        if self.items is not None:
            document["items"] = self.items.content
        if self.enum is not None:
            document["enum"] = sorted(document["enum"], key=canonical_text)
        return document

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Field):
            return NotImplemented
        return canonical_text(self.content) == canonical_text(other.content)

    def __hash__(self) -> int:
        return hash(canonical_text(self.content))

    def __repr__(self) -> str:
        """Return the declaration as it could be written."""
        said = [f"{name}={value!r}" for name, value in _arguments(self).items()]
        return f"Field({', '.join([repr(self.type), *said])})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and copy by the document."""
        return field_from_document, (self.to_document(),)


def _arguments(field: Field) -> dict[str, Any]:
    given = field.to_document()
    del given["type"]
    inner = {"fields": dict(field.fields or {}), "items": field.items}
    return {name: inner.get(name, value) for name, value in given.items()}


def field_from_document(document: Any, path: str = "") -> Field:
    """Return the field of a document as `to_document` makes it. Raises `SchemaError` for anything else."""
    if not isinstance(document, Mapping):
        _refuse(path, f"must be an object with a type, not {shown(document)}")
    if not isinstance(document.get("type"), str):
        _refuse(path, "must have a type")
    unknown = sorted(str(name) for name in document.keys() - _ARGUMENTS)
    if unknown:
        _refuse(path, f"has the unknown word {shown(unknown[0])}; known are {', '.join(sorted(_ARGUMENTS))}")
    arguments = dict(document)
    kind: Any = arguments.pop("type")
    if arguments.get("fields") is not None:
        arguments["fields"] = fields_from_document(arguments["fields"], path)
    if arguments.get("items") is not None:
        arguments["items"] = field_from_document(arguments["items"], f"{path}[*]")
    try:
        return Field(kind, **arguments)
    except SchemaError as error:
        if not path or error.rule is None:
            raise
        raise _refusal(f"{path}: {error.path}" if error.path else path, error.rule) from error


def fields_from_document(document: Any, path: str = "") -> dict[str, Field]:
    """Return the fields of a document by name, those of `path` in the whole."""
    if not isinstance(document, Mapping):
        _refuse(path or "fields", f"must be an object of fields by name, not {shown(document)}")
    return {name: field_from_document(field, _joined(path, name)) for name, field in document.items()}


def checked_fields(fields: Any) -> Mapping[str, Field]:
    """Return fields by name as a mapping that cannot be changed. Raises `SchemaError` for what is none."""
    if not isinstance(fields, Mapping):
        _refuse("fields", f"must be Fields by name, not {shown(fields)}")
    for name, field in fields.items():
        if not isinstance(name, str) or not name or not name.isprintable():
            _refuse("fields", f"has the name {shown(name)}; a name is text of printable characters, not empty")
        if not isinstance(field, Field):
            _refuse(_joined("", name), f"must be a Field, not {shown(field)}")
    return MappingProxyType(dict(fields))


_ARGUMENTS: Final = frozenset(name for name in Field.__dataclass_fields__ if name != "_")


# -- Checks


def _check_type(field: Field) -> None:
    if field.type not in get_args(FieldType):
        _refuse("type", f"must be one of {', '.join(get_args(FieldType))}, not {shown(field.type)}")
    for name in ("required", "nullable"):
        if not isinstance(getattr(field, name), bool):
            _refuse(name, f"must be True or False, not {shown(getattr(field, name))}")
    for name, types in _ONLY_FOR.items():
        if getattr(field, name) is not None and field.type not in types:
            _refuse(name, f"is for fields of type {' or '.join(types)}, not {field.type}")


def _check_text(field: Field) -> None:
    if field.pattern is not None:
        try:
            re.compile(field.pattern)
        except (re.error, TypeError, RecursionError, OverflowError) as error:
            _refuse("pattern", f"must be a regular expression, {shown(field.pattern)} is none: {error}")
    if field.format is not None and field.format not in FORMATS:
        _refuse("format", f"must be one of {', '.join(FORMATS)}, not {shown(field.format)}")


def _check_bounds(field: Field) -> None:
    limit = field.max_length
    if limit is not None and (type(limit) is not int or limit < 0):
        _refuse("max_length", f"must be 0 or a positive integer, not {shown(limit)}")
    is_bound: Callable[[Any], bool] = _is_time if field.type == "timestamp" else _is_finite
    for name in ("min", "max"):
        if (bound := getattr(field, name)) is not None and not is_bound(bound):
            rule = "an aware datetime or RFC 3339 text" if field.type == "timestamp" else "a finite number"
            _refuse(name, f"must be {rule}, not {shown(bound)}")
    if field.min is not None and field.max is not None:
        ordered: Callable[[Any], Any] = time_of if field.type == "timestamp" else _itself
        low, high = ordered(field.min), ordered(field.max)
        if low > high:
            _refuse("min", f"must not be above max: {shown(field.min)} is above {shown(field.max)}")


def _itself(bound: Any) -> Any:
    return bound


def _is_finite(bound: Any) -> bool:
    if isinstance(bound, float):
        return isfinite(bound)
    return (isinstance(bound, int) and not isinstance(bound, bool)) or (
        isinstance(bound, Decimal) and bound.is_finite()
    )


def _is_time(bound: Any) -> bool:
    return compiled(Field("timestamp"))(bound)


def _checked_enum(field: Field) -> tuple[Any, ...]:
    enum = field.enum
    if isinstance(enum, (str, bytes, Mapping)) or not isinstance(enum, Sequence) or not enum:
        _refuse("enum", f"must list at least one value, not {shown(enum)}")
    values = tuple(deepcopy(list(enum)))
    object.__setattr__(field, "enum", None)  # Its values must meet the rest of the declaration.
    for index, value in enumerate(values):
        _check_storable("enum", value)
        if any(same(value, other) for other in values[:index]):
            _refuse("enum", f"has {shown(value)} twice")
        if found := violations(field, value):
            _refuse("enum", f"has a value that the field refuses: {found[0]}")
    return values


def _check_default(field: Field) -> None:
    _check_storable("default", field.default)
    if found := violations(field, field.default):
        _refuse("default", f"is refused by the field itself: {found[0]}")


def _check_storable(argument: str, value: Any) -> None:
    try:
        canonical_text(value)
    except InvalidValueError as error:
        _refuse(argument, f"cannot be stored: {error.message}")


def _joined(path: str, name: Any) -> str:
    step = render_path([str(name)])
    return f"{path}{step}" if step.startswith("[") or not path else f"{path}.{step}"


def _refusal(path: str, rule: str) -> SchemaError:
    return SchemaError(f"invalid field: {path} {rule}", path=path, rule=rule, hint=_HINT)


def _refuse(path: str, rule: str) -> NoReturn:
    raise _refusal(path, rule)
