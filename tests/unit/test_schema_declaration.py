"""Declarations: checked when made, unchangeable, told as documents, and known by the hash of their content."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from backstory.domain.defaults import with_defaults
from backstory.domain.errors import SchemaError
from backstory.domain.schemas import Dependency, Field, Schema, SchemaVersion, content_hash, parse_reference

USER = Schema(
    "user",
    "2.1.0",
    {
        "name": Field("string", required=True, max_length=50, pattern="^[A-Z]"),
        "age": Field("integer", min=0, max=150, default=18),
        "role": Field("string", enum=["admin", "guest"]),
        "joined_at": Field("timestamp", min=datetime(2020, 1, 1, tzinfo=UTC)),
        "price": Field("number", max=Decimal("9.99"), nullable=True, default=None),
        "photo": Field("bytes", max_length=3, default=b"\x00"),
        "tags": Field("array", items=Field("string", format="uuid")),
        "profile": Field("object", fields={"bio": Field("string", default="")}, default={}),
        "rest": Field("any"),
    },
    compatibility="full",
    depends_on=["address@1.2.0", "team"],
)
_NO_TYPE = {"m": {"type": "array", "items": {}}}
WRONG_FIELDS: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("type", ("float",), {}),
    ("type", (None,), {}),
    ("required", ("string",), {"required": 1}),
    ("nullable", ("string",), {"nullable": None}),
    ("default", ("integer",), {"default": "x"}),
    ("default", ("integer",), {"default": True}),
    ("default", ("integer",), {"default": None}),
    ("default", ("integer",), {"default": 5, "max": 4}),
    ("default", ("string",), {"default": "c", "enum": ["a", "b"]}),
    ("default", ("any",), {"default": {1, 2}}),
    ("default", ("any",), {"default": [float("nan")]}),
    ("default", ("object",), {"default": {}, "fields": {"a": Field("any", required=True)}}),
    ("min", ("integer",), {"min": 2, "max": 1}),
    ("min", ("integer",), {"min": True}),
    ("min", ("number",), {"min": float("inf")}),
    ("min", ("string",), {"min": 1}),
    ("min", ("timestamp",), {"min": "2026-01-02T00:00:00Z", "max": "2026-01-02T00:30:00+01:00"}),
    ("max", ("timestamp",), {"max": datetime(2026, 1, 1)}),  # noqa: DTZ001 - naive on purpose
    ("max_length", ("string",), {"max_length": -1}),
    ("max_length", ("string",), {"max_length": 1.0}),
    ("max_length", ("integer",), {"max_length": 1}),
    ("pattern", ("string",), {"pattern": "("}),
    ("pattern", ("string",), {"pattern": 5}),
    ("pattern", ("integer",), {"pattern": "a"}),
    ("format", ("string",), {"format": "phone"}),
    ("format", ("bytes",), {"format": "uuid"}),
    ("enum", ("string",), {"enum": []}),
    ("enum", ("string",), {"enum": "ab"}),
    ("enum", ("string",), {"enum": ["a", 1]}),
    ("enum", ("number",), {"enum": [1, 1.0]}),
    ("enum", ("integer",), {"enum": [1, 9], "max": 5}),
    ("items", ("string",), {"items": Field("any")}),
    ("items", ("array",), {"items": "string"}),
    ("fields", ("array",), {"fields": {}}),
    ("fields", ("object",), {"fields": {"": Field("any")}}),
    ("fields", ("object",), {"fields": {1: Field("any")}}),
    ("a", ("object",), {"fields": {"a": "string"}}),
]


@pytest.mark.parametrize(("path", "args", "kwargs"), WRONG_FIELDS)
def test_a_field_that_contradicts_itself_is_refused_when_made(path: str, args: tuple[Any, ...], kwargs: Any) -> None:
    with pytest.raises(SchemaError, match=r"^invalid field: ") as caught:
        Field(*args, **kwargs)
    assert caught.value.path == path
    assert caught.value.rule


@pytest.mark.parametrize(
    ("path", "change"),
    [
        ("name", {"name": ""}),
        ("name", {"name": "a@b"}),
        ("name", {"name": " a"}),
        ("name", {"name": "a\n"}),
        ("name", {"name": "x" * 257}),
        ("name", {"name": None}),
        (None, {"version": "2.0"}),
        ("fields", {"fields": [("a", "string")]}),
        ("a", {"fields": {"a": {"type": "string"}}}),
        ("compatibility", {"compatibility": "sideways"}),
        ("depends_on", {"depends_on": ["user"]}),
        ("depends_on", {"depends_on": ["user@1.0.0"]}),
        ("depends_on", {"depends_on": ["team", "team@1.0.0"]}),
        ("depends_on", {"depends_on": "team"}),
        ("depends_on", {"depends_on": [1]}),
        (None, {"depends_on": ["team@1"]}),
    ],
)
def test_a_wrong_schema_is_refused_when_made(path: str | None, change: dict[str, Any]) -> None:
    with pytest.raises(SchemaError) as caught:
        dataclasses.replace(USER, **change)
    assert caught.value.path == path


def test_fields_inside_each_other_end_somewhere() -> None:
    field = Field("any")
    for _ in range(63):
        field = Field("array", items=field)
    with pytest.raises(SchemaError, match="inside each other"):
        Field("array", items=field)


def test_a_document_gives_the_schema_back() -> None:
    assert Schema.from_document(USER.to_document()) == USER
    assert Schema.from_document(USER.to_document()).to_document() == USER.to_document()


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda schema: pickle.loads(pickle.dumps(schema))])  # noqa: S301
def test_a_copy_is_equal(again: Any) -> None:
    assert again(USER) == USER
    assert hash(again(USER)) == hash(USER)
    assert again(USER.fields["profile"]) == USER.fields["profile"]


def test_a_document_may_leave_out_what_has_a_default() -> None:
    schema = Schema.from_document({"name": "a", "version": "1.0.0", "fields": {"n": {"type": "integer"}}})
    assert schema == Schema("a", "1.0.0", {"n": Field("integer")})


@pytest.mark.parametrize(
    ("path", "document"),
    [
        ("", []),
        ("name", {"version": "1.0.0", "fields": {}}),
        ("fields", {"name": "a", "version": "1.0.0"}),
        ("created", {"name": "a", "version": "1.0.0", "fields": {}, "created": 1}),
        ("fields", {"name": "a", "version": "1.0.0", "fields": []}),
        ("n", {"name": "a", "version": "1.0.0", "fields": {"n": "integer"}}),
        ("n", {"name": "a", "version": "1.0.0", "fields": {"n": {}}}),
        ("n", {"name": "a", "version": "1.0.0", "fields": {"n": {"type": "integer", "minimum": 3}}}),
        ("n: min", {"name": "a", "version": "1.0.0", "fields": {"n": {"type": "integer", "min": "x"}}}),
        ("n.m[*]", {"name": "a", "version": "1.0.0", "fields": {"n": {"type": "object", "fields": _NO_TYPE}}}),
    ],
)  # fmt: skip
def test_a_wrong_document_is_refused_with_the_path(path: str, document: Any) -> None:
    with pytest.raises(SchemaError) as caught:
        Schema.from_document(document)
    assert caught.value.path == path


def test_what_a_declaration_was_made_of_may_change_afterwards() -> None:
    default: dict[str, Any] = {"a": [1]}
    fields = {"n": Field("object", default=default)}
    schema = Schema("a", "1.0.0", fields)
    known = schema.content_hash
    default["a"].append(2)
    fields["m"] = Field("any")
    schema.to_document()["fields"]["n"]["default"]["a"].append(3)
    assert schema.content_hash == known
    with pytest.raises(TypeError):
        schema.fields["m"] = Field("any")  # type: ignore[index]


def test_equal_content_has_an_equal_hash_whatever_its_name_its_version_and_its_order() -> None:
    one = Schema("a", "1.0.0", {"x": Field("integer"), "y": Field("string", enum=["p", "q"])})
    two = Schema("b", "2.0.0", {"y": Field("string", enum=["q", "p"]), "x": Field("integer")})
    assert one.content_hash == two.content_hash
    assert one != two
    assert one.fields["y"] == two.fields["y"]


def test_the_hash_is_of_the_content_and_not_of_the_time() -> None:
    assert (
        Schema("a", "1.0.0", {"x": Field("integer", min=1)}).content_hash
        == "965e91bf15ebaf79fb565527cd8b1fd5a6d97d4768673869f8da06d4405ef45f"
    )


@pytest.mark.parametrize(
    "change",
    [
        {"fields": {}},
        {"fields": {**USER.fields, "age": Field("integer", min=1, max=150, default=18)}},
        {"fields": {**USER.fields, "age": Field("number", min=0, max=150, default=18)}},
        {"compatibility": "none"},
        {"depends_on": []},
    ],
)
def test_other_content_has_another_hash(change: dict[str, Any]) -> None:
    assert dataclasses.replace(USER, **change).content_hash != USER.content_hash


def test_declared_fields_and_json_schema_never_share_a_hash() -> None:
    document: dict[str, Any] = {"fields": {}, "compatibility": "backward", "depends_on": []}
    assert content_hash("fields", document) != content_hash("json_schema", document)


def test_keys_that_look_like_tags_are_no_tags() -> None:
    tagged = Field("any", default=b"a")
    looks = Field("any", default={"$bytes": "YQ=="})
    assert tagged != looks


def test_huge_integers_can_be_declared() -> None:
    field = Field("integer", min=-(10**5000), default=10**5000)
    assert field == Field("integer", min=-(10**5000), default=10**5000)
    assert field != Field("integer", min=-(10**5000), default=10**5000 + 1)


def test_a_schema_version_says_what_it_is() -> None:
    version = USER.to_version()
    assert version.reference == "user@2.1.0"
    assert version.hash == USER.content_hash
    assert version.compatibility == "full"
    assert version.schema() == USER
    assert version == dataclasses.replace(version, document={})
    with pytest.raises(SchemaError, match="JSON Schema"):
        SchemaVersion("a", "1.0.0", "h", {}, kind="json_schema").schema()
    with pytest.raises(SchemaError, match="kind"):
        SchemaVersion("a", "1.0.0", "h", {}, kind="xml")  # type: ignore[arg-type]


def test_references_are_a_name_and_perhaps_a_version() -> None:
    assert parse_reference("user") == ("user", None)
    assert parse_reference("user@1.0.0-rc.1") == ("user", "1.0.0-rc.1")
    for wrong in ("", "@1.0.0", "user@", "user@1", "a@1.0.0@2.0.0"):
        with pytest.raises(SchemaError):
            parse_reference(wrong)


def test_a_dependency_is_met_by_a_later_version_of_its_major() -> None:
    needed, _ = USER.dependencies
    assert needed == Dependency("address", "1.2.0")
    met = [version for version in ("1.1.9", "1.2.0", "1.10.0", "2.0.0") if needed.is_met_by("address", version)]
    assert met == ["1.2.0", "1.10.0"]
    assert not needed.is_met_by("team", "1.2.0")
    assert Dependency("team").is_met_by("team", "0.0.1")


def test_defaults_fill_what_is_absent_and_nothing_else() -> None:
    value = {"name": "Ada", "age": None, "profile": {"x": 1}}
    filled = with_defaults(USER, value)
    assert filled == {"name": "Ada", "age": None, "price": None, "photo": b"\x00", "profile": {"x": 1, "bio": ""}}
    assert with_defaults(USER, filled) is filled
    assert with_defaults(USER, {})["profile"] == {"bio": ""}
    items = Field("array", items=Field("object", fields={"n": Field("integer", default=0)}))
    assert with_defaults(items, [{}, {"n": 1}, 5]) == [{"n": 0}, {"n": 1}, 5]
