"""JSON Schema and pydantic models as schemas: what is taken, what is refused, and how values are seen."""

from __future__ import annotations

import socket
import sys
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pydantic
import pytest

from backstory.domain.errors import ConfigError, SchemaError
from backstory.domain.schemas import Field, Schema
from backstory.infrastructure import json_schema
from backstory.infrastructure.json_schema import json_view
from backstory.schemas.sources import version_from
from backstory.schemas.validators import validator_of


class Address(pydantic.BaseModel):
    street: str
    zip: str | None = None


class Person(pydantic.BaseModel):
    name: str
    born: datetime
    height: Decimal = Decimal("1.7")
    home: Address
    friends: list[Person] = []


def told(document: Any, value: Any) -> list[str]:
    return [str(violation) for violation in validator_of(version_from(document, name="n"))(value)]


def test_a_json_schema_document_is_a_schema_under_the_name_given() -> None:
    version = version_from({"type": "object"}, name="thing", version="1.1.0")
    assert (version.name, version.version, version.kind) == ("thing", "1.1.0", "json_schema")
    assert version.document == {"type": "object"}


def test_the_order_of_words_has_no_part_in_the_hash() -> None:
    one = version_from({"type": "object", "title": "T"}, name="a")
    two = version_from({"title": "T", "type": "object"}, name="b", version="2.0.0")
    assert one.hash == two.hash
    assert one.hash != version_from({"type": "object"}, name="a").hash


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"type": "text"}, "type is no JSON Schema"),
        ({"properties": {"a": {"type": 3}}}, "properties.a.type is no JSON Schema"),
        ({"pattern": "("}, "pattern is no JSON Schema"),
        ({"$ref": "#/$defs/nothing"}, "does not exist"),
        (
            {"$schema": "http://json-schema.org/draft-07/schema#"},
            "must be https://json-schema.org/draft/2020-12/schema",
        ),
        ({"enum": [{1, 2}]}, "cannot be stored"),
    ],
)
def test_a_document_that_is_no_json_schema_is_refused(document: Any, words: str) -> None:
    with pytest.raises(SchemaError) as caught:
        version_from(document, name="n")
    assert words in str(caught.value)
    assert caught.value.schema == "n"


@pytest.mark.parametrize(
    "reference", ["https://example.org/x", "http://127.0.0.1:9/x", "file:///etc/hostname", "other"]
)
@pytest.mark.parametrize("where", ["", "inside"])
def test_a_reference_that_leads_out_is_refused_and_never_followed(
    reference: str, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "socket", None)
    document: Any = {"$ref": reference}
    with pytest.raises(SchemaError, match="nothing is fetched"):
        version_from({"allOf": [{"properties": {"a": document}}]} if where else document, name="n")


def test_a_value_under_the_name_of_a_reference_is_none() -> None:
    assert told({"const": {"$ref": "https://example.org/x"}}, {"$ref": "https://example.org/x"}) == []
    assert told({"properties": {"$ref": {"type": "string"}}}, {"$ref": "x"}) == []


def test_formats_are_demanded() -> None:
    assert told({"format": "email"}, "ada@example.org") == []
    assert told({"format": "email"}, "ada") == ["the value must meet `format`: 'email', is 'ada'"]


def test_what_is_wrong_is_told_in_order_with_its_path() -> None:
    document = {
        "properties": {"a": {"items": {"type": "integer"}}, "b": {"enum": ["x"]}},
        "required": ["c"],
        "additionalProperties": False,
    }
    assert told(document, {"a": [1, "q"], "b": "y", "e": 1}) == [
        "the value must meet `additionalProperties`, is {'a': [1, 'q'], 'b': 'y', 'e': 1}",
        "a[1] must meet `type`: ['integer'], is q".replace("is q", "is 'q'"),
        "b must meet `enum`: ['x'], is 'y'",
        "c is required",
    ]


def test_words_and_paths_tell_no_secrets() -> None:
    secret = "sk-ant-api03-" + "x" * 95
    document = {"additionalProperties": {"type": "integer"}}
    text = " ".join(told(document, {secret: "a", "password": "hunter2", "note": secret}))
    assert "xxxx" not in text
    assert "hunter2" not in text


