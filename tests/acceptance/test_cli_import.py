"""The command that imports recorded runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

RUN = json.dumps({"run_id": "r-1", "messages": [{"role": "user", "content": "Hello"}]})


def test_a_file_is_imported_once(cli: Any, folder: Path) -> None:
    (folder / "runs.jsonl").write_text(f"{RUN}\n")

    first = cli.json("import", "runs.jsonl").value
    again = cli.json("import", "runs.jsonl").value

    assert (1, 0, []) == (first["runs"], first["skipped"], first["errors"])
    assert first["events"] == len(cli.json("log").values)
    assert (0, 0, 1) == (again["runs"], again["events"], again["skipped"])
    assert {"seconds", "events_per_second"} < first.keys()
    assert '"completed"\n' == cli.ok("get", "session:r-1", "status").out


def test_people_are_told_how_many_and_how_fast(cli: Any, folder: Path) -> None:
    (folder / "runs.jsonl").write_text(f"{RUN}\n")
    answer = cli.ok("import", "runs.jsonl", "--format", "openai-chat")
    assert answer.out.startswith("imported 1 run, ")
    assert "events/s); 0 known already, 0 errors\n" in answer.out


def test_standard_input_is_imported(cli: Any) -> None:
    assert 1 == cli.json("import", "-", stdin=RUN.encode()).value["runs"]
    assert 2 == cli("import", "-", stdin=None).code


def test_a_broken_line_is_reported_the_rest_goes_on_and_the_exit_code_is_1(cli: Any, folder: Path) -> None:
    (folder / "runs.jsonl").write_text(f"no JSON\n{RUN}\n\x1b[2J\n")

    answer = cli("import", "runs.jsonl")
    assert 1 == answer.code
    assert ["backstory: runs.jsonl line 1: ", "backstory: runs.jsonl line 3: "] == [
        line[:30] for line in answer.error.splitlines()
    ]
    assert "\x1b" not in answer.error
    assert "imported 1 run" in answer.out
    again = cli.json("import", "runs.jsonl")
    assert (1, [1, 3]) == (again.code, [problem["line"] for problem in again.value["errors"]])


@pytest.mark.parametrize("arguments", [["absent.jsonl"], ["."], ["x\0y"], [], ["runs.jsonl", "--format", "no-such"]])
def test_what_cannot_be_imported_is_refused(cli: Any, folder: Path, arguments: list[str]) -> None:
    (folder / "runs.jsonl").write_text(RUN)
    assert 2 == cli("import", *arguments).code
