"""Validation: a tree of fields compiled to closures that answer fast, and told in words where the answer is no."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cache
from math import isfinite
from typing import TYPE_CHECKING, Any, Final, Protocol

from backstory.domain.errors import SchemaError, shown
from backstory.domain.formats import FORMATS, is_date_time
from backstory.domain.paths import render_path

if TYPE_CHECKING:
    from backstory.domain.redaction import Redaction

__all__ = ["Rules", "Validator", "Violation", "compiled", "refusal", "same", "shown_safely", "time_of", "violations"]

Check = Callable[[Any], bool]
Validator = Callable[[Any], "tuple[Violation, ...]"]
"""Tells what is wrong with a value; nothing where it is valid."""

_MOST: Final = 100
_MOST_SHOWN: Final = 10
_ABSENT: Final = object()
_TYPE_WORDS: Final = {
    "string": "must be text",
    "integer": "must be an integer",
    "number": "must be a finite number",
    "boolean": "must be true or false",
    "object": "must be an object",
    "array": "must be an array",
    "timestamp": "must be an aware datetime or RFC 3339 text",
    "bytes": "must be bytes",
}


class Rules(Protocol):
    """What validation asks of a field, and of a schema as a whole (which is an object)."""

    @property
    def type(self) -> str: ...  # noqa: D102 - as in Field
    @property
    def required(self) -> bool: ...  # noqa: D102
    @property
    def nullable(self) -> bool: ...  # noqa: D102
    @property
    def fields(self) -> Mapping[str, Any] | None: ...  # noqa: D102
    @property
    def items(self) -> Any: ...  # noqa: D102
    @property
    def enum(self) -> Sequence[Any] | None: ...  # noqa: D102
    @property
    def pattern(self) -> str | None: ...  # noqa: D102
    @property
    def min(self) -> Any: ...  # noqa: D102
    @property
    def max(self) -> Any: ...  # noqa: D102
    @property
    def max_length(self) -> int | None: ...  # noqa: D102
    @property
    def format(self) -> str | None: ...  # noqa: D102


@dataclass(frozen=True)
class Violation:
    """One way in which a value breaks its schema.

    `path` leads there, such as `items[0].price` (empty for the value itself), `rule` says what must be, such as `must
    be an integer`, and `value` is what is there instead, as text, cut short, without secrets; None where nothing is.
    """

    path: str
    rule: str
    value: str | None = None

    def __str__(self) -> str:
        """Say the violation in one line."""
        where = self.path or "the value"
        return f"{where} {self.rule}" + ("" if self.value is None else f", is {self.value}")


# -- The answer


def compiled(rules: Rules) -> Check:
    """Return a function that tells whether a value is valid; it is made once, and is fast."""
    checks = [_TYPE_CHECKS[rules.type], *_content_checks(rules)]
    if rules.type == "string" and rules.max_length is not None and len(checks) == 2:  # noqa: PLR2004 - type and length
        checks = [_short_text(rules.max_length)]
    if rules.type == "any":
        checks = checks[1:] or checks
    if rules.nullable:
        return _null_or(_all(checks))
    return _all(checks)


def _content_checks(rules: Rules) -> Iterator[Check]:
    """Yield the checks that follow the one of the type, the cheap ones first."""
    if rules.enum is not None:
        yield _among(rules)
    if rules.min is not None or rules.max is not None:
        yield _within(rules)
    if rules.max_length is not None:
        yield _no_longer(rules.max_length)
    if rules.format is not None:
        yield FORMATS[rules.format]
    if rules.pattern is not None:
        yield _matching(rules.pattern)
    if rules.fields is not None:
        yield _members(rules.fields)
    if rules.items is not None:
        yield _each(compiled(rules.items))


def _all(checks: list[Check]) -> Check:
    if len(checks) == 1:
        return checks[0]
    first, second, *rest = checks
    if not rest:

        def both(value: Any) -> bool:
            return first(value) and second(value)

        return both

    def every(value: Any) -> bool:
        return all(check(value) for check in checks)

    return every


def _null_or(check: Check) -> Check:
    def null_or(value: Any) -> bool:
        return value is None or check(value)

    return null_or


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_integer(value: Any) -> bool:
    return type(value) is int or (isinstance(value, int) and not isinstance(value, bool))


def _is_number(value: Any) -> bool:
    if isinstance(value, float):
        return isfinite(value)
    return _is_integer(value) or (isinstance(value, Decimal) and value.is_finite())


def _is_boolean(value: Any) -> bool:
    return value is True or value is False


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _is_array(value: Any) -> bool:
    return isinstance(value, (list, tuple))


def _is_timestamp(value: Any) -> bool:
    if isinstance(value, datetime):
        return value.utcoffset() is not None
    return isinstance(value, str) and is_date_time(value)


def _is_bytes(value: Any) -> bool:
    return isinstance(value, bytes)


def _is_anything(value: Any) -> bool:  # noqa: ARG001 - one signature for all
    return True


_TYPE_CHECKS: Final[dict[str, Check]] = {
    "string": _is_text,
    "integer": _is_integer,
    "number": _is_number,
    "boolean": _is_boolean,
    "object": _is_object,
    "array": _is_array,
    "timestamp": _is_timestamp,
    "bytes": _is_bytes,
    "any": _is_anything,
}


def _among(rules: Rules) -> Check:
    enum = tuple(rules.enum or ())
    if rules.type == "string":
        return frozenset(enum).__contains__

    def among(value: Any) -> bool:
        return any(same(value, item) for item in enum)

    return among


def _within(rules: Rules) -> Check:
    if rules.type == "timestamp":
        within_times = _between(*(None if each is None else time_of(each) for each in (rules.min, rules.max)))

        def within(value: Any) -> bool:
            return within_times(time_of(value))

        return within
    return _between(rules.min, rules.max)


def _between(low: Any, high: Any) -> Check:
    if high is None:
        return lambda value: bool(value >= low)
    if low is None:
        return lambda value: bool(value <= high)
    return lambda value: bool(low <= value <= high)


def time_of(value: datetime | str) -> datetime:
    """Return the time that a timestamp says, whether it is a datetime or RFC 3339 text."""
    return datetime.fromisoformat(value.upper()) if isinstance(value, str) else value


def _short_text(limit: int) -> Check:
    def short_text(value: Any) -> bool:
        return isinstance(value, str) and len(value) <= limit

    return short_text


def _no_longer(limit: int) -> Check:
    def no_longer(value: Any) -> bool:
        return len(value) <= limit

    return no_longer


def _matching(pattern: str) -> Check:
    search = re.compile(pattern).search

    def matching(value: Any) -> bool:
        return search(value) is not None

    return matching


def _members(fields: Mapping[str, Any]) -> Check:
    members = [(name, compiled(field), not field.required) for name, field in fields.items()]

    def all_members(value: Any) -> bool:
        get = value.get
        for name, check, optional in members:
            item = get(name, _ABSENT)
            if not (optional if item is _ABSENT else check(item)):
                return False
        return True

    return all_members


def _each(check: Check) -> Check:
    def each(value: Any) -> bool:
        return all(map(check, value))

    return each


def same(one: Any, other: Any) -> bool:
    """Return whether two values are equal as JSON data: True is not 1, and 1 is 1.0."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(item, other[name]) for name, item in one.items())
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


