"""The commands on branches: fork, branches, and what --branch does."""

from __future__ import annotations

from typing import Any


def test_a_fork_is_written_and_read_by_its_name(cli: Any) -> None:
    cli.ok("set", "global", "k", "1")
    cli.ok("set", "global", "k", "2")

    made = cli.json("fork", "trial", "--as-of", "1").value
    assert ("trial", "main", 1) == (made["name"], made["parent"], made["position"])
    cli.ok("--branch", "trial", "set", "global", "k", "3")
    cli.ok("set", "global", "other", "4", "--branch", "trial")

    assert [2] == cli.json("get", "global", "k").values
    assert {"k": 3, "other": 4} == cli.json("items", "global", "--branch", "trial").value
    assert "forked deeper from trial at position" in cli.ok("--branch", "trial", "fork", "deeper").out


def test_branches_are_listed_main_first(cli: Any) -> None:
    cli.ok("init")
    assert ["main"] == cli.ok("branches").lines
    name = cli.json("fork").value["name"]

    main, fork = cli.json("branches").value
    assert {"name": "main", "parent": None, "position": 0, "created_at": None} == main
    assert (name, "main", 0) == (fork["name"], fork["parent"], fork["position"])
    for command in (["branches"], ["branches", "list"], ["branches", "--no-color"]):
        assert ["main", name] == [line.split()[0] for line in cli.ok(*command).lines]
    for command in (["--json", "branches", "list"], ["branches", "--json", "list"], ["branches", "list", "--json"]):
        assert [main, fork] == cli.ok(*command).value


def test_a_dropped_branch_is_gone(cli: Any) -> None:
    cli.ok("init")
    cli.ok("fork", "a")
    cli.ok("fork", "b")

    assert "dropped a\n" == cli.ok("branches", "drop", "a").out
    assert {"dropped": "b"} == cli.json("branches", "drop", "b").value
    assert ["main"] == cli.ok("branches").lines


def test_names_that_are_taken_unknown_or_none_are_told_apart(cli: Any) -> None:
    cli.ok("init")
    cli.ok("fork", "a")
    assert 3 == cli("fork", "a").code
    assert 2 == cli("fork", "main").code
    assert 2 == cli("fork", "").code
    assert 2 == cli("branches", "drop", "main").code
    assert 2 == cli("branches", "drop").code
    assert 2 == cli("branches", "burn").code
    for command in (["branches", "drop", "x"], ["get", "global", "k", "--branch", "x"], ["--branch", "x", "log"]):
        answer = cli.json(*command)
        assert (1, "NotFoundError", "x") == (answer.code, answer.problem["error"], answer.problem["name"])


def test_an_event_of_another_branch_is_named_as_such(cli: Any) -> None:
    cli.ok("init")
    cli.ok("fork", "a")
    cli.ok("set", "global", "k", "1", "--branch", "a")
    answer = cli.json("event", "2")
    assert (2, "is on another branch") == (answer.code, answer.problem["rule"])
    assert 0 == cli("event", "2", "--branch", "a").code
