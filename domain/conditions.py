"""Conditions: what must hold of a value for a transform to be done, as data."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, NoReturn

from backstory.domain.errors import InvalidValueError, shown
from backstory.domain.events import MISSING
from backstory.domain.paths import EACH
from backstory.domain.transform_paths import Steps, path_text, shown_at, steps_of
from backstory.domain.transform_values import fresh, storable, type_name
from backstory.domain.validation import same

__all__ = ["OPERATORS", "AllOf", "AnyOf", "Condition", "Not", "Where", "condition_from_document", "holds", "where"]

_ORDERED: Final = ("greater", "at_least", "less", "at_most")
_TYPES: Final = ("string", "integer", "number", "boolean", "object", "array", "timestamp", "bytes", "uuid", "null")
_WITHOUT_VALUE: Final = ("exists", "absent")
OPERATORS: Final = (*_WITHOUT_VALUE, "equals", "not_equals", "in", "not_in", *_ORDERED, "is_type", "matches")
"""The names of what can be asked of one place. Of what is absent only `absent`, `not_equals` and `not_in` hold."""

_SIGNS: Final = {"==": "equals", "!=": "not_equals", ">": "greater", ">=": "at_least", "<": "less", "<=": "at_most"}
_FORM: Final = 'Write {"path": "age", "op": "greater", "value": 3}, or {"all": [...]}, {"any": [...]}, {"not": {...}}.'


@dataclass(frozen=True, slots=True)
class Where:
    """What must hold of the part at `path`; its `op` is one of `OPERATORS`."""

    path: str
    op: str
    value: Any = None

    def __post_init__(self) -> None:
        """Check it, and keep the path in its one form."""
        object.__setattr__(self, "path", path_text(self.path))
        if EACH in steps_of(self.path):
            _refuse(f"{self.path} leads to many parts", "A condition looks at one; put `when` inside `each`.")
        object.__setattr__(self, "value", storable(self.value))
        _check(self.op, self.value)

    def to_document(self) -> dict[str, Any]:
        """Return it as plain data."""
        document = {"path": self.path, "op": self.op}
        return document if self.op in _WITHOUT_VALUE else document | {"value": fresh(self.value)}

    def paths(self) -> tuple[Steps, ...]:
        """Return where it looks."""
        return (steps_of(self.path),)

    def describe(self) -> str:
        """Return it in words."""
        if self.op in _WITHOUT_VALUE:
            return f"{self.path} {'exists' if self.op == 'exists' else 'is absent'}"
        verb = self.op if self.op in {"equals", "matches"} else f"is {self.op.replace('_', ' ').removeprefix('is ')}"
        than = " than" if self.op in {"greater", "less"} else ""
        verb = {"not_equals": "does not equal", "is_type": "is of type"}.get(self.op, verb)
        return f"{self.path} {verb}{than} {shown_at(steps_of(self.path), self.value)}"


@dataclass(frozen=True, slots=True)
class Not:
    """What must not hold."""

    condition: Condition

    def to_document(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {"not": self.condition.to_document()}

    def paths(self) -> tuple[Steps, ...]:
        """Return where it looks."""
        return self.condition.paths()

    def describe(self) -> str:
        """Return it in words."""
        return f"not ({self.condition.describe()})"


@dataclass(frozen=True, slots=True)
class AllOf:
    """Conditions that must all hold; none always do."""

    conditions: tuple[Condition, ...]

    def to_document(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {"all": [each.to_document() for each in self.conditions]}

    def paths(self) -> tuple[Steps, ...]:
        """Return where they look."""
        return tuple(path for each in self.conditions for path in each.paths())

    def describe(self) -> str:
        """Return it in words."""
        return " and ".join(map(_in_brackets, self.conditions)) or "always"


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Conditions of which one must hold; of none, none does."""

    conditions: tuple[Condition, ...]

    def to_document(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {"any": [each.to_document() for each in self.conditions]}

    def paths(self) -> tuple[Steps, ...]:
        """Return where they look."""
        return tuple(path for each in self.conditions for path in each.paths())

    def describe(self) -> str:
        """Return it in words."""
        return " or ".join(map(_in_brackets, self.conditions)) or "never"


Condition = Where | Not | AllOf | AnyOf


def where(path: str, op: str, value: Any = None) -> dict[str, Any]:
    """Return the document of a condition on one place; `op` may be a sign too, such as `>` or `==`.

    Raises `InvalidValueError` for what is no path, no operator, or cannot be compared so.
    """
    return Where(path, _SIGNS.get(op, op), value).to_document()


def condition_from_document(document: Any) -> Condition:
    """Return the condition of a document; raises `InvalidValueError` for what is none."""
    if not isinstance(document, Mapping):
        _refuse(f"{shown(document)} is no condition", _FORM)
    keys = set(document)
    if keys == {"not"}:
        return Not(condition_from_document(document["not"]))
    if keys in ({"all"}, {"any"}):
        [many] = document.values()
        if not isinstance(many, (list, tuple)):
            _refuse(f"{shown(many)} is no list of conditions", _FORM)
        found = tuple(map(condition_from_document, many))
        return AllOf(found) if keys == {"all"} else AnyOf(found)
    op = document.get("op")
    wanted = {"path", "op"} if op in _WITHOUT_VALUE else {"path", "op", "value"}
    if keys != wanted:
        _refuse(f"a condition with {shown(sorted(map(str, keys)))} is not one", _FORM)
    return Where(document["path"], document["op"], document.get("value"))


def holds(condition: Where) -> Callable[[Any], bool]:
    """Return what tells whether a condition holds of the part it looks at, which may be `MISSING`."""
    return _TESTS[condition.op](condition.value)


def _in_brackets(condition: Condition) -> str:
    words = condition.describe()
    return words if isinstance(condition, (Where, Not)) else f"({words})"


# -- Checks


def _check(op: Any, value: Any) -> None:
    if not isinstance(op, str) or op not in OPERATORS:
        _refuse(f"there is no operator {shown(op)}", f"Take one of {', '.join(OPERATORS)}.")
    if op in _WITHOUT_VALUE and value is not None:
        _refuse(f"{op} compares with nothing", "Leave the value out.")
    if op in {"in", "not_in"} and not isinstance(value, list):
        _refuse(f"{op} wants a list, not {shown(value)}", "Give the values it may have as a list.")
    if op == "is_type" and value not in _TYPES:
        _refuse(f"there is no type {shown(value)}", f"Take one of {', '.join(_TYPES)}.")
    if op in _ORDERED and _kind(value) is None:
        _refuse(f"{shown(value)} is not greater or less than anything", "Give a number, a text, or an aware datetime.")
    if op == "matches":
        _regex(value)


def _regex(pattern: Any) -> re.Pattern[str]:
    if not isinstance(pattern, str):
        _refuse(f"{shown(pattern)} is no regular expression", "Give its text.")
    try:
        return re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        _refuse(f"{shown(pattern)} is no regular expression: {error}", "Correct it.")


def _refuse(rule: str, hint: str) -> NoReturn:
    raise InvalidValueError("condition", rule=rule, hint=hint)


# -- Tests


def _kind(value: Any) -> str | None:
    """Return what a value can be compared with in size: its like, and nothing else."""
    if isinstance(value, (int, float, Decimal)):
        return None if isinstance(value, bool) else "number"
    if isinstance(value, datetime):
        return None if value.utcoffset() is None else "timestamp"
    return "string" if isinstance(value, str) else None


def _equals(wanted: Any) -> Callable[[Any], bool]:
    if isinstance(wanted, str):  # The usual case, and what only a text equals.
        return lambda value: bool(value == wanted)
    return lambda value: value is not MISSING and same(value, wanted)


def _in(wanted: Any) -> Callable[[Any], bool]:
    return lambda value: value is not MISSING and any(same(value, each) for each in wanted)


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any], Callable[[Any], bool]]:
    def against(bound: Any) -> Callable[[Any], bool]:
        kind = _kind(bound)
        return lambda value: _kind(value) == kind and compare(value, bound)

    return against


def _is_type(wanted: str) -> Callable[[Any], bool]:
    if wanted == "number":
        return lambda value: type_name(value) in {"number", "integer"}
    return lambda value: type_name(value) == wanted


def _matches(pattern: str) -> Callable[[Any], bool]:
    fits = re.compile(pattern).fullmatch
    return lambda value: isinstance(value, str) and fits(value) is not None


def _negated(test: Callable[[Any], Callable[[Any], bool]]) -> Callable[[Any], Callable[[Any], bool]]:
    def made(wanted: Any) -> Callable[[Any], bool]:
        positive = test(wanted)
        return lambda value: not positive(value)

    return made


_TESTS: Final[dict[str, Callable[[Any], Callable[[Any], bool]]]] = {
    "exists": lambda _: lambda value: value is not MISSING,
    "absent": lambda _: lambda value: value is MISSING,
    "equals": _equals,
    "not_equals": _negated(_equals),
    "in": _in,
    "not_in": _negated(_in),
    "greater": _ordered(lambda one, other: one > other),
    "at_least": _ordered(lambda one, other: one >= other),
    "less": _ordered(lambda one, other: one < other),
    "at_most": _ordered(lambda one, other: one <= other),
    "is_type": _is_type,
    "matches": _matches,
}
