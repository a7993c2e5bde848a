"""The commands that read and write the state, for people and for programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

SCOPE = "agent:a1"

# What comes in as JSON and must come out the same, byte for byte but for spaces.
EXACT = [
    "null",
    "true",
    "0",
    "-5",
    "1.5",
    '"text"',
    '"ä \U0001f600"',
    '""',
    "[]",
    "{}",
    '{"b":1,"a":[null,{"c":"d"}]}',
    '{"$bytes":"aGk="}',
    '{"$datetime":"2026-11-21T05:00:00+01:00"}',
    '{"$uuid":"01a1fc97-7a61-760d-b45b-94e0b4784712"}',
    '{"$decimal":"19.90"}',
    '{"$$ref":1}',
]


def test_init_makes_the_store_and_may_be_repeated(cli: Any, folder: Path) -> None:
    assert "ready" in cli.ok("init").out
    assert (folder / "backstory.db").exists()
    cli.ok("set", SCOPE, "k", "1")
    assert {"store": "sqlite:///backstory.db", "branch": "main", "position": 1} == cli.json("init").value


@pytest.mark.parametrize("value", EXACT)
def test_a_value_comes_out_as_it_went_in(cli: Any, value: str) -> None:
    cli.ok("set", SCOPE, "k", value)

    assert f"{value}\n" == cli.json("get", SCOPE, "k").out
    assert json.loads(value) == json.loads(cli.ok("get", SCOPE, "k").out)


def test_an_integer_of_any_size_is_kept(cli: Any) -> None:
    cli.ok("set", SCOPE, "k", str(10**30))
    assert {"$int": hex(10**30)} == cli.json("get", SCOPE, "k").value


def test_a_value_as_deep_as_any_can_be_is_printed_everywhere(cli: Any) -> None:
    deep = "[" * 200 + "]" * 200
    cli.ok("set", SCOPE, "k", deep)
    for command in (["get", SCOPE, "k"], ["log"], ["history", SCOPE, "k"], ["snapshot"], ["diff", "0"]):
        assert deep in cli.json(*command).out
        cli.ok(*command)


@pytest.mark.parametrize(
    "value",
    [
        "text",
        "{",
        "1 2",
        "NaN",
        "-Infinity",
        "1e999",
        '{"a":1,"a":2}',
        '{"$bytes":"!"}',
        '{"$odd":1}',
        '"\\ud800"',
        "[" * 201 + "]" * 201,
        "[" * 100_000,
        "",
        "@absent.json",
        "@\0",
        "--texts",
    ],
)
def test_a_value_that_is_none_is_refused_and_nothing_is_written(cli: Any, folder: Path, value: str) -> None:
    answer = cli.json("set", SCOPE, "k", value)

    assert 2 == answer.code
    assert answer.problem["error"] in {"InvalidValueError", "UsageError"}
    assert not (folder / "backstory.db").exists() or cli.json("log").values == []


def test_a_value_comes_from_a_file_or_from_standard_input(cli: Any, folder: Path) -> None:
    (folder / "value.json").write_bytes(b'\xef\xbb\xbf{"a": 1}\n')

    cli.ok("set", SCOPE, "file", "@value.json")
    cli.ok("set", SCOPE, "stdin", "-", stdin=b"[1,\n2]")
    cli.ok("set", SCOPE, "text", "--text", "-", stdin="ä\n".encode())

    assert {"file": {"a": 1}, "stdin": [1, 2], "text": "ä\n"} == cli.json("items", SCOPE).value


@pytest.mark.parametrize("data", [b"\xff\xfe", None])
def test_standard_input_that_is_no_utf_8_or_closed_is_refused(cli: Any, data: bytes | None) -> None:
    assert 2 == cli.json("set", SCOPE, "k", "-", stdin=data).code


def test_text_is_taken_as_it_stands_and_raw_gives_it_back(cli: Any) -> None:
    cli.ok("set", SCOPE, "k", "no\n{JSON", "--text")
    assert '"no\\n{JSON"\n' == cli.ok("get", SCOPE, "k").out
    assert "no\n{JSON" == cli.ok("get", SCOPE, "k", "--raw").out

    cli.ok("set", SCOPE, "bytes", '{"$bytes": "AP8="}')
    assert b"\x00\xff" == cli.ok("get", SCOPE, "bytes", "--raw").raw


def test_people_see_containers_indented_and_nothing_that_moves_the_cursor(cli: Any) -> None:
    cli.ok("set", SCOPE, "k", '{"a": ["\\u001b[2J", "\\u202e"]}')
    assert ["{", '  "a": [', '    "\\u001b[2J",', '    "\\u202e"', "  ]", "}"] == cli.ok("get", SCOPE, "k").lines


def test_set_answers_with_the_event_and_carries_its_context(cli: Any) -> None:
    first = cli.json("set", SCOPE, "k", "1").value
    event = cli.json(
        *("--actor", "ada", "set", SCOPE, "k", "2", "--cause", first["event_id"], "--correlation-id", "c-1"),
        *("--tag", "x", "--tag", "y", "--metadata", '{"ticket": 7}'),
    ).value

    assert (2, 2, "state.set", "k") == (event["position"], event["version"], event["type"], event["key"])
    assert {"value": 2, "op": "set"} == event["data"]
    assert ("ada", "c-1", [first["event_id"]]) == (event["actor"], event["correlation_id"], event["causation_ids"])
    assert (["x", "y"], {"ticket": 7}) == (event["tags"], event["metadata"])
    assert "set k in agent:a1 (position 3, version 3)" in cli.ok("set", SCOPE, "k", "3").out


@pytest.mark.parametrize(
    "option", [["--cause", "x"], ["--metadata", "[]"], ["--metadata", "{"], ["--correlation-id", ""], ["--ttl", "0"]]
)
def test_a_context_that_no_event_can_carry_is_refused(cli: Any, option: list[str]) -> None:
    assert 2 == cli.json("set", SCOPE, "k", "1", *option).code


def test_a_value_with_a_time_to_live_ends(cli: Any) -> None:
    event = cli.json("set", SCOPE, "k", "1", "--ttl", "0.000001").value
    assert "$datetime" in event["data"]["expires_at"]
    assert 1 == cli("get", SCOPE, "k").code
    assert {"swept": 1} == cli.json("sweep").value
    assert "swept 0 keys\n" == cli.ok("sweep").out


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--expect-version", "1"], 0),
        (["--expect-version", "exists"], 0),
        (["--expect-version", "any"], 0),
        (["--expect-key-version", "1"], 0),
        (["--expect-version", "0"], 3),
        (["--expect-version", "empty"], 3),
        (["--expect-key-version", "empty"], 3),
        (["--expect-version", "-1"], 2),
        (["--expect-version", "x"], 2),
        (["--expect-version", "9" * 5000], 2),
    ],
)
@pytest.mark.parametrize("command", [["set", SCOPE, "k", "2"], ["delete", SCOPE, "k"]])
def test_a_write_asks_for_a_version(cli: Any, command: list[str], options: list[str], code: int) -> None:
    cli.ok("set", SCOPE, "k", "1")
    assert code == cli(*command, *options).code


def test_an_absent_key_is_a_no(cli: Any) -> None:
    cli.ok("init")

    answer = cli.json("get", SCOPE, "k")
    assert (1, "NotFoundError", "k") == (answer.code, answer.problem["error"], answer.problem["name"])
    assert (1, b"") == cli("get", SCOPE, "k")[:2]
    assert "null\n" == cli.ok("get", SCOPE, "k", "--default", "null").out
    assert (1, b"false\n") == cli("exists", SCOPE, "k")[:2]
    assert (1, {"deleted": False}) == ((answer := cli.json("delete", SCOPE, "k")).code, answer.value)
    assert (1, b"nothing was there\n") == cli("delete", SCOPE, "k")[:2]
    assert 1 == cli("history", SCOPE, "k").code
    assert 1 == cli("blame", SCOPE, "k").code


def test_null_is_a_value(cli: Any) -> None:
    cli.ok("set", SCOPE, "k", "null")
    assert "null\n" == cli.ok("get", SCOPE, "k").out
    assert "true\n" == cli.ok("exists", SCOPE, "k").out


def test_delete_removes_a_value(cli: Any) -> None:
    cli.ok("set", SCOPE, "k", "1")
    assert "deleted k from agent:a1\n" == cli.ok("delete", SCOPE, "k").out
    cli.ok("set", SCOPE, "k", "1")
    assert {"deleted": True} == cli.json("delete", SCOPE, "k").value


def test_increment_prints_the_new_number(cli: Any) -> None:
    assert "1\n" == cli.ok("increment", SCOPE, "n").out
    assert -1.5 == cli.json("increment", SCOPE, "n", "--by", "-2.5").value
    cli.ok("set", SCOPE, "text", '"x"')
    assert 2 == cli("increment", SCOPE, "text").code
    assert 2 == cli("increment", SCOPE, "n", "--by", "true").code


def test_keys_items_scopes_and_snapshot_list_what_is_there(cli: Any) -> None:
    for scope, key, value in [(SCOPE, "b/1", '"x"'), (SCOPE, "a", "1"), ("global", "g", "null")]:
        cli.ok("set", scope, key, value)

    assert ["a", "b/1"] == cli.json("keys", SCOPE).value == cli.ok("keys", SCOPE).lines
    assert ["b/1"] == cli.json("keys", SCOPE, "--prefix", "b/").value
    assert {"a": 1, "b/1": "x"} == cli.json("items", SCOPE).value
    assert ["a    1", 'b/1  "x"'] == cli.ok("items", SCOPE).lines
    assert [SCOPE, "global"] == cli.json("scopes").value == cli.ok("scopes").lines
    assert {SCOPE: {"a": 1, "b/1": "x"}, "global": {"g": None}} == cli.json("snapshot").value
    assert [SCOPE, "  a    1", '  b/1  "x"', "global", "  g  null"] == cli.ok("snapshot").lines


def test_lists_of_nothing_are_empty_and_no_error(cli: Any) -> None:
    cli.ok("init")
    for command in (f"keys {SCOPE}", f"items {SCOPE}", "scopes", "snapshot", "diff 0"):
        expected: Any = {} if command.startswith(("items", "snapshot")) else []
        assert expected == cli.json(*command.split()).value
        assert [] == cli.ok(*command.split()).lines
    assert [] == cli.ok("log").lines == cli.json("log").lines


def test_scopes_of_the_past_are_listed_with_all(cli: Any) -> None:
    cli.ok("set", SCOPE, "k", "1")
    cli.ok("delete", SCOPE, "k")
    assert [] == cli.json("scopes").value
    assert [SCOPE] == cli.json("scopes", "--all").value
    assert [SCOPE] == cli.json("scopes", "--as-of", "1").value


def test_clear_copy_and_move_count_keys(cli: Any) -> None:
    for key in ("a", "b"):
        cli.ok("set", SCOPE, key, "1")

    assert {"copied": 1} == cli.json("copy", SCOPE, "agent:a2", "--keys", "a*").value
    assert "moved 1 key\n" == cli.ok("move", "agent:a2", "agent:a3").out
    assert "cleared 2 keys\n" == cli.ok("clear", SCOPE).out
    assert {"cleared": 0} == cli.json("clear", SCOPE).value
    assert {"agent:a3": {"a": 1}} == cli.json("snapshot").value


COMMANDS_WITH_A_SCOPE = [
    *("get {} k", "exists {} k", "set {} k 1", "delete {} k", "increment {} k", "keys {}", "items {}", "clear {}"),
    *("copy {} global", "move global {}", "history {} k", "blame {} k", "append {} x.y", "log --scope {}"),
    *("tail --scope {}", "diff 0 --scope {}", "export --scope {}"),
]
COMMANDS_WITH_A_KEY = [
    *("get global {}", "exists global {}", "set global {} 1", "delete global {}", "increment global {}"),
    *("history global {}", "blame global {}", "append global x.y --key {}", "log --key {}"),
]


@pytest.mark.parametrize("scope", ["", "nobody:a", "agent:", "a b", "global:x", "agent:\udcff"])
def test_an_invalid_scope_is_refused_by_every_command(cli: Any, scope: str) -> None:
    cli.ok("init")
    for command in COMMANDS_WITH_A_SCOPE:
        answer = cli.json(*(scope if word == "{}" else word for word in command.split()))
        assert (2, "InvalidScopeError") == (answer.code, answer.problem["error"]), command


@pytest.mark.parametrize("key", ["", "a..b", "__x", "a\\b", "a\n", "k" * 257, "\udcff"])
def test_an_invalid_key_is_refused_by_every_command(cli: Any, key: str) -> None:
    cli.ok("init")
    for command in COMMANDS_WITH_A_KEY:
        answer = cli.json(*(key if word == "{}" else word for word in command.split()))
        assert (2, "InvalidKeyError") == (answer.code, answer.problem["error"]), command
