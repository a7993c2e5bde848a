"""Causes and effects on the command line: timeline, why, impact, graph, link."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

FORMS = {"mermaid": "flowchart TD", "dot": "digraph ", "html": "<!doctype html>", "prov": '"prefix"'}


@pytest.fixture
def chain(cli: Any) -> Any:
    """A question (1), a call (2) that it caused, its result (3), the fact it led to (4), and something else (5)."""
    cli.ok("append", "session:s", "message.user", '{"role": "user", "content": "How old is Ada?"}')
    asked = _id(cli, 1)
    call = '{"id": "c", "name": "look_up", "arguments": {"name": "Ada"}}'
    cli.ok("append", "session:s", "tool.called", call, "--cause", asked, "--tag", "tools")
    answer = '{"id": "c", "name": "look_up", "content": 63, "error": false}'
    cli.ok("append", "session:s", "tool.returned", answer, "--cause", _id(cli, 2), "--actor", "looker")
    cli.ok("set", "session:s", "age/ada", "63", "--cause", _id(cli, 3))
    cli.ok("set", "agent:other", "mood", '"calm"')
    return cli


def _id(cli: Any, position: int) -> str:
    found: str = cli.json("event", str(position)).value["event_id"]
    return found


def positions(answer: Any) -> list[int]:
    return [event["position"] for event in answer.value["events"]]


# timeline


def test_a_timeline_shows_events_indented_by_their_depth_with_their_causes(chain: Any) -> None:
    lines = chain.ok("timeline", "session:s").lines

    assert "Timeline of session:s" == lines[0]
    assert lines[1].startswith("4 events, ")
    (called,) = (line for line in lines if "tool.called" in line)
    (returned,) = (line for line in lines if "tool.returned" in line)
    assert called.index("tool") + 2 == returned.index("tool")
    assert "caused by 1" in chain.ok("timeline", "session:s").out


def test_a_timeline_as_json_has_numbers_events_and_edges(chain: Any) -> None:
    value = chain.json("timeline", "session:s").value

    assert (4, 3, 3, [1, 2, 3, 4]) == (
        value["stats"]["events"],
        value["stats"]["edges"],
        value["stats"]["depth"],
        value["stats"]["critical_path"],
    )
    assert [(1, 0), (2, 1), (3, 2), (4, 3)] == [(event["position"], event["depth"]) for event in value["events"]]
    assert (value["events"][0]["event_id"], value["events"][1]["event_id"], "caused_by") == (
        value["edges"][0]["cause"],
        value["edges"][0]["effect"],
        value["edges"][0]["kind"],
    )


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", [1, 2, 3, 4, 5]),
        ("agent:other", [5]),
        ("--scope agent:other", [5]),
        ("--session s", [1, 2, 3, 4]),
        ("--type tool.*", [2, 3]),
        ("--type tool.called --type message.*", [1, 2]),
        ("--key age/ada", [4]),
        ("--actor looker", [3]),
        ("--tag tools", [2]),
        ("--artifact a", []),
        ("--since 1 --until 3", [2, 3]),
        ("--max-depth 1", [1, 2, 5]),
        ("--roots", [1, 5]),
        ("--leaves", [4, 5]),
        ("--order reverse --limit 2", [5, 4]),
        ("--order type", [1, 4, 5, 2, 3]),
        ("-n 0", []),
    ],
)
def test_options_of_a_timeline_choose_events(chain: Any, line: str, expected: list[int]) -> None:
    assert expected == positions(chain.json("timeline", *line.split()))


def test_a_timeline_of_a_correlation_holds_what_belongs_to_it(chain: Any) -> None:
    for option in ("--correlation", "--correlation-id"):
        assert [1, 2, 3, 4] == positions(chain.json("timeline", option, _id(chain, 1)))


# why, impact


def test_why_tells_the_value_its_event_and_all_that_led_there(chain: Any) -> None:
    out = chain.ok("why", "session:s", "age/ada").out
    value = chain.json("why", "session:s", "age/ada").value

    assert "Key age/ada in session:s is 63, since " in out
    assert 'the user said "How old is Ada?"' in " ".join(out.split())
    assert ("session:s", "age/ada", 63) == (value["scope"], value["key"], value["value"])
    assert [(1, None), (2, None), (3, None), (4, "derivation")] == [
        (event["position"], event["mark"]) for event in value["events"]
    ]
    assert value["sentences"][0].startswith("Key age/ada in session:s is 63")


def test_in_brief_why_is_the_last_events_that_led_there_newest_first(chain: Any) -> None:
    lines = chain.ok("why", "session:s", "age/ada", "--limit", "2").lines
    assert ["4", "3"] == [line.split()[0] for line in lines]
    assert "look_up -> 63" in lines[1]
    assert [4, 3, 2] == [each["position"] for each in chain.json("why", "session:s", "age/ada", "-n", "3").values]
    assert 4 == len(chain.ok("why", "session:s", "age/ada", "-n", "9").lines)
    for words in (["-n", "0"], ["-n", "1", "--format", "text"], ["-n", "1", "--output", "why.txt"]):
        assert 2 == chain("why", "session:s", "age/ada", *words).code


def test_why_of_a_point_is_why_it_was_so_then(chain: Any) -> None:
    chain.ok("set", "session:s", "age/ada", "36")
    assert (63, 36) == (
        chain.json("why", "session:s", "age/ada", "--as-of", "5").value["value"],
        chain.json("why", "session:s", "age/ada").value["value"],
    )


def test_why_of_an_absent_key_is_what_removed_it_and_no_where_nothing_ever_was(chain: Any) -> None:
    chain.ok("delete", "session:s", "age/ada")
    value = chain.json("why", "session:s", "age/ada").value
    assert ("value" in value, [6]) == (False, [event["position"] for event in value["events"]])

    answer = chain.json("why", "session:s", "never")
    assert (1, "NotFoundError") == (answer.code, answer.problem["error"])


def test_values_of_special_types_are_tagged_once(chain: Any) -> None:
    chain.ok("set", "global", "k", '{"$$ref": {"$decimal": "1.50"}}')
    value = chain.json("why", "global", "k").value
    assert {"$$ref": {"$decimal": "1.50"}} == value["value"] == value["events"][0]["data"]["value"]


def test_impact_tells_what_an_event_led_to_and_which_keys_it_wrote(chain: Any) -> None:
    value = chain.json("impact", "2").value

    assert [2, 3, 4] == [event["position"] for event in value["events"]]
    assert (_id(chain, 2), [{"scope": "session:s", "key": "age/ada"}]) == (value["event_id"], value["keys"])
    assert value == chain.json("impact", value["event_id"]).value
    assert "led to 2 events and 1 key" in " ".join(chain.ok("impact", "2").out.split())


# graph


def test_a_graph_is_mermaid_unless_another_form_is_wanted(chain: Any) -> None:
    out = chain.ok("graph").out
    assert "flowchart TD" in out
    assert "e3 --> e4" in out
    assert "e3 -> e4" in chain.ok("graph", "--format", "dot").out


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", [1, 2, 3, 4, 5]),
        ("--event 3", [1, 2, 3, 4]),
        ("--event 3 --direction causes", [1, 2, 3]),
        ("--event 3 --direction effects", [3, 4]),
        ("--event 3 --depth 1", [2, 3, 4]),
        ("--since 2 --until 4", [3, 4]),
    ],
)
def test_options_of_a_graph_choose_events(chain: Any, line: str, expected: list[int]) -> None:
    assert expected == positions(chain.json("graph", *line.split()))


def test_a_graph_tells_how_far_each_event_lies_from_its_root(chain: Any) -> None:
    events = chain.json("graph", "--correlation", _id(chain, 1)).value["events"]
    assert [(1, 0), (2, 1), (3, 2), (4, 3)] == [(event["position"], event["depth"]) for event in events]


# link


def test_a_link_is_an_event_and_a_way_of_the_graph(chain: Any) -> None:
    assert ["linked 4 to 5 as caused_by (position 6)"] == chain.ok("link", "4", "5").lines
    event = chain.json("link", _id(chain, 1), "5", "--kind", "related_to", "--strength", "0.5").value

    assert ("link.added", "related_to", 0.5) == (event["type"], event["data"]["kind"], event["data"]["strength"])
    assert 5 in positions(chain.json("impact", "4"))
    kinds = {
        edge["kind"]: edge["strength"] for edge in chain.json("graph", "--event", "5", "--depth", "1").value["edges"]
    }
    assert 0.5 == kinds["related_to"]


def test_a_link_that_closes_a_cycle_is_refused(chain: Any) -> None:
    answer = chain.json("link", "4", "1")
    assert (2, "InvalidValueError") == (answer.code, answer.problem["error"])
    assert [] == chain.json("log", "--type", "link.added").values


# Forms


@pytest.mark.parametrize(
    ("command", "form"),
    [
        (command, form)
        for command in ("timeline session:s", "why session:s age/ada", "impact 1", "graph")
        for form in FORMS
        if (command, form) != ("timeline session:s", "prov")  # it has no single thing that it derives
    ],
)
def test_every_form_can_be_printed_written_and_wrapped_in_json(
    chain: Any, command: str, form: str, folder: Path
) -> None:
    words = [*command.split(), "--format", form]
    printed = chain.ok(*words).out

    assert FORMS[form] in printed.lower() if form == "html" else FORMS[form] in printed
    assert [f"wrote {form} to out"] == chain.ok(*words, "--output", "out").lines
    assert printed == (folder / "out").read_text()
    assert {"format": form, "text": printed} == chain.json(*words).value
    assert {"file": "out", "format": form} == chain.json(*words, "-o", "out").value


@pytest.mark.parametrize("command", ["timeline", "why session:s age/ada", "impact 1", "graph"])
def test_json_is_a_form_too_and_the_same_as_with_the_global_option(chain: Any, command: str, folder: Path) -> None:
    words = command.split()
    chain.ok(*words, "--format", "json", "-o", "out")
    assert (
        chain.json(*words).value
        == chain.ok(*words, "--format", "json").value
        == json.loads((folder / "out").read_text())
    )


def test_text_holds_no_character_that_moves_the_cursor(chain: Any) -> None:
    chain.ok("set", "global", "k", '"a\\u001b[2Jb\\u202e"', "--actor", "x\x1b[31m\n")
    for command in (["timeline", "global"], ["why", "global", "k"], ["impact", "6"]):
        assert all(line.isprintable() for line in chain.ok(*command).lines), command


# Misuse


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("timeline --order lunch", 2),
        ("timeline --format prov", 2),
        ("timeline --format lunch", 2),
        ("timeline nonsense:x", 2),
        ("timeline global --scope global", 2),
        ("timeline global --session s", 2),
        ("timeline --since lunch", 2),
        ("timeline --since 99", 2),
        ("timeline --limit -1", 2),
        ("timeline -o nowhere/out", 2),
        ("why session:s", 2),
        ("why session:s ../x", 2),
        ("why session:s age/ada --as-of 99", 2),
        ("why session:s age/ada --format lunch", 2),
        ("impact", 2),
        ("impact lunch", 2),
        ("impact 0", 2),
        ("impact -1", 2),
        ("impact 99999999999999999999999", 2),
        ("impact 2026-11-21T00:00:00Z", 2),
        ("impact 99", 1),
        ("impact 01a1fc97-7a61-760d-b45b-94e0b4784712", 1),
        ("graph --event 99", 1),
        ("graph --event 3 --direction lunch", 2),
        ("graph --depth 1", 2),
        ("graph --direction causes", 2),
        ("graph --event 3 --depth -1", 2),
        ("graph --correlation " + "x" * 129, 2),
        ("link 1 99", 1),
        ("link 1", 2),
        ("link 1 lunch", 2),
        ("link 4 5 --kind lunch", 2),
        ("link 4 5 --strength 2", 2),
        ("link 4 4", 2),
    ],
)
def test_misuse_and_what_is_not_there_are_told_in_one_line(chain: Any, line: str, code: int) -> None:
    answer = chain(*line.split())
    assert (code, "", 1) == (answer.code, answer.out, len(answer.error.splitlines())), answer
    assert {"error", "message", "hint"} <= chain.json(*line.split()).problem.keys()


@pytest.mark.parametrize("line", ["timeline", "why global k", "impact 1", "graph", "link 1 2"])
def test_none_of_them_makes_a_store(cli: Any, folder: Path, line: str) -> None:
    assert 6 == cli(*line.split()).code
    assert [] == list(folder.iterdir())
