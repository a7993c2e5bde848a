"""The rules of transforms, one by one: what each does, what it refuses, and what it says then."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

import backstory
from backstory import transforms
from backstory.domain.errors import InvalidValueError, MigrationError, NotFoundError
from backstory.domain.events import MISSING
from backstory.domain.transformers import Transformers
from backstory.domain.transformers_built_in import BUILT_IN
from backstory.transforms import Transform

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ID = UUID("01a1fc97-7a61-760d-b45b-94e0b4784712")


class Context:
    """A time and an id, always the same."""

    def now(self) -> datetime:
        return NOON

    def uuid(self) -> UUID:
        return ID


def done(value: Any, *plan: Transform) -> Any:
    return transforms.compile(plan).apply(value, Context())


def refused(value: Any, *plan: Transform) -> MigrationError:
    with pytest.raises(MigrationError) as caught:
        done(value, *plan)
    return caught.value


# -- What the predecessor got wrong


def test_a_path_with_dots_makes_objects_and_no_flat_name() -> None:
    plan = [transforms.copy("age", "profile.age"), transforms.remove("age"), transforms.default("profile.bio", "")]

    assert {"name": "ada", "profile": {"age": 36, "bio": ""}} == done({"name": "ada", "age": 36}, *plan)


def test_each_transform_sees_what_the_one_before_made() -> None:
    plan = [
        transforms.default("email", "none"),
        transforms.default("phone", "none"),
        transforms.copy("email", "contact.email"),
        transforms.copy("phone", "contact.phone"),
        transforms.remove("email"),
        transforms.remove("phone"),
    ]

    assert {"contact": {"email": "a@b.org", "phone": "none"}} == done({"email": "a@b.org"}, *plan)


def test_a_transformer_without_sources_is_run() -> None:
    assert {"at": "2026-03-01T12:00:00+00:00"} == done({}, transforms.custom("now_iso8601", (), "at"))


@pytest.mark.parametrize("email", ["ada@example.org", None, "", "\u00fc\U0001f600"])
def test_a_transformer_never_consumes_its_sources(email: str | None) -> None:
    plan = transforms.custom("has_valid_email", "email", "validated")

    assert {"email": email, "validated": email == "ada@example.org"} == done({"email": email}, plan)


def test_a_copy_is_no_move_and_shares_nothing() -> None:
    compiled = transforms.compile([transforms.copy("settings", "preferences"), transforms.default("settings.x", 1)])

    assert {"settings": {"x": 1}, "preferences": {}} == compiled.apply({"settings": {}}, Context())
    assert {"settings": {"x": 1}, "preferences": {}} == compiled.apply_in_place({"settings": {}}, Context())


def test_a_failing_transform_is_a_failure_and_leaves_the_value() -> None:
    value = {"age": "old", "name": "ada"}

    refused(value, transforms.remove("name"), transforms.convert("age", "integer"))

    assert {"age": "old", "name": "ada"} == value


def test_unknown_fields_stay() -> None:
    assert {"b": 1, "x": {"y": [None]}} == done({"a": 1, "x": {"y": [None]}}, transforms.rename("a", "b"))


def test_nobody_learns_a_secret_from_an_error_or_a_description() -> None:
    error = refused({"password": "hunter2"}, transforms.convert("password", "integer"))

    assert "hunter2" not in str(error)
    assert "[redacted:password]" in str(error)
    assert "hunter2" not in transforms.default("password", "hunter2").describe()
    assert "hunter2" not in str(refused({"a": {}, "secret": "hunter2"}, transforms.copy("a", "secret")))


def test_an_unknown_transformer_is_found_before_any_value_is_touched() -> None:
    plan = [transforms.each("items", transforms.when(transforms.where("a", "exists"), transforms.compute("b", "nil")))]

    with pytest.raises(NotFoundError, match=r"there are: .*now_iso8601"):
        transforms.compile(plan)


# -- Nothing is dropped silently


@pytest.mark.parametrize(
    "plan",
    [
        transforms.copy("a", "b"),
        transforms.move("a", "b"),
        transforms.rename("a", "b"),
        transforms.move("none", "b"),
        transforms.split("a", ["b", "c"]),
        transforms.merge(["a"], "b"),
        transforms.compute("b", "upper", "a"),
        transforms.custom("upper", "a", "b"),
    ],
    ids=lambda plan: plan.describe(),
)
@pytest.mark.parametrize("there", [None, 1, "x,y"])
def test_nothing_is_written_over_what_is_there(plan: Transform, there: Any) -> None:
    error = refused({"a": "x,y", "b": there}, plan)

    assert "b" == error.path
    assert plan.describe() in str(error)
    assert "is there already" in str(error)


@pytest.mark.parametrize("outer", ["text", 1, [1]])
def test_nothing_is_written_into_what_has_no_fields(outer: Any) -> None:
    assert "a" == refused({"a": outer}, transforms.default("a.b", 1)).path


def test_null_is_there_and_is_not_written_over() -> None:
    assert {"a": None} == done({"a": None}, transforms.default("a", 1))
    assert "a" == refused({"a": None}, transforms.default("a.b", 1)).path


def test_what_is_computed_may_replace_what_it_was_computed_from() -> None:
    assert {"a": "X"} == done({"a": "x"}, transforms.compute("a", "upper", "a"))


@pytest.mark.parametrize("function", [transforms.copy, transforms.move, transforms.rename])
def test_what_is_absent_is_neither_copied_nor_moved(function: Callable[[str, str], Transform]) -> None:
    assert {"x": 1} == done({"x": 1}, function("a", "b"))
    assert {"a": None} == done({"a": None}, transforms.move("a.b", "c"))


def test_coming_up_drops_nothing_beside() -> None:
    assert {"a": 1} == done({"a": {"b": 1}}, transforms.move("a.b", "a"))
    assert "a" == refused({"a": {"b": 1, "c": 2}}, transforms.move("a.b", "a")).path


# -- Whole values, arrays, odd names


def test_a_plain_value_can_be_migrated() -> None:
    assert {"amount": 3} == done(3, transforms.move("$", "amount"))
    assert 3 == done({"amount": 3}, transforms.move("amount", "$"))
    assert "3" == done(3, transforms.convert("", "string"))
    assert "X" == done("x", transforms.compute("$", "upper", "$"))


def test_a_star_goes_over_all_elements_pair_by_pair() -> None:
    value = {"items": [{"price": "1"}, {}, {"price": "2"}]}
    plan = [transforms.move("items[*].price", "items[*].cost.net"), transforms.convert("items[*].cost.net", "integer")]

    assert {"items": [{"cost": {"net": 1}}, {}, {"cost": {"net": 2}}]} == done(value, *plan)


def test_elements_are_wrapped_where_they_are() -> None:
    assert {"tags": [{"name": "a"}, {"name": "b"}]} == done(
        {"tags": ["a", "b"]}, transforms.move("tags[*]", "tags[*].name")
    )


def test_values_under_a_star_are_gathered_for_one_target() -> None:
    value = {"items": [{"price": 1, "n": [1, 2]}, {"n": [3]}, {"price": 2}]}
    plan = [transforms.compute("total", "sum", "items[*].price"), transforms.compute("n", "collect", "items[*].n[*]")]

    assert {**value, "total": 3, "n": [1, 2, 3]} == done(value, *plan)


def test_each_element_may_read_the_whole_value() -> None:
    plan = transforms.compute("items[*].label", "concat", ["shop", "items[*].id"], separator="/")
    value = {"shop": "s", "items": [{"id": "1"}, {"id": "2"}]}

    assert ["s/1", "s/2"] == [item["label"] for item in done(value, plan)["items"]]


@pytest.mark.parametrize("path", ["items", "items[*]"])
def test_each_takes_the_path_of_an_array_or_of_its_elements(path: str) -> None:
    plan = transforms.each(path, [transforms.rename("a", "b"), transforms.compute("$", "collect", "$")])

    assert {"items": [[{"b": 1}]]} == done({"items": [{"a": 1}]}, plan)
    assert {"items": None} == done({"items": None}, plan)
    assert {} == done({}, plan)


def test_an_error_among_elements_says_in_which() -> None:
    value = {"rows": [{"cells": [1, 2]}, {"cells": [3, "x"]}]}

    assert "rows[1].cells[1]" == refused(value, transforms.convert("rows[*].cells[*]", "integer")).path
    assert "rows" == refused({"rows": {}}, transforms.remove("rows[*].x")).path


def test_elements_are_added_at_the_end_and_nowhere_beyond() -> None:
    assert {"a": [1, 2]} == done({"a": [1]}, transforms.default("a[1]", 2))
    assert {"a": [[{"b": 1}]]} == done({}, transforms.default("a[0][0].b", 1))
    assert "a[2]" == refused({"a": [1]}, transforms.default("a[2]", 2)).path


def test_a_quoted_name_may_have_dots_and_stars_in_it() -> None:
    assert {"a*": 1} == done({"a.b": 1}, transforms.rename('["a.b"]', '["a*"]'))


# -- Texts


def test_split_and_merge_keep_their_sources() -> None:
    whole = {"name": "Ada Lovelace"}
    parts = done(whole, transforms.split("name", ["first", "last"], " "))

    assert {"name": "Ada Lovelace", "first": "Ada", "last": "Lovelace"} == parts
    assert {**parts, "back": "Ada Lovelace"} == done(parts, transforms.merge(["first", "last"], "back"))


@pytest.mark.parametrize("name", ["Ada", "Ada King Lovelace", 3])
def test_a_text_with_another_number_of_pieces_is_not_split(name: Any) -> None:
    assert "name" == refused({"name": name}, transforms.split("name", ["first", "last"], " ")).path


def test_merge_leaves_out_what_is_null_or_absent() -> None:
    plan = transforms.merge(["a", "b", "c"], "all", "-")

    assert "x-" == done({"a": "x", "b": None, "c": ""}, plan)["all"]
    assert {"b": None} == done({"b": None}, plan)
    assert "a" == refused({"a": 1}, plan).path


@pytest.mark.parametrize(
    ("value", "to_type", "expected"),
    [
        (12, "string", "12"),
        (1.5, "string", "1.5"),
        (True, "string", "true"),
        (Decimal("1.50"), "string", "1.50"),
        (NOON, "string", "2026-03-01T12:00:00+00:00"),
        (ID, "string", str(ID)),
        ("12", "integer", 12),
        ("-3", "integer", -3),
        ("0", "integer", 0),
        (2.0, "integer", 2),
        (True, "integer", 1),
        ("1.50", "number", 1.5),
        ("12", "number", 12),
        ("1e3", "number", 1000.0),
        ("0.0e-999", "number", 0.0),
        (True, "number", 1),
        (Decimal("1.5"), "number", Decimal("1.5")),
        ("true", "boolean", True),
        (0, "boolean", False),
        ("2026-03-01T12:00:00Z", "timestamp", NOON),
        ("2026-03-01T13:00:00.0000000+01:00", "timestamp", NOON),
        ("a", "array", ["a"]),
        ({}, "array", [{}]),
        ([], "array", []),
        ({}, "object", {}),
    ],
)
def test_what_converts_without_loss_is_converted(value: Any, to_type: str, expected: Any) -> None:
    got = done({"a": value}, transforms.convert("a", to_type))["a"]

    assert (type(expected), expected) == (type(got), got)


@pytest.mark.parametrize(
    ("to_type", "values"),
    [
        ("string", [[], {}, b"x", 10**5000]),
        ("integer", ["1.5", "1.0", "007", "+7", " 7", "1_000", "-0", "", "x", 1.5, "\u0663", [], "9" * 5000, NOON]),
        (
            "number",
            ["", "x", "NaN", "Infinity", "1e999", "1e-999999999999999999999", "0.12345678901234567891", ".5", []],
        ),
        ("boolean", ["yes", "True", "1", "", 2, 1.0, []]),
        ("timestamp", ["2026-03-01", "2026-03-01T12:00:00", 0, "2026-03-01T12:00:00.0000001Z", "x"]),
        ("object", ["{}", [], 1]),
    ],
)
def test_what_would_lose_something_is_not_converted(to_type: str, values: list[Any]) -> None:
    for value in values:
        assert "a" == refused({"a": value}, transforms.convert("a", to_type)).path


@pytest.mark.parametrize("to_type", ["string", "integer", "number", "boolean", "timestamp", "array", "object"])
def test_null_stays_null(to_type: str) -> None:
    assert {"a": None} == done({"a": None}, transforms.convert("a", to_type))


# -- Conditions


@pytest.mark.parametrize(
    ("condition", "holding", "not_holding"),
    [
        (transforms.where("a", "exists"), [None, 1], [MISSING]),
        (transforms.where("a", "absent"), [MISSING], [None]),
        (transforms.where("a", "==", 1), [1, 1.0], [True, "1", MISSING]),
        (transforms.where("a", "==", "x"), ["x"], ["X", MISSING]),
        (transforms.where("a", "==", None), [None], [MISSING, 0]),
        (transforms.where("a", "!=", 1), [True, MISSING, 2], [1]),
        (transforms.where("a", "in", [1, "x"]), [1, "x"], [True, MISSING]),
        (transforms.where("a", "not_in", [1]), [2, MISSING], [1]),
        (transforms.where("a", ">", 3), [4, Decimal(4)], [3, "4", None, True, MISSING]),
        (transforms.where("a", ">=", 3), [3, 3.5], [2]),
        (transforms.where("a", "<", "b"), ["a", ""], ["b", 1]),
        (transforms.where("a", "<=", NOON), [NOON], [NOON.isoformat(), NOON.replace(year=2027)]),
        (transforms.where("a", "is_type", "number"), [1, 1.5], [True, "1"]),
        (transforms.where("a", "is_type", "null"), [None], [MISSING]),
        (transforms.where("a", "matches", "[a-z]+"), ["abc"], ["abc1", 1, MISSING]),
        (transforms.where("a.b[0]", "exists"), [{"b": [1]}], [1, "b", {"b": {}}, {"b": []}]),
        ({"not": transforms.where("a", "exists")}, [MISSING], [1]),
        ({"all": [transforms.where("a", ">", 1), transforms.where("a", "<", 3)]}, [2], [1, 3]),
        ({"any": [transforms.where("a", "<", 1), transforms.where("a", ">", 3)]}, [0, 4], [1, 3]),
    ],
    ids=str,
)
def test_a_condition_holds_of_these_and_not_of_those(
    condition: dict[str, Any], holding: list[Any], not_holding: list[Any]
) -> None:
    plan = transforms.when(condition, transforms.default("then", True), transforms.default("otherwise", True))

    for values, way in ((holding, "then"), (not_holding, "otherwise")):
        for value in values:
            given = {} if value is MISSING else {"a": value}
            assert {**given, way: True} == done(given, plan)


# -- Transformers


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        (transforms.compute("r", "uuid"), str(ID)),
        (transforms.compute("r", "now"), NOON),
        (transforms.compute("r", "constant", value=[1]), [1]),
        (transforms.compute("r", "normalize_score", "n"), 0.5),
        (transforms.compute("r", "normalize_score", "n", minimum=40, maximum=60), 0.5),
        (transforms.compute("r", "lower", "t"), " \u00c4b c! ".lower()),
        (transforms.compute("r", "trim", "t"), "\u00c4b C!"),
        (transforms.compute("r", "slug", "t"), "ab-c"),
        (transforms.compute("r", "length", "l"), 3),
        (transforms.compute("r", "parse_json", "j"), {"a": [1]}),
        (transforms.compute("r", "sum", ["n", "l", "none"]), 56),
        (transforms.compute("r", "sum", "none"), 0),
        (transforms.compute("r", "concat", ["t", "none", "j"], separator="|"), ' \u00c4b C! |{"a": [1]}'),
        (transforms.compute("r", "concat", "none"), MISSING),
        (transforms.compute("r", "upper", "none"), MISSING),
        (transforms.compute("r", "upper", "null"), None),
        (transforms.compute("r", "first_non_null", ["none", "null", "n"]), 50),
        (transforms.compute("r", "first_non_null", ["none", "null"]), None),
        (transforms.compute("r", "collect", ["none", "null", "n"]), [None, 50]),
    ],
    ids=lambda plan: plan.describe() if hasattr(plan, "describe") else "",
)
def test_built_in_transformers(plan: Transform, expected: Any) -> None:
    value = {"n": 50, "t": " \u00c4b C! ", "l": [1, 2, 3], "j": '{"a": [1]}', "null": None}

    assert expected == done(value, plan).get("r", MISSING)


@pytest.mark.parametrize(
    "plan",
    [
        transforms.compute("r", "normalize_score", "big"),
        transforms.compute("r", "upper", "big"),
        transforms.compute("r", "upper"),
        transforms.compute("r", "sum", "text"),
        transforms.compute("r", "parse_json", "text"),
        transforms.custom("collect", "list", ["r", "s"]),
    ],
    ids=lambda plan: plan.describe(),
)
def test_a_transformer_that_fails_says_so_at_its_target(plan: Transform) -> None:
    assert "r" == refused({"big": 101, "text": "NaN", "list": [1, 2, 3]}, plan).path


def test_a_transformer_of_ones_own_gets_values_context_and_options() -> None:
    registry = Transformers(BUILT_IN)
    seen: list[Any] = []

    def swap(values: tuple[Any, ...], context: Any, *, by: int) -> list[Any]:
        seen.append((values, context.now(), by))
        values[0].append("changed behind the back")
        return [values[1], by]

    registry.register("swap", swap)
    plan = [transforms.custom("swap", ["a", "none"], ["b", "c"], by=2)]

    assert {"a": [1], "c": 2} == transforms.compile(plan, registry).apply({"a": [1]}, Context())
    assert [(([1, "changed behind the back"], MISSING), NOON, 2)] == seen


def test_what_is_written_is_shared_by_no_two_values() -> None:
    shared: list[Any] = []
    registry = Transformers({**BUILT_IN, "same": lambda _values, _context: shared})
    plan = [transforms.compute("a", "same"), transforms.default("b", []), transforms.compute("c", "constant", value=[])]
    compiled = transforms.compile(plan, registry)
    for part in compiled.apply({}, Context()).values():
        part.append("mine")

    assert {"a": [], "b": [], "c": []} == compiled.apply({}, Context())


def test_a_target_that_is_taken_is_refused_before_its_transformer_is_called() -> None:
    assert "b" == refused({"b": 1}, transforms.compute("b", "upper", "none")).path


def test_one_name_stands_for_one_function() -> None:
    registry = Transformers(BUILT_IN)

    def mine(_values: Any, _context: Any) -> None: ...

    assert mine is registry.register("mine", mine)
    registry.register("mine", mine)
    for name in ("mine", "upper"):
        with pytest.raises(InvalidValueError, match="stands for"):
            registry.register(name, lambda *_: 1)
    for name in ("", "1a", "a b", "x" * 129):
        with pytest.raises(InvalidValueError, match="is no name"):
            registry.register(name, mine)


def test_the_decorator_registers_for_the_process() -> None:
    @transforms.transformer("tests.twice")
    def twice(values: tuple[Any, ...], _context: Any) -> Any:
        return values[0] * 2

    assert {"a": 2, "b": 4} == done({"a": 2}, transforms.compute("b", "tests.twice", "a"))
    assert 4 == twice((2,), Context())


def test_wrong_options_are_found_before_any_value_is_touched() -> None:
    with pytest.raises(InvalidValueError, match=r"upper does not fit its options.*of this one: none"):
        transforms.compile([transforms.compute("a", "upper", "b", sideways=True)])


def test_transformers_of_installed_packages_are_loaded_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    class Offer:
        value = "pack:double"

        def load(self) -> Any:
            return lambda values, _context: values[0] * 2

    asked: list[Any] = []

    def entry_points(**wanted: str) -> list[Offer]:
        asked.append(wanted)
        return [Offer()] if wanted["name"] == "tests.offered" else []

    monkeypatch.setattr("importlib.metadata.entry_points", entry_points)

    assert {"a": 2, "b": 4} == done({"a": 2}, transforms.compute("b", "tests.offered", "a"))
    assert [{"group": "backstory.transformers", "name": "tests.offered"}] == asked


# -- Making, and documents


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: transforms.copy("a..b", "c"), "is no path"),
        (lambda: transforms.copy("$.a", "c"), "goes on after"),
        (lambda: transforms.copy("a*", "c"), "has a `\\*` in a name"),
        (lambda: transforms.copy(None, "c"), "no text"),  # type: ignore[arg-type]
        (lambda: transforms.copy("a.b", "a"), "holds"),
        (lambda: transforms.copy("a[*].b", "c"), "same arrays"),
        (lambda: transforms.copy("a[*].b", "c[*].b"), "same arrays"),
        (lambda: transforms.move("a", "a"), "is where it is"),
        (lambda: transforms.move("a", "a[1]"), "one element"),
        (lambda: transforms.rename("a.b", "c"), "no other name beside"),
        (lambda: transforms.rename("a", "a"), "is its name"),
        (lambda: transforms.default("$", 1), "never absent"),
        (lambda: transforms.default("a[*]", 1), "never absent"),
        (lambda: transforms.default("a", {1}), "stored"),
        (lambda: transforms.remove("$"), "cannot be removed"),
        (lambda: transforms.remove("a[*]"), "one by one"),
        (lambda: transforms.convert("a", "float"), "Take one of string, integer"),
        (lambda: transforms.split("a", ["a", "b"]), "is where the text stays"),
        (lambda: transforms.split("a", ["b", "b.c"]), "are one place"),
        (lambda: transforms.split("a", []), "no list"),
        (lambda: transforms.split("a", ["b"], ""), "at nothing"),
        (lambda: transforms.merge(["a"], "a"), "stays"),
        (lambda: transforms.compute("$", "sum", "items[*]"), "would be dropped"),
        (lambda: transforms.compute("a[*].b[*].c", "sum", "a[*].d"), "same arrays"),
        (lambda: transforms.compute("a", ""), "no name of a transformer"),
        (lambda: transforms.custom("upper"), "to is no list"),
        (lambda: transforms.each("a", []), "does nothing"),
        (lambda: transforms.each("a", ["b"]), "is no transform"),  # type: ignore[list-item]
        (lambda: transforms.when({}, []), "is not one"),
        (lambda: transforms.when(transforms.where("a", "exists"), []), "does nothing"),
        (lambda: transforms.where("a[*]", "exists"), "leads to many"),
        (lambda: transforms.where("a", "~"), "no operator"),
        (lambda: transforms.where("a", ">", None), "not greater or less"),
        (lambda: transforms.where("a", "matches", "("), "no regular expression"),
        (lambda: transforms.where("a", "in", "abc"), "wants a list"),
        (lambda: transforms.where("a", "is_type", "int"), "no type"),
        (lambda: transforms.where("a", "exists", 1), "compares with nothing"),
        (lambda: transforms.from_document({"kind": "evaluate"}), "no kind 'evaluate'.*Take one of copy"),
        (lambda: transforms.from_document([]), "no table"),
        (
            lambda: transforms.from_document({"kind": "copy", "from": "a", "too": "b"}),
            "'too' is unknown and 'to' is missing",
        ),
        (lambda: transforms.from_document({"kind": "when", "condition": {"path": "a"}, "then": []}), "is not one"),
        (lambda: transforms.from_documents({}), "no list"),
    ],
)
def test_what_is_wrong_is_said_when_it_is_made(make: Callable[[], Any], words: str) -> None:
    with pytest.raises(InvalidValueError, match=words):
        make()


def test_a_transform_cannot_be_changed_and_keeps_a_copy() -> None:
    given = [1]
    transform = transforms.default("a", given)
    given.append(2)

    assert {"kind": "default", "path": "a", "value": [1]} == transforms.to_document(transform)
    with pytest.raises(FrozenInstanceError):
        transform.path = "b"  # type: ignore[misc, union-attr]


def test_one_place_is_written_in_one_way() -> None:
    assert transforms.copy('["a"].b', "$ref") == transforms.copy("a.b", '["$ref"]')


def test_a_plan_stands_in_toml_as_it_does_in_json() -> None:
    text = """
        [[up]]
        kind = "default"
        path = "middle_name"
        null = true

        [[up]]
        kind = "when"
        condition = { path = "age", op = "greater", value = 17 }
        then = [{ kind = "compute", to = "group", transformer = "constant", config = { value = "adult" } }]
    """
    plan = (
        transforms.default("middle_name", None),
        transforms.when(transforms.where("age", ">", 17), transforms.compute("group", "constant", value="adult")),
    )

    assert plan == transforms.from_documents(tomllib.loads(text)["up"])
    assert plan == transforms.from_documents(json.loads(json.dumps(transforms.to_documents(plan))))


def test_transforms_say_what_they_do() -> None:
    plan = transforms.each(
        "items",
        [
            transforms.when(
                {"any": [transforms.where("age", ">=", 3), {"not": transforms.where("b", "==", "x")}]},
                transforms.split("name", ["first", "last"], " "),
                transforms.custom("concat", "a", "c", separator="-"),
            )
        ],
    )

    assert (
        "for each items[*]: when age is at least 3 or not (b equals 'x'): split name at ' ' into first, last; "
        "otherwise: set c by concat(separator='-') from a"
    ) == plan.describe()


# -- Inverses


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        (transforms.move("a", "b"), [transforms.move("b", "a")]),
        (transforms.rename("a.b", "a.c"), [transforms.rename("a.c", "a.b")]),
        (transforms.move("a.b", "c"), [transforms.move("c", "a.b")]),
        (transforms.move("a", "a.b"), [transforms.move("a.b", "a")]),
        (transforms.copy("a", "b"), [transforms.remove("b")]),
        (transforms.split("a.b", ["a.c", "d"]), [transforms.remove("d"), transforms.remove("a.c")]),
        (transforms.merge(["a", "b"], "c"), [transforms.remove("c")]),
        (transforms.compute("items[*].at", "now"), [transforms.remove("items[*].at")]),
        (transforms.each("a", transforms.move("b", "c")), [transforms.each("a", transforms.move("c", "b"))]),
        (
            transforms.when(transforms.where("kind", "==", "x"), transforms.move("a", "b")),
            [transforms.when(transforms.where("kind", "==", "x"), transforms.move("b", "a"))],
        ),
    ],
    ids=lambda plan: plan.describe() if hasattr(plan, "describe") else "",
)
def test_what_is_always_undone_has_an_inverse(plan: Transform, expected: list[Transform]) -> None:
    assert tuple(expected) == transforms.inverse([plan])


@pytest.mark.parametrize(
    "plan",
    [
        transforms.move("a", "b.c"),  # Was `b` an empty object before, or absent?
        transforms.move("a[0]", "b"),  # The others move up.
        transforms.copy("a", "b.c"),
        transforms.default("a", 1),
        transforms.remove("a"),
        transforms.convert("a", "string"),
        transforms.compute("a", "upper", "a"),
        transforms.compute("a.b", "now"),
        transforms.when(transforms.where("a", "exists"), transforms.move("a", "b")),
        transforms.when(transforms.where("items[0].x", "exists"), transforms.rename("items[*].x", "items[*].y")),
        transforms.each("a", [transforms.move("b", "c"), transforms.remove("d")]),
    ],
    ids=lambda plan: plan.describe(),
)
def test_what_depends_on_data_has_no_inverse(plan: Transform) -> None:
    assert transforms.inverse([transforms.rename("x", "y"), plan]) is None


def test_transforms_hang_on_the_package() -> None:
    assert transforms is backstory.transforms
