"""Comparison: what differs between two values, how badly, and how much is the same."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backstory.domain.errors import InvalidValueError
from backstory.domain.events import MISSING
from backstory.infrastructure.codec import canonical
from backstory.replay.blame import inside
from backstory.replay.comparison import Comparison, ValueDifference, apply, compare
from backstory.replay.comparison_lists import common_subsequence
from backstory.replay.comparison_paths import exact_steps

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
NOON_ELSEWHERE = NOON.astimezone(timezone(timedelta(hours=2)))

leaves = st.sampled_from(
    (
        None, True, False, 0, 1, 2, 2**80, 1.0, 0.0, -0.0, "", "a", "b", b"", b"a", NOON, NOON_ELSEWHERE, UUID(int=1),
        Decimal(1), Decimal("1.0"),
    )
)  # fmt: skip
names = st.sampled_from(("a", "b", "id", "a.b", "0"))
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(names, inner, max_size=4), max_leaves=20
)
sides = st.just(MISSING) | values
records = st.lists(st.fixed_dictionaries({"id": st.integers(0, 5), "a": leaves, "b": st.lists(leaves, max_size=2)}))
pairs = st.tuples(sides, sides) | st.tuples(records, records)


def text(value: object) -> bytes:
    """Return what is the same of equal values."""
    return b"MISSING" if value is MISSING else canonical(value)


def stripped(value: Any, gone: Callable[[tuple[str | int, ...]], bool], at: tuple[str | int, ...] = ()) -> Any:
    """Return a value without the parts whose paths are gone."""
    if isinstance(value, dict):
        return {k: stripped(v, gone, (*at, k)) for k, v in value.items() if not gone((*at, k))}
    if isinstance(value, list):
        return [stripped(v, gone, (*at, i)) for i, v in enumerate(value) if not gone((*at, i))]
    return value


def sorted_lists(value: Any) -> Any:
    """Return a value with every list in one and the same order."""
    if isinstance(value, dict):
        return {key: sorted_lists(part) for key, part in value.items()}
    return sorted(map(sorted_lists, value), key=canonical) if isinstance(value, list) else value


def shuffled(value: Any, data: st.DataObject) -> Any:
    """Return a value with every list in another order."""
    if isinstance(value, dict):
        return {key: shuffled(part, data) for key, part in value.items()}
    if isinstance(value, list):
        return data.draw(st.permutations([shuffled(part, data) for part in value]))
    return value


def told(comparison: Comparison) -> list[tuple[str, str, str]]:
    return [(each.path, each.kind, each.severity) for each in comparison.differences]


# -- Laws.


@given(values)
def test_a_value_is_identical_with_its_copy(value: object) -> None:
    assert Comparison(identical=True, similarity=1.0, differences=[]) == compare(value, copy.deepcopy(value))


@given(pairs)
def test_identical_is_what_is_stored_as_equal(pair: tuple[Any, Any]) -> None:
    found = compare(*pair)

    assert (text(pair[0]) == text(pair[1])) == found.identical == (not found.differences) == (found.similarity == 1.0)
    assert 0 <= found.similarity <= 1


@given(pairs)
@example(([[1, 2, 3], 9], [9, [1, 2, 3]]))
def test_the_way_back_finds_as_much_the_same_and_the_same_differences(pair: tuple[Any, Any]) -> None:
    there, back = compare(*pair), compare(*reversed(pair))

    assert there.similarity == back.similarity
    assert sorted((text(each.before), text(each.after)) for each in there.differences) == sorted(
        (text(each.after), text(each.before)) for each in back.differences
    )


@given(pairs)
def test_applying_the_differences_to_one_value_gives_the_other(pair: tuple[Any, Any]) -> None:
    before = copy.deepcopy(pair)

    assert text(pair[1]) == text(apply(compare(*pair).differences, pair[0]))
    assert before == pair


@given(pairs)
def test_a_difference_lies_where_it_says_and_shows_two_values_of_which_no_more_is_the_same(
    pair: tuple[Any, Any],
) -> None:
    for each in compare(*pair).differences:
        steps = exact_steps(each.path)
        if each.kind == "added":
            assert (MISSING, each.after) == (each.before, each.after)
        else:
            assert text(each.before) == text(inside(pair[0], steps) if pair[0] is not MISSING else MISSING)
        assert text(each.before) != text(each.after)
        for container in (dict, list):
            assert not (isinstance(each.before, container) and isinstance(each.after, container))


@given(st.lists(leaves), st.integers(0, 99), leaves)
def test_one_element_more_is_one_difference_wherever_it_is_put(elements: list[Any], at: int, more: object) -> None:
    longer = [*elements[:at], more, *elements[at:]]

    assert ["added"] == [each.kind for each in compare(elements, longer).differences]
    assert ["removed"] == [each.kind for each in compare(longer, elements).differences]


@given(pairs)
def test_neither_the_order_of_keys_nor_the_kind_of_sequence_says_anything(pair: tuple[Any, Any]) -> None:
    def other(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: other(value[key]) for key in reversed(value)}
        return tuple(map(other, value)) if isinstance(value, list) else value

    assert compare(*pair) == compare(other(pair[0]), other(pair[1]))


# -- What is ignored.

PATTERNS = st.lists(
    st.sampled_from(("a", "b", "id", '["a.b"]', '["0"]', "*", "[*]", "**", "i*", "[0]", "[1]")), min_size=1, max_size=3
)


def joined(parts: list[str]) -> str:
    return "".join(part if part[0] == "[" or not at else f".{part}" for at, part in enumerate(parts))


def covers(parts: list[str], steps: tuple[str | int, ...]) -> bool:
    """Return whether a pattern, in its parts, leads to a path or to what that lies in: the rule, word by word."""
    if not parts:
        return True
    if parts[0] == "**":
        return any(covers(parts[1:], steps[at:]) for at in range(len(steps) + 1))
    if not steps:
        return False
    first = steps[0]
    fits = {
        "*": isinstance(first, str),
        "[*]": isinstance(first, int),
        "[0]": first == 0,
        "[1]": first == 1,
        "i*": isinstance(first, str) and first.startswith("i"),
        '["a.b"]': first == "a.b",
        '["0"]': first == "0",
    }
    return fits.get(parts[0], first == parts[0]) and covers(parts[1:], steps[1:])


@given(values, values, st.lists(PATTERNS, max_size=2))
def test_what_is_ignored_never_appears(a: object, b: object, patterns: list[list[str]]) -> None:
    def gone(steps: tuple[str | int, ...]) -> bool:
        return any(covers(parts, steps) for parts in patterns)

    found = compare(a, b, ignore=map(joined, patterns))

    for each in found.differences:
        at = exact_steps(each.path)
        assert not gone(at)
        assert each.kind == "added" or stripped(inside(a, at), gone, at) == each.before
    assert (found.similarity == 1.0) == found.identical


@given(values, values, st.lists(PATTERNS.filter(lambda parts: not {"[0]", "[1]"} & {*parts}), max_size=2))
def test_what_is_ignored_might_as_well_not_be_there(a: object, b: object, patterns: list[list[str]]) -> None:
    def gone(steps: tuple[str | int, ...]) -> bool:
        return any(covers(parts, steps) for parts in patterns)

    expected = Comparison(True, 1.0) if gone(()) else compare(stripped(a, gone), stripped(b, gone))

    found = compare(a, b, ignore=map(joined, patterns))

    assert expected == found
    assert compare(apply(found.differences, a), b, ignore=map(joined, patterns)).identical


@pytest.mark.parametrize(
    ("ignore", "paths"),
    [
        ((), ['["a.b"]', "items[0].id", "items[0].price", "made_at", "meta.made_at", "meta.user"]),
        ("made_at", ['["a.b"]', "items[0].id", "items[0].price", "meta.made_at", "meta.user"]),
        ("meta.made_at", ['["a.b"]', "items[0].id", "items[0].price", "made_at", "meta.user"]),
        (("**.made_at",), ['["a.b"]', "items[0].id", "items[0].price", "meta.user"]),
        (("**.*_at", "items[*].id"), ['["a.b"]', "items[0].price", "meta.user"]),
        (("items", "meta"), ['["a.b"]', "made_at"]),
        (("items[0]", "*.user", '["a.b"]'), ["made_at", "meta.made_at"]),
        (("items[1].id", "meta.**", '["*"]'), ['["a.b"]', "items[0].id", "items[0].price", "made_at"]),
        (
            ("items.*", "meta[*]", "a.b"),
            ['["a.b"]', "items[0].id", "items[0].price", "made_at", "meta.made_at", "meta.user"],
        ),
        (("",), []),
        (("**",), []),
    ],
)
def test_fields_are_ignored_by_path_at_any_depth(ignore: Any, paths: list[str]) -> None:
    one = {"items": [{"id": 1, "price": 3}], "meta": {"made_at": 1, "user": "x"}, "made_at": 1, "a.b": 1}
    other = {"items": [{"id": 2, "price": 4}], "meta": {"made_at": 2, "user": "y"}, "made_at": 2, "a.b": 2}

    assert paths == [each.path for each in compare(one, other, ignore=ignore).differences]


def test_where_a_pattern_names_an_element_by_number_places_are_compared() -> None:
    assert [("[1]", "changed", "major"), ("[2]", "added", "minor")] == told(compare([1, 2], [9, 1, 2], ignore=["[0]"]))
    assert compare([{"id": 1, "a": 1}, 5], [{"id": 2, "a": 1}, 5], ignore=["[0].id"]).identical
    assert compare([1, 2], [1], ignore=["[1]"]).identical
    assert not compare([1, 2, 3], [1], ignore=["[1]"]).identical


@pytest.mark.parametrize("pattern", ["a.", ".a", "a..b", "[", "[]", "[-1]", "[x]", '["a]', '["\\q"]', "a]", "a[0]b"])
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        compare(1, 1, ignore=[pattern])

    assert pattern == caught.value.path
    with pytest.raises(InvalidValueError):
        compare(1, 1, unordered=["[" + "9" * 5000 + "]"])
    with pytest.raises(InvalidValueError):
        compare(1, 1, ignore=[3])  # type: ignore[list-item]


# -- Lists without order.


@given(values, values, st.data())
def test_a_list_without_order_is_the_same_in_any_order(a: object, b: object, data: st.DataObject) -> None:
    mixed = shuffled(a, data)

    assert compare(a, mixed, unordered=["**"]).identical
    assert compare(a, b, unordered=["**"]).similarity == compare(mixed, b, unordered=["**"]).similarity


def test_the_order_of_a_list_without_order_does_not_decide_what_is_paired() -> None:
    near, far, new = ({"x": {"d": d, "e": e}} for d, e in ((1, 2), (5, 6), (1, 7)))

    for pair in (([near, far], [new]), ([new], [near, far])):
        found, turned = (compare(*map(turn, pair), unordered=[""]) for turn in (list, lambda side: side[::-1]))
        assert found.similarity == turned.similarity


@given(values, values)
def test_lists_without_order_are_identical_where_they_are_when_sorted(a: object, b: object) -> None:
    found, back = compare(a, b, unordered="**"), compare(b, a, unordered="**")

    assert (canonical(sorted_lists(a)) == canonical(sorted_lists(b))) == found.identical == (found.similarity == 1.0)
    assert found.similarity == back.similarity
    assert len(found.differences) == len(back.differences)
    assert canonical(sorted_lists(b)) == canonical(sorted_lists(apply(found.differences, a)))


def test_only_the_lists_named_lose_their_order() -> None:
    one, other = {"tags": ["x", "y"], "log": [[1, 2], [3]]}, {"tags": ["y", "x"], "log": [[2, 1], [3]]}

    assert ["log[0][0]", "log[0][1]"] == [each.path for each in compare(one, other, unordered=["tags"]).differences]
    assert compare(one, other, unordered=["tags", "log[*]"]).identical
    assert not compare(one, other, unordered=["tags", "log"]).identical
    assert compare([1, 2], [2, 1], unordered=[""]).identical
    assert 1 == len(compare([1, 1, 2], [2, 1, 2], unordered=[""]).differences)


def test_elements_are_equal_whatever_the_order_of_lists_without_order_inside() -> None:
    found = compare([{"tags": [1, 2]}], [{"tags": [3, 4]}, {"tags": [2, 1]}], unordered=["[*].tags"])

    assert [("[0]", "added", "minor")] == told(found)


def test_alike_elements_without_order_are_compared_with_each_other() -> None:
    one = [{"id": number, "name": f"n{number}", "price": 10} for number in range(60)]
    other = [{**each, "price": 20} for each in reversed(one)]

    for size in (1, 2, 9, 60):
        found = compare(one[:size], other[60 - size :], unordered=[""])
        assert [(f"[{number}].price", "changed", "major") for number in range(size)] == told(found)


def test_a_list_without_order_has_no_element_of_a_certain_number() -> None:
    with pytest.raises(InvalidValueError) as caught:
        compare({"a": [1]}, {"a": [1]}, ignore=["a[0]"], unordered=["a"])

    assert caught.value.path == "a"
    assert str(caught.value).endswith("Write `[*]` in its place.")


# -- Which elements belong together.


def length_of_longest(a: list[int], b: list[int]) -> int:
    row = [0] * (len(b) + 1)
    for one in a:
        last = row
        row = [0]
        for at, other in enumerate(b):
            row.append(last[at] + 1 if one == other else max(row[at], last[at + 1]))
    return row[-1]


@given(st.lists(st.integers(0, 3), max_size=12), st.lists(st.integers(0, 3), max_size=12), st.integers(0, 40))
def test_equal_elements_are_matched_in_order_and_as_many_as_can_be(a: list[int], b: list[int], cells: int) -> None:
    full, bounded = common_subsequence(a, b), common_subsequence(a, b, exact_cells=cells)

    assert length_of_longest(a, b) == len(full) >= len(bounded)
    for found in (full, bounded):
        assert all(a[i] == b[j] for i, j in found)
        assert all(i < k and j < m for (i, j), (k, m) in pairwise(found))


@given(st.permutations(range(9)), st.permutations(range(9)))
def test_elements_that_occur_once_are_matched_as_well_however_long_the_lists(a: list[int], b: list[int]) -> None:
    assert length_of_longest(a, b) == len(common_subsequence(a, b, exact_cells=0))


def test_between_the_elements_that_occur_once_the_others_are_matched() -> None:
    a, b = [0, 0, 7, 1, 2, 2, 1, 8, 0, 1], [1, 0, 7, 2, 1, 1, 2, 8, 1, 0]

    assert {(2, 2), (7, 7)} < {*common_subsequence(a, b, exact_cells=8)}
    assert len(common_subsequence(a, b, exact_cells=40)) == length_of_longest(a, b)
    assert [(2, 2), (7, 7)] == [each for each in common_subsequence(a, b, exact_cells=0) if a[each[0]] > 2]


@pytest.mark.parametrize("size", [2, 9, 40, 400])
def test_alike_elements_are_compared_though_others_were_put_between(size: int) -> None:
    one = [{"id": f"id{number}", "name": f"n{number}", "kind": "item", "price": 10} for number in range(size)]
    other = [{**each, "price": 20} for each in one]
    new = {"id": "new", "name": "new", "kind": "item", "price": 20}

    found = compare(one, [new, *other[: size // 2], new, *other[size // 2 :]])

    added = [("[0]", "added", "minor"), (f"[{size // 2 + 1}]", "added", "minor")]
    assert sorted([*added, *((f"[{at}].price", "changed", "major") for at in range(size))]) == sorted(told(found))


def test_one_good_pair_is_better_than_two_bad_ones() -> None:
    def item(number: int, **other: int) -> dict[str, int]:
        return {"id": number, "name": number, "price": number, "count": number, "kind": 0, "owner": 0, **other}

    found = compare([item(1), item(2)], [item(2, price=5, count=5), item(3)])

    assert ["[0]", "[1]", "[1].count", "[1].price"] == [each.path for each in found.differences]
    assert ["removed", "added", "changed", "changed"] == [each.kind for each in found.differences]


def test_what_many_have_does_not_tell_who_belongs_together() -> None:
    one = [{"id": number, "kind": "item", "price": 10} for number in range(40)]
    other = [{**each, "price": 20} for each in one]

    changed = [(f"[{number}].price", "changed", "major") for number in range(40)]
    for name in ("old", "older", "oldest", "very old"):
        found = compare([*one, {"id": name, "kind": "item", "price": 5}], other)
        assert [*changed, ("[40]", "removed", "major")] == told(found)


def test_who_has_the_most_that_nobody_else_has_belongs_together() -> None:
    one = [{"id": number, "code": -number, "name": f"n{number}", "price": 10} for number in range(40)]
    other = [{"id": "new", "code": "new", "name": "n39", "price": 20}, *({**each, "price": 20} for each in one)]
    other[-1]["name"] = "n0"

    for name in ("new", "newer", "newest", "very new"):
        other[0]["id"] = name
        found = compare(one, other, unordered=[""])
        assert ("[39].name", "changed", "major") in told(found)
        assert ("[0]", "added", "minor") in told(found)


def test_elements_of_one_side_only_do_not_count_against_the_cells() -> None:
    assert 2 == len(common_subsequence([5, 0, 1, 1, 0, 6], [8, 1, 0, 0, 1, 9], exact_cells=16))


def test_common_ends_are_matched_however_long_the_lists() -> None:
    assert 5 == len(common_subsequence([0] * 5, [1, *[0] * 5], exact_cells=0))
    assert 5 == len(common_subsequence([0] * 5, [*[0] * 5, 1], exact_cells=0))


def calls_of(a: object, b: object, **patterns: list[str]) -> int:
    """Return how many functions are called for a comparison, Python's own too."""
    count = 0

    def seen(_frame: object, event: str, _arg: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(seen)
    try:
        compare(a, b, **patterns)
    finally:
        sys.setprofile(before)
    return count


def renewed(size: int) -> tuple[Any, Any]:
    old = [{"id": number, "price": 1} for number in range(size)]
    return old, [{"id": -1, "price": 3}, *({**each, "price": 2} for each in old)]


SHAPES: dict[str, Callable[[int], tuple[Any, Any]]] = {
    "all other": lambda size: (list(range(size)), list(range(size, 2 * size))),
    "turned round": lambda size: (list(range(size)), list(range(size, 0, -1))),
    "few values": lambda size: ([at * at % 7 for at in range(size)], [at * at * at % 7 for at in range(size)]),
    "alike": renewed,
    "alike and none": lambda size: ([{"a": at} for at in range(size)], [{"b": at} for at in range(3)]),
    "keys": lambda size: ({str(at): at for at in range(size)}, {str(at): -at for at in range(size)}),
}


@pytest.mark.parametrize("unordered", [[], [""]])
@pytest.mark.parametrize("shape", SHAPES)
def test_twice_as_long_a_list_takes_about_twice_the_work(shape: str, unordered: list[str]) -> None:
    short, long = (calls_of(*SHAPES[shape](size), unordered=unordered) for size in (1500, 3000))

    assert long < 2.5 * short
    assert long < 3000 * 300


def test_more_cells_than_allowed_are_never_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = []

    def longest(_a: object, _b: object, rows: list[int], columns: list[int]) -> list[tuple[int, int]]:
        looked.append(len(rows) * len(columns))
        return []

    monkeypatch.setattr("backstory.replay.comparison_lists._longest", longest)
    a = [element for at in range(20) for element in (0, 1, 2, 0, 100 + at)]
    b = [element for at in range(20) for element in (1, 0, 0, 2, 100 + at)]

    common_subsequence(a, b, exact_cells=50)

    assert [16, 16, 16] == [cells for cells in looked if cells]


# -- How badly.


@pytest.mark.parametrize(
    ("before", "after", "kind", "severity"),
    [
        ("a", "b", "changed", "major"),
        ("a", "A", "changed", "major"),
        (True, False, "changed", "major"),
        (b"a", b"b", "changed", "major"),
        (UUID(int=1), UUID(int=2), "changed", "major"),
        (1, 2, "changed", "major"),
        (1000, 1010, "changed", "minor"),
        (1000, 1011, "changed", "major"),
        (-1000, -1010, "changed", "minor"),
        (99, 100, "changed", "minor"),
        (100, 99, "changed", "minor"),
        (0.1, 0.1001, "changed", "minor"),
        (0, 1e-300, "type_changed", "major"),
        (0.0, -0.0, "changed", "minor"),
        (1e308, -1e308, "changed", "major"),
        (1, 1.0, "type_changed", "minor"),
        (1, Decimal("1.001"), "type_changed", "minor"),
        (1, Decimal(3), "type_changed", "major"),
        (Decimal("1.0"), Decimal("1.00"), "changed", "minor"),
        (Decimal("9E+999999999999999999"), Decimal("-9E+999999999999999999"), "changed", "major"),
        (Decimal("1E-999999999999999999"), 0.5, "type_changed", "major"),
        (1, True, "type_changed", "critical"),
        (1, "1", "type_changed", "critical"),
        ("a", b"a", "type_changed", "critical"),
        ({}, [], "type_changed", "critical"),
        ([1], "1", "type_changed", "critical"),
        ({"x": 1}, 1, "type_changed", "critical"),
        (None, 1, "type_changed", "major"),
        ({"x": 1}, None, "type_changed", "major"),
        (MISSING, 1, "added", "minor"),
        (1, MISSING, "removed", "critical"),
        (NOON, NOON_ELSEWHERE, "changed", "minor"),
        (NOON, NOON.replace(tzinfo=None), "changed", "major"),
        (NOON, NOON + timedelta(microseconds=1), "changed", "major"),
    ],
)
def test_severity_follows_from_what_happened_to_the_value(before: Any, after: Any, kind: str, severity: str) -> None:
    for one, other, path in (
        (before, after, ""),
        ({"x": before, "y": 1}, {"x": after, "y": 1}, "x"),
        ({"x": {"odd key": before}}, {"x": {"odd key": after}}, 'x["odd key"]'),
    ):
        found = compare(one, other)
        assert [(path, kind, severity)] == told(found)
        assert (text(before), text(after)) == (text(found.differences[0].before), text(found.differences[0].after))


def test_numbers_of_any_size_are_compared() -> None:
    assert [("[0]", "changed", "minor"), ("[1]", "type_changed", "major")] == told(
        compare([10**5000, 10**5000], [10**5000 + 1, 0.5])
    )


def test_an_element_removed_is_less_grave_than_a_field() -> None:
    assert [("a", "removed", "critical")] == told(compare({"a": 1}, {}))
    assert [("[1]", "removed", "major")] == told(compare([1, 2], [1]))
    assert [("[0]", "added", "minor")] == told(compare([2], [1, 2]))


@pytest.mark.parametrize(
    ("a", "b", "similarity"),
    [
        (MISSING, MISSING, 1.0),
        (MISSING, 1, 0.0),
        (1, 2, 0.0),
        ({}, [], 0.0),
        ([], [1], 0.0),
        ([1, 2, 3], [1, 2, 3, 4], 6 / 7),
        ([1, 2], [2, 1], 0.5),
        ({"a": 1, "b": {"c": 2, "d": []}}, {"a": 1, "b": {"c": 3, "d": []}}, 4 / 6),
        ({"a": [1, 2, 3]}, {"a": None}, 0.0),
        ([[1, 2], [3, 4]], [[1, 2], [3, 5]], 6 / 8),
        ([{"id": 1, "n": 1}], [{"id": 0, "n": 1}, {"id": 1, "n": 2}], 2 / 6),
    ],
)
def test_similarity_is_the_share_of_leaves_that_both_have(a: object, b: object, similarity: float) -> None:
    assert pytest.approx(similarity) == compare(a, b).similarity


# -- What is told.


def test_differences_come_in_the_order_of_their_paths() -> None:
    one = {"z": 1, "list": [*range(12)], "a": {"b": 1}}
    other = {"a": {"b": 2, "a": 0}, "list": ["new", *range(11), 12], "z": 2}

    assert ["a.a", "a.b", "list[0]", "list[11]", "z"] == [each.path for each in compare(one, other).differences]


@pytest.mark.parametrize(
    ("a", "b", "summary"),
    [
        (1, 1, "The values are identical."),
        (1, "1", "1 difference (1 critical), in the value as a whole; 0 % is the same."),
        ([1, 2, 3], [1, 2, 3, 4], "1 difference (1 minor), at [3]; 85 % is the same."),
        (
            {"a": 1, "b": 2, "c": {"d": 1}},
            {"a": 5, "c": {"d": 1}, "e": 1},
            "3 differences (1 critical, 1 major, 1 minor), the gravest at b; 33 % is the same.",
        ),
        ([*range(400), 0], [*range(400), 1], "1 difference (1 major), at [400]; 99 % is the same."),
    ],
)
def test_the_summary_is_one_sentence(a: object, b: object, summary: str) -> None:
    assert summary == compare(a, b).summary


def test_a_comparison_can_be_had_as_json_data() -> None:
    assert {
        "identical": False,
        "similarity": 0.0,
        "summary": "3 differences (1 critical, 1 major, 1 minor), the gravest at a; 0 % is the same.",
        "differences": [
            {"path": "a", "kind": "removed", "severity": "critical", "before": None},
            {"path": "b", "kind": "changed", "severity": "major", "before": 1, "after": 2},
            {"path": "c", "kind": "added", "severity": "minor", "after": None},
        ],
    } == compare({"a": None, "b": 1}, {"b": 2, "c": None}).as_dict()


def test_what_a_difference_shows_is_a_copy() -> None:
    a: dict[str, Any] = {"x": [1, {"y": 2}]}
    (found,) = compare(a, {}).differences
    a["x"][1]["y"] = 3

    assert found.before == [1, {"y": 2}]


# -- What cannot be compared or applied.


class Colour(Enum):
    RED = "red"


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"a": [1, {1, 2}]}, "a[1]"),
        ({"a": float("nan")}, "a"),
        (float("inf"), ""),
        (Decimal("NaN"), ""),
        ([Colour.RED], "[0]"),
        ({"a": {1: 2}}, "a"),
        ([1, MISSING], "[1]"),
        (object(), ""),
    ],
)
def test_what_no_store_can_hold_is_refused(value: object, path: str) -> None:
    for pair in ((value, 1), (1, value)):
        with pytest.raises(InvalidValueError) as caught:
            compare(*pair)
        assert path == caught.value.path


