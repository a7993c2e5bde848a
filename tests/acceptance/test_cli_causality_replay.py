"""Replays on the command line: recorded hooks run again, and events gone through one by one."""

from __future__ import annotations

import json
import os
import pty
from pathlib import Path
from typing import Any

import pytest

import backstory
from backstory.domain.hooks import HookResult
from tests.acceptance.test_cli_streams import on_terminal
from tests.support.recorded_runs import Run, record

VALIDATION = """
[[hooks.load]]
hook = "backstory.hooks.builtin:Validation"
options = {{ max_bytes = {size} }}
"""
OWN = """
[hooks]
allow = ["replayed_hooks_of_a_test"]
[[hooks.load]]
hook = "replayed_hooks_of_a_test:check"
point = "before_state_write"
"""


def limit(folder: Path, size: int) -> None:
    (folder / "backstory.toml").write_text(VALIDATION.format(size=size))


@pytest.fixture
def checked(cli: Any, folder: Path) -> Any:
    """Two writes behind a hook: a short value of one session, a longer one of another."""
    limit(folder, 12)
    cli.ok("set", "session:a", "k", '"short"', "--correlation-id", "work")
    cli.ok("set", "session:b", "k", '"longer"')
    return cli


def results(answer: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = answer.value["results"]
    return found


# Hooks


def test_hooks_that_answer_as_recorded_are_told_so(checked: Any) -> None:
    first, second, last = checked.ok("replay").lines

    assert "validation        before_state_write  as recorded: " in first
    assert first.endswith('as recorded: {"kind":"continue"}')
    assert first < second
    assert last.startswith("2 runs replayed, 0 failed, 0 answered otherwise (")


def test_a_hook_that_answers_otherwise_ends_it_with_1(checked: Any, folder: Path) -> None:
    limit(folder, 7)
    answer = checked("replay")

    assert (1, "") == (answer.code, answer.error)
    assert 'otherwise: {"kind":"continue"} -> {"kind":"cancel",' in answer.lines[1]
    assert answer.lines[-1].startswith("2 runs replayed, 0 failed, 1 answered otherwise")
    value = checked.json("replay").value
    assert ("exact", 2, 0) == (value["mode"], value["succeeded"], value["failed"])
    assert [True, False] == [each["comparison"]["identical"] for each in value["results"]]
    assert "the value takes 8 bytes, at most 7 are allowed" == value["results"][1]["result"]["reason"]
    assert {"kind": "continue"} == value["results"][1]["recorded"]


def test_a_changed_context_may_lead_to_another_answer(checked: Any) -> None:
    words = ["replay", "--mode", "modified", "--change", 'after="much too long"', "--change", 'key="other"']
    answer = checked.json(*words)
    assert (0, ["cancel", "cancel"]) == (answer.code, [each["result"]["kind"] for each in results(answer)])
    assert "much" not in checked.ok("export", "--type", "state.*").out


def test_a_simulation_needs_no_hook(cli: Any, folder: Path) -> None:
    with backstory.open("sqlite:///backstory.db") as store:
        record(store, Run("gone", result=HookResult.cancel("no")), Run("gone", result=None))
    (folder / "backstory.toml").write_text(OWN)

    value = cli.json("replay", "--mode", "simulate").value

    assert (2, 0, [True, True]) == (
        value["succeeded"],
        value["failed"],
        [each["comparison"]["identical"] for each in value["results"]],
    )
    assert ({"kind": "cancel", "reason": "no"}, None) == (value["results"][0]["result"], value["results"][1]["result"])


def test_a_hook_that_is_not_there_has_failed(cli: Any) -> None:
    with backstory.open("sqlite:///backstory.db") as store:
        record(store, Run("gone"), Run("gone"))

    for words, count in ((["replay"], 1), (["replay", "--keep-going"], 2), (["replay", "--mode", "debug"], 2)):
        answer = cli(*words)
        assert (1, count + 1) == (answer.code, len(answer.lines))
        assert "failed: no hook 'gone' is registered at before_state_write" in answer.lines[0]
    assert "no hook 'gone' is registered at before_state_write" == results(cli.json("replay"))[0]["error"]


def test_a_hook_that_asks_for_something_else_diverges(process: Any, folder: Path) -> None:
    code = folder / "replayed_hooks_of_a_test.py"
    (folder / "backstory.toml").write_text(OWN)
    code.write_text("def check(context):\n    context.now()\n")
    assert 0 == process("set", "global", "k", "1").code
    assert 0 == process("replay").code
    code.write_text("def check(context):\n    context.random()\n")

    answer = process("replay")

    assert (1, "") == (answer.code, answer.error)
    assert 'diverged at step 0: {"kind":"now","value":' in answer.lines[0]
    assert answer.lines[0].endswith('was recorded, asked was {"kind":"random"}')
    (result,) = results(process("--json", "replay"))
    assert (0, "now", {"kind": "random"}) == (
        result["divergence"]["index"],
        result["divergence"]["recorded"]["kind"],
        result["divergence"]["asked"],
    )


@pytest.mark.parametrize(
    ("line", "count"),
    [
        ("--hook validation", 2),
        ("--hook other", 0),
        ("--point before_state_write", 2),
        ("--point after_state_write", 0),
        ("--correlation work", 1),
        ("--correlation-id other", 0),
        ("--session a", 1),
        ("--session session:b", 1),
        ("--since 3", 1),
        ("--until 3", 1),
        ("--concurrency 2", 2),
        ("--timeout 5", 2),
    ],
)
def test_options_choose_runs(checked: Any, line: str, count: int) -> None:
    assert count == len(results(checked.json("replay", *line.split())))


@pytest.mark.parametrize(
    "line",
    [
        "--mode lunch",
        "--mode modified --change after",
        "--mode modified --change lunch=1",
        "--mode modified --change after=lunch",
        "--change after=1",
        "--point lunch",
        "--since lunch",
        "--until 99",
        "--concurrency 0",
        "--timeout 0",
        "--interactive --hook x",
        "--interactive --mode debug",
    ],
)
def test_options_that_make_no_sense_are_misuse(checked: Any, line: str) -> None:
    answer = checked.json("replay", *line.split())
    assert 2 == answer.code, answer
    assert {"error", "message", "hint"} <= answer.problem.keys()


def test_without_a_store_there_is_nothing_to_replay(cli: Any, folder: Path) -> None:
    assert [6, 6] == [cli("replay").code, cli("replay", "--interactive").code]
    assert [] == list(folder.iterdir())


# Step by step


@pytest.fixture
def events(cli: Any) -> Any:
    """A count that goes from 1 to 3 (1 to 3), a tool's error (4) and an event of elsewhere (5)."""
    for _ in range(3):
        cli.ok("increment", "session:s", "count")
    cli.ok("append", "session:s", "tool.returned", '{"error": true}', "--correlation-id", "work")
    cli.ok("set", "global", "k", '"far"')
    return cli


def typed(cli: Any, *lines: str, options: str = "") -> Any:
    """What the program answers to lines, with --json."""
    return cli.json("replay", "--interactive", *options.split(), stdin="\n".join(lines).encode())


def test_events_are_gone_through_one_by_one_up_to_the_end(events: Any) -> None:
    answer = typed(events, "step", "step 2", "", "# a remark", "step 2", "step")
    assert [1, 3, 5, None] == [each["event"] and each["event"]["position"] for each in answer.values]
    assert 5 == answer.values[-1]["position"]
    assert (0, "") == (answer.code, answer.error)


def test_the_state_is_that_of_the_event_stepped_over_last(events: Any) -> None:
    answer = typed(events, "state session:s", "step", "state session:s", "step 2", "state session:s")
    assert [{}, {"count": 1}, {"count": 3}] == [each["state"] for each in answer.values if "state" in each]


def test_what_follows_from_a_change_is_worked_out_and_nothing_is_written(events: Any) -> None:
    before = events.ok("export").out
    answer = typed(
        events,
        "step",
        "set session:s count 10",
        "step 2",
        "state session:s",
        "unset session:s count",
        "state session:s",
    )

    _, changed, _, then, unset, at_last = answer.values
    assert ({"scope": "session:s", "key": "count", "value": 10}, {"scope": "session:s", "key": "count"}) == (
        changed,
        unset,
    )
    assert ({"count": 12}, {}) == (then["state"], at_last["state"])
    assert before == events.ok("export").out


@pytest.mark.parametrize(
    ("stop", "at"),
    [
        ("break event 2", 2),
        ("break event tool.*", 4),
        ("break error", 4),
        ("break state session:s count 3", 3),
        ("break count 5", 5),
        ("break time 2000-01-01T00:00:00Z", 1),
        ("break hook x", None),
        ("break point before_state_write", None),
    ],
)
def test_it_runs_to_a_breakpoint_or_to_the_end(events: Any, stop: str, at: int | None) -> None:
    set_, run = typed(events, stop, "run").values
    assert at == (run["event"] and run["event"]["position"])
    assert (None if at is None else set_["breakpoint"]) == (
        run["breakpoint"] and run["breakpoint"].removesuffix(" (off)")
    )


def test_a_breakpoint_may_be_an_events_id(events: Any) -> None:
    found = events.json("event", "3").value["event_id"]
    assert 3 == typed(events, f"break event {found}", "run").values[-1]["event"]["position"]


def test_breakpoints_are_listed_and_taken_away(events: Any) -> None:
    answer = typed(events, "break event 1", "break error", "run", "list", "clear 1", "list", "clear 2")

    assert [(1, 1), (2, 0), (1, 0)] == [(each["number"], each["hits"]) for each in answer.values if "hits" in each]
    assert {"cleared": "event 1"} in answer.values
    assert (2, "UsageError") == (answer.code, _problems(answer)[0])


@pytest.mark.parametrize(
    ("options", "last"),
    [("--session s", 4), ("--session session:s", 4), ("--correlation work", 4), ("--until 2", 2), ("--since 4", 5)],
)
def test_options_choose_the_events(events: Any, options: str, last: int) -> None:
    assert last == typed(events, "run", options=options).values[-1]["position"]


def test_a_person_reads_lines(events: Any) -> None:
    script = (
        "break event 2\nrun\nset session:s count 5\nunset global k\nstate session:s\nlist\nclear 1\nrun\nquit\nstep\n"
    )
    lines = events.ok("replay", "--interactive", stdin=script.encode()).lines

    assert "1  event 2" == lines[0]
    assert lines[1].startswith("    2  ")
    assert [
        "stopped: event 2",
        "count is 5 from here",
        "k is absent from here",
        "count  5",
        "1  event 2  hit 1 times",
        "cleared event 2",
        "the end",
    ] == lines[2:]


def test_help_lists_what_can_be_typed(events: Any) -> None:
    shown = events.ok("replay", "--interactive", stdin=b"help").lines
    usages = [each["usage"] for each in typed(events, "help").values]
    assert ["step", "run", "state", "set", "unset", "break", "list", "clear", "help"] == [
        usage.split()[0] for usage in usages
    ]
    assert [True] * len(usages) == [line.startswith(usage) for line, usage in zip(shown, usages, strict=True)]


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("lunch", "UsageError"),
        ("step 0", "UsageError"),
        ("step -1", "UsageError"),
        ("step 9999999999", "UsageError"),
        ("step 1 2", "UsageError"),
        ("state", "UsageError"),
        ("state nonsense:x", "InvalidScopeError"),
        ("set global k", "UsageError"),
        ("set global k lunch", "InvalidValueError"),
        ("set global ../k 1", "InvalidKeyError"),
        ("break", "UsageError"),
        ("break lunch", "UsageError"),
        ("break event", "UsageError"),
        ("break error 1", "UsageError"),
        ("break time lunch", "UsageError"),
        ("break time 2000-01-01T00:00:00", "InvalidValueError"),
        ("break point lunch", "InvalidValueError"),
        ("break count 0", "UsageError"),
        ('state "', "UsageError"),
        ("state \xff", "UsageError"),
    ],
)
def test_a_mistake_is_told_and_the_rest_goes_on(events: Any, line: str, error: str) -> None:
    answer = events.json("replay", "--interactive", stdin=line.encode("latin-1") + b"\nstep\n")
    assert (2, [error], [1]) == (answer.code, _problems(answer), [each["position"] for each in answer.values])


