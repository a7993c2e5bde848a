"""Adopting a log into a new SQLite file: built beside its place, on disk before it gets its name."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import apsw

from backstory.domain.errors import BackupError
from backstory.domain.events import StoredEvent
from backstory.infrastructure.archives.atomic_file import PARTIAL_SUFFIX, sync_folder
from backstory.infrastructure.archives.failures import not_written
from backstory.infrastructure.configuration import Settings
from backstory.infrastructure.sql.adopting import Adoption, script
from backstory.infrastructure.sql.statements import load, text_of
from backstory.infrastructure.sqlite.connections import check_library, connect, pragma, shut, translated
from backstory.infrastructure.sqlite.schema import APPLICATION_ID, VERSION

__all__ = ["adopt", "check_place", "partial_of", "publish"]

_PACKAGE: Final = "backstory.infrastructure.sqlite"
#: Files that SQLite would take for a part of the new one, and others of its own.
_PARTS: Final = ("-wal", "-journal")
_OWN: Final = ("", "-wal", "-journal", "-shm")
#: Rows come in order and indexes are sorted in pieces: what fits the processor's own cache is faster than much.
_CACHE_KIB: Final = 4000
_SORTERS: Final = 2


def adopt(
    path: Path,
    log_id: bytes,
    pages: Iterable[Sequence[StoredEvent]],
    *,
    consumers: Callable[[], Mapping[str, int]],
    settings: Settings,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Make a store at `path` that holds a given log, all of it or nothing; return how many events it has.

    `pages` gives the rows in log order from position 1 on, hashes included, which the caller has checked;
    `consumers` is asked for their positions once `pages` has ended; `progress` hears how many events are stored.
    What `pages` raises goes through. Only a process that is killed leaves something: a hidden file whose name ends
    in `.partial`. Raises `BackupError` where a file stands at `path` or its folder is missing, `IntegrityError` for
    rows that make no log, `StoreUnavailableError` and `BackupError` where the disk fails.
    """
    check_library()
    check_place(path)
    with partial_of(path) as partial:
        connection = connect(str(partial), settings, create=False, read_only=False)
        try:
            count = _fill(_Tables(connection, path), log_id, pages, consumers=consumers, progress=progress)
        except BaseException:
            shut(connection)
            raise
        with translated("write", str(path)):
            connection.close()
        publish(partial, path)
    return count


def _fill(
    tables: _Tables,
    log_id: bytes,
    pages: Iterable[Sequence[StoredEvent]],
    *,
    consumers: Callable[[], Mapping[str, int]],
    progress: Callable[[int], None] | None,
) -> int:
    with closing(Adoption()) as adoption:
        tables.begin(log_id)
        for rows in pages:
            page = adoption.page(rows)
            tables.add("insert_event", page.events)
            tables.add("insert_clear_row", page.clears)
            if progress is not None:
                progress(adoption.count)
        adoption.finish()
        tables.finish(adoption, consumers())
        return adoption.count


class _Tables:
    """The tables of the new file. Nothing can be rolled back: on failure the file is thrown away."""

    def __init__(self, connection: apsw.Connection, path: Path) -> None:
        self._connection = connection
        self._path = str(path)
        self._q = load("backstory.infrastructure.sql", "queries.sql") | load(_PACKAGE, "queries.sql")
        self._early, self._late = script(text_of(_PACKAGE, "schema.sql"))

    def begin(self, log_id: bytes) -> None:
        """Make the tables."""
        with translated("make", self._path):
            for name, value in (("journal_mode", "off"), ("synchronous", 0), ("cache_size", -_CACHE_KIB)):
                pragma(self._connection, name, value)
            self._connection.pragma("threads", _SORTERS)  # as many as this SQLite has
            self._execute("BEGIN", *self._early)
            self._connection.execute("INSERT INTO store (name, value) VALUES ('log_id', ?)", (log_id,))

    def add(self, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """Run a statement for each row."""
        if rows:
            with translated("write", self._path):
                self._connection.executemany(self._q[statement], rows)

    def finish(self, adoption: Adoption, consumers: Mapping[str, int]) -> None:
        """Make all that is told by the events."""
        many, fork = self._connection.executemany, "INSERT INTO branches VALUES (?, ?, ?, ?, ?, ?)"
        with translated("write", self._path):
            many(fork, adoption.forks())
            many("INSERT INTO streams (id, branch, name) VALUES (?, ?, ?)", adoption.streams())
            many("INSERT INTO keys (id, stream, kind, name) VALUES (?, ?, ?, ?)", adoption.keys())
            many("INSERT INTO types (id, name) VALUES (?, ?)", adoption.types())
            many("INSERT INTO tracking (name, position) VALUES (?, ?)", consumers.items())
            causes = f"INSERT INTO causes (cause, effect) {self._q['named_causes']}"
            self._execute(*self._late, self._q["rebuild_state"], causes)
            self._connection.pragma("application_id", APPLICATION_ID)
            self._connection.pragma("user_version", VERSION)
            self._execute("COMMIT")
            pragma(self._connection, "journal_mode", "wal")

    def _execute(self, *statements: str) -> None:
        for statement in statements:
            self._connection.execute(statement).fetchall()


def check_place(path: Path) -> None:
    """Refuse a place where something stands, or cannot; a file of no bytes may be somebody's, too."""
    for part in ("", *_PARTS):
        there = Path(f"{path}{part}")
        if os.path.lexists(there):
            raise BackupError(f"{there} exists already", path=str(there), hint="Name a file that is not there yet.")
    if not path.parent.is_dir():
        raise BackupError(
            f"there is no folder {path.parent}", path=str(path), hint="Make the folder, or choose another."
        )


@contextmanager
def partial_of(path: Path) -> Iterator[Path]:
    """Give a new hidden file beside `path`; whatever happens, neither it nor SQLite's own beside it are left."""
    partial = path.absolute().with_name(f".{path.name}.{secrets.token_hex(4)}{PARTIAL_SUFFIX}")
    try:
        os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644))
    except OSError as error:
        raise not_written(str(path), error) from error
    try:
        yield partial
    finally:
        for part in _OWN:
            with suppress(OSError):
                Path(f"{partial}{part}").unlink(missing_ok=True)


def publish(partial: Path, path: Path) -> None:
    """Bring the file to disk and give it its name, unless another has it by now."""
    try:
        _sync(partial)
        check_place(path)
        path.hardlink_to(partial)
    except FileExistsError as error:
        raise BackupError(f"{path} exists by now", path=str(path), hint="Name a file that is not there yet.") from error
    except OSError as error:
        raise not_written(str(path), error) from error
    try:
        partial.unlink()
        sync_folder(path.parent)
    except OSError as error:
        raise BackupError(
            f"{path} is written, but its folder cannot be brought to disk: {error.strerror or error}",
            path=str(path),
            hint="The store is whole; a power cut now may take it back. Check the disk.",
        ) from error


def _sync(file: Path) -> None:
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