# -- The words, for a value that is not valid


def violations(rules: Rules, value: Any) -> tuple[Violation, ...]:
    """Return what is wrong with a value, in the order of the declaration; the first hundred of it."""
    found: list[Violation] = []
    for violation in _told(rules, value, ()):
        found.append(violation)
        if len(found) == _MOST:
            break
    return tuple(found)


def _told(rules: Rules, value: Any, path: tuple[str | int, ...]) -> Iterator[Violation]:
    if value is None and rules.nullable:
        return
    if not _TYPE_CHECKS[rules.type](value):
        words = _TYPE_WORDS[rules.type] + (" or null" if rules.nullable else "")
        yield Violation(render_path(path), words, shown_safely(path, value))
        return
    for check, words in _content_words(rules):
        if not check(value):
            yield Violation(render_path(path), words, shown_safely(path, value))
    for name, field in (rules.fields or {}).items():
        if name in value:
            yield from _told(field, value[name], (*path, name))
        elif field.required:
            yield Violation(render_path((*path, name)), "is required")
    if rules.items is not None:
        for index, item in enumerate(value):
            yield from _told(rules.items, item, (*path, index))


def _content_words(rules: Rules) -> Iterator[tuple[Check, str]]:
    if rules.enum is not None:
        yield (
            _among(rules),
            f"must be one of {', '.join(map(shown, rules.enum[:_MOST_SHOWN]))}"
            + ("" if len(rules.enum) <= _MOST_SHOWN else ", ..."),
        )
    if rules.min is not None or rules.max is not None:
        yield _within(rules), _range_words(rules)
    if rules.max_length is not None:
        unit = {"bytes": "bytes", "array": "items"}.get(rules.type, "characters")
        yield _no_longer(rules.max_length), f"must have at most {rules.max_length} {unit}"
    if rules.format is not None:
        yield FORMATS[rules.format], f"must have the format {rules.format}"
    if rules.pattern is not None:
        yield _matching(rules.pattern), f"must match the pattern {shown(rules.pattern)}"


def _range_words(rules: Rules) -> str:
    bounds = [] if rules.min is None else [f"at least {shown(rules.min)}"]
    return "must be " + " and ".join(bounds + ([] if rules.max is None else [f"at most {shown(rules.max)}"]))


@cache
def _redaction() -> Redaction:
    # Its patterns take some 15 ms to compile; most processes meet no violation.
    from backstory.domain.redaction import Redaction  # noqa: PLC0415

    return Redaction()


def shown_safely(path: tuple[str | int, ...], value: Any) -> str:
    """Return a value as a message quotes it, without secrets: by its look, and by the names on the way to it."""
    redaction = _redaction()
    for step in path:
        if isinstance(step, str) and (kind := redaction.kind_of_field(step)) is not None:
            return redaction.mark(kind, value)
    return shown(redaction.redact(value))


def refusal(
    found: tuple[Violation, ...],
    *,
    schema: str | None = None,
    version: str | None = None,
    scope: str | None = None,
    key: str | None = None,
    hint: str | None = None,
) -> SchemaError:
    """Return the error that says what is wrong with a value; there is at least one violation."""
    first = found[0]
    what = "the value" if key is None else f"the value for key {shown(key)}"
    where = "" if scope is None else f" of {shown(scope)}"
    name = "the schema" if schema is None else f"schema {shown(schema)}" + ("" if version is None else f" {version}")
    more = len(found) - 1
    rest = "" if not more else f" (and {more} more {'violation' if more == 1 else 'violations'})"
    return SchemaError(
        f"{what}{where} does not meet {name}: {first}{rest}",
        schema=schema,
        version=version,
        path=first.path,
        rule=first.rule,
        violations=found,
        scope=scope,
        key=key,
        hint=hint,
    )
