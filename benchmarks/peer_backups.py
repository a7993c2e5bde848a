"""What one does without us: SQLite's own backup and zstd, `pg_dump -Fc` and `pg_restore`; what counts ends on disk."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

import apsw
import psycopg
import zstandard
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from backstory.domain.errors import StoreUnavailableError
from backstory.testing._postgres_binaries import find_binaries
from backstory.testing.postgres import PostgresServer

NO_PROGRAMS: Final = "left out: no pg_dump and pg_restore of the server's own version"
_LEVEL: Final = 3
_SCHEMA: Final = "backstory"
_MAJOR: Final = 10_000


# SQLite


def of_sqlite(source: Path, archive: Path) -> None:
    """Copy a store's file as `sqlite3 .backup` does, writers or not, and compress the copy; only the archive is synced.

    By apsw: two libraries of SQLite in one process would take each other's locks away.
    """
    copy = archive.with_suffix(".copy")
    live = apsw.Connection(str(source), flags=apsw.SQLITE_OPEN_READONLY)
    with closing(live), closing(apsw.Connection(str(copy))) as into:
        into.pragma("synchronous", 0)
        with into.backup("main", live, "main") as backup:
            backup.step(-1)
    with copy.open("rb") as raw, _on_disk(archive) as file:
        zstandard.ZstdCompressor(level=_LEVEL).copy_stream(raw, file)
    copy.unlink()


def to_sqlite(archive: Path, file: Path) -> None:
    """Decompress what `of_sqlite` made to where a store can be opened, and bring it to disk."""
    with archive.open("rb") as packed, _on_disk(file) as raw:
        zstandard.ZstdDecompressor().copy_stream(packed, raw)


def events_in(file: Path) -> int:
    """Return how many events a store's file holds."""
    with closing(apsw.Connection(str(file))) as connection:
        count: int = connection.execute("SELECT count(*) FROM events").get
        return count


@contextmanager
def _on_disk(path: Path) -> Iterator[BinaryIO]:
    with path.open("xb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


# PostgreSQL


class Programs(NamedTuple):
    """The programs of a server, by their paths."""

    dump: Path
    restore: Path


def programs_of(server: PostgresServer) -> Programs | None:
    """Return the programs beside those that a server of ours is run with; None unless they are of its version."""
    try:
        folder = find_binaries()
    except StoreUnavailableError:
        return None
    found = Programs(folder / "pg_dump", folder / "pg_restore")
    if not all(os.access(program, os.X_OK) for program in found):
        return None
    said = subprocess.run([found.dump, "--version"], capture_output=True, text=True, check=False).stdout
    version = re.search(r"\(PostgreSQL\) (\d+)", said)
    with psycopg.connect(server.url) as connection:
        running = connection.info.server_version // _MAJOR
    return found if version is not None and int(version[1]) == running else None


def of_postgres(programs: Programs, url: str, archive: Path) -> None:
    """Dump a store's schema in PostgreSQL's own format, compressed as it comes; pg_dump brings it to disk itself."""
    _run(programs.dump, url, "--format=custom", f"--schema={_SCHEMA}", f"--file={archive}")


def to_postgres(programs: Programs, archive: Path, url: str) -> None:
    """Bring a dump into an empty database, in one transaction."""
    _run(programs.restore, url, "--exit-on-error", "--single-transaction", str(archive))


def events_at(url: str) -> int:
    """Return how many events a store in PostgreSQL holds."""
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT count(*) FROM backstory.events").fetchone()
        return int(row[0]) if row else 0


def _run(program: Path, url: str, *arguments: str) -> None:
    """Run a program on a database; its words go through, and the password is not where other users see it."""
    place = conninfo_to_dict(url)
    password = place.pop("password", None)
    secret = {} if password is None else {"PGPASSWORD": str(password)}
    command = [str(program), f"--dbname={make_conninfo('', **place)}", *arguments]
    subprocess.run(command, env={**os.environ, **secret}, check=True)
