"""Child processes of a test: started as modules of this repository, none outlives its test."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
ENDS_WITHIN_S = 120


class Children:
    """The processes that one test started."""

    def __init__(self) -> None:
        self._running: list[subprocess.Popen[str]] = []

    def start(self, module: str, *args: object, output: Path | None = None) -> subprocess.Popen[str]:
        """Start `python -m module args`; its standard output is a pipe, or goes to the file `output`."""
        with output.open("w") if output is not None else _nothing() as file:
            child = subprocess.Popen(
                [sys.executable, "-m", module, *map(str, args)],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE if file is None else file,
                text=True,
            )
        self._running.append(child)
        return child

    def end(self) -> None:
        """Kill what still runs, and wait for it."""
        for child in self._running:
            child.kill()
        for child in self._running:
            child.wait()
            for pipe in (child.stdin, child.stdout):
                if pipe is not None:
                    pipe.close()


@contextmanager
def _nothing() -> Iterator[IO[str] | None]:
    yield None


@contextmanager
def children() -> Iterator[Children]:
    """Give a starter of processes; on the way out all of them are ended."""
    started = Children()
    try:
        yield started
    finally:
        started.end()


def told(child: subprocess.Popen[str], line: str) -> None:
    """Write one line to a child's standard input."""
    assert child.stdin is not None
    child.stdin.write(line + "\n")
    child.stdin.flush()


def heard(child: subprocess.Popen[str]) -> str:
    """Return the next line of a child's standard output, once it comes."""
    assert child.stdout is not None
    line = child.stdout.readline()
    assert line, f"the child ended with {child.wait()} and said nothing more"
    return line.rstrip("\n")


def last_words(child: subprocess.Popen[str]) -> str:
    """Return the rest of a child's standard output once it has ended well."""
    rest, _ = child.communicate(timeout=ENDS_WITHIN_S)
    assert child.returncode == 0
    return rest
