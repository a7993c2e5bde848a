"""What the tests of the command line share: the program in this process, and as a process."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from backstory.cli.program import run


class Answer(NamedTuple):
    """What a run of the program ended with and printed."""

    code: int
    raw: bytes
    error: str

    @property
    def out(self) -> str:
        return self.raw.decode()

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def value(self) -> Any:
        """The one line of JSON that was printed."""
        (line,) = self.lines
        return json.loads(line)

    @property
    def values(self) -> list[Any]:
        return [json.loads(line) for line in self.lines]

    @property
    def problem(self) -> Any:
        """The error, printed with --json: nothing else, and in one line."""
        assert self.raw == b""
        (line,) = self.error.splitlines()
        return json.loads(line)


class Program:
    """The program in this process, in a folder of its own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def __call__(self, *arguments: str, stdin: bytes | None = b"") -> Answer:
        out, error = io.BytesIO(), io.BytesIO()
        with self._monkeypatch.context() as patch:
            patch.setattr(sys, "stdin", None if stdin is None else io.TextIOWrapper(io.BytesIO(stdin)))
            patch.setattr(sys, "stdout", io.TextIOWrapper(out, encoding="utf-8", write_through=True))
            patch.setattr(sys, "stderr", io.TextIOWrapper(error, "utf-8", "backslashreplace", write_through=True))
            code = run(list(arguments))
            sys.stdout.flush()
            return Answer(code, out.getvalue(), error.getvalue().decode())

    def json(self, *arguments: str, stdin: bytes | None = b"") -> Answer:
        return self("--json", *arguments, stdin=stdin)

    def ok(self, *arguments: str, stdin: bytes | None = b"") -> Answer:
        """Run a command that must succeed and say nothing on standard error."""
        answer = self(*arguments, stdin=stdin)
        assert (0, "") == (answer.code, answer.error), answer
        return answer


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: empty, and no setting comes from outside."""
    for name in [name for name in os.environ if name.startswith("BACKSTORY_") or name in {"NO_COLOR", "COLUMNS"}]:
        monkeypatch.delenv(name)
    home = tmp_path / "here"
    home.mkdir()
    monkeypatch.chdir(home)
    return home


@pytest.fixture
def cli(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Program:  # noqa: ARG001 - it is the current folder
    return Program(monkeypatch)


class Process:
    """The program as a process, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._running: list[subprocess.Popen[bytes]] = []

    def __call__(self, *arguments: str | bytes, **options: Any) -> Answer:
        process = self.start(*arguments, **options)
        out, error = process.communicate(timeout=60)
        return Answer(process.returncode, out or b"", (error or b"").decode())

    def start(self, *arguments: str | bytes, **options: Any) -> subprocess.Popen[bytes]:
        standard: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = subprocess.Popen(
            [sys.executable, "-m", "backstory", *arguments], cwd=self.folder, **standard | options
        )
        self._running.append(process)
        return process

    def end(self) -> None:
        for process in self._running:
            with process:
                process.kill()


@pytest.fixture
def process(folder: Path) -> Iterator[Process]:
    found = Process(folder)
    yield found
    found.end()
