"""Schedules of replays on the command line: made, listed, taken away, and run when they are due."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

VALIDATION = """
[[hooks.load]]
hook = "backstory.hooks.builtin:Validation"
options = {{ max_bytes = {size} }}
"""
PAST = "2020-01-01T00:00:00Z"


def limit(folder: Path, size: int) -> None:
    (folder / "backstory.toml").write_text(VALIDATION.format(size=size))


@pytest.fixture
def checked(cli: Any, folder: Path) -> Any:
    """Two writes behind a hook."""
    limit(folder, 12)
    cli.ok("set", "session:a", "k", '"short"', "--correlation-id", "work")
    cli.ok("set", "session:b", "k", '"longer"')
    return cli


@pytest.mark.parametrize(
    ("line", "when", "told"),
    [
        ("--once 90s", {"kind": "once", "delay_s": 90.0}, "once after 90s"),
        (f"--at {PAST}", {"kind": "at", "instant": "2020-01-01T00:00:00+00:00"}, "at 2020-01-01T00:00:00Z"),
        ("--every 12h", {"kind": "every", "interval_s": 43200.0, "max_runs": None}, "every 12h"),
        (
            "--every 1w --max-runs 3",
            {"kind": "every", "interval_s": 604800.0, "max_runs": 3},
            "every 1w, 3 times at most",
        ),
    ],
)
def test_a_schedule_is_made_and_listed(checked: Any, line: str, when: dict[str, Any], told: str) -> None:
    assert checked.ok("replay", "schedule", "nightly", *line.split()).out.startswith(
        f"scheduled nightly: {told}, next "
    )
    made = checked.json("replay", "schedule", "nightly", *line.split(), "--hook", "validation").value

    assert ("nightly", when, {"name": "validation"}, 0, None) == (
        made["schedule"],
        made["when"],
        made["arguments"],
        made["runs"],
        made["last_due"],
    )
    assert {"schedule", "when", "arguments", "made_at", "runs", "last_due", "next_due"} == made.keys()
    assert [made] == checked.json("replay", "schedules").value
    head, listed = checked.ok("replay", "schedules").lines
    assert ["name", "when", "next", "runs", "what"] == head.split()
    assert listed.startswith(f"nightly  {told}  ")
    assert listed.endswith("  0     name validation")


def test_cron_is_in_utc_and_what_is_replayed_is_kept(checked: Any) -> None:
    words = "--mode modified --change after=3 --since 1 --until 4 --keep-going --concurrency 2 --timeout 5 --session a"
    made = checked.json("replay", "schedule", "n", "--cron", "30 2 * * *", *words.split()).value

    assert {"kind": "cron", "text": "30 2 * * *"} == made["when"]
    assert made["next_due"].endswith("T02:30:00+00:00")
    assert {
        "mode": "modified",
        "changes": {"after": 3},
        "since": 1,
        "until": 4,
        "stop_on_error": False,
        "concurrency": 2,
        "timeout_s": 5.0,
        "session": "session:a",
    } == {name: "session:a" if name == "session" else part for name, part in made["arguments"].items()}


def test_what_is_due_runs_once_and_what_was_missed_is_made_up_for_by_one(checked: Any) -> None:
    checked.ok("replay", "schedule", "daily", "--cron", "0 0 1 1 *", "--correlation", "work")
    checked.ok("replay", "schedule", "nightly", "--at", PAST, "--hook", "validation")
    assert [[], []] == [checked.json("log", "--type", kind).lines for kind in ("replay.started", "replay.completed")]

    (run,) = checked.json("replay", "due").values
    assert ("nightly", None, "exact", 2, 0) == (
        run["schedule"],
        run["error"],
        *(run["report"][name] for name in ("mode", "succeeded", "failed")),
    )
    assert "nothing is due" == checked.ok("replay", "due").lines[0]
    assert [] == checked.json("replay", "due").lines
    assert [0, 1] == [each["runs"] for each in checked.json("replay", "schedules").value]
    assert "  no more               1     " in checked.ok("replay", "schedules").lines[2]


def test_other_commands_run_nothing_that_is_due(checked: Any) -> None:
    checked.ok("replay", "schedule", "nightly", "--at", PAST)
    checked.ok("set", "session:a", "k", "1")
    assert [] == checked.json("log", "--type", "replay.started").lines

    lines = checked.ok("replay", "due").lines
    assert "nightly" == lines[0]
    assert lines[-1].startswith("3 runs replayed, 0 failed, 0 answered otherwise")


def test_what_does_not_go_as_recorded_is_told_and_ends_it_with_1(checked: Any, folder: Path) -> None:
    checked.ok("replay", "schedule", "changed", "--at", PAST)
    checked.ok("replay", "schedule", "nonsense", "--at", PAST, "--until", "999")
    limit(folder, 7)

    answer = checked("replay", "due")

    assert (1, "") == (answer.code, answer.error)
    assert "changed" == answer.lines[0]
    assert "1 answered otherwise" in answer.out
    assert "nonsense" == answer.lines[-2]
    assert answer.lines[-1].startswith("failed: ")
    checked.ok("replay", "schedule", "nonsense", "--at", PAST, "--until", "999")
    (run,) = checked.json("replay", "due").values
    assert run["report"] is None
    assert "999" in run["error"]


def test_a_schedule_that_is_taken_away_runs_no_more(checked: Any) -> None:
    checked.ok("replay", "schedule", "nightly", "--at", PAST)
    assert "took nightly away" == checked.ok("replay", "unschedule", "nightly").lines[0]
    assert "nothing is due" == checked.ok("replay", "due").lines[0]
    assert [] == checked.json("replay", "schedules").value
    answer = checked.json("replay", "unschedule", "nightly")
    assert (1, "NotFoundError") == (answer.code, answer.problem["error"])
    checked.ok("replay", "schedule", "nightly", "--at", PAST)
    assert {"unscheduled": "nightly"} == checked.json("replay", "unschedule", "nightly").value


@pytest.mark.parametrize(
    "line",
    [
        "schedule n",
        "schedule n --once 1s --every 1s",
        "schedule n --once 1",
        "schedule n --once 999999999w",
        "schedule n --every 0s",
        "schedule n --once 1s --max-runs 1",
        "schedule n --every 1s --max-runs 0",
        "schedule n --at 2026-12-24T18:00:00",
        "schedule n --at tomorrow",
        "schedule n --at 0001-01-01T00:00:00+14:00",
        "schedule n --cron tomorrow",
        "schedule n --once 1s --mode lunch",
        "schedule n --once 1s --change after=1",
        "schedule n --once 1s --point lunch",
        "schedule n --once 1s --since lunch",
        "--hook validation schedule n --once 1s",
        "--since 0 due",
        "--interactive schedules",
        "unschedule",
        "lunch",
    ],
)
def test_what_makes_no_sense_is_misuse_and_writes_nothing(checked: Any, line: str) -> None:
    before = checked.ok("export").out
    answer = checked.json("replay", *line.split())
    assert 2 == answer.code, answer
    assert {"error", "message", "hint"} <= answer.problem.keys()
    assert before == checked.ok("export").out


def test_global_options_may_stand_between_the_words(checked: Any) -> None:
    checked.ok("replay", "schedule", "n", "--once", "1h")
    assert ["n"] == [each["schedule"] for each in checked("replay", "--json", "schedules").value]


def test_without_a_store_nothing_is_scheduled(cli: Any, folder: Path) -> None:
    for words in (["schedule", "n", "--once", "1s"], ["schedules"], ["unschedule", "n"], ["due"], ["due", "--follow"]):
        assert 6 == cli("replay", *words).code
    assert [] == list(folder.iterdir())


def test_with_follow_it_runs_what_comes_due_until_it_is_interrupted(checked: Any, process: Any) -> None:
    checked.ok("replay", "schedule", "first", "--at", PAST)
    following = process.start("--json", "replay", "due", "--follow")
    assert "first" == json.loads(following.stdout.readline())["schedule"]

    checked.ok("replay", "schedule", "second", "--once", "0s", "--mode", "simulate")
    run = json.loads(following.stdout.readline())
    assert ("second", "simulate", 2) == (run["schedule"], run["report"]["mode"], run["report"]["succeeded"])

    following.send_signal(signal.SIGINT)
    out, error = following.communicate(timeout=60)
    assert (130, b"", b"") == (following.returncode, out, error)
