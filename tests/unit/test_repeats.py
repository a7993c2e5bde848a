"""What an event says: the same again, whatever tells one occurrence from the next; and counts never too low."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backstory.domain.events import FOREIGN_FORMAT, JSON_FORMAT, StoredEvent
from backstory.infrastructure import codec
from backstory.projections.repeats import Sketch, signature

CALLS = [{"id": "c1", "function": {"name": "t"}}]
RUN = {"hook": "h", "point": "p", "input": {"key": "k"}, "operation": "o1", "duration_us": 1, "steps": []}


def says(kind: str, data: Any, *, key: str | None = None, stream: str = "agent:a", form: int = JSON_FORMAT) -> bytes:
    raw = codec.encode_value(data)
    row = StoredEvent(1, 0, stream, 1, b"i" * 16, kind, key, 0, None, None, None, None, None, form, 0, raw, b"")
    return signature(row, codec.decode_value, codec.canonical)


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        (
            "tool.called",
            {"id": "1", "name": "t", "arguments": {"a": 1, "b": 2}},
            {"id": "2", "name": "t", "arguments": {"b": 2, "a": 1}},
        ),
        (
            "tool.returned",
            {"id": "1", "name": "t", "content": 1},
            {"id": "2", "name": "t", "content": 1, "error": False},
        ),
        (
            "message.assistant",
            {"content": None, "tool_calls": CALLS},
            {"content": None, "tool_calls": [CALLS[0] | {"id": "c2"}]},
        ),
        ("message.user", {"role": "user", "content": "x"}, {"role": "user", "content": "x", "name": "ann"}),
        ("state.set", {"value": 1, "op": "set"}, {"value": 1, "op": "increment", "by": 1}),
        ("hook.executed", RUN, RUN | {"operation": "o2", "duration_us": 2}),
        ("hook.failed", RUN, RUN | {"operation": "o2", "error": "x"}),
        ("my.own", {"a": 1, "b": 2}, {"b": 2, "a": 1}),
    ],
)
def test_what_only_tells_one_occurrence_from_the_next_is_no_matter(kind: str, one: Any, other: Any) -> None:
    assert says(kind, one) == says(kind, other)


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        ("tool.called", {"name": "t", "arguments": {"a": 1}}, {"name": "t", "arguments": {"a": 2}}),
        ("tool.called", {"name": "t", "arguments": {}}, {"name": "u", "arguments": {}}),
        ("tool.called", {"name": "t"}, {"name": "t", "more": 1}),
        ("tool.returned", {"name": "t", "content": 1}, {"name": "t", "content": 2}),
        ("message.assistant", {"content": None, "tool_calls": CALLS}, {"content": None, "tool_calls": []}),
        ("message.assistant", {"content": None, "tool_calls": CALLS}, {"content": None, "tool_calls": [1]}),
        ("message.user", "x", "y"),
        ("state.set", {"value": 1}, {"value": 1.0}),
        ("hook.executed", RUN, RUN | {"input": {"key": "other"}}),
        ("my.own", {"id": 1}, {"id": 2}),
    ],
)
def test_what_an_event_says_makes_a_difference(kind: str, one: Any, other: Any) -> None:
    assert says(kind, one) != says(kind, other)


def test_type_stream_key_and_form_make_a_difference() -> None:
    told = [
        says("a.b", 1),
        says("a.c", 1),
        says("a.b", 1, stream="agent:b"),
        says("a.b", 1, key=""),
        says("a.b", 1, key="k"),
        says("a.b", 1, key="-"),
        says("a.b", 1, form=FOREIGN_FORMAT),
    ]
    assert len(told) == len(set(told))


@given(st.lists(st.binary(min_size=16, max_size=16) | st.sampled_from([b"a" * 16, b"b" * 16]), max_size=300))
def test_a_sketch_never_counts_too_few(added: list[bytes]) -> None:
    sketch = Sketch(len(added))
    for each in added:
        sketch.add(each)
    assert all(sketch.may_have(each, times) for each, times in Counter(added).items())


def test_a_sketch_rules_out_nearly_all_that_came_less_often() -> None:
    sketch = Sketch(4000)
    told = [says("a.b", number) for number in range(4000)]
    for each in told:
        sketch.add(each)
    assert sum(sketch.may_have(each, 3) for each in told) < 200


def test_a_sketch_counts_on_where_a_counter_is_full() -> None:
    sketch = Sketch(1)
    for _ in range(1000):
        sketch.add(b"a" * 16)
    assert sketch.may_have(b"a" * 16, 1000)
