"""The schema of a SQLite store: made, recognised, and refused when it is somebody else's."""

from __future__ import annotations

from typing import Any, Final
from uuid import uuid4

import apsw

from backstory.domain.errors import ConfigError, IntegrityError, StoreUnavailableError, StoreVersionError
from backstory.infrastructure.sql.statements import text_of
from backstory.infrastructure.sqlite.connections import translated

VERSION: Final = 2
#: "BkSt": marks the file as ours in SQLite's header.
APPLICATION_ID: Final = 0x426B5374


def recognise(connection: apsw.Connection, path: str, *, create: bool) -> None:
    """Look whether a file is ours, or empty and to be made ours, before anything in it is touched.

    Raises `ConfigError` for another program's file, `StoreVersionError` for a newer version,
    `StoreUnavailableError` for an empty one that is not to be made.
    """
    with translated("open", path):
        if _version(connection, path) == 0 and not create:
            raise StoreUnavailableError(
                f"{path} holds no store yet", hint="Open it for writing, and let it be created, first."
            )


def prepare(connection: apsw.Connection, path: str) -> bytes:
    """Return the log's id, making the schema in an empty file."""
    with translated("open", path):
        if _version(connection, path) == 0:
            _create(connection, path)
        rows: list[tuple[Any, ...]] = connection.execute("SELECT value FROM store WHERE name = 'log_id'").fetchall()
        if not rows:
            raise IntegrityError(f"{path} has lost its log's id", kind="file", hint="Restore a backup.")
        log_id: bytes = rows[0][0]
        return log_id


def _version(connection: apsw.Connection, path: str) -> int:
    """Return the schema's version, 0 for an empty file."""
    application = connection.pragma("application_id")
    version = connection.pragma("user_version")
    if application == APPLICATION_ID:
        if version != VERSION:
            raise StoreVersionError(found=version, supported=VERSION)
        return VERSION
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()[0][0]
    if application or tables:
        raise ConfigError(f"{path} is another program's database", key="url", hint="Choose another file.")
    return 0


def _create(connection: apsw.Connection, path: str) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        if _version(connection, path) == 0:
            for _ in connection.execute(text_of("backstory.infrastructure.sqlite", "schema.sql")):
                pass
            connection.execute("INSERT INTO store (name, value) VALUES ('log_id', ?)", (uuid4().bytes,))
            connection.pragma("application_id", APPLICATION_ID)
            connection.pragma("user_version", VERSION)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
