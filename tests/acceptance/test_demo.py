"""The demo tells its story, its commands can be typed, and it writes over nothing."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from backstory.cli.failures import Exit
from backstory.demo import script
from backstory.demo.tour import preparations


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


def commands(output: str) -> list[str]:
    return [line.removeprefix("$ ") for line in output.splitlines() if line.startswith("$ ")]


def test_it_shows_now_the_past_the_history_the_culprit_the_log_and_the_difference(cli: Any) -> None:
    output = cli.ok("demo").out

    kinds = [command.split()[1] for command in commands(output) if command.startswith("backstory ")]
    assert ["import", "items", "history", "blame", "why", "log", "items", "get", "diff", "verify"] == kinds
    assert "amount: 1.48 -> 1480.0" in output
    assert "The total is 1.480,00, so I schedule 1.48 euros" in output
    assert "all is whole" in output


def test_every_command_it_shows_gives_the_same_when_it_is_typed(process: Any, tmp_path: Path) -> None:
    shown = process("demo")
    assert (0, "") == (shown.code, shown.error)
    blocks = re.split(r"^\$ ", shown.out, flags=re.MULTILINE)[1:]
    typed = "\n".join(
        f"{command}\necho '== end =='" for command in commands(shown.out) if not command.startswith("backstory import")
    )

    program = tmp_path / "bin" / "backstory"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m backstory "$@"\n')
    program.chmod(0o755)
    done = subprocess.run(
        ["/bin/sh", "-eu"],
        input=typed,
        cwd=process.folder,
        env={"PATH": f"{program.parent}:/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )

    expected = [re.sub(r"^#.*", "", block.partition("\n")[2], flags=re.MULTILINE).strip() for block in blocks]
    kept = [
        text for text, command in zip(expected, commands(shown.out), strict=True) if "backstory import" not in command
    ]
    assert "" == done.stderr
    assert kept == [part.strip() for part in done.stdout.split("== end ==\n")[:-1]]


def test_it_leaves_its_store_among_the_temporary_files_and_says_where(cli: Any, folder: Path, temporary: Path) -> None:
    output = cli.ok("demo").out
    (made,) = temporary.glob("backstory-demo-*/demo.db")
    assert f"The store stays where it is: sqlite:///{made}" in output
    assert [] == list(folder.iterdir())


def test_with_keep_it_puts_its_store_here_and_writes_over_nothing(cli: Any, folder: Path) -> None:
    (folder / "backstory-demo.db").write_text("mine")
    cli.ok("demo", "--keep")
    cli.ok("demo", "--keep")

    assert "mine" == (folder / "backstory-demo.db").read_text()
    assert {"backstory-demo-2.db", "backstory-demo-3.db"} < {path.name for path in folder.iterdir()}


def test_it_leaves_the_store_of_the_settings_alone(cli: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "backstory.toml").write_text('store = "sqlite:///mine.db"\n')
    monkeypatch.setenv("BACKSTORY_STORE", "sqlite:///mine-too.db")
    cli.ok("demo")
    assert ["backstory.toml"] == [path.name for path in folder.iterdir()]


def test_a_store_that_is_named_is_used_also_when_it_holds_something(cli: Any) -> None:
    where = ["--store", "sqlite:///mine.db"]
    cli.ok(*where, "set", "global", "k", "1")
    first = cli.json(*where, "demo").value
    cli.ok("demo", *where)

    assert "sqlite:///mine.db" == first["store"]
    assert {"amount": 1480.0}.items() <= cli.json(*where, "get", script.SCOPE, script.KEY).value.items()


def test_a_store_that_ends_with_the_command_is_refused(cli: Any) -> None:
    assert Exit.USAGE == cli("--store", "memory://", "demo").code


def test_as_json_each_step_has_its_command_and_what_it_prints(cli: Any) -> None:
    tour = cli.json("demo").value

    assert {"store", "steps"} == tour.keys()
    assert [0] * len(tour["steps"]) == [step["exit_code"] for step in tour["steps"]]
    for step in tour["steps"]:
        assert step["command"].startswith("backstory ")
        assert step["title"]
        assert step["output"]


def test_what_fails_ends_it_with_that_exit_code(cli: Any, folder: Path) -> None:
    (folder / "damaged.db").write_bytes(b"no database" * 1000)
    answer = cli("--store", "sqlite:///damaged.db", "demo")
    assert (5, 1) == (answer.code, len(answer.error.splitlines()))
    answer = cli.json("--store", "sqlite:///damaged.db", "demo")
    assert (5, [5]) == (answer.code, [step["exit_code"] for step in answer.value["steps"]])


def test_the_recorded_run_is_in_the_chat_form_with_tool_calls_and_answers() -> None:
    run = json.loads(Path(script.run_file()).read_text())
    called = [call["id"] for message in run["messages"] for call in message.get("tool_calls", [])]
    answered = [message["tool_call_id"] for message in run["messages"] if message["role"] == "tool"]

    assert called == answered
    assert {"system", "user", "assistant", "tool"} == {message["role"] for message in run["messages"]}


def test_a_shell_is_told_where_the_program_is_unless_it_knows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "backstory"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))

    monkeypatch.setenv("PATH", "/usr/bin")
    assert [f"export PATH={tmp_path}:$PATH", "export BACKSTORY_STORE=sqlite:///x.db"] == list(
        preparations("sqlite:///x.db")
    )
    monkeypatch.setenv("PATH", os.pathsep.join((str(tmp_path), "/usr/bin")))
    assert ["export BACKSTORY_STORE=sqlite:///x.db"] == list(preparations("sqlite:///x.db"))
