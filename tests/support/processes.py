"""Child processes of a test: started as modules of this repository, none outlives its test."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    Child = subprocess.Popen[bytes]

ROOT = Path(__file__).resolve().parents[2]
ENDS_WITHIN_S = 120
_CHUNK = 65536


class Children:
    """The processes that one test started, each with the processes that it started itself."""

    def __init__(self) -> None:
        self._running: list[Child] = []

    def start(self, module: str, *args: object) -> Child:
        """Start `python -m module args` with pipes for its standard input and output."""
        child = subprocess.Popen(
            [sys.executable, "-m", module, *map(str, args)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            bufsize=0,
        )
        self._running.append(child)
        return child

    def end(self) -> None:
        """Kill what still runs, and wait for it."""
        for child in self._running:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
        for child in self._running:
            child.wait()
            for pipe in (child.stdin, child.stdout):
                if pipe is not None:
                    pipe.close()


@contextmanager
def children() -> Iterator[Children]:
    """Give a starter of processes; on the way out all of them are ended."""
    started = Children()
    try:
        yield started
    finally:
        started.end()


def told(child: Child, line: str) -> None:
    """Write one line to a child's standard input."""
    assert child.stdin is not None
    child.stdin.write(f"{line}\n".encode())


def heard(child: Child) -> str:
    """Return the next line of a child's standard output, once it comes."""
    assert child.stdout is not None
    line = child.stdout.readline()
    assert line, f"the child ended with {child.wait()} and said nothing more"
    return line.decode().rstrip("\n")


def last_words(child: Child) -> str:
    """Return the rest of a child's standard output once it has ended well."""
    rest, _ = child.communicate(timeout=ENDS_WITHIN_S)
    assert child.returncode == 0
    return rest.decode()


class Lines:
    """A child's lines as they come, for somebody who also wants to know that none came in time."""

    def __init__(self, child: Child) -> None:
        assert child.stdout is not None
        self._descriptor = child.stdout.fileno()
        self._rest = b""
        self._lines: list[str] = []

    def next(self, timeout_s: float = ENDS_WITHIN_S) -> str | None:
        """Return the next whole line, or None if none came within `timeout_s` seconds."""
        while not self._lines:
            ready, _, _ = select.select([self._descriptor], [], [], timeout_s)
            if not ready:
                return None
            chunk = os.read(self._descriptor, _CHUNK)
            assert chunk, "the child ended and said nothing more"
            *whole, self._rest = (self._rest + chunk).split(b"\n")
            self._lines.extend(line.decode() for line in whole)
        return self._lines.pop(0)
