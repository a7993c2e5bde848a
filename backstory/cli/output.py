"""Output: one place that prints, for people or for programs, whatever the stream is able to take."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, TextIO

from backstory.cli.failures import OutputError
from backstory.infrastructure.codec import encode_value

#: Stored values may be 200 levels deep; what is printed around one adds a few.
_DEPTH: Final = 240
_COLOURS: Final = {"red": "31", "green": "32", "yellow": "33", "cyan": "36", "dim": "2", "bold": "1"}


def to_json(value: Any) -> bytes:
    """Return a value as one line of JSON, special types tagged."""
    return encode_value(value, max_depth=_DEPTH)


def safe(text: str) -> str:
    """Return text with everything escaped that could move the cursor or is no character."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    return char.encode("unicode_escape", "surrogatepass").decode()


class Output:
    """Where a command's answer goes: JSON or text on standard output, notes on standard error."""

    def __init__(self, *, json: bool, color: bool = True) -> None:
        """Print JSON or text; colours only where `color` is set and the stream is a terminal."""
        self.json: Final = json
        self._color = color and not json and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    def value(self, value: Any) -> None:
        """Print a value as a line of JSON."""
        self.raw(to_json(value) + b"\n")

    def line(self, text: str = "") -> None:
        """Print a line that holds nothing but printable characters and our own colours."""
        if sys.stdout is not None:
            encoding = sys.stdout.encoding or "utf-8"
            self.raw(f"{text}\n".encode(encoding, "backslashreplace"))

    def raw(self, data: bytes) -> None:
        """Write bytes as they are; raises `BrokenPipeError` or `OutputError`."""
        if sys.stdout is not None:
            with _checked(sys.stdout):
                sys.stdout.buffer.write(data)

    def flush(self) -> None:
        """Hand over what was printed; raises `BrokenPipeError` or `OutputError`."""
        if sys.stdout is not None:
            with _checked(sys.stdout):
                sys.stdout.flush()

    def paint(self, text: str, colour: str) -> str:
        """Return text in a colour, if the output is to have any."""
        return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m" if text and self.colored else text

    @property
    def colored(self) -> bool:
        """Whether standard output takes colours."""
        return self._color and is_terminal(sys.stdout)

    @property
    def progress(self) -> bool:
        """Whether a progress bar on standard error is wanted."""
        return not self.json and is_terminal(sys.stderr)


@contextmanager
def _checked(stream: TextIO) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        _let_go(stream)
        if isinstance(error, BrokenPipeError):
            raise
        raise OutputError(error) from error


def is_terminal(stream: TextIO | None) -> bool:
    """Return whether a stream is a terminal; one that is closed is none."""
    with suppress(ValueError):
        return stream is not None and stream.isatty()
    return False


def to_stderr(text: str) -> None:
    """Print a line on standard error, if anybody still listens there."""
    if sys.stderr is None:
        return
    try:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
    except OSError:
        _let_go(sys.stderr)


def _let_go(stream: TextIO) -> None:
    """Send what a broken stream still holds to nowhere, so that the end of the process is quiet."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
