"""What would have been, on the command line: what-if, and branches compared."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def stock(cli: Any) -> Any:
    """An order (1) that took from a stock (2, of 10 in it), a note that it caused (4), and something else (5)."""
    cli.ok("set", "agent:shop", "stock", "10")
    cli.ok("append", "agent:shop", "order.placed", '{"pieces": 3}')
    order = cli.json("event", "2").value["event_id"]
    cli.ok("increment", "agent:shop", "stock", "--by", "-3", "--cause", order)
    cli.ok("set", "agent:shop", "note", '"sold"', "--cause", order)
    cli.ok("increment", "agent:shop", "stock", "--by", "-1")
    return cli


def lists(value: Any) -> dict[str, list[int]]:
    return {
        name: [event["position"] for event in value[name]] for name in ("vanished", "recomputed", "stale", "assumed")
    }


def test_without_an_event_what_it_caused_is_gone_and_what_followed_is_counted_anew(stock: Any) -> None:
    value = stock.json("what-if", "--without", "2").value

    assert [
        {"scope": "agent:shop", "key": "note", "before": "sold"},
        {"scope": "agent:shop", "key": "stock", "before": 6, "after": 9},
    ] == value["diff"]
    assert {"vanished": [3, 4], "recomputed": [5], "stale": [], "assumed": []} == lists(value)
    assert value["branch"] is None
    assert "order.placed" not in [event["type"] for event in value["vanished"]]


def test_a_person_reads_the_differences_and_which_events(stock: Any) -> None:
    lines = stock.ok("what-if", "--without", stock.json("event", "2").value["event_id"]).lines

    assert ['- agent:shop  note  "sold"', "~ agent:shop  stock", "  - 6", "  + 9"] == lines[:4]
    assert ["", "2 events: would not have happened"] == lines[4:6]
    assert "1 event: would have written another value" in lines


def test_without_the_cascade_what_was_caused_stays_and_is_said(stock: Any) -> None:
    value = stock.json("what-if", "--without", "2", "--no-cascade").value
    assert {"vanished": [], "recomputed": [], "stale": [3, 4], "assumed": []} == lists(value)
    assert [] == value["diff"]
    assert "no key would hold anything else" == stock.ok("what-if", "--without", "2", "--no-cascade").lines[0]


def test_several_questions_are_one(stock: Any) -> None:
    value = stock.json(
        "what-if", "--without", "4", "--without", "5", "--replace", "1=100", "--insert", "4", "global", "k", '{"a": -1}'
    ).value
    assert [
        {"scope": "agent:shop", "key": "note", "before": "sold"},
        {"scope": "agent:shop", "key": "stock", "before": 6, "after": 97},
        {"scope": "global", "key": "k", "after": {"a": -1}},
    ] == value["diff"]


def test_several_writes_and_deletes_may_be_inserted(stock: Any) -> None:
    answer = stock.json(
        "what-if",
        *("--insert", "1", "global", "k", "1"),
        *("--insert", "1", "agent:shop", "stock", "20"),
        *("--insert-delete", "4", "agent:shop", "note"),
        *("--insert-delete", "4", "agent:shop", "stock"),
    )
    assert [
        {"scope": "agent:shop", "key": "note", "before": "sold"},
        {"scope": "agent:shop", "key": "stock", "before": 6, "after": -1},
        {"scope": "global", "key": "k", "after": 1},
    ] == answer.value["diff"]


def test_what_is_deleted_and_set_at_one_point_is_set(stock: Any) -> None:
    value = stock.json(
        "what-if", "--insert=4", "agent:shop", "note", '"new"', "--insert-delete", "4", "agent:shop", "note"
    ).value
    assert [{"scope": "agent:shop", "key": "note", "before": "sold", "after": "new"}] == value["diff"]


@pytest.mark.parametrize(
    "words",
    [
        ["--insert-delete", "99", "global", "k"],
        ["--insert-delete", "0", "", "k"],
        ["--insert-delete", "0", "global", ""],
        ["--insert-delete", "lunch", "global", "k"],
        ["--insert-delete", "0", "global"],
        ["--insert", "0", "global", "k"],
        ["--insert=0"],
        ["--", "--insert"],
    ],
)
def test_a_delete_that_makes_no_sense_is_misuse(stock: Any, words: list[str]) -> None:
    assert 2 == stock("what-if", *words).code


def test_many_events_are_cut_short_unless_all_are_wanted(stock: Any) -> None:
    for _ in range(12):
        stock.ok("increment", "agent:shop", "stock")
    lines = stock.ok("what-if", "--replace", "1=0").lines
    assert (16, "  and 4 more: --full lists all") == (len(lines), lines[-1])
    assert 19 == len(stock.ok("what-if", "--replace", "1=0", "--full").lines)


def test_nothing_is_written_unless_it_is_kept_as_a_branch(stock: Any) -> None:
    before = stock.ok("export").out
    stock.ok("what-if", "--without", "2")
    assert before == stock.ok("export").out

    assert "kept as branch trial" == stock.ok("what-if", "--without", "2", "--keep", "trial").lines[-1]
    assert {"stock": 9} == stock.json("items", "agent:shop", "--branch", "trial").value
    assert {"note": "sold", "stock": 6} == stock.json("items", "agent:shop").value
    assert "other" == stock.json("what-if", "--without", "2", "--keep", "other").value["branch"]


def test_a_question_can_be_asked_on_a_branch(stock: Any) -> None:
    stock.ok("fork", "trial", "--as-of", "1")
    stock.ok("increment", "agent:shop", "stock", "--branch", "trial")
    answer = stock.json("what-if", "--replace", "1=20", "--branch", "trial").value
    assert [{"scope": "agent:shop", "key": "stock", "before": 11, "after": 21}] == answer["diff"]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("", 2),
        ("--no-cascade", 2),
        ("--without lunch", 2),
        ("--without 0", 2),
        ("--without 99", 1),
        ("--replace 1", 2),
        ("--replace lunch=1", 2),
        ("--replace 1=lunch", 2),
        ("--replace 99=1", 1),
        ("--insert 1 global k", 2),
        ("--insert 99 global k 1", 2),
        ("--insert 1 nonsense:x k 1", 2),
        ("--insert 1 global ../k 1", 2),
        ("--insert 1 global k lunch", 2),
        ("--without 2 --keep taken", 3),
        ("--without 2 --keep main", 2),
    ],
)
def test_misuse_and_what_is_not_there_are_told_in_one_line(stock: Any, line: str, code: int) -> None:
    stock.ok("fork", "taken")
    answer = stock("what-if", *line.split())
    assert (code, "", 1) == (answer.code, answer.out, len(answer.error.splitlines())), answer
    assert {"error", "message", "hint"} <= stock.json("what-if", *line.split()).problem.keys()


# branches diff


def test_branches_are_compared_as_they_are_now(stock: Any) -> None:
    stock.ok("fork", "trial", "--as-of", "4")
    stock.ok("set", "global", "new", "1", "--branch", "trial")
    stock.ok("set", "agent:shop", "note", "1", "--branch", "trial")
    stock.ok("set", "agent:shop", "note", "true")

    assert [
        {"scope": "agent:shop", "key": "note", "before": 1, "after": True},
        {"scope": "agent:shop", "key": "stock", "before": 7, "after": 6},
        {"scope": "global", "key": "new", "before": 1},
    ] == stock.json("branches", "diff", "trial").value
    assert ["~ agent:shop  note", "  - true", "  + 1"] == stock.ok("branches", "diff", "main", "trial").lines[:3]
    assert [] == stock.json("branches", "diff", "trial", "--branch", "trial").value
    assert "" == stock.ok("branches", "diff", "main").out


def test_a_branch_that_there_is_not_cannot_be_compared(stock: Any) -> None:
    for names in (["x"], ["main", "x"]):
        answer = stock.json("branches", "diff", *names)
        assert (1, "NotFoundError") == (answer.code, answer.problem["error"])
