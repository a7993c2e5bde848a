"""The main answers about causes, what would have been, branches and replays are the same on SQLite and PostgreSQL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

VALIDATION = """
[[hooks.load]]
hook = "backstory.hooks.builtin:Validation"
options = { max_bytes = 12 }
"""


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def program(request: pytest.FixtureRequest, cli: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The program on an empty store of each engine."""
    monkeypatch.setenv("BACKSTORY_STORE", request.getfixturevalue(f"{request.param}_url"))
    cli.ok("init")
    return cli


@pytest.fixture
def chain(program: Any) -> Any:
    """A question (1), a call (2) that it caused, its result (3), the fact it led to (4), and a count of it (5)."""
    program.ok("append", "session:s", "message.user", '{"role": "user", "content": "How old is Ada?"}')
    call = '{"id": "c", "name": "look_up", "arguments": {"name": "Ada"}}'
    program.ok("append", "session:s", "tool.called", call, "--cause", _id(program, 1))
    answer = '{"id": "c", "name": "look_up", "content": 63, "error": false}'
    program.ok("append", "session:s", "tool.returned", answer, "--cause", _id(program, 2))
    program.ok("set", "session:s", "age/ada", "63", "--cause", _id(program, 3))
    program.ok("increment", "agent:other", "facts", "--cause", _id(program, 4))
    return program


def _id(cli: Any, position: int) -> str:
    found: str = cli.json("event", str(position)).value["event_id"]
    return found


def positions(events: Any) -> list[int]:
    return [event["position"] for event in events]


def test_causes_and_effects_are_told(chain: Any) -> None:
    timeline = chain.json("timeline", "session:s").value
    assert [(1, 0), (2, 1), (3, 2), (4, 3)] == [(each["position"], each["depth"]) for each in timeline["events"]]
    assert [1, 2, 3, 4] == timeline["stats"]["critical_path"]
    why = chain.json("why", "agent:other", "facts").value
    assert (1, [1, 2, 3, 4, 5], 4) == (why["value"], positions(why["events"]), len(why["edges"]))
    impact = chain.json("impact", "2").value
    assert [{"scope": "agent:other", "key": "facts"}, {"scope": "session:s", "key": "age/ada"}] == impact["keys"]
    assert [2, 3, 4, 5] == positions(impact["events"])
    near = chain.json("graph", "--event", "3", "--depth", "1", "--format", "json").value
    assert [2, 3, 4] == positions(near["events"])


def test_a_link_leads_from_one_event_to_another_once_it_is_recorded(chain: Any) -> None:
    chain.ok("append", "session:s", "message.user", '"Thanks"')
    linked = chain.json("link", "5", "6", "--kind", "response_to", "--strength", "0.5").value
    assert ("response_to", 0.5) == (linked["data"]["kind"], linked["data"]["strength"])
    edges = chain.json("graph", "--format", "json").value["edges"]
    last = _id(chain, 6)
    assert [("response_to", 0.5)] == [(each["kind"], each["strength"]) for each in edges if each["effect"] == last]
    assert 2 == chain("link", "4", "1").code


def test_what_would_have_been_is_told_and_kept_as_a_branch_that_differs(chain: Any) -> None:
    found = chain.json("what-if", "--without", "3", "--insert", "1", "global", "k", "1", "--keep", "trial").value
    assert [
        {"scope": "agent:other", "key": "facts", "before": 1},
        {"scope": "global", "key": "k", "after": 1},
        {"scope": "session:s", "key": "age/ada", "before": 63},
    ] == found["diff"]
    assert [4, 5] == positions(found["vanished"])
    assert found["diff"] == chain.json("branches", "diff", "main", "trial").value


def test_hooks_are_replayed_now_and_when_they_are_due(program: Any, folder: Path) -> None:
    (folder / "backstory.toml").write_text(VALIDATION)
    program.ok("set", "session:a", "k", '"short"')
    program.ok("replay", "schedule", "nightly", "--at", "2020-01-01T00:00:00Z")

    report = program.json("replay").value
    assert (1, 0) == (report["succeeded"], report["failed"])
    assert [True] == [each["comparison"]["identical"] for each in report["results"]]
    (run,) = program.json("replay", "due").values
    assert ("nightly", 1) == (run["schedule"], run["report"]["succeeded"])
    assert [1] == [each["runs"] for each in program.json("replay", "schedules").value]
    typed = program.json("replay", "--interactive", stdin=b"run\nstate session:a").values
    assert {"k": "short"} == typed[-1]["state"]
