"""Compatibility: what changes from one version of a schema to another, what of it breaks, and at what risk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from backstory.domain.canonical import canonical_text
from backstory.domain.errors import SchemaError, shown
from backstory.domain.schemas import CompatibilityLevel, Schema, SchemaVersion
from backstory.domain.shapes import ANYTHING, Bound, Shape, shape_of
from backstory.domain.validation import same
from backstory.domain.versions import version_of

__all__ = ["Compatibility", "Risk", "SchemaChange", "SchemaChangeKind", "check", "refused_by_level"]

Risk = Literal["low", "medium", "high", "critical"]
"""Nothing changed; warnings only; something breaks; data would be lost or unreadable."""

SchemaChangeKind = Literal[
    "downgrade", "major", "removed", "added", "type", "required", "optional", "default", "null_refused", "null_allowed",
    "enum_narrowed", "enum_widened", "min_narrowed", "min_widened", "max_narrowed", "max_widened",
    "min_length_narrowed", "min_length_widened", "max_length_narrowed", "max_length_widened",
    "pattern_narrowed", "pattern_widened", "format_narrowed", "format_widened", "opened", "incomparable",
]  # fmt: skip
"""What can change in a schema."""


@dataclass(frozen=True)
class SchemaChange:
    """One change. `path` leads to the part, such as `items[*].price`; `before` and `after` are as declared.

    `breaking` and `critical` are by the table in the documents. `stops_new` says that the new version cannot read some
    data of the old one, `stops_old` that the old version cannot read some data of the new one.
    """

    path: str
    kind: SchemaChangeKind
    words: str
    before: Any = None
    after: Any = None
    breaking: bool = False
    critical: bool = False
    stops_new: bool = False
    stops_old: bool = False

    def __str__(self) -> str:
        """Say the change in one line."""
        return f"{self.path}: {self.words}" if self.path else self.words


@dataclass(frozen=True)
class Compatibility:
    """What changes from one version to another: `changes`, those of the version first, then by path."""

    changes: tuple[SchemaChange, ...] = ()

    @property
    def breaking(self) -> tuple[str, ...]:
        """The changes that break something, in words."""
        return tuple(str(change) for change in self.changes if change.breaking)

    @property
    def warnings(self) -> tuple[str, ...]:
        """The other changes, in words."""
        return tuple(str(change) for change in self.changes if not change.breaking)

    @property
    def compatible(self) -> bool:
        """Whether nothing breaks."""
        return not any(change.breaking for change in self.changes)

    @property
    def risk(self) -> Risk:
        """How much is at stake."""
        if any(change.critical for change in self.changes):
            return "critical"
        if not self.compatible:
            return "high"
        return "medium" if self.changes else "low"


def check(old: Schema | SchemaVersion, new: Schema | SchemaVersion) -> Compatibility:
    """Return what changes from `old` to `new`; names do not count, and what it does not change is not in it."""
    before, after = (each.to_version() if isinstance(each, Schema) else each for each in (old, new))
    changes = list(_version_changes(before, after))
    if before.hash != after.hash:
        changes += _changes("", shape_of(before), shape_of(after))
    return Compatibility(tuple(changes))


def refused_by_level(
    old: Schema | SchemaVersion, new: Schema | SchemaVersion, *, level: CompatibilityLevel | None = None
) -> tuple[str, ...]:
    """Return why `new` may not follow `old` in the same major; nothing where it may, or where the majors differ.

    The level is the one that `old` declares, unless one is given. `backward`: the new version reads all old data;
    `forward`: the old one reads all new data; `full`: both; `none`: neither. A required field that is added with a
    default is no obstacle: the default is what is read. Raises `SchemaError` for an unknown level.
    """
    level = old.compatibility if level is None else level
    if level not in get_args(CompatibilityLevel):
        known = ", ".join(get_args(CompatibilityLevel))
        raise SchemaError(f"there is no compatibility level {shown(level)}", hint=f"Use one of {known}.")
    if level == "none" or version_of(old.version).major != version_of(new.version).major:
        return ()
    return tuple(
        str(change)
        for change in check(old, new).changes
        if (change.stops_new and level != "forward") or (change.stops_old and level != "backward")
    )


def _version_changes(old: SchemaVersion, new: SchemaVersion) -> Iterator[SchemaChange]:
    before, after = version_of(old.version), version_of(new.version)
    told: Any = {"before": old.version, "after": new.version, "breaking": True}
    if after < before:
        yield SchemaChange("", "downgrade", f"downgrade from {before} to {after}", **told)
    elif after.major > before.major:
        yield SchemaChange("", "major", f"major version goes from {before.major} to {after.major}", **told)


# -- Parts


def _changes(path: str, old: Shape, new: Shape) -> Iterator[SchemaChange]:
    """Yield what changes in one part, and inside it."""
    if old.types != new.types:
        yield SchemaChange(
            path,
            "type",
            f"type changed from {_types(old)} to {_types(new)}",
            before=_types(old),
            after=_types(new),
            breaking=True,
            critical=True,
            stops_new=not _holds(new.types, old.types),
            stops_old=not _holds(old.types, new.types),
        )
        if not _holds(new.types, old.types) and not _holds(old.types, new.types):
            return  # What is demanded of one type cannot be compared with what is demanded of another.
    yield from _null(path, old, new)
    yield from _enum(path, old, new)
    for name, sign in (("min", 1), ("max", -1), ("min_length", 1), ("max_length", -1)):
        yield from _bound(path, name, sign, getattr(old, name), getattr(new, name))
    for name in ("pattern", "format"):
        yield from _demand(path, name, getattr(old, name), getattr(new, name))
    yield from _rest(path, old.rest, new.rest)
    for name in sorted(old.fields.keys() | new.fields.keys()):
        yield from _member(f"{path}.{name}" if path else name, name, old, new)
    if old.items is not None or new.items is not None:
        yield from _changes(f"{path}[*]", old.items or ANYTHING, new.items or ANYTHING)


def _member(path: str, name: str, outer_old: Shape, outer_new: Shape) -> Iterator[SchemaChange]:
    old, new = outer_old.fields.get(name), outer_new.fields.get(name)
    if old is None and new is not None:
        yield _added(path, new, closed=not _OF_OTHERS.isdisjoint(outer_old.rest))
    elif new is None and old is not None:
        yield _removed(path, old, closed=not _OF_OTHERS.isdisjoint(outer_new.rest))
    elif old is not None and new is not None:
        if new.required and not old.required:
            words, stops = "optional field made required", new.default is ...
            yield SchemaChange(path, "required", words, False, True, breaking=True, stops_new=stops)
        elif old.required and not new.required:
            stops = old.default is ...
            yield SchemaChange(path, "optional", "required field made optional", True, False, stops_old=stops)
        yield from _default(path, old, new)
        yield from _changes(path, old, new)


def _added(path: str, new: Shape, *, closed: bool) -> SchemaChange:
    needed = new.required and new.default is ...
    what = "required" if new.required else "optional"
    words = f"{what} field added {'without' if new.default is ... else 'with'} a default"
    return SchemaChange(path, "added", words, None, _types(new), breaking=needed, stops_new=needed, stops_old=closed)


def _removed(path: str, old: Shape, *, closed: bool) -> SchemaChange:
    """Return what a removal is; one from an object that says something of other fields may be refused there."""
    words = f"{'required' if old.required else 'optional'} field removed"
    return SchemaChange(
        path,
        "removed",
        words + (", and fields that are not named are limited" if closed else ""),
        before=_types(old),
        breaking=old.required or closed,
        critical=old.required,
        stops_new=closed,
        stops_old=old.required and old.default is ...,
    )


def _default(path: str, old: Shape, new: Shape) -> Iterator[SchemaChange]:
    before, after = (None if part.default is ... else part.default for part in (old, new))
    if (old.default is ...) == (new.default is ...) and canonical_text(before) == canonical_text(after):
        return
    told = ["none" if part.default is ... else shown(part.default) for part in (old, new)]
    yield SchemaChange(path, "default", f"default changed from {told[0]} to {told[1]}", before, after)


def _null(path: str, old: Shape, new: Shape) -> Iterator[SchemaChange]:
    if old.nullable and not new.nullable:
        words = "narrowed: null is no longer allowed"
        yield SchemaChange(path, "null_refused", words, True, False, breaking=True, stops_new=True)
    elif new.nullable and not old.nullable:
        yield SchemaChange(path, "null_allowed", "widened: null is newly allowed", False, True, stops_old=True)


def _enum(path: str, old: Shape, new: Shape) -> Iterator[SchemaChange]:
    before, after = old.enum, new.enum
    gone = [] if after is None else ["others"] if before is None else _without(before, after)
    come = [] if before is None else ["others"] if after is None else _without(after, before)
    if gone:
        words = f"enum narrowed: {_listed(gone, listed=before is not None)} no longer allowed"
        yield SchemaChange(path, "enum_narrowed", words, _copy(before), _copy(after), breaking=True, stops_new=True)
    if come:
        words = f"enum widened: {_listed(come, listed=after is not None)} newly allowed"
        yield SchemaChange(path, "enum_widened", words, _copy(before), _copy(after), stops_old=True)


def _without(these: tuple[Any, ...], others: tuple[Any, ...]) -> list[Any]:
    """Return the values that the others have not, in an order that does not depend on the declaration's."""
    rest = [value for value in these if not any(same(value, other) for other in others)]
    return sorted(rest, key=canonical_text)


