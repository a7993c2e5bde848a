"""The command line: `backstory`, a thin face of the store."""

from __future__ import annotations

import os
import signal
import sys
from typing import NoReturn


def main() -> None:
    """Run the program with this process's arguments, and end the process with its exit code."""
    try:
        _fill_standard_streams()
        signal.signal(signal.SIGTERM, _end)
        sys.exit(_run(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)


def _run(arguments: list[str]) -> int:
    from backstory.cli.shortcut import run_get

    code = run_get(arguments)
    if code is None:
        from backstory.cli.program import run

        code = run(arguments)
    return code


def _fill_standard_streams() -> None:
    """Open the standard streams that are closed, so that no store's file gets their numbers."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def _end(number: int, _frame: object) -> NoReturn:
    """End the process in order, so that stores are closed."""
    sys.exit(128 + number)


__all__ = ["main"]
