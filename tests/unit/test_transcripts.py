"""Transcripts: what each message of a run becomes, and how a broken one is told."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backstory.domain.errors import InvalidValueError
from backstory.domain.transcripts import Planned, Planner, Ref, Run, Unreadable, is_run, read_json, runs_in
from tests.support.runs import assistant, call, result, user

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["role", "content", "tool_calls", "id", "function", "name", "arguments", "tool_call_id", "x"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


def planned(*messages: object) -> list[list[Planned]]:
    planner = Planner()
    steps = []
    for index, message in enumerate(messages):
        step = planner.plan(index, message)
        planner.accept(step)
        steps.append(step.events)
    return steps


def events(*messages: object) -> list[tuple[str, Ref | None]]:
    return [(each.type, each.cause) for step in planned(*messages) for each in step if each.type != "state.set"]


def written(step: list[Planned]) -> dict[str | None, Any]:
    return {each.key: each.data for each in step if each.type == "state.set"}


def refused(*messages: object) -> InvalidValueError:
    planner = Planner()
    for index, message in enumerate(messages[:-1]):
        planner.accept(planner.plan(index, message))
    with pytest.raises(InvalidValueError) as caught:
        planner.plan(len(messages) - 1, messages[-1])
    return caught.value


def test_each_message_is_caused_by_the_one_before_it() -> None:
    assert [
        ("message.system", None),
        ("message.user", Ref(0, 0)),
        ("message.assistant", Ref(1, 0)),
    ] == events({"role": "system", "content": "be kind"}, user(), assistant("hi"))


def test_a_call_is_caused_by_its_message_and_a_result_by_its_call() -> None:
    told = events(user(), assistant(None, call("a"), call("b")), result("b"), result("a"), assistant("so"))

    assert [
        ("message.user", None),
        ("message.assistant", Ref(0, 0)),
        ("tool.called", Ref(1, 0)),
        ("tool.called", Ref(1, 0)),
        ("tool.returned", Ref(1, 2)),
        ("tool.returned", Ref(1, 1)),
        ("message.assistant", Ref(3, 0)),
    ] == told


def test_a_result_belongs_to_the_nearest_earlier_call_with_its_id() -> None:
    steps = planned(
        assistant(None, call("a", "one")),
        result("a"),
        assistant(None, call("a", "two"), call("a", "three")),
        result("a", "7"),
    )

    assert steps[1][0].cause == Ref(0, 1)
    assert steps[3][0].cause == Ref(2, 2)
    assert steps[3][0].data["name"] == "three"
    assert written(steps[3])["result/three"] == 7


def test_a_developer_speaks_as_the_system() -> None:
    (step,) = planned({"role": "developer", "content": "x"})

    assert (step[0].type, written(step)["last_role"]) == ("message.system", "developer")


def test_the_first_message_begins_the_session_and_each_counts() -> None:
    system, first, second = planned({"role": "system", "content": "s"}, user(), user())

    assert written(system) == {"status": "running", "turns": 0, "messages": 1, "last_role": "system"}
    assert written(first) == {"turns": 1, "messages": 2, "last_role": "user"}
    assert written(second) == {"turns": 2, "messages": 3, "last_role": "user"}


def test_every_state_write_is_caused_by_the_event_that_brought_it() -> None:
    asked, answered = planned(assistant(None, call("a", "x"), call("b", "x")), result("b", "Error: no"))

    causes = [(each.key, each.cause, each.data) for each in asked if each.key == "tools/x"]
    assert causes == [
        ("tools/x", Ref(0, 1), {"calls": 1, "errors": 0}),
        ("tools/x", Ref(0, 2), {"calls": 2, "errors": 0}),
    ]
    assert [(each.key, each.cause) for each in answered[1:]] == [
        ("tools/x", Ref(1, 0)),
        ("messages", Ref(1, 0)),
        ("last_role", Ref(1, 0)),
    ]
    assert written(answered)["tools/x"] == {"calls": 2, "errors": 1}


@pytest.mark.parametrize(
    ("content", "decoded", "failed"),
    [
        ('{"a": [1, 2.5, null]}', {"a": [1, 2.5, None]}, False),
        (" [1] ", [1], False),
        ("55.0", 55.0, False),
        ("null", None, False),
        ('"text"', "text", False),
        (str(2**80), 2**80, False),
        ("text", "text", False),
        ("", "", False),
        (None, None, False),
        ("NaN", "NaN", False),
        ("1e999", "1e999", False),
        ("9" * 5000, "9" * 5000, False),
        ('"\\ud800"', '"\\ud800"', False),
        ('"\\ud83d\\ude00"', "😀", False),
        ("[" * 300 + "]" * 300, "[" * 300 + "]" * 300, False),
        ("[" * 100_000, "[" * 100_000, False),
        ("Error: no such flight", "Error: no such flight", True),
        ("error: lower case", "error: lower case", False),
        ("No Error", "No Error", False),
        ([{"type": "text", "text": '{"a":'}, {"type": "text", "text": "1}"}], {"a": 1}, False),
        ([{"type": "text", "text": "Error"}], [{"type": "text", "text": "Error"}], True),
        ([{"type": "image"}], [{"type": "image"}], False),
    ],
)
def test_the_content_of_a_result_is_decoded_where_it_is_json(content: object, decoded: object, failed: bool) -> None:
    _, answered = planned(assistant(None, call("a", "x")), result("a", content))

    assert answered[0].data == {"id": "a", "name": "x", "content": decoded, "error": failed}


@pytest.mark.parametrize(
    ("given", "arguments"),
    [
        ('{"city": "Oslo"}', {"city": "Oslo"}),
        ("{broken", "{broken"),
        ("", ""),
        ("[1]", [1]),
        ({"city": "Oslo"}, {"city": "Oslo"}),
        (None, None),
    ],
)
def test_arguments_are_decoded_and_stay_text_where_they_are_no_json(given: object, arguments: object) -> None:
    (step,) = planned(assistant(None, call("a", "x", given)))

    assert step[1].data == {"id": "a", "name": "x", "arguments": arguments}


@pytest.mark.parametrize(
    ("content", "arguments", "key"),
    [
        ({"reservation_id": "R1", "user_id": "u"}, {}, "reservation/R1"),
        ({"name": "Mia", "id": 7, "user_id": "u"}, {}, "x/7"),
        ({"_id": "m"}, {}, "x/m"),
        ({"name": "Mia"}, {"user_id": "mia", "id": "z"}, "user/mia"),
        ({"name": "Mia"}, {"id": "z"}, "x/z"),
        ({"name": "Mia"}, {}, "result/x"),
        ({"inner": {"id": "deep"}}, {}, "result/x"),
        ({"id": None, "user_id": True, "order_id": "o"}, {}, "order/o"),
        ({"id": "", "user_id": [1]}, {"order_id": 1.5}, "result/x"),
        ({"identity": "1", "paid": "2", "idx_id": "3"}, {}, "idx/3"),
        ([{"id": "1"}], {"user_id": "u"}, "result/x"),
        (12, {"user_id": "u"}, "result/x"),
        (None, {"user_id": "u"}, "result/x"),
        ({"file_id": "../x"}, {}, "file/.%2E/x"),
    ],
)
def test_a_result_goes_under_its_own_id_else_its_calls_else_its_tool(
    content: object, arguments: object, key: str
) -> None:
    _, answered = planned(assistant(None, call("a", "x", json.dumps(arguments))), result("a", json.dumps(content)))

    assert written(answered)[key] == content
    assert [each.key for each in answered[1:]] == [key, "messages", "last_role"]


def test_a_result_with_a_name_keeps_it_and_counts_for_the_tool_that_was_called() -> None:
    _, answered = planned(assistant(None, call("a", "x")), {**result("a", "Error"), "name": "y"})

    assert answered[0].data["name"] == "y"
    assert "tools/x" in written(answered)


@pytest.mark.parametrize(
    ("message", "path"),
    [
        (None, "messages[1]"),
        ("hello", "messages[1]"),
        ([], "messages[1]"),
        ({}, "messages[1].role"),
        ({"role": "robot"}, "messages[1].role"),
        ({"role": ["user"]}, "messages[1].role"),
        ({"role": "user", "content": 7}, "messages[1].content"),
        ({"role": "user", "content": {"type": "text"}}, "messages[1].content"),
        ({"role": "user", "content": ["text"]}, "messages[1].content"),
        ({"role": "assistant", "content": None, "tool_calls": {}}, "messages[1].tool_calls"),
        ({"role": "tool", "content": "x"}, "messages[1].tool_call_id"),
        ({"role": "tool", "content": "x", "tool_call_id": 4}, "messages[1].tool_call_id"),
        (result("nobody"), "messages[1].tool_call_id"),
        (result("a", 5), "messages[1].content"),
    ],
)
def test_a_broken_message_is_refused_with_its_path(message: object, path: str) -> None:
    error = refused(assistant(None, call("a")), message)

    assert path == error.path


@pytest.mark.parametrize(
    ("broken", "path"),
    [
        (None, "tool_calls[1]"),
        ({"id": "b"}, "tool_calls[1]"),
        ({"id": "b", "function": "x"}, "tool_calls[1]"),
        ({"id": 5, "function": {"name": "x"}}, "tool_calls[1].id"),
        ({"id": "b", "function": {"arguments": "{}"}}, "tool_calls[1].function.name"),
        ({"id": "b", "function": {"name": "x", "arguments": 5}}, "tool_calls[1].function.arguments"),
    ],
)
def test_a_broken_call_is_told_and_the_rest_of_its_message_stays(broken: object, path: str) -> None:
    planner = Planner()
    step = planner.plan(0, {"role": "assistant", "content": None, "tool_calls": [call("a"), broken, call("c")]})

    assert [each.data["id"] for each in step.events if each.type == "tool.called"] == ["a", "c"]
    assert len(step.problems) == 1
    assert f"messages[0].{path}:" in step.problems[0]


def test_calls_of_others_than_the_assistant_are_no_calls() -> None:
    assert events({**user(), "tool_calls": [call("a")]}) == [("message.user", None)]


def test_a_refused_message_leaves_no_trace() -> None:
    planner = Planner()
    planner.accept(planner.plan(0, user()))
    for broken in (5, result("a"), {"role": "user", "content": 1}):
        with pytest.raises(InvalidValueError):
            planner.plan(1, broken)
    step = planner.plan(4, assistant("hi"))

    assert step.events[0].cause == Ref(0, 0)
    assert written(step.events) == {"messages": 2, "last_role": "assistant"}


@given(st.lists(ANYTHING, max_size=8))
def test_whatever_a_message_is_it_is_planned_or_refused(messages: list[object]) -> None:
    planner = Planner()
    for index, message in enumerate([assistant(None, call("a")), *messages]):
        try:
            step = planner.plan(index, message)
        except InvalidValueError:
            continue
        planner.accept(step)
        assert [each.ref for each in step.events] == [Ref(index, part) for part in range(len(step.events))]


# -- Runs


@pytest.mark.parametrize("name", ["run_id", "id"])
def test_a_run_is_an_object_with_an_id_and_messages(name: str) -> None:
    assert runs_in({name: "r", "messages": [user()], "reward": 1.0}) == [Run("r", [user()], {"reward": 1.0})]


def test_an_id_beside_a_run_id_is_another_field() -> None:
    assert runs_in({"id": "i", "run_id": "r", "messages": [user()]}) == [Run("r", [user()], {"id": "i"})]
    assert runs_in({"id": "i", "run_id": None, "messages": [1]}) == [Run("i", [1], {"run_id": None})]


def test_a_number_is_an_id() -> None:
    assert runs_in({"id": 17, "messages": [user()]}) == [Run("17", [user()], {})]


def test_messages_without_an_id_are_a_run_without_one() -> None:
    assert runs_in([user(), 5]) == [Run(None, [user(), 5], {})]
    assert runs_in({"messages": [user()]}) == [Run(None, [user()], {})]


def test_a_list_holds_runs_if_one_of_its_items_is_one() -> None:
    one, two, broken = runs_in([{"id": "r", "messages": [user()]}, [user()], 5])

    assert (one, two) == (Run("r", [user()], {}), Run(None, [user()], {}))
    assert isinstance(broken, Unreadable)


@pytest.mark.parametrize(
    "value",
    [
        None,
        5,
        "text",
        {},
        [],
        [1, 2],
        {"id": "r"},
        {"id": "r", "messages": None},
        {"id": "r", "messages": {}},
        {"id": "r", "messages": []},
        {"id": 1.5, "messages": [user()]},
        {"id": True, "messages": [user()]},
        {"run_id": ["r"], "messages": [user()]},
    ],
)
def test_what_is_no_run_is_told_with_what_to_do(value: object) -> None:
    (found,) = runs_in(value)

    assert isinstance(found, Unreadable)
    assert found.message.endswith(".")


@given(ANYTHING)
def test_whatever_a_value_is_it_is_runs_or_told(value: object) -> None:
    is_run(value)
    assert runs_in(value)


@pytest.mark.parametrize("text", ["", "{", "NaN", "-Infinity", "1e400", "[1,]", "{'a': 1}", "[" * 100_000, "9" * 5000])
def test_only_strict_json_is_read(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_json(text)
