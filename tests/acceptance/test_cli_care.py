"""The commands that look after the store: verify, stats, rebuild, bench."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import apsw
import pytest


def test_verify_says_that_all_is_whole(cli: Any) -> None:
    cli.ok("set", "global", "k", "1")
    report = cli.json("verify").value
    assert (True, 1, 1, []) == (report["ok"], report["events"], report["head"], report["problems"])
    assert cli.ok("verify").out.startswith("1 event checked, all is whole; head 1, hash ")
    assert 0 == cli.json("verify", "--since", "1").value["events"]


def test_verify_finds_an_edited_event_and_ends_with_5(cli: Any, folder: Path) -> None:
    for value in ("111", "222", "333"):
        cli.ok("set", "global", "k", value)
    connection = apsw.Connection(str(folder / "backstory.db"))
    connection.execute("UPDATE events SET data = CAST(replace(data, '222', '999') AS BLOB) WHERE position = 2")
    assert 1 == connection.changes()
    connection.close()

    answer = cli.json("verify")
    assert (5, False) == (answer.code, answer.value["ok"])
    assert (2, "hash") == (answer.value["problems"][0]["position"], answer.value["problems"][0]["kind"])
    answer = cli("verify")
    assert 5 == answer.code
    assert answer.lines[0].split()[:2] == ["2", "hash"]


def test_a_file_that_is_damaged_ends_with_5_and_one_of_another_program_with_2(cli: Any, folder: Path) -> None:
    (folder / "backstory.db").write_bytes(b"this is no database, and never was one" * 200)
    answer = cli.json("get", "global", "k")
    assert (5, "IntegrityError") == (answer.code, answer.problem["error"])

    other = apsw.Connection(str(folder / "other.db"))
    other.execute("CREATE TABLE t (a)")
    other.close()
    assert 2 == cli("--store", "sqlite:///other.db", "get", "global", "k").code


def test_stats_are_the_numbers_of_the_store(cli: Any) -> None:
    cli.ok("set", "global", "k", "1")
    numbers = cli.json("stats").value
    assert (1, 1, 1, 1) == (numbers["position"], numbers["events"], numbers["streams"], numbers["branches"])
    assert [("state", 1), ("causes", 0)] == [(each["name"], each["rows"]) for each in numbers["projections"]]
    lines = cli.ok("stats").lines
    assert ["position", "1"] == lines[0].split()
    assert ["projection  state: 1 row, checkpoint 1", "projection  causes: 0 rows, checkpoint 1"] == lines[-2:]


def test_rebuild_makes_projections_anew(cli: Any) -> None:
    cli.ok("set", "global", "k", "1")
    state, causes = (
        {"name": "state", "checkpoint": 1, "rows": 1},
        {"name": "causes", "checkpoint": 1, "rows": 0},
    )
    assert [state, causes] == cli.json("rebuild").value
    assert [causes] == cli.json("rebuild", "causes").value
    assert "projection  state: 1 row, checkpoint 1\n" == cli.ok("rebuild", "state").out
    assert 1 == cli("rebuild", "no-such").code


def test_bench_runs_the_benchmark_and_ends_as_it_does(cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []

    def measure(*, json: bool) -> int:
        asked.append(json)
        return int(json)

    monkeypatch.setattr("backstory.bench.main", measure)
    assert [0, 1] == [cli("bench").code, cli("bench", "--json").code]
    assert [False, True] == asked
