"""The commands that look at the past: points, history, diff, blame."""

from __future__ import annotations

from typing import Any

import pytest

SCOPE = "agent:a1"
NOBODY = "0193b3a0-0000-7000-8000-000000000000"


@pytest.fixture
def past(cli: Any) -> Any:
    """A store in which a key was set, changed inside, and deleted."""
    cli.ok("--actor", "ada", "set", SCOPE, "k", '{"a": 1, "b": {"c": [1]}}')
    cli.ok("set", SCOPE, "k", '{"a": 1, "b": {"c": [1, 2]}}')
    cli.ok("delete", SCOPE, "k")
    return cli


def test_a_point_is_a_position_an_iso_time_or_an_event_id(past: Any) -> None:
    first = past.json("event", "1").value
    for point in ("1", first["event_id"], first["recorded_at"], first["recorded_at"].replace("+00:00", "Z")):
        assert {"a": 1, "b": {"c": [1]}} == past.json("get", SCOPE, "k", "--as-of", point).value


def test_a_time_takes_in_what_was_recorded_at_it_and_one_to_come_is_the_head(past: Any) -> None:
    assert 1 == past("get", SCOPE, "k", "--as-of", "2999-01-01T00:00:00Z").code
    assert 1 == past("get", SCOPE, "k", "--as-of", "1999-01-01T00:00:00+02:00").code


@pytest.mark.parametrize(
    "point", ["4", "-1", "2026-11-21T05:00:00", "2026-11-21", "yesterday", "", "1.0", NOBODY, "9" * 5000, "٣"]
)
def test_a_point_that_is_none_is_refused_by_every_command(past: Any, point: str) -> None:
    for command in (
        *("get agent:a1 k --as-of", "exists agent:a1 k --as-of", "keys agent:a1 --as-of", "items agent:a1 --as-of"),
        *("scopes --as-of", "snapshot --as-of", "blame agent:a1 k --as-of", "log --since", "log --until"),
        *("tail --since", "export --since", "diff 0", "fork x --as-of", "verify --since", "event"),
    ):
        answer = past.json(*command.split(), *(["--"] if command == "event" else []), point)
        expected = {(2, "InvalidPointError")}
        if command == "event":
            expected.add((1, "NotFoundError"))
        if command == "diff 0":
            expected.add((2, "UsageError"))  # "-1" looks like an option
        assert (answer.code, answer.problem["error"]) in expected, command


def test_history_shows_every_change_and_leaves_out_what_was_absent(past: Any) -> None:
    first, second, third = past.json("history", SCOPE, "k").value

    assert ("before" in first, {"a": 1, "b": {"c": [1]}}, "ada") == (False, first["after"], first["actor"])
    assert (first["after"], {"a": 1, "b": {"c": [1, 2]}}) == (second["before"], second["after"])
    assert ("after" in third, "state.deleted", 3, 3) == (False, third["type"], third["position"], third["version"])
    assert past.json("event", "2").value["event_id"] == second["event_id"]


def test_history_shows_people_which_part_changed(past: Any) -> None:
    first, second, third = past.ok("history", SCOPE, "k").lines

    assert first.endswith('state.set          (none) -> {"a":1,"b":{"c":[1]}}  by ada')
    assert second.endswith("b.c[1]: (none) -> 2")
    assert third.endswith('{"a":1,"b":{"c":[1,2]}} -> (none)')


def test_long_values_are_cut_for_people_unless_they_ask_for_all(cli: Any) -> None:
    cli.ok("set", SCOPE, "k", f'"{"x" * 500}"')
    for command in (["history", SCOPE, "k"], ["log"], ["tail"]):
        assert len(cli.ok(*command).out) < 200
        assert "x" * 500 in cli.ok(*command, "--full").out
        assert "x" * 500 in cli.json(*command).out


def test_diff_shows_what_differs_in_either_order(past: Any) -> None:
    whole = {"scope": SCOPE, "key": "k"}
    assert [whole | {"after": {"a": 1, "b": {"c": [1]}}}] == past.json("diff", "0", "1").value
    assert [whole | {"before": {"a": 1, "b": {"c": [1]}}}] == past.json("diff", "1", "0").value
    assert [whole | {"before": {"a": 1, "b": {"c": [1]}}}] == past.json("diff", "1").value
    assert [] == past.json("diff", "0", "3").value
    assert [] == past.json("diff", "0", "1", "--scope", "global").value


def test_diff_shows_people_the_parts_that_differ(past: Any) -> None:
    past.ok("set", SCOPE, "n", "1")
    past.ok("set", SCOPE, "n", "2")
    past.ok("set", SCOPE, "odd", '{"a b": true}')
    past.ok("set", SCOPE, "odd", '{"a b": 1, "new": null}')

    assert ["~ agent:a1  k", "  + b.c[1]: 2"] == past.ok("diff", "1", "2").lines
    assert ['+ agent:a1  k  {"a":1,"b":{"c":[1]}}'] == past.ok("diff", "0", "1").lines
    assert ['- agent:a1  k  {"a":1,"b":{"c":[1]}}'] == past.ok("diff", "1", "3").lines
    assert ["~ agent:a1  n", "  - 1", "  + 2"] == past.ok("diff", "4", "5").lines
    assert ["~ agent:a1  odd", '  - ["a b"]: true', '  + ["a b"]: 1', "  + new: null"] == past.ok("diff", "6").lines


def test_of_too_many_differing_parts_the_whole_is_shown(cli: Any) -> None:
    cli.ok("set", SCOPE, "k", str(list(range(30))))
    cli.ok("set", SCOPE, "k", str(list(range(1, 31))))
    assert 3 == len(cli.ok("diff", "1", "2").lines)


def test_blame_finds_the_event_behind_a_value_or_a_part_of_it(past: Any) -> None:
    assert 2 == past.json("blame", SCOPE, "k", "--as-of", "2").value["position"]
    assert 1 == past.json("blame", SCOPE, "k", "--as-of", "2", "--path", "a").value["position"]
    assert "state.deleted" == past.json("blame", SCOPE, "k").value["type"]
    assert "type            state.deleted" in past.ok("blame", SCOPE, "k").lines
    assert 2 == past("blame", SCOPE, "k", "--path", "a..").code
    assert 1 == past("blame", SCOPE, "k", "--path", "no.such").code
