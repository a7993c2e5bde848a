"""Inspection on the command line."""

from __future__ import annotations

import json
from typing import Any

import pytest


@pytest.fixture
def troubled(cli: Any) -> Any:
    """A tool called three times for nothing: 1, 3 and 5 are the calls, 2, 4 and 6 their errors."""
    cause: tuple[str, ...] = ()
    for turn in range(3):
        call = json.dumps({"id": f"c{turn}", "name": "look_up", "arguments": {"name": "Ada"}})
        called = cli.json("append", "session:s", "tool.called", call, *cause).value
        error = json.dumps({"id": f"c{turn}", "name": "look_up", "content": "Error: busy", "error": True})
        returned = cli.json("append", "session:s", "tool.returned", error, "--cause", called["event_id"]).value
        cause = ("--cause", returned["event_id"])
    return cli


def test_it_tells_all_four_parts(troubled: Any) -> None:
    lines = troubled.ok("inspect").lines

    assert "Inspection of the log" == lines[0]
    headings = ["Slowest hooks", "Failures that led to failures", "Loops", "Events by day and hour (UTC)"]
    assert headings == [line for line in lines if line in headings]
    assert "  2 further failures, 2 on one way; 4 events in all" in lines
    assert "      at 1, 3, 5" in lines
    assert max(map(len, lines)) <= 100


def test_as_json_it_holds_what_it_found(troubled: Any) -> None:
    value = troubled.json("inspect").value

    assert {"slowest": 0, "cascades": 1, "loops": 2} == value["totals"]
    (cascade,) = value["cascades"]
    assert (2, [4, 6], 2, 4) == (
        cascade["root"]["position"],
        [event["position"] for event in cascade["failures"]],
        cascade["depth"],
        cascade["events"],
    )
    assert [[1, 3, 5], [2, 4, 6]] == [[event["position"] for event in loop["events"]] for loop in value["loops"]]
    days = value["rates"]["days"]
    assert (6, 3) == (sum(rate["events"] for rate in days), sum(rate["errors"] for rate in days))


def test_options_say_what_is_looked_at(troubled: Any) -> None:
    value = troubled.json("inspect", "--what", "loops", "--what", "cascades", "-n", "1").value
    assert {"title", "totals", "cascades", "loops"} == value.keys()
    assert (1, 2) == (len(value["loops"]), value["totals"]["loops"])
    assert [] == troubled.json("inspect", "--what", "loops", "--threshold", "4").value["loops"]
    assert [] == troubled.json("inspect", "--what", "loops", "--since", "2").value["loops"]
    assert [] == troubled.json("inspect", "--what", "cascades", "--until", "3").value["cascades"]
    for option in (("--scope", "agent:other"), ("--correlation", "other")):
        assert [] == troubled.json("inspect", *option).value["rates"]["days"]
    assert "  and 1 more" in troubled.ok("inspect", "--what", "loops", "-n", "1").lines


def test_hooks_are_told_slowest_first(cli: Any, folder: Any) -> None:
    hooks = '[[hooks.load]]\nhook = "backstory.hooks.builtin:Validation"\noptions = { max_bytes = 90 }\n'
    (folder / "backstory.toml").write_text(hooks)
    cli.ok("set", "agent:a", "k", "1")
    (slow,) = cli.json("inspect", "--scope", "agent:a").value["slowest"]
    assert ("validation", "before_state_write", 1, 0) == (slow["hook"], slow["point"], slow["runs"], slow["failed"])
    assert slow["longest_s"] == slow["slowest"]["data"]["duration_us"] / 1e6
    assert "validation" in cli.ok("inspect", "--what", "slowest").out


@pytest.mark.parametrize("given", [("--what", "all"), ("--threshold", "1"), ("--since", "soon"), ("--scope", "")])
def test_a_question_that_makes_no_sense_is_a_matter_of_usage(troubled: Any, given: tuple[str, str]) -> None:
    assert 2 == troubled("inspect", *given).code
