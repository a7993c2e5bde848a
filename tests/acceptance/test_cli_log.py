"""The commands on the log itself: log, tail, event, append, export."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest


@pytest.fixture
def filled(cli: Any) -> Any:
    """A store with five events: two scopes, two types, two actors, two correlations."""
    cli.ok("--actor", "ada", "set", "agent:a1", "k", "1", "--correlation-id", "c-1")
    cli.ok("--actor", "bob", "append", "agent:a1", "order.placed", '{"n": 1}', "--key", "k", "--correlation-id", "c-1")
    cli.ok("append", "agent:a2", "order.shipped")
    cli.ok("set", "agent:a2", "k", "2")
    cli.ok("delete", "agent:a1", "k")
    return cli


def positions(answer: Any) -> list[int]:
    return [event["position"] for event in answer.values]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], [1, 2, 3, 4, 5]),
        (["--since", "2"], [3, 4, 5]),
        (["--until", "2"], [1, 2]),
        (["--since", "1", "--until", "3"], [2, 3]),
        (["--scope", "agent:a2"], [3, 4]),
        (["--type", "order.*"], [2, 3]),
        (["--type", "state.deleted", "--type", "order.placed"], [2, 5]),
        (["--key", "k", "--scope", "agent:a1"], [1, 2, 5]),
        (["--correlation-id", "c-1"], [1, 2]),
        (["--actor", "bob"], [2]),
        (["--limit", "2"], [1, 2]),
        (["-n", "0"], []),
        (["--reverse", "-n", "2"], [5, 4]),
        (["--type", "no.such"], []),
    ],
)
def test_log_lists_the_events_that_are_wanted(filled: Any, options: list[str], expected: list[int]) -> None:
    assert expected == positions(filled.json("log", *options))
    assert expected == [int(line.split()[0]) for line in filled.ok("log", *options).lines]
    if not {"--limit", "-n", "--reverse"} & set(options):
        assert expected == positions(filled.ok("export", *options))


def test_log_shows_people_position_time_scope_type_key_and_value(filled: Any) -> None:
    lines = filled.ok("log").lines
    recorded_at = filled.json("event", "1").value["recorded_at"].replace("+00:00", "Z")

    assert lines[0].split() == ["1", recorded_at, "agent:a1", "state.set", "k", "1"]
    assert lines[1].split()[2:] == ["agent:a1", "order.placed", "k", '{"n":1}']
    assert lines[2].split()[2:] == ["agent:a2", "order.shipped"]
    assert lines[4].split()[2:] == ["agent:a1", "state.deleted", "k"]


def test_other_ways_to_write_are_told_apart(cli: Any) -> None:
    cli.ok("increment", "global", "n", "--by", "2")
    cli.ok("copy", "global", "agent:a1")
    cli.ok("clear", "agent:a1")
    one, two, three = cli.ok("log").lines
    assert one.endswith("2 (increment)")
    assert two.endswith("2 (copy)")
    assert three.endswith('["n"]')


@pytest.mark.parametrize("option", [["--limit", "-1"], ["-n", "x"], ["--limit", "1.5"], ["--since"], ["--until", "x"]])
def test_log_refuses_what_is_no_count_or_point(filled: Any, option: list[str]) -> None:
    assert 2 == filled("log", *option).code


def test_tail_shows_the_last_events(filled: Any) -> None:
    assert [4, 5] == positions(filled.json("tail", "-n", "2"))
    assert [1, 2, 3, 4, 5] == positions(filled.json("tail"))
    assert [3, 4] == positions(filled.json("tail", "--scope", "agent:a2"))
    assert [2] == positions(filled.json("tail", "--type", "order.*", "--correlation-id", "c-1"))
    assert [4, 5] == positions(filled.json("tail", "--since", "3"))
    assert [] == positions(filled.json("tail", "-n", "0"))


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_tail_follows_until_it_is_ended_and_says_nothing_then(process: Any, cli: Any, end: signal.Signals) -> None:
    cli.ok("set", "global", "k", "1")
    tail = process.start("--json", "tail", "--follow", "-n", "1")
    assert 1 == json.loads(tail.stdout.readline())["position"]

    cli.ok("set", "global", "k", "2")
    assert 2 == json.loads(tail.stdout.readline())["position"]
    tail.send_signal(end)

    assert (b"", b"") == tail.communicate(timeout=60)
    assert 128 + end == tail.returncode


def test_tail_ends_when_nobody_reads_it_any_more(process: Any, cli: Any) -> None:
    cli.ok("set", "global", "k", "1")
    tail = process.start("tail", "--follow")
    tail.stdout.readline()
    tail.stdout.close()
    cli.ok("set", "global", "k", "2")

    assert b"" == tail.stderr.read()
    assert 141 == tail.wait(60)


def test_event_shows_one_with_all_its_parts(filled: Any) -> None:
    event = filled.json("event", "2").value
    assert event == filled.json("event", event["event_id"]).value
    assert event == filled.json("log", "-n", "1", "--since", "1").value
    lines = filled.ok("event", "2").lines
    assert "actor           bob" in lines
    assert "data            {" in lines
    assert not any(line.startswith("tags") for line in lines)


def test_an_event_that_is_not_there_is_a_no(filled: Any) -> None:
    answer = filled.json("event", str(uuid4()))
    assert (1, "NotFoundError") == (answer.code, answer.problem["error"])
    assert 2 == filled("event", "0").code


def test_append_stores_an_event_once_by_its_id(cli: Any) -> None:
    identity = str(uuid4())
    first = cli.json("append", "global", "order.placed", "-", "--event-id", identity, stdin=b'{"n": [1]}').value
    again = cli.json("append", "global", "order.placed", '{"n": [1]}', "--event-id", identity).value

    assert first == again
    assert (identity, {"n": [1]}, 1) == (first["event_id"], first["data"], first["position"])
    assert "appended x.y to global (position 2, version 2)\n" == cli.ok("append", "global", "x.y").out


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["state.set", "1"], 2),
        ([""], 2),
        (["a\nb"], 2),
        (["x.y", "{"], 2),
        (["x.y", "--event-id", "1"], 2),
        (["x.y", "--expect-version", "7"], 3),
        ([], 2),
    ],
)
def test_append_refuses_what_no_event_can_be(cli: Any, arguments: list[str], code: int) -> None:
    assert code == cli("append", "global", *arguments).code


def test_export_writes_what_log_prints_into_a_file_that_is_whole(filled: Any, folder: Path) -> None:
    assert "wrote 5 events to events.jsonl\n" == filled.ok("export", "-o", "events.jsonl").out
    assert filled.json("log").raw == (folder / "events.jsonl").read_bytes()
    assert {"file": "one.jsonl", "events": 1} == filled.json("export", "--until", "1", "-o", "one.jsonl").value
    assert filled.json("log").raw == filled.ok("export").raw == filled.ok("export", "-o", "-").raw
    assert ["backstory.db", "events.jsonl", "one.jsonl"] == names(folder)


def names(folder: Path) -> list[str]:
    """Return what lies in a folder, without the files that SQLite keeps beside a store."""
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("backstory.db-"))


def test_an_export_that_fails_leaves_the_file_that_was_there(filled: Any, folder: Path) -> None:
    (folder / "events.jsonl").write_text("kept")
    (folder / "folder").mkdir()
    before = names(folder)

    assert 2 == filled("export", "--until", "99", "-o", "events.jsonl").code
    answer = filled.json("export", "-o", "absent/events.jsonl")
    assert (2, "OutputError") == (answer.code, answer.problem["error"])
    assert 2 == filled("export", "-o", "folder").code

    assert before == names(folder)
    assert "kept" == (folder / "events.jsonl").read_text()


def test_an_exported_file_may_be_read_by_whom_the_mask_allows(filled: Any, folder: Path) -> None:
    mask = os.umask(0o027)
    try:
        filled.ok("export", "-o", "events.jsonl")
    finally:
        os.umask(mask)
    assert 0o640 == (folder / "events.jsonl").stat().st_mode & 0o777
