"""The benchmarks: they run from end to end, and write what the documents say."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import backstory
from benchmarks import migrations, raw_migrations, real_runs
from benchmarks.contest import Claim, Run
from tests.support.runs import assistant, call, lines, result, user

ROOT = Path(__file__).resolve().parents[2]


def test_a_run_writes_every_sample_and_says_whether_targets_were_met(tmp_path: Path) -> None:
    output = tmp_path / "result.json"
    command = [sys.executable, "-m", "benchmarks", "--quick", "--rounds", "1", "--rows", "3", "-o", str(output)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    document = json.loads(output.read_text(encoding="utf-8"))

    assert done.returncode in {0, 1}, done.stderr
    assert "targets met" in done.stdout
    (row,) = document["rows"]
    assert {"ours", "raw, one insert", "eventsourcing, save"} <= {figure["who"] for figure in row["figures"]}
    assert all(1 == len(figure["samples"]) for figure in row["figures"])
    assert (0 if all(claim["met"] for claim in row["claims"]) else 1) == done.returncode
    assert {"commit", "fsync", "machine", "versions"} <= document.keys()


def test_recorded_runs_are_asked_why_where_they_are_there(tmp_path: Path) -> None:
    messages = [user(), assistant(None, call("1", arguments='{"of": "it"}')), result("1", '{"reservation_id": "R1"}')]
    recorded = {"run_id": "r1", "task_id": 1, "trial": 0, "reward": 1.0, "messages": messages}
    lines(tmp_path / real_runs.FILE, recorded)
    found = real_runs.questions(Run(tmp_path, "quick", 1, data=tmp_path))
    figures = {figure.metric: figure.median for figure in found.figures}

    assert figures["events, mean"] >= 1
    assert figures["causes, most"] >= 1
    assert "runs: 1," in found.notes[0]


def test_recorded_runs_that_are_not_there_are_left_out_with_a_note(tmp_path: Path) -> None:
    found = real_runs.questions(Run(tmp_path, "quick", 1, data=tmp_path))

    assert () == found.figures
    assert str(tmp_path) in found.notes[0]


def test_contenders_take_turns_and_each_round_begins_with_another(tmp_path: Path) -> None:
    order: list[str] = []

    def contender(name: str) -> dict[str, float]:
        order.append(name)
        return {"events/s": float(len(order))}

    run = Run(tmp_path, "quick", 2)
    table = run.contest("row", {name: lambda _, name=name: contender(name) for name in "ab"}, warm_up=False)  # type: ignore[misc]

    assert ["a", "b", "b", "a"] == order
    assert (1.0, 4.0) == table.of("a", "events/s").samples
    assert (0.5, 4 / 3) == table.ratios("a", "b", "events/s")


def test_contenders_that_take_turns_by_themselves_are_measured_once_a_round(tmp_path: Path) -> None:
    figures = iter([{"a": {"p50 us": 1.0}, "b": {"p50 us": 2.0}}, {"a": {"p50 us": 3.0}, "b": {"p50 us": 4.0}}])
    run = Run(tmp_path, "quick", 2)
    table = run.together("row", lambda _: next(figures))

    assert (0.5, 0.75) == table.ratios("a", "b", "p50 us")
    assert 3 == len(run.fsyncs)


@pytest.mark.parametrize(("sense", "met"), [("at least", True), ("at most", False)])
def test_a_claim_is_judged_by_the_median_of_its_rounds(sense: str, met: bool) -> None:
    claim = Claim("ours / theirs", (0.1, 0.7, 0.9), sense, 0.6)  # type: ignore[arg-type]

    assert met == claim.met


def test_migrations_are_measured_alone_and_end_to_end_and_what_they_make_is_checked(tmp_path: Path) -> None:
    with backstory.open("memory://") as store:
        found = migrations.migrated(store, 30, {"batch_size": 7})

    assert {"us an item", "CPU us", "rollback us"} == found.keys()
    assert {"us an item"} == raw_migrations.on_sqlite(tmp_path, items=30).keys()


def test_a_value_that_was_migrated_wrongly_ends_the_benchmark() -> None:
    right = {
        **migrations.value(3),
        "status": "active",
        "profile": {"age": 3},
        "created_at": "2026-01-01T00:00:00+00:00",
    }
    right["email"] = right.pop("mail")
    del right["age"]
    migrations.check(3, right)

    with pytest.raises(AssertionError, match="value 3 was migrated to"):
        migrations.check(3, {**right, "status": "away"})
