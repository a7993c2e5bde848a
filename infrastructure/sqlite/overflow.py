"""Overflow: names that are more than memory should hold go to a file without a name, which nobody else sees."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import apsw

from backstory.domain.errors import BackupError

__all__ = ["made", "making_room"]

_SETTINGS: Final = "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-8192"


def made(schema: str) -> apsw.Connection:
    """Return a database with this schema in a temporary file, which is gone with the connection."""
    connection = apsw.Connection("")
    connection.execute(_SETTINGS)
    connection.execute(schema)
    return connection


@contextmanager
def making_room(what: str) -> Iterator[None]:
    """Raise what fails of a temporary file as `BackupError`: `what` are more than memory should hold."""
    try:
        yield
    except apsw.Error as error:
        raise BackupError(
            f"the {what} that are more than memory should hold cannot be kept in a temporary file: {error}",
            hint="Make room for one, or name another place by the environment variable SQLITE_TMPDIR.",
        ) from error
