"""Hooks on the command line: the configured ones run, and what the log tells of them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import backstory
from backstory.domain.hooks import HookResult
from tests.support.recorded_runs import Run, record

CODE = """
import time
from pathlib import Path
from backstory.domain.hooks import HookResult

def check(context):
    if context.after is None:
        return HookResult.cancel("None is no plan")
    if context.after == 13:
        raise ValueError("unlucky")

def slow(context):
    time.sleep(0.05)
    with Path("done").open("a") as file:
        file.write("x")
"""
VALIDATION = """
[[hooks.load]]
hook = "backstory.hooks.builtin:Validation"
options = { max_bytes = 8 }
key = "plan"
tags = ["size"]
priority = 2
"""
OWN = """
[hooks]
allow = ["own_hooks_of_a_test"]
[[hooks.load]]
hook = "own_hooks_of_a_test:check"
point = "before_state_write"
required = {required}
[[hooks.load]]
hook = "own_hooks_of_a_test.slow"
point = "after_state_write"
"""


@pytest.fixture
def own(folder: Path) -> Path:
    """Hooks in the current folder, and a configuration that names them."""
    (folder / "own_hooks_of_a_test.py").write_text(CODE)
    (folder / "backstory.toml").write_text(OWN.format(required="false"))
    return folder


def recorded(*runs: Run) -> None:
    with backstory.open("sqlite:///backstory.db") as store:
        record(store, *runs)


# What runs


def test_a_write_that_a_hook_refuses_ends_with_1_and_says_why(cli: Any, folder: Path) -> None:
    (folder / "backstory.toml").write_text(VALIDATION)

    cli.ok("set", "agent:a", "plan", "1")
    cli.ok("set", "agent:a", "other", '"123456789"')
    answer = cli("set", "agent:a", "plan", '"123456789"')

    assert (1, "") == (answer.code, answer.out)
    assert answer.error.startswith("backstory: hook 'validation' cancelled the operation: the value takes 11 bytes")
    problem = cli.json("set", "agent:a", "plan", '"123456789"').problem
    assert ("HookCancelledError", "validation") == (problem["error"], problem["hook"])
    assert "1" == cli.ok("get", "agent:a", "plan").lines[0]


def test_hooks_of_the_current_folder_run_and_those_in_the_background_have_run_at_the_end(
    process: Any, own: Path
) -> None:
    # As the installed command: Python itself does not look for modules here.
    elsewhere = {**os.environ, "PYTHONSAFEPATH": "1"}
    assert 0 == process("set", "agent:a", "plan", "1", env=elsewhere).code
    assert "x" == (own / "done").read_text()
    answer = process("set", "agent:a", "plan", "null")
    assert (1, True) == (answer.code, "None is no plan" in answer.error)


def test_a_required_hook_that_fails_refuses_the_write(process: Any, own: Path) -> None:
    assert 0 == process("set", "agent:a", "plan", "13").code
    (own / "backstory.toml").write_text(OWN.format(required="true"))
    answer = process("--json", "set", "agent:a", "plan", "13")
    assert (1, "HookError") == (answer.code, answer.problem["error"])


def test_commands_that_read_import_nothing(process: Any, own: Path) -> None:
    assert 0 == process("init").code
    (own / "own_hooks_of_a_test.py").write_text("raise SystemExit(9)")

    for line in ("keys agent:a", "hooks list", "hooks history", "hooks stats", "hooks compact --max-count 1", "verify"):
        assert 0 == process(*line.split()).code, line
    assert 2 == process("set", "agent:a", "plan", "1").code


@pytest.mark.parametrize("line", ["set agent:a k 1", "hooks list", "init"])
def test_a_configuration_that_makes_no_sense_is_misuse(cli: Any, folder: Path, line: str) -> None:
    cli.ok("init")
    (folder / "backstory.toml").write_text('[[hooks.load]]\nhook = "os:system"\npoint = "before_state_write"\n')

    answer = cli.json(*line.split())

    assert (2, "ConfigError", "hooks.load[0].hook") == (answer.code, answer.problem["error"], answer.problem["key"])


# hooks list


def test_the_list_shows_what_is_configured_and_what_the_log_knows(cli: Any, folder: Path) -> None:
    with backstory.open("sqlite:///backstory.db", actor="ada") as store:
        store.hooks.register("before_state_write", lambda _: None, name="gone", scope="agent:*", required=True)
    (folder / "backstory.toml").write_text(VALIDATION)

    shown = cli.ok("hooks").lines
    value = cli.json("hooks", "list").value

    assert ["configured  backstory.hooks.builtin:Validation  (where it belongs)  priority 2, key plan, #size"] == shown[
        :1
    ]
    assert 2 == len(shown)
    assert shown[1].startswith("recorded    gone ")
    assert shown[1].endswith("scope agent:*, required")
    (configured,), (known,) = value["configured"], value["recorded"]
    assert ("backstory.hooks.builtin:Validation", None, None, 2, ["size"]) == (
        configured["hook"],
        configured["points"],
        configured["name"],
        configured["priority"],
        configured["tags"],
    )
    assert ("gone", "before_state_write", "agent:*", True, "ada", 1) == tuple(
        known[name] for name in ("hook", "point", "scope", "required", "actor", "position")
    )


def test_an_empty_list_is_empty(cli: Any) -> None:
    cli.ok("init")
    assert "" == cli.ok("hooks", "list").out
    assert {"configured": [], "recorded": []} == cli.json("hooks").value


def test_without_a_store_there_is_nothing_to_list(cli: Any) -> None:
    assert 6 == cli("hooks", "list").code


# hooks history


def test_the_history_shows_a_run_a_line(cli: Any) -> None:
    recorded(
        Run("a", duration_us=1_500),
        Run("b", "custom:x", 2_500_000, None),
        Run("a", duration_us=7, result=HookResult.cancel("no\n")),
        Run("a", result=HookResult.redirect("agent:b", "k")),
    )

    first, second, third, fourth = cli.ok("hooks", "history").lines

    assert first.endswith("before_state_write  continue  (1.5 ms)")
    assert "  b                 custom:x            failed: ValueError: no  (2.50 s)" in second
    assert third.endswith('cancel "no\\n"  (7 us)')
    assert fourth.endswith('redirect {"scope":"agent:b","key":"k"}  (100 us)')
    values = cli.json("hooks", "history").values
    assert [1, 2, 3, 4] == [value["position"] for value in values]
    assert [{"kind": "continue"}, None, {"kind": "cancel", "reason": "no\n"}] == [
        value["result"] for value in values[:3]
    ]
    assert (None, "ValueError: no") == (values[0]["error"], values[1]["error"])
    assert 0.0015 == values[0]["duration_s"]


@pytest.mark.parametrize(
    ("line", "positions"),
    [
        ("", [1, 2, 3, 4]),
        ("--name a", [1, 3]),
        ("--point custom:x", [2]),
        ("--since 1 --until 3", [2, 3]),
        ("--correlation other", [4]),
        ("--correlation-id other --name a", []),
        ("--limit 2", [1, 2]),
        ("-n 0", []),
        ("--name nobody", []),
    ],
)
def test_options_of_the_history_choose_runs(cli: Any, line: str, positions: list[int]) -> None:
    recorded(Run("a"), Run("b", "custom:x"), Run("a"), Run("b", correlation_id="other"))
    assert positions == [value["position"] for value in cli.json("hooks", "history", *line.split()).values]


@pytest.mark.parametrize(
    "line", ["history --point lunch", "history --since x", "history --limit -1", "history --name a/../\x01" + "x" * 300]
)
def test_options_that_make_no_sense_are_misuse(cli: Any, line: str) -> None:
    cli.ok("init")
    assert 2 == cli("hooks", *line.split()).code


# hooks stats and compact


def test_counts_are_a_table(cli: Any) -> None:
    recorded(*(Run("a", duration_us=2_000_000) for _ in range(3)), Run("long-name", duration_us=90, result=None))

    assert [
        "hook       runs  failed    mean     p50     p95  longest  results",
        "a             3       0  2.00 s  2.00 s  2.00 s   2.00 s  continue 3",
        "long-name     1       1   90 us   90 us   90 us    90 us",
    ] == cli.ok("hooks", "stats").lines
    (value,) = cli.json("hooks", "stats", "--name", "a").value
    assert (3, 0, 6.0, 2.0, {"continue": 3}) == tuple(
        value[name] for name in ("runs", "failed", "total_s", "mean_s", "results")
    )


def test_counts_of_nothing_are_nothing_and_those_of_nobody_a_no(cli: Any) -> None:
    cli.ok("init")
    assert "" == cli.ok("hooks", "stats").out
    assert [] == cli.json("hooks", "stats").value
    assert 1 == cli("hooks", "stats", "--name", "nobody").code
    assert 1 == cli("hooks", "compact", "--name", "nobody", "--max-count", "1").code


def test_compacting_leaves_out_old_runs_and_says_how_many(cli: Any) -> None:
    recorded(*(Run("a", result=None) for _ in range(2)), *(Run("a") for _ in range(3)), Run("b"))

    assert ["would leave out 2 runs of 1 hook", "kept 2 older runs: failed, or named as a cause"] == cli.ok(
        "hooks", "compact", "--max-count", "1", "--dry-run"
    ).lines
    assert 6 == len(cli.json("hooks", "history").values)
    assert {"left_out": 2, "kept": 2, "by_hook": {"a": 2}, "dry_run": False} == cli.json(
        "hooks", "compact", "--max-count", "1"
    ).value
    assert 4 == len(cli.json("hooks", "history").values)
    assert 6 == len(cli.json("hooks", "history", "--all").values)
    assert ["left out 2 runs of 1 hook"] == cli.ok("hooks", "compact", "--max-count", "1", "--failed").lines
    assert 2 == len(cli.json("hooks", "history").values)


@pytest.mark.parametrize(("age", "left"), [("0s", 0), ("1m", 1), ("2h", 1), ("30d", 1), ("4w", 1), ("999999999w", 1)])
def test_an_age_is_a_number_with_its_unit(cli: Any, age: str, left: int) -> None:
    recorded(Run("a"))
    cli.ok("hooks", "compact", "--max-age", age, "--name", "a")
    assert left == len(cli.json("hooks", "history").values)


@pytest.mark.parametrize("line", ["", "--max-age 3", "--max-age 3y", "--max-age -3s", "--max-count -1"])
def test_a_policy_that_makes_no_sense_is_misuse(cli: Any, line: str) -> None:
    recorded(Run("a"))
    answer = cli.json("hooks", "compact", *line.split())
    assert (2, "UsageError") == (answer.code, answer.problem["error"])


def test_compacting_registers_no_hook(cli: Any, folder: Path) -> None:
    recorded(Run("a"), Run("a"))
    (folder / "backstory.toml").write_text(VALIDATION)
    cli.ok("hooks", "compact", "--max-count", "1")
    assert ["hook.executed", "hook.executed", "hook.compacted"] == [event["type"] for event in cli.json("log").values]
