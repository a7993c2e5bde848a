"""JSON: all that a picture holds, tagged as the log and `--json` tag it."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, given, settings

from backstory.infrastructure.codec import encode_value
from backstory.replay.picture import Picture
from backstory.replay.rendering import render
from backstory.replay.rendering.json_form import json_form
from backstory.replay.rendering.plain import brief, json_of, printable_json
from tests.support.pictures import VALUES, edge, event_id, picture, pictures, written


@given(VALUES)
def test_values_are_tagged_as_the_log_tags_them(value: Any) -> None:
    assert json.loads(encode_value(value)) == json.loads(json_of(value))


@given(VALUES)
def test_printable_json_holds_the_same(value: Any) -> None:
    made = printable_json(value, indent=2)

    assert json.loads(json_of(value)) == json.loads(made)
    assert all(line.isprintable() for line in made.split("\n"))


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(pictures())
def test_the_text_is_the_dict_as_the_command_line_prints_it(drawn: Picture) -> None:
    assert json.loads(encode_value(json_form(drawn))) == json.loads(render(drawn, "json"))


@given(VALUES)
def test_a_brief_value_is_long_only_where_more_is_left_out(value: Any) -> None:
    assert brief(value, 10).startswith(brief(value, 100)[:10])


def test_a_picture_is_told_in_full() -> None:
    first, second = written(1, "a", 1, actor="ada"), written(2, "b", 2, causes=[1])
    drawn = picture([first, second], [edge(1, 2, "read", 0.5)], sentences=["So it was."], marks={2: "derivation"})

    assert json_form(drawn) == {
        "title": "A title",
        "sentences": ["So it was."],
        "events": [
            {**first.as_dict(), "depth": 0, "mark": None},
            {**second.as_dict(), "depth": 1, "mark": "derivation"},
        ],
        "edges": [{"cause": str(event_id(1)), "effect": str(event_id(2)), "kind": "read", "strength": 0.5}],
    }
    assert json.loads(render(drawn, "json"))["events"][1]["data"] == {"value": 2, "op": "set"}
