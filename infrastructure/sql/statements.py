"""Statements: SQL kept in `.sql` files, each with a name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Final, NamedTuple

_NAME: Final = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)
_COMMENT: Final = re.compile(r"^ *--.*\n?", re.MULTILINE)


class Ask(NamedTuple):
    """A request to a SQL engine: one statement; the reply is its rows.

    What is long and `binary` is best sent so: a server's text of bytes is twice as long.
    """

    sql: str
    params: Mapping[str, object]
    binary: bool = False


class Exclusive(NamedTuple):
    """A request for several statements in one transaction under the log's lock; the reply is None."""

    asks: tuple[Ask, ...]


def parse(text: str) -> dict[str, str]:
    """Return the statements of a file's text by name, without comments."""
    parts = _NAME.split(text)
    return {name: _COMMENT.sub("", body).strip() for name, body in zip(parts[1::2], parts[2::2], strict=True)}


def split(text: str) -> list[str]:
    """Return the statements of a script, without comments."""
    parts = _COMMENT.sub("", text).split(";")
    return [part.strip() for part in parts if part.strip()]


def load(package: str, *names: str) -> dict[str, str]:
    """Return the statements of a package's files; later files win."""
    found: dict[str, str] = {}
    for name in names:
        found.update(parse(text_of(package, name)))
    return found


def text_of(package: str, name: str) -> str:
    """Return the text of a package's file."""
    return files(package).joinpath(name).read_text(encoding="utf-8")
