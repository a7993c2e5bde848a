"""Documents of transforms: plain data, as it stands in the log of a store and in TOML, and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any, Final, NoReturn

from backstory.domain.conditions import AllOf, AnyOf, Not, Where, condition_from_document
from backstory.domain.errors import InvalidValueError, shown
from backstory.domain.transform_values import fresh
from backstory.domain.transforms import (
    Compute,
    Convert,
    Copy,
    Custom,
    Default,
    EachElement,
    Merge,
    Move,
    Remove,
    Rename,
    Split,
    Transform,
    When,
)

__all__ = ["from_document", "from_documents", "to_document", "to_documents"]

_KINDS: Final[dict[str, type]] = {
    kind.kind: kind
    for kind in (Copy, Move, Rename, Default, Remove, Convert, Split, Merge, Compute, Custom, When, EachElement)
}
_OPTIONAL: Final = {
    "split": {"separator"},
    "merge": {"separator"},
    "compute": {"from", "config"},
    "custom": {"from", "config"},
    "when": {"otherwise"},
}
_NESTED: Final = {"then", "otherwise", "transforms"}


def to_document(transform: Transform) -> dict[str, Any]:
    """Return a transform as plain data: its `kind`, and its arguments by name; what is empty is left out."""
    document: dict[str, Any] = {"kind": transform.kind}
    for name in _names(type(transform)):
        value = _plain(getattr(transform, _attribute(name)))
        if value or name not in _OPTIONAL.get(transform.kind, ()) or name == "separator":
            document[name] = value
    return document


def to_documents(transforms: Iterable[Transform]) -> list[dict[str, Any]]:
    """Return transforms as plain data."""
    return [to_document(transform) for transform in transforms]


def from_document(document: Any) -> Transform:
    """Return the transform of a document; raises `InvalidValueError` for an unknown kind, or keys too many or too few.

    TOML has no null: there, `null = true` stands for the `value` of a default that is null.
    """
    if not isinstance(document, Mapping):
        _refuse(f"{shown(document)} is no table", 'Write {"kind": "copy", "from": "age", "to": "profile.age"}.')
    kind = document.get("kind")
    if not isinstance(kind, str) or kind not in _KINDS:
        _refuse(f"there is no kind {shown(kind)}", f"Take one of {', '.join(_KINDS)}.")
    given = {str(name): value for name, value in document.items() if name != "kind"}
    if kind == "default" and given.get("null") is True and "value" not in given:
        given["value"] = None
        del given["null"]
    _check_names(kind, given)
    made: Transform = _KINDS[kind](**{_attribute(name): _argument(name, value) for name, value in given.items()})
    return made


def from_documents(documents: Any) -> tuple[Transform, ...]:
    """Return the transforms of a list of documents, as `from_document` does."""
    if not isinstance(documents, (list, tuple)):
        _refuse(f"{shown(documents)} is no list of transforms", "Write a list.")
    return tuple(map(from_document, documents))


def _attribute(name: str) -> str:
    return "from_" if name == "from" else name


def _names(kind: type) -> list[str]:
    return ["from" if field.name == "from_" else field.name for field in fields(kind)]


def _check_names(kind: str, given: Mapping[str, Any]) -> None:
    names = _names(_KINDS[kind])
    wrong = [f"{shown(name)} is unknown" for name in given if name not in names]
    wrong += [f"{name!r} is missing" for name in names if name not in given and name not in _OPTIONAL.get(kind, ())]
    if wrong:
        _refuse(f"in a transform of kind {kind}, {' and '.join(wrong)}", f"It has: {', '.join(names)}.")


def _argument(name: str, value: Any) -> Any:
    if name == "condition":
        return condition_from_document(value)
    return from_documents(value) if name in _NESTED else value


def _plain(value: Any) -> Any:
    if isinstance(value, (Where, Not, AllOf, AnyOf)):
        return value.to_document()
    if isinstance(value, tuple):
        return [to_document(each) if hasattr(each, "kind") else each for each in value]
    return fresh(value)


def _refuse(rule: str, hint: str) -> NoReturn:
    raise InvalidValueError("transform", rule=rule, hint=hint)
