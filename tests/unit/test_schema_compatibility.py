"""Compatibility: every rule in both directions, and what the levels promise held by values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backstory.domain.compatibility import Compatibility, check, refused_by_level
from backstory.domain.defaults import with_defaults
from backstory.domain.errors import SchemaError
from backstory.domain.schemas import CompatibilityLevel, Field, Schema, SchemaVersion
from backstory.domain.validation import compiled
from backstory.schemas.sources import version_from

Number = Field("integer")
TABLE: list[tuple[str, Field | None, Field | None, str, str]] = [
    # what, before, after, risk there and risk back
    ("required field", None, Field("integer", required=True), "high", "critical"),
    ("required field with a default", None, Field("integer", required=True, default=1), "medium", "critical"),
    ("optional field", None, Number, "medium", "medium"),
    ("type", Number, Field("string"), "critical", "critical"),
    ("type, to a wider one", Number, Field("number"), "critical", "critical"),
    ("type, to any", Number, Field("any"), "critical", "critical"),
    ("required", Number, Field("integer", required=True), "high", "medium"),
    ("null", Number, Field("integer", nullable=True), "medium", "high"),
    ("default", Number, Field("integer", default=1), "medium", "medium"),
    ("another default", Field("integer", default=1), Field("integer", default=2), "medium", "medium"),
    ("enum", Field("string", enum=["a"]), Field("string", enum=["a", "b"]), "medium", "high"),
    ("enum at all", Field("string", enum=["a"]), Field("string"), "medium", "high"),
    ("another enum", Field("string", enum=["a"]), Field("string", enum=["b"]), "high", "high"),
    ("minimum", Field("integer", min=2), Field("integer", min=1), "medium", "high"),
    ("minimum at all", Field("integer", min=2), Number, "medium", "high"),
    ("maximum", Field("integer", max=1), Field("integer", max=2), "medium", "high"),
    ("maximum at all", Field("integer", max=2), Number, "medium", "high"),
    ("length", Field("string", max_length=1), Field("string", max_length=2), "medium", "high"),
    ("length at all", Field("bytes", max_length=1), Field("bytes"), "medium", "high"),
    ("pattern", Field("string", pattern="a"), Field("string"), "medium", "high"),
    ("another pattern", Field("string", pattern="a"), Field("string", pattern="b"), "high", "high"),
    ("format", Field("string", format="date"), Field("string"), "medium", "high"),
    ("another format", Field("string", format="date"), Field("string", format="uuid"), "high", "high"),
    ("nothing", Number, Field("integer"), "low", "low"),
]
HOMES: Final[dict[str, Callable[[Field | None], dict[str, Field]]]] = {
    "x": lambda field: {} if field is None else {"x": field},
    "a.x": lambda field: {"a": Field("object", fields={} if field is None else {"x": field})},
    "a[*].x": lambda field: {"a": Field("array", items=Field("object", fields={} if field is None else {"x": field}))},
}


def schema(fields: dict[str, Field], version: str = "1.0.0", **more: Any) -> Schema:
    return Schema("s", version, fields, **more)


@pytest.mark.parametrize("path", HOMES)
@pytest.mark.parametrize(("what", "before", "after", "there", "back"), TABLE, ids=[row[0] for row in TABLE])
def test_each_change_has_its_risk_in_both_directions(
    *, path: str, what: str, before: Field | None, after: Field | None, there: str, back: str
) -> None:
    one, two = schema(HOMES[path](before)), schema(HOMES[path](after))
    for found, risk in ((check(one, two), there), (check(two, one), back)):
        assert found.risk == risk, what
        assert found.compatible is (risk in {"low", "medium"})
        assert bool(found.breaking) is not found.compatible
        assert {change.path for change in found.changes} == ({path} if risk != "low" else set())
        assert (found == Compatibility()) is (risk == "low")


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (None, Field("integer", required=True), "x: required field added without a default"),
        (Field("integer", required=True), None, "x: required field removed"),
        (Number, Field("string"), "x: type changed from integer to string"),
        (Number, Field("integer", required=True), "x: optional field made required"),
        (Field("any", enum=["a", 1]), Field("any", enum=["a"]), "x: enum narrowed: 1 no longer allowed"),
        (Number, Field("integer", min=3), "x: min narrowed from none to 3"),
        (Number, Field("integer", nullable=True), "x: widened: null is newly allowed"),
        (Field("string"), Field("string", pattern="a"), "x: narrowed: pattern added, 'a'"),
        (Field("string", pattern="a"), Field("string", pattern="b"), "x: narrowed: pattern changed from 'a' to 'b'"),
        (Field("string", pattern="a"), Field("string"), "x: pattern lifted, it was 'a'"),
        (Number, Field("integer", default=1), "x: default changed from none to 1"),
    ],
)
def test_a_change_is_said_in_words(before: Field | None, after: Field | None, words: str) -> None:
    found = check(schema(HOMES["x"](before)), schema(HOMES["x"](after)))
    assert [*found.breaking, *found.warnings] == [words]


@pytest.mark.parametrize(
    ("old", "new", "risk", "words"),
    [
        ("1.0.0", "1.1.0", "low", []),
        ("1.0.0", "2.0.0", "high", ["major version goes from 1 to 2"]),
        ("1.1.0", "1.0.9", "high", ["downgrade from 1.1.0 to 1.0.9"]),
        ("2.0.0", "1.0.0", "high", ["downgrade from 2.0.0 to 1.0.0"]),
        ("1.0.0-alpha.10", "1.0.0-alpha.2", "high", ["downgrade from 1.0.0-alpha.10 to 1.0.0-alpha.2"]),
        ("1.0.0-alpha.2", "1.0.0-alpha.10", "low", []),
    ],
)
def test_a_new_major_and_a_downgrade_break(old: str, new: str, risk: str, words: list[str]) -> None:
    found = check(schema({"x": Number}, old), schema({"x": Number}, new))
    assert (found.risk, list(found.breaking)) == (risk, words)


def test_changes_come_in_one_order_whatever_the_order_of_the_fields() -> None:
    old = {"b": Number, "a": Number, "c": Field("integer", required=True)}
    new = {"d": Number, "a": Field("string"), "b": Field("integer", min=1, default=2)}
    found = check(schema(old), schema(new, "2.0.0"))
    again = check(schema(dict(reversed(old.items()))), schema(dict(reversed(new.items())), "2.0.0"))
    assert found == again
    assert [change.kind for change in found.changes] == ["major", "type", "default", "min_narrowed", "removed", "added"]


def test_a_change_is_data_too() -> None:
    (change,) = check(schema({"x": Field("integer", max=9)}), schema({"x": Field("integer", max=5)})).changes
    facts = (change.path, change.kind, change.before, change.after, change.breaking, change.critical)
    assert facts == ("x", "max_narrowed", 9, 5, True, False)


# -- JSON Schema


def document(value: Any, **more: Any) -> SchemaVersion:
    return version_from({"type": "object", "properties": {"x": value}, **more}, name="s")


JSON_TABLE: list[tuple[Any, Any, str, str]] = [
    ({"type": "integer"}, {"type": "integer", "title": "T", "description": "d"}, "low", "low"),
    ({"type": "integer"}, {"type": "number"}, "critical", "critical"),
    ({"type": "integer"}, {"type": ["integer", "string"]}, "critical", "critical"),
    ({"type": "integer"}, {"type": ["integer", "null"]}, "medium", "high"),
    ({"type": "integer"}, {"anyOf": [{"type": "integer"}, {"type": "null"}]}, "medium", "high"),
    ({"type": ["null", "integer"]}, {"anyOf": [{"type": "null"}, {"type": "integer"}]}, "low", "low"),
    ({"type": "integer"}, {"$ref": "#/$defs/n"}, "low", "low"),
    ({"const": 1}, {"enum": [1]}, "low", "low"),
    ({"enum": [1]}, {"enum": [2, 1.0]}, "medium", "high"),
    ({"enum": ["a"]}, {"enum": ["a", None]}, "medium", "high"),
    ({"exclusiveMinimum": 1}, {"minimum": 1}, "medium", "high"),
    ({"minimum": 1, "exclusiveMinimum": 0}, {"minimum": 1}, "low", "low"),
    ({"maximum": 1}, {"exclusiveMaximum": 2}, "medium", "high"),
    ({"type": "string", "minLength": 2}, {"type": "string", "minLength": 1}, "medium", "high"),
    ({"type": "array", "maxItems": 1}, {"type": "array", "maxItems": 2}, "medium", "high"),
    ({"items": {"minimum": 1}}, {"items": {"minimum": 0}}, "medium", "high"),
    ({"additionalProperties": False}, {}, "medium", "high"),
    ({"additionalProperties": True}, {}, "low", "low"),
    ({"multipleOf": 2}, {"multipleOf": 4}, "high", "high"),
    ({"multipleOf": 2}, {}, "high", "high"),
    ({"oneOf": [{"type": "integer"}]}, {"oneOf": [{"type": "string"}]}, "high", "high"),
    ({"not": {"$ref": "#/$defs/n"}}, {"not": {"$ref": "#/$defs/m"}}, "high", "high"),
    ({"format": "email"}, {}, "medium", "high"),
    (False, True, "high", "high"),
    ({"properties": {"y": {}}, "additionalProperties": False}, {"additionalProperties": False}, "high", "medium"),
]


@pytest.mark.parametrize(("before", "after", "there", "back"), JSON_TABLE)
def test_json_schema_is_compared_by_the_same_rules(before: Any, after: Any, there: str, back: str) -> None:
    definitions = {"n": {"type": "integer"}, "m": {"type": "string"}}
    one, two = (document(value, **{"$defs": definitions}) for value in (before, after))
    assert (check(one, two).risk, check(two, one).risk) == (there, back)


def test_a_definition_that_changes_is_found_where_it_is_used() -> None:
    def with_node(value: Any) -> SchemaVersion:
        node = {"properties": {"value": value, "next": {"$ref": "#/$defs/node"}}}
        return version_from({"$defs": {"node": node}, "$ref": "#/$defs/node"}, name="list")

    assert check(with_node({"type": "integer"}), with_node({"type": "integer"})).risk == "low"
    found = check(with_node({"type": "integer"}), with_node({"type": "string"}))
    assert found.breaking == ("value: type changed from integer to string",)


def test_a_definition_is_looked_into_also_where_it_can_only_be_equal_or_not() -> None:
    one = document({"allOf": [{"$ref": "#/$defs/n"}]}, **{"$defs": {"n": {"minimum": 1}}})
    two = document({"allOf": [{"$ref": "#/$defs/n"}]}, **{"$defs": {"n": {"minimum": 2}}})
    (words,) = check(one, two).breaking
    assert words == "x: `allOf` differs and cannot be compared, so it counts as breaking"
    assert refused_by_level(one, two)


def test_required_is_read_beside_the_properties() -> None:
    found = check(document({}), document({}, required=["x", "y"]))
    assert found.breaking == ("x: optional field made required", "y: required field added without a default")


def test_declared_fields_and_json_schema_can_be_compared() -> None:
    declared = schema({"x": Field("integer", min=1)})
    assert check(declared, document({"type": "integer", "minimum": 1})).risk == "low"
    assert check(declared, document({"type": "integer", "minimum": 0})).risk == "medium"


# -- Levels


@pytest.mark.parametrize(
    ("before", "after", "backward", "forward"),
    [
        (None, Field("integer", required=True), False, True),
        (None, Field("integer", required=True, default=1), True, True),
        (None, Number, True, True),
        (Number, None, True, True),
        (Field("integer", required=True), None, True, False),
        (Field("integer", required=True, default=1), None, True, True),
        (Number, Field("integer", required=True), False, True),
        (Field("integer", required=True), Number, True, False),
        (Number, Field("number"), True, False),
        (Field("any"), Number, False, True),
        (Number, Field("string"), False, False),
        (Number, Field("integer", nullable=True), True, False),
        (Number, Field("integer", min=1), False, True),
        (Field("string", pattern="a"), Field("string", pattern="b"), False, False),
        (Number, Field("integer", default=1), True, True),
    ],
)
def test_a_level_refuses_what_one_side_cannot_read(
    before: Field | None, after: Field | None, *, backward: bool, forward: bool
) -> None:
    old, new = schema(HOMES["a.x"](before)), schema(HOMES["a.x"](after), "1.1.0")
    allowed: dict[CompatibilityLevel, bool] = {
        "backward": backward,
        "forward": forward,
        "full": backward and forward,
        "none": True,
    }
    for level, may in allowed.items():
        assert (refused_by_level(old, new, level=level) == ()) is may, level
        assert refused_by_level(replace(old, compatibility=level), new) == refused_by_level(old, new, level=level)
        assert refused_by_level(old, replace(new, version="2.0.0"), level=level) == ()


def test_the_level_is_the_one_the_earlier_version_declares() -> None:
    old, new = schema({}), schema({"x": Field("any", required=True)}, "1.1.0", compatibility="none")
    assert refused_by_level(old, new) == ("x: required field added without a default",)
    assert refused_by_level(old.to_version(), new.to_version()) == refused_by_level(old, new)
    with pytest.raises(SchemaError, match="no compatibility level"):
        refused_by_level(old, new, level="upward")  # type: ignore[arg-type]


# -- What the levels promise

_SMALL = st.sampled_from([None, 0, 1, 2])
_FLAGS: dict[str, Any] = {"required": st.booleans(), "nullable": st.booleans()}
_LEAVES = st.one_of(
    st.builds(Field, st.sampled_from(["integer", "number"]), min=_SMALL, **_FLAGS),
    st.builds(Field, st.sampled_from(["integer", "number"]), max=_SMALL, **_FLAGS),
    st.builds(Field, st.just("integer"), default=st.sampled_from([..., 1]), required=st.booleans()),
    st.builds(Field, st.just("string"), max_length=_SMALL, pattern=st.sampled_from([None, "a", "b"]), **_FLAGS),
    st.builds(Field, st.just("string"), enum=st.sampled_from([["a"], ["a", "ab"], ["ab", ""]]), **_FLAGS),
    st.builds(Field, st.just("any"), enum=st.sampled_from([None, [1], ["a", 1]]), **_FLAGS),
)
_FIELDS = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(
        st.builds(Field, st.just("array"), items=st.one_of(st.none(), inner), **_FLAGS),
        st.builds(Field, st.just("object"), fields=st.dictionaries(st.sampled_from("xy"), inner), **_FLAGS),
    ),
    max_leaves=3,
)


def values_of(field: Field) -> st.SearchStrategy[Any]:
    """Return values near to what a field takes, with no members but those it declares."""
    if field.items is not None:
        return st.lists(values_of(field.items), max_size=2)
    if field.fields is not None:
        return members_of(field.fields)
    by_type: dict[str, st.SearchStrategy[Any]] = {
        "integer": st.integers(-1, 3),
        "number": st.sampled_from([-1, 0, 0.5, 1, 1.5, 2, 3]),
        "string": st.sampled_from(["", "a", "ab", "bbb"]),
        "any": st.sampled_from([None, 1, "a", True, []]),
        "array": st.lists(st.integers(), max_size=1),
        "object": st.just({}),
    }
    return st.one_of(by_type[field.type], st.none()) if field.nullable else by_type[field.type]


def members_of(fields: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {name: values_of(field) for name, field in fields.items() if field.required},
        optional={name: values_of(field) for name, field in fields.items() if not field.required},
    )


@settings(max_examples=400)
@given(st.data(), st.dictionaries(st.just("x"), _FIELDS), st.dictionaries(st.just("x"), _FIELDS))
def test_what_a_level_lets_through_can_be_read(data: st.DataObject, one: Any, two: Any) -> None:
    old, new = schema(one), schema(two, "1.1.0")
    backward = not refused_by_level(old, new, level="backward")
    forward = not refused_by_level(old, new, level="forward")
    for may, writer, reader in ((backward, old, new), (forward, new, old)):
        value = data.draw(members_of(writer.fields))
        if may and compiled(writer)(value):
            assert compiled(reader)(with_defaults(reader, value))


@given(st.dictionaries(st.sampled_from("xy"), _FIELDS))
def test_a_schema_differs_in_nothing_from_itself(fields: dict[str, Field]) -> None:
    assert check(schema(fields), schema(dict(reversed(fields.items())), "1.1.0")) == Compatibility()
