"""Schedules of backups on the command line: made, listed, taken away, run when due, and served."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import Lines

PAST = "2020-01-01T00:00:00Z"
LATER = "0 0 1 1 *"


@pytest.fixture
def stored(cli: Any) -> Any:
    cli.ok("set", "session:a", "k", '"short"')
    return cli


def test_a_schedule_is_made_and_listed_with_what_it_asks_for(stored: Any, folder: Path) -> None:
    (folder / "the.key").write_text("61" * 32)
    words = "--incremental --full-every 7 --target kept --scope session:a --max-age 30d --keep-daily 7 --importance 2"
    keys = "--key-file the.key --algorithm ChaCha20-Poly1305 --compression gzip --level 3"
    line = ("backup", "schedule", "nightly", "--cron", "0 3 * * *", *words.split(), *keys.split())
    made = stored.json(*line).value

    assert ("nightly", {"kind": "cron", "text": "0 3 * * *"}, 0) == (made["schedule"], made["when"], made["runs"])
    assert {
        "kind": "incremental",
        "full_every": 7,
        "target": str(folder / "kept"),
        "scopes": ["session:a"],
        "compression": "gzip",
        "level": 3,
        "encryption_from": {"key_file": str(folder / "the.key"), "algorithm": "ChaCha20-Poly1305"},
        "policy": {"max_age": 2592000.0, "keep_daily": 7},
        "importance": 2,
    } == made["arguments"]
    assert [made | {"last_run": None}] == stored.json("backup", "schedules").value
    assert stored.ok(*line).out.startswith("scheduled nightly: cron 0 3 * * *, next ")
    head, listed = stored.ok("backup", "schedules").lines
    assert ["name", "when", "next", "runs", "last", "what"] == head.split()
    assert listed.startswith("nightly  cron 0 3 * * *  ")
    assert listed.endswith(
        f"incremental, full every 7, 1 scope, encrypted, gzip 3, importance 2, to {folder / 'kept'}; "
        "prune: max-age 30d, keep-daily 7"
    )
    assert {"unscheduled": "nightly"} == stored.json("backup", "unschedule", "nightly").value
    assert [] == stored.json("backup", "schedules").value
    answer = stored.json("backup", "unschedule", "nightly")
    assert (1, "NotFoundError") == (answer.code, answer.problem["error"])


def test_what_is_due_is_made_once_and_pruned_after(stored: Any) -> None:
    stored.ok("backup", "schedule", "later", "--cron", LATER)
    stored.ok("backup", "create")
    stored.ok("backup", "schedule", "now", "--at", PAST, "--max-count", "0")
    (made,) = stored.json("backup", "due").values
    assert ("now", None, 1) == (made["schedule"], made["error"], len(made["pruned"]))
    assert [made["backup"] | {"other_log": False}] == stored.json("backup", "list").value
    assert "nothing is due" == stored.ok("backup", "due").lines[0]
    assert [] == stored.json("backup", "due").lines
    stored.ok("backup", "schedule", "now", "--at", PAST)
    (line,) = stored.ok("backup", "due").lines
    assert line.startswith("now: full backup ")


def test_a_run_that_fails_is_told_ends_it_with_1_and_stops_no_other(stored: Any) -> None:
    stored.ok("backup", "schedule", "a-bad", "--at", PAST, "--key-command", "false")
    stored.ok("backup", "schedule", "b-good", "--at", PAST)

    answer = stored("backup", "due")

    assert (1, "") == (answer.code, answer.error)
    bad, good = answer.lines
    assert bad.startswith("a-bad: failed: the key command 'false' failed with 1")
    assert good.startswith("b-good: full backup ")
    stored.ok("backup", "schedule", "a-bad", "--at", PAST, "--key-command", "false")
    answer = stored("--json", "backup", "due")
    assert (1, None) == (answer.code, answer.value["backup"])
    assert "'false' failed" in answer.value["error"]


def test_how_the_last_run_went_is_listed(stored: Any) -> None:
    stored.ok("backup", "schedule", "a-bad", "--at", PAST, "--key-command", "false")
    stored.ok("backup", "schedule", "b-good", "--at", PAST)
    stored.ok("backup", "schedule", "c-later", "--every", "12h")
    stored("backup", "due")
    bad, good, later = (each["last_run"] for each in stored.json("backup", "schedules").value)
    assert (False, None, True, None) == (bad["ok"], bad["backup_id"], "the key command" in bad["error"], later)
    assert (True, stored.json("backup", "list").value[0]["id"], None) == (good["ok"], good["backup_id"], good["error"])
    rows = stored.ok("backup", "schedules").lines[1:]
    cells = [re.split(" {2,}", row) for row in rows[:3]]
    assert [["a-bad", "at 2020-01-01T00:00:00Z", "no more", "1", "failed", "full, encrypted"]] == cells[:1]
    assert [["b-good", "at 2020-01-01T00:00:00Z", "no more", "1", "made", "full"]] == cells[1:2]
    assert ("c-later", "every 12h", ["0", "full"]) == (*cells[2][:2], cells[2][3:])
    assert rows[3].startswith("a-bad failed at ")
    assert rows[3].endswith(bad["error"])

    # Another one of the same name has not run yet.
    stored.ok("backup", "schedule", "a-bad", "--cron", LATER)
    assert None is stored.json("backup", "schedules").value[0]["last_run"]


def test_other_commands_make_no_backup_that_is_due(stored: Any) -> None:
    stored.ok("backup", "schedule", "now", "--at", PAST)
    stored.ok("set", "session:a", "k", "1")
    stored.ok("replay", "due")
    assert [] == stored.json("log", "--type", "backup.started").lines


@pytest.mark.parametrize("group", ["backup", "replay"])
@pytest.mark.parametrize(
    ("line", "words"),
    [
        (("n", "--every", "0s"), "--every 0s would never end"),
        (("", "--once", "1s"), "a schedule cannot be called ''"),
        (("a" * 129, "--once", "1s"), "a schedule cannot be called"),
    ],
)
def test_misuse_is_told_in_the_words_of_the_command_line(
    stored: Any, group: str, line: tuple[str, ...], words: str
) -> None:
    answer = stored(group, "schedule", *line)
    assert (2, True) == (answer.code, answer.error.startswith(f"backstory: {words}")), answer


def test_a_full_one_in_so_many_is_asked_for_of_incremental_ones(stored: Any) -> None:
    answer = stored("backup", "schedule", "n", "--every", "1s", "--full-every", "7")
    assert (2, True) == (answer.code, answer.error.startswith("backstory: --full-every goes with --incremental")), (
        answer
    )


@pytest.mark.parametrize(
    "line",
    [
        "schedule n",
        "schedule n --once 1s --every 1s",
        "schedule n --cron tomorrow",
        "schedule n --once 1s --full-every 7",
        "schedule n --once 1s --algorithm AES-256-GCM",
        "schedule n --once 1s --key-file a --algorithm ROT13",
        "schedule n --once 1s --key-file a --key-command b",
        "schedule n --once 1s --passphrase secret",
        "schedule n --once 1s --keep-daily 7",
        "schedule n --once 1s --key-file absent",
        "schedule n --once 1s --target s3://me:hunter2@bucket/x",
        "schedule n --once 1s --target nope://x",
        "schedule n --once 1s --scope session:*",
        "schedule n --once 1s --max-bytes much",
        "schedule n --once 1s --compression none --level 99 --compression lunch",
        "schedule n --once 1s --scope nothing:a:b",
        "unschedule",
    ],
)
def test_what_makes_no_sense_is_misuse_and_writes_nothing(stored: Any, line: str) -> None:
    before = stored.ok("export").out
    answer = stored.json("backup", *line.split())
    assert 2 == answer.code, answer
    assert {"error", "message", "hint"} <= answer.problem.keys()
    assert before == stored.ok("export").out


def test_what_is_due_is_encrypted_with_the_passphrase_of_the_environment(
    stored: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BACKSTORY_BACKUP_PASSPHRASE", "correct horse")
    stored.ok("backup", "schedule", "now", "--at", PAST)
    (made,) = stored.json("backup", "due").values
    assert (None, True) == (made["error"], made["backup"]["encrypted"])
    assert stored.json("backup", "validate", made["backup"]["id"]).value["is_valid"]


# serve


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_runs_what_comes_due_also_what_is_scheduled_later_and_ends_with_0(process: Any, number: int) -> None:
    process("set", "session:a", "k", "1")
    process("backup", "schedule", "missed", "--at", PAST)
    process("replay", "schedule", "again", "--at", PAST, "--mode", "simulate")
    server = process.start("--json", "serve")
    lines = Lines(server)
    missed, again = (json.loads(lines.next() or "") for _ in range(2))
    assert ("missed", "full", None) == (missed["schedule"], missed["backup"]["kind"], missed["error"])
    assert ("again", None) == (again["schedule"], again["error"])

    # Nothing is due now, so that what is scheduled here wakes it.
    process("backup", "schedule", "new", "--at", PAST, "--incremental")
    new = json.loads(lines.next() or "")
    assert ("new", "incremental") == (new["schedule"], new["backup"]["kind"])

    server.send_signal(number)
    assert 0 == server.wait(60)
    assert 2 == len(json.loads(process("--json", "backup", "list").raw))


def test_serve_says_when_it_begins_and_a_line_for_each_run(process: Any) -> None:
    process("set", "session:a", "k", "1")
    process("backup", "schedule", "a", "--at", PAST)
    process("backup", "schedule", "b", "--at", PAST, "--key-command", "false")
    server = process.start("serve")
    lines = Lines(server)
    assert (lines.next() or "").startswith("a: full backup ")
    assert (lines.next() or "").startswith("b: failed: ")
    server.send_signal(signal.SIGTERM)
    _, error = server.communicate(timeout=60)
    assert 0 == server.returncode
    assert error.decode().splitlines()[0].endswith(": 2 schedules of backups, 0 of replays")


def test_serve_encrypts_with_the_passphrase_of_its_environment(process: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKSTORY_BACKUP_PASSPHRASE", "correct horse")
    process("set", "session:a", "k", "1")
    process("backup", "schedule", "now", "--at", PAST)
    server = process.start("--json", "serve")
    assert json.loads(Lines(server).next() or "")["backup"]["encrypted"]
    server.send_signal(signal.SIGTERM)
    assert 0 == server.wait(60)


def test_of_two_that_serve_one_store_one_runs_each(process: Any) -> None:
    process("set", "session:a", "k", "1")
    servers = [process.start("serve", stderr=subprocess.STDOUT) for _ in range(2)]
    for server in servers:
        assert "serving since" in (Lines(server).next() or "")
    follower = Lines(process.start("--json", "tail", "--follow", "--since", "0", "--type", "backup.completed"))
    process("backup", "schedule", "often", "--every", "1s", "--max-runs", "2")
    assert ["often", "often"] == [json.loads(follower.next() or "")["data"]["schedule"] for _ in range(2)]
    for server in servers:
        server.send_signal(signal.SIGTERM)
    said = [line for server in servers for line in server.communicate(timeout=60)[0].splitlines()]
    assert [0, 0] == [server.returncode for server in servers]
    assert 2 == len(said)


def test_serve_without_a_store_ends_at_once(cli: Any, folder: Path) -> None:
    answer = cli.json("serve")
    assert (6, "StoreUnavailableError") == (answer.code, answer.problem["error"])
    assert not list(folder.iterdir())
