"""Validation: what is valid, what the words say where it is not, and a plain reading of the rules that must agree."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backstory.domain.errors import SchemaError
from backstory.domain.formats import FORMATS
from backstory.domain.schemas import Field, Schema
from backstory.domain.validation import Violation, compiled, refusal, violations
from backstory.schemas.validators import validator_of

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
VALID: list[tuple[Field, Any]] = [
    (Field("string"), ""),
    (Field("string", max_length=2), "äé"),
    (Field("string", pattern="b+"), "abc"),
    (Field("string", enum=["a", "b"]), "b"),
    (Field("string", format="uuid"), "123e4567-e89b-12d3-a456-426614174000"),
    (Field("integer", min=1, max=3), 3),
    (Field("integer"), 10**400),
    (Field("number"), 1),
    (Field("number", min=Decimal("0.1")), Decimal("0.1")),
    (Field("number", enum=[1, 2.5]), Decimal("2.5")),
    (Field("boolean"), False),
    (Field("boolean", enum=[True]), True),
    (Field("object"), {"anything": object}),
    (Field("object", fields={"a": Field("integer")}), {"b": "other fields may be there"}),
    (Field("array", max_length=2), (1, "a")),
    (Field("array", items=Field("integer")), []),
    (Field("timestamp"), NOON),
    (Field("timestamp"), "2026-03-01T12:00:00z"),
    (Field("timestamp", min=NOON, max="2026-03-01T12:00:00Z"), NOON.astimezone(timezone(timedelta(hours=5)))),
    (Field("bytes", max_length=2), b"ab"),
    (Field("any"), None),
    (Field("any", enum=["a", [1]]), [1.0]),
    (Field("string", nullable=True, enum=["a"]), None),
]
INVALID: list[tuple[Field, Any, str]] = [
    (Field("string"), 1, "must be text"),
    (Field("string"), b"a", "must be text"),
    (Field("string"), None, "must be text"),
    (Field("string", nullable=True), 1, "must be text or null"),
    (Field("string", max_length=2), "abc", "must have at most 2 characters"),
    (Field("string", pattern="^b"), "ab", "must match the pattern '^b'"),
    (Field("string", pattern="a.c"), "a.", "must match the pattern 'a.c'"),
    (Field("string", enum=["a", "b"]), "c", "must be one of 'a', 'b'"),
    (Field("string", format="date"), "today", "must have the format date"),
    (Field("integer"), True, "must be an integer"),
    (Field("integer"), 1.0, "must be an integer"),
    (Field("integer"), Decimal(1), "must be an integer"),
    (Field("integer", min=1, max=3), 0, "must be at least 1 and at most 3"),
    (Field("integer", min=1), 0, "must be at least 1"),
    (Field("number", max=0.5), Decimal("0.50001"), "must be at most 0.5"),
    (Field("number"), math.nan, "must be a finite number"),
    (Field("number"), Decimal("Infinity"), "must be a finite number"),
    (Field("number"), False, "must be a finite number"),
    (Field("number"), "1", "must be a finite number"),
    (Field("number", enum=[1]), 2, "must be one of 1"),
    (Field("boolean"), 1, "must be true or false"),
    (Field("boolean", enum=[True]), False, "must be one of True"),
    (Field("object"), [], "must be an object"),
    (Field("array"), "abc", "must be an array"),
    (Field("array", max_length=1), [1, 2], "must have at most 1 items"),
    (Field("timestamp"), NOON.replace(tzinfo=None), "must be an aware datetime or RFC 3339 text"),
    (Field("timestamp"), "2026-03-01", "must be an aware datetime or RFC 3339 text"),
    (Field("timestamp", max=NOON), "2026-03-01T12:00:01Z", "must be at most 2026-03-01 12:00:00+00:00"),
    (Field("bytes"), "ab", "must be bytes"),
    (Field("bytes", max_length=1), b"ab", "must have at most 1 bytes"),
    (Field("any", enum=["a"]), {}, "must be one of 'a'"),
    (Field("any", enum=[1]), True, "must be one of 1"),
]


@pytest.mark.parametrize(("field", "value"), VALID)
def test_a_valid_value_has_nothing_wrong_with_it(field: Field, value: Any) -> None:
    assert compiled(field)(value)
    assert violations(field, value) == ()


@pytest.mark.parametrize(("field", "value", "rule"), INVALID)
def test_what_is_wrong_is_said(field: Field, value: Any, rule: str) -> None:
    assert not compiled(field)(value)
    (violation,) = violations(field, value)
    assert (violation.path, violation.rule) == ("", rule)


ORDER = Schema(
    "order",
    "1.2.0",
    {
        "id": Field("string", required=True),
        "items": Field(
            "array", items=Field("object", fields={"price": Field("number", required=True, min=0)}), max_length=3
        ),
        "odd key": Field("integer"),
        "password": Field("string", max_length=3),
        "note": Field("string", enum=["x"]),
    },
)


def test_every_violation_is_told_with_its_path_in_the_order_of_the_declaration() -> None:
    wrong = {"items": [{"price": 1}, {"price": -1}, {}, 5], "odd key": "x"}
    assert validator_of(ORDER.to_version())(wrong) == (
        Violation("id", "is required"),
        Violation("items", "must have at most 3 items", "[{'price': 1}, {'price': -1}, {}, 5]"),
        Violation("items[1].price", "must be at least 0", "-1"),
        Violation("items[2].price", "is required"),
        Violation("items[3]", "must be an object", "5"),
        Violation('["odd key"]', "must be an integer", "'x'"),
    )


def test_the_value_of_a_violation_tells_no_secret_and_is_cut_short() -> None:
    wrong = {"id": "1", "password": "hunter2", "note": "ask sk-ant-api03-" + "x" * 95, "items": "y" * 500}
    found = {violation.path: violation.value for violation in violations(ORDER, wrong)}
    assert found["password"] == "[redacted:password]"  # noqa: S105 - what stands in its place
    assert "x" * 20 not in str(found["note"])
    assert len(str(found["items"])) == 80


def test_no_more_than_a_hundred_violations_are_told() -> None:
    assert len(violations(Field("array", items=Field("integer")), ["x"] * 1000)) == 100


def test_a_refusal_names_schema_version_path_rule_and_value_and_what_to_do() -> None:
    found = violations(ORDER, {"id": 5})
    error = refusal(found, schema="order", version="1.2.0", scope="agent:a", key="o1")
    assert str(error) == (
        "the value for key 'o1' of 'agent:a' does not meet schema 'order' 1.2.0: id must be text, is 5. "
        "Correct the value, or register a schema version that allows it."
    )
    assert isinstance(error, SchemaError)
    facts = (error.schema, error.version, error.path, error.rule, error.scope, error.key, error.violations)
    assert facts == ("order", "1.2.0", "id", "must be text", "agent:a", "o1", found)


@pytest.mark.parametrize(("count", "words"), [(2, "and 1 more violation)"), (4, "and 3 more violations)")])
def test_a_refusal_counts_the_other_violations(count: int, words: str) -> None:
    assert words in str(refusal((Violation("a", "is required"),) * count))


def test_a_validator_is_made_once_for_each_content() -> None:
    again = Schema("other", "3.0.0", ORDER.fields)
    assert validator_of(ORDER.to_version()) is validator_of(again.to_version())


# -- A plain reading of the rules

_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 6),
    st.sampled_from([0.5, 2.0, math.nan, Decimal("1.5"), Decimal(3), b"", b"abc", NOON, UUID(int=1), 10**30]),
    st.sampled_from(["", "a", "ab", "abc", "2026-03-01", "2026-03-01T12:00:00Z", "2026-03-02T12:00:00Z", "b@c.d"]),
)
VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("abc"), inner, max_size=3)),
    max_leaves=8,
)


def _scalar_fields() -> st.SearchStrategy[Field]:
    flags: dict[str, Any] = {"required": st.booleans(), "nullable": st.booleans()}
    limits = st.one_of(st.none(), st.integers(0, 2))
    return st.one_of(
        st.builds(
            Field,
            st.just("string"),
            max_length=limits,
            pattern=st.sampled_from([None, "a", "^ab?$"]),
            format=st.sampled_from([None, "date", "email"]),
            **flags,
        ),
        st.builds(Field, st.just("string"), enum=st.sampled_from([["a", "abc"], [""]]), **flags),
        st.builds(
            Field,
            st.sampled_from(["integer", "number"]),
            min=st.sampled_from([None, 0, 1.5]),
            max=st.sampled_from([None, 2, Decimal(4)]),
            **flags,
        ),
        st.builds(Field, st.just("number"), enum=st.sampled_from([[1, 2.0], [0.5]]), **flags),
        st.builds(Field, st.just("timestamp"), min=st.none(), max=st.sampled_from([None, NOON]), **flags),
        st.builds(Field, st.just("bytes"), max_length=limits, **flags),
        st.builds(Field, st.sampled_from(["boolean", "any", "object", "array"]), **flags),
        st.builds(Field, st.just("any"), enum=st.just([True, "a", [1], {"a": 2}]), **flags),
    )


FIELDS = st.recursive(
    _scalar_fields(),
    lambda inner: st.one_of(
        st.builds(Field, st.just("array"), items=inner, required=st.booleans()),
        st.builds(
            Field, st.just("object"), fields=st.dictionaries(st.sampled_from("abc"), inner), nullable=st.booleans()
        ),
    ),
    max_leaves=5,
)


def plainly_valid(field: Field, value: Any) -> bool:  # noqa: C901, PLR0911, PLR0912 - the rules one after the other
    """Read the declaration, as a person would."""
    if value is None and field.nullable:
        return True
    is_int = isinstance(value, int) and not isinstance(value, bool)
    match field.type:
        case "string" | "bytes" as kind:
            if not isinstance(value, {"string": str, "bytes": bytes}[kind]):
                return False
        case "integer":
            if not is_int:
                return False
        case "number":
            if not is_int and not (isinstance(value, (float, Decimal)) and math.isfinite(value)):
                return False
        case "boolean":
            if not isinstance(value, bool):
                return False
        case "object":
            if not isinstance(value, dict):
                return False
        case "array":
            if not isinstance(value, list):
                return False
        case "timestamp":
            if isinstance(value, str) and FORMATS["date-time"](value):
                value = datetime.fromisoformat(value)
            if not isinstance(value, datetime):
                return False
    if field.enum is not None and not any(repr_of(value) == repr_of(allowed) for allowed in field.enum):
        return False
    low: Any = field.min
    high: Any = field.max
    if (low is not None and value < low) or (high is not None and value > high):
        return False
    if field.max_length is not None and len(value) > field.max_length:
        return False
    if field.pattern is not None and not re.search(field.pattern, value):
        return False
    if field.format is not None and not FORMATS[field.format](value):
        return False
    if field.items is not None and not all(plainly_valid(field.items, item) for item in value):
        return False
    return all(
        plainly_valid(part, value[name]) if name in value else not part.required
        for name, part in (field.fields or {}).items()
    )


def repr_of(value: Any) -> Any:
    """Return something equal for values that are equal as JSON data."""
    if isinstance(value, bool):
        return repr(value)
    if isinstance(value, list):
        return [repr_of(item) for item in value]
    return {name: repr_of(item) for name, item in value.items()} if isinstance(value, dict) else value


@settings(max_examples=300)
@given(FIELDS, VALUES)
def test_the_compiled_answer_the_words_and_a_plain_reading_agree(field: Field, value: Any) -> None:
    expected = plainly_valid(field, value)
    assert compiled(field)(value) is expected
    assert (violations(field, value) == ()) is expected


@settings(max_examples=100)
@given(FIELDS)
def test_a_field_survives_its_document(field: Field) -> None:
    schema = Schema("a", "1.0.0", {"x": field})
    assert Schema.from_document(schema.to_document()) == schema
    assert eval(repr(field), {"Field": Field, "datetime": __import__("datetime"), "Decimal": Decimal}) == field  # noqa: S307