def _listed(values: list[Any], *, listed: bool) -> str:
    return ", ".join(map(shown, values)) if listed else "other values are"


def _copy(enum: tuple[Any, ...] | None) -> list[Any] | None:
    return None if enum is None else list(enum)


def _bound(path: str, name: str, sign: int, old: Bound | None, new: Bound | None) -> Iterator[SchemaChange]:
    """Yield how a limit moved; `sign` is 1 where more is narrower."""
    if old == new:
        return
    tighter = old is None or (new is not None and _tightness(new, old, sign))
    word = "narrowed" if tighter else "widened"
    kind: Any = f"{name}_{word}"
    words = f"{name} {word} from {_limit(old)} to {_limit(new)}"
    told = [None if bound is None else bound.limit for bound in (old, new)]
    yield SchemaChange(path, kind, words, told[0], told[1], breaking=tighter, stops_new=tighter, stops_old=not tighter)


def _tightness(one: Bound, other: Bound, sign: int) -> bool:
    """Return whether one limit lets less through than another, which is not equal to it."""
    if one.limit == other.limit:
        return one.exclusive
    above = one.limit > other.limit  # type: ignore[operator]
    return above if sign > 0 else not above


def _limit(bound: Bound | None) -> str:
    return "none" if bound is None else shown(bound.limit) + (" (excluded)" if bound.exclusive else "")


