"""Files of transcripts, JSON lines or one JSON document: the runs in them, each with the line where it begins."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from itertools import chain
from json import JSONDecodeError
from typing import Any, BinaryIO, Final, NamedTuple

from backstory.domain.transcripts import Run, Unreadable, end_of_json, is_run, read_json, runs_in

__all__ = ["Found", "Value", "read_runs"]

_BOM: Final = b"\xef\xbb\xbf"
_BETWEEN: Final = " \t\n\r,"  # What stands between the items of a list.


class Value(NamedTuple):
    """A JSON value of a file, or why it is none; the line where it begins, and the bytes up to its end."""

    line: int
    end: int
    content: Any


class Found(NamedTuple):
    """A run of a file, whose id is known, or why it is none; the line where it begins, and the bytes up to its end."""

    line: int
    end: int
    content: Run | Unreadable


def read_runs(file: BinaryIO, *, stem: str) -> Iterator[Found]:
    """Return the runs of a file, in order. A run without an id is named by the file's stem, a dash and its line.

    Of several such runs on one line the second is named `<stem>-<line>-2`, and so on.
    """
    line, nameless = 0, 0
    for value in _values(file):
        if value.line != line:
            line, nameless = value.line, 0
        for run in [value.content] if isinstance(value.content, Unreadable) else runs_in(value.content):
            found = run
            if isinstance(found, Run) and found.id is None:
                nameless += 1
                found = found._replace(id=f"{stem}-{line}" if nameless == 1 else f"{stem}-{line}-{nameless}")
            yield Found(line, value.end, found)


def _values(file: BinaryIO) -> Iterator[Value]:
    """Return the values of JSON lines, or of a document that spans lines; what is neither is told line by line."""
    head = _head(file)
    if not _spans_lines([line for line in head if line.strip()]):
        yield from _by_line(chain(head, file))
        return
    data = b"".join((*head, file.read()))
    try:
        yield from _elements(data)
    except ValueError as error:
        values = list(_by_line(io.BytesIO(data)))
        if any(is_run(value.content) for value in values):
            yield from values
        else:
            line = error.lineno if isinstance(error, JSONDecodeError) else 1
            yield Value(line, len(data), _unreadable(error))


def _head(file: BinaryIO) -> list[bytes]:
    """Return the file's lines up to the second one that is not blank."""
    lines: list[bytes] = []
    seen = 0
    while seen < 2 and (line := file.readline()):  # noqa: PLR2004 - two lines tell JSON lines from a document
        seen += bool(line.strip())
        lines.append(line if lines else line.removeprefix(_BOM))
    return lines


def _spans_lines(lines: list[bytes]) -> bool:
    """Return whether these first lines belong to one value: the first is none by itself, and the second is no run."""
    if not lines or not lines[0].lstrip().startswith((b"[", b"{")):
        return False
    if not isinstance(_value_of(lines[0]), Unreadable):
        return False
    return lines[0].strip() == b"[" or (len(lines) > 1 and not is_run(_value_of(lines[1])))


def _by_line(lines: Iterable[bytes]) -> Iterator[Value]:
    end = 0
    for number, line in enumerate(lines, 1):
        end += len(line)
        if line.strip():
            yield Value(number, end, _value_of(line))


def _value_of(line: bytes) -> Any:
    try:
        return read_json(line.decode())
    except ValueError as error:
        return _unreadable(error)


def _unreadable(error: ValueError) -> Unreadable:
    if isinstance(error, UnicodeDecodeError):
        return Unreadable("this is no UTF-8 text. Save the file in that encoding.")
    reason = error.msg if isinstance(error, JSONDecodeError) else str(error)
    return Unreadable(f"this is no JSON: {reason}. Write each run as one line of JSON, or the file as one document.")


def _elements(data: bytes) -> list[Value]:
    """Return a document's runs, each with its line; raises `ValueError` if it is no JSON."""
    text = data.decode()
    whole = read_json(text)
    at = len(text) - len(text.lstrip())
    line = 1 + text.count("\n", 0, at)
    if not (isinstance(whole, list) and any(is_run(item) for item in whole)):
        return [Value(line, len(data), whole)]
    values = []
    end = at + 1
    for item in whole:
        begin = end
        while text[begin] in _BETWEEN:
            begin += 1
        line += text.count("\n", at, begin)
        at, end = begin, end_of_json(text, begin)
        values.append(Value(line, len(data) * end // len(text), item))
    return values