def _problems(answer: Any) -> list[str]:
    return [json.loads(line)["error"] for line in answer.error.splitlines()]


def test_closed_standard_input_is_misuse(events: Any) -> None:
    answer = events.json("replay", "--interactive", stdin=None)
    assert (2, "UsageError") == (answer.code, answer.problem["error"])


# On a terminal


def test_who_sits_at_a_terminal_is_asked_and_sees_colours(process: Any, events: Any) -> None:  # noqa: ARG001 - its store
    ours, theirs = pty.openpty()
    terminal = {**os.environ, "TERM": "xterm-256color"}
    run = process.start("replay", "--interactive", stdin=theirs, stdout=theirs, stderr=theirs, env=terminal)
    os.close(theirs)
    try:
        _read_until(ours, "0> ")
        os.write(ours, b"step 2\n")
        assert "\x1b[" in _read_until(ours, "2> ")
        os.write(ours, b"\x04")  # what Ctrl-D types: the end
        assert 0 == run.wait(timeout=60)
    finally:
        os.close(ours)


def _read_until(terminal: int, end: str) -> str:
    text = ""
    while not text.endswith(end):
        text += os.read(terminal, 1000).decode()
    return text


def test_a_replay_shows_its_progress_on_a_terminal_only(process: Any, checked: Any, folder: Path) -> None:  # noqa: ARG001 - its store
    code, output = on_terminal(process, "replay")
    assert (0, True, True) == (code, "replay" in output, "2/2" in output)
    assert "2/2" not in checked.ok("replay").out