def _demand(path: str, name: str, old: str | None, new: str | None) -> Iterator[SchemaChange]:
    """Yield how a pattern or a format changed: another one may refuse what the first let through, and the reverse."""
    if old == new:
        return
    if new is None:
        lifted: Any = f"{name}_widened"
        yield SchemaChange(path, lifted, f"{name} lifted, it was {shown(old)}", old, new, stops_old=True)
        return
    kind: Any = f"{name}_narrowed"
    words = f"narrowed: {name} {'added' if old is None else f'changed from {shown(old)}'} to {shown(new)}"
    words = words.replace("added to", "added,")
    yield SchemaChange(path, kind, words, old, new, breaking=True, stops_new=True, stops_old=old is not None)


def _rest(path: str, old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[SchemaChange]:
    for word in sorted(old.keys() | new.keys()):
        before, after = old.get(word), new.get(word)
        if before == after:
            continue
        if (word, before, after) == ("additionalProperties", "false", None):
            yield SchemaChange(path, "opened", "widened: other fields are newly allowed", False, True, stops_old=True)
            continue
        words = f"`{word}` differs and cannot be compared, so it counts as breaking"
        yield SchemaChange(path, "incomparable", words, before, after, breaking=True, stops_new=True, stops_old=True)


# -- Types

_INSIDE: Final = {"integer": "number"}
_OF_OTHERS: Final = frozenset(
    ("additionalProperties", "maxProperties", "patternProperties", "propertyNames", "unevaluatedProperties")
)
"""Words of JSON Schema that limit the fields that have no name in it."""


def _types(shape: Shape) -> str:
    return "any" if shape.types is None else " or ".join(sorted(shape.types))


def _holds(outer: frozenset[str] | None, inner: frozenset[str] | None) -> bool:
    """Return whether every value of the inner types is one of the outer ones."""
    if outer is None:
        return True
    return inner is not None and all(name in outer or _INSIDE.get(name) in outer for name in inner)