def test_a_missing_member_is_absent() -> None:
    assert compare({"a": MISSING, "b": 1}, {"b": 1}).identical
    assert [("a", "added", "minor")] == told(compare({"a": MISSING}, {"a": 1}))


def nested(depth: int, core: object) -> object:
    for level in range(depth):
        core = [core] if level % 2 else {"a": core}
    return core


def test_as_many_levels_are_compared_as_can_be_stored() -> None:
    one, other = nested(200, 1), nested(200, 2)

    found = compare(one, other)

    assert 1 == len(found.differences)
    assert other == apply(found.differences, one)
    assert compare(0, nested(200, 2)).differences[0].after == nested(200, 2)
    cycle: list[Any] = []
    cycle.append(cycle)
    for deep in (nested(201, 1), cycle):
        with pytest.raises(InvalidValueError):
            compare(deep, 1)


@pytest.mark.parametrize(
    ("path", "value"), [("a", {}), ("a.b", {"a": 1}), ("[1]", [1]), ("[0].x", [[1]]), ("x", [1]), ("", MISSING)]
)
def test_differences_are_refused_where_they_have_no_place(path: str, value: object) -> None:
    with pytest.raises(InvalidValueError) as caught:
        apply([ValueDifference(path, 1, 2, "major", "changed")], value)

    assert str(caught.value).endswith("Apply differences to the value that they start from.")


def test_differences_name_one_part_each() -> None:
    with pytest.raises(InvalidValueError, match="Name one part"):
        apply([ValueDifference("a[*]", 1, 2, "major", "changed")], {"a": [1]})