def test_what_json_lacks_is_seen_as_text_and_numbers_exactly() -> None:
    east = timezone(timedelta(hours=2))
    value = {
        "at": datetime(2026, 3, 1, 12, tzinfo=UTC),
        "there": datetime(2026, 3, 1, 12, 0, 0, 5, tzinfo=east),
        "id": UUID(int=1),
        "photo": b"abc",
        "price": Decimal("0.1"),
        "pair": (1, None),
    }
    assert json_view(value) == {
        "at": "2026-03-01T12:00:00Z",
        "there": "2026-03-01T12:00:00.000005+02:00",
        "id": "00000000-0000-0000-0000-000000000001",
        "photo": "YWJj",
        "price": Decimal("0.1"),
        "pair": [1, None],
    }
    assert told({"maximum": 0.1}, Decimal("0.1")) == []
    assert told({"maximum": 0.1}, Decimal("0.10000000000000000000000001")) != []
    assert told({"format": "date-time"}, value["at"]) == []
    assert told({"format": "uuid"}, value["id"]) == []


@pytest.mark.parametrize(
    ("value", "valid"), [(2**70, True), (2**70 + 1, False), (10**299, False), (-(10**4000), False)]
)
def test_large_integers_are_compared_exactly_and_the_largest_refused(value: int, *, valid: bool) -> None:
    assert (told({"type": "integer", "maximum": 2**70}, value) == []) is valid


@pytest.mark.parametrize("value", [{1: 2}, "\ud800"])
def test_what_is_no_json_at_all_is_not_valid(value: Any) -> None:
    assert told({"type": ["object", "string"], "minProperties": 0}, value) == [
        f"the value must be a value that can be stored, is {value!r}"
    ]


def test_a_pydantic_model_is_a_schema_of_its_name() -> None:
    version = version_from(Person)
    assert (version.name, version.version, version.kind) == ("Person", "1.0.0", "json_schema")
    valid = Person(name="Ada", born=datetime(1815, 12, 10, tzinfo=UTC), home=Address(street="x"))
    assert validator_of(version)(valid.model_dump()) == ()
    assert validator_of(version)(valid.model_dump(mode="json")) == ()
    wrong = {**valid.model_dump(), "home": {}, "friends": [{}]}
    found = [violation.path for violation in validator_of(version)(wrong)]
    assert found == ["friends[0].born", "friends[0].home", "friends[0].name", "home.street"]


def test_a_model_without_json_schema_is_refused() -> None:
    class Odd(pydantic.BaseModel):
        call: Any = pydantic.Field(json_schema_extra=None)

        @classmethod
        def model_json_schema(cls, *args: Any, **kwargs: Any) -> dict[str, Any]:
            raise ValueError("no " + str((args, kwargs)))

    with pytest.raises(SchemaError, match="model Odd has no JSON Schema"):
        version_from(Odd)


def test_a_declaration_is_taken_as_it_is_or_under_another_name() -> None:
    schema = Schema("a", "1.0.0", {"x": Field("integer")})
    assert version_from(schema) == version_from(schema.to_document()) == version_from(schema.to_version())
    other = version_from(schema, name="b", version="2.0.0")
    assert (other.name, other.version, other.hash) == ("b", "2.0.0", schema.content_hash)
    assert other.schema() == Schema("b", "2.0.0", {"x": Field("integer")})
    model = version_from(version_from(Address), name="c")
    assert (model.name, model.hash) == ("c", version_from(Address).hash)


@pytest.mark.parametrize("source", [5, "user", int, None, [{}]])
def test_anything_else_is_no_schema(source: object) -> None:
    with pytest.raises(SchemaError, match="is no schema"):
        version_from(source, name="n")


def test_json_schema_without_a_name_is_refused() -> None:
    with pytest.raises(SchemaError, match="no name"):
        version_from({"type": "object"})


def test_a_missing_library_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    json_schema._library.cache_clear()
    monkeypatch.setitem(sys.modules, "jsonschema_rs", None)
    with pytest.raises(ConfigError, match=r"pip install backstory\[schemas\]"):
        version_from({"type": "object"}, name="n")
    json_schema._library.cache_clear()
