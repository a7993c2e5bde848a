"""Adopting a log into a new PostgreSQL schema: one transaction, rows by COPY, indexes after them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from struct import Struct
from typing import Any, Final

import psycopg

from backstory.domain.errors import BackupError
from backstory.domain.events import StoredEvent
from backstory.infrastructure.configuration import Settings
from backstory.infrastructure.postgres.base import VERSION
from backstory.infrastructure.postgres.connections import adapt, check_settings, named, session_settings
from backstory.infrastructure.postgres.statements import placeholders, queries
from backstory.infrastructure.sql.adopting import Adoption, script
from backstory.infrastructure.sql.statements import text_of

__all__ = ["adopt", "check_place"]

Connection = psycopg.Connection[tuple[Any, ...]]

#: The columns that are always there stand first, with their widths one struct; `data` ends it.
_COPY_EVENTS: Final = (
    "COPY events (position, branch, stream, version, event_id, type, recorded_us, format, cipher_key, hash, data,"
    " key, expires_us, correlation, causes, actor, extra) FROM STDIN (FORMAT binary, FREEZE)"
)
_PLAIN: Final = Struct("!h iq ii iq iq i16s ii iq ih ii i32s i".replace(" ", ""))
_COLUMNS: Final = 17
#: How many types every store knows from the start.
_TYPES_GIVEN: Final = 4
_NUMBER: Final = Struct("!iq")
_NULL: Final = b"\xff\xff\xff\xff"
_FIVE_NULLS: Final = _NULL * 5
_BEGIN: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_END: Final = b"\xff\xff"
#: Just in time compilation takes longer than the statements here, whose rows the planner cannot count.
_LOCALLY: Final = ("SET LOCAL jit = off", "SET LOCAL maintenance_work_mem = '128MB'")
_CLEARS: Final = (
    "INSERT INTO clears (stream, position, version, recorded_us)"
    " SELECT stream, position, version, recorded_us FROM events WHERE type = 3"
)


def adopt(
    url: str,
    log_id: bytes,
    pages: Iterable[Sequence[StoredEvent]],
    *,
    consumers: Callable[[], Mapping[str, int]],
    settings: Settings,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Make a store in the schema `settings.namespace` that holds a given log, all of it or nothing.

    Returns how many events it has. `pages` gives the rows in log order from position 1 on, hashes included, which
    the caller has checked; `consumers` is asked for their positions once `pages` has ended; `progress` hears how
    many events are stored. What `pages` raises goes through. Raises `BackupError` where the schema holds a store,
    `IntegrityError` for rows that make no log, `StoreUnavailableError` for a server that cannot be reached, or is
    lost; with `outcome` "unknown" where it was lost while it committed.
    """
    check_settings(settings)
    source = _Source(pages)
    tables = _Tables(url, settings)
    try:
        with tables.connected(), closing(Adoption()) as adoption:
            tables.begin(log_id)
            tables.copy(adoption, source, progress)
            adoption.finish()
            tables.finish(adoption, consumers())
            return adoption.count
    except psycopg.Error as error:
        if source.error is not None:
            raise source.error from None
        raise named(error, tables.action, outcome=tables.outcome) from error


def check_place(url: str, settings: Settings) -> None:
    """Raise `BackupError` where a schema holds a store, `StoreUnavailableError` where no server answers."""
    check_settings(settings)
    tables = _Tables(url, settings)
    try:
        with tables.connected():
            tables.check_free()
    except psycopg.Error as error:
        raise named(error, "open") from error


class _Source:
    """Pages; `error` is what getting the next one raised, to tell it from what the database raises."""

    def __init__(self, pages: Iterable[Sequence[StoredEvent]]) -> None:
        self._pages = pages
        self.error: BaseException | None = None

    def __iter__(self) -> Iterator[Sequence[StoredEvent]]:
        try:
            yield from self._pages
        except BaseException as error:
            self.error = error
            raise


class _Tables:
    """The tables of the new schema, seen by nobody else until they are whole."""

    def __init__(self, url: str, settings: Settings) -> None:
        self.action = "open"
        self.outcome = "unavailable"
        self._url = url
        self._settings = settings
        self._q = queries()
        self._early, self._late = script(text_of("backstory.infrastructure.postgres", "schema.sql"))
        self._connection: Connection

    @contextmanager
    def connected(self) -> Iterator[None]:
        """Connect for as long; what is not committed by then is undone."""
        self._connection = psycopg.Connection.connect(self._url, autocommit=True)
        try:
            adapt(self._connection)
            self._execute(session_settings(self._settings, read_only=False))
            yield
        finally:
            self._connection.close()

    def begin(self, log_id: bytes) -> None:
        """Make the tables, under the lock of those who make stores; raises `BackupError` where there is one."""
        self.action, self.outcome = "make", "not_written"
        namespace = self._settings.namespace
        self._execute(self._q["begin"])
        self._execute("SELECT pg_advisory_xact_lock(hashtext(:name))", {"name": f"backstory {namespace}"})
        self.check_free()
        self._execute(f'CREATE SCHEMA IF NOT EXISTS "{namespace}"')
        for statement in (*self._early, *_LOCALLY):
            self._execute(statement)
        params = {"id": log_id, "version": str(VERSION).encode()}
        self._execute("INSERT INTO store VALUES ('log_id', :id), ('version', :version)", params)

    def check_free(self) -> None:
        """Raise `BackupError` where there is a store already."""
        namespace = self._settings.namespace
        if self._execute(self._q["store_exists"], {"namespace": namespace}).fetchall()[0][0]:
            raise BackupError(
                f"the schema {namespace} holds a store already",
                hint="Name an empty database, or another `namespace`.",
            )

    def copy(
        self, adoption: Adoption, pages: Iterable[Sequence[StoredEvent]], progress: Callable[[int], None] | None
    ) -> None:
        """Store the events, all in one COPY: the server writes a page while the next one is made."""
        self.action = "write"
        with self._connection.cursor() as cursor, cursor.copy(_COPY_EVENTS) as copy:
            copy.write(_BEGIN)
            for rows in pages:
                copy.write(_packed(adoption.page(rows).events))
                if progress is not None:
                    progress(adoption.count)
            copy.write(_END)

    def finish(self, adoption: Adoption, consumers: Mapping[str, int]) -> None:
        """Make all that is told by the events, and commit."""
        self._copy_rows("branches (id, name, parent, position, created_us, dropped)", adoption.forks())
        self._copy_rows("streams (id, branch, name)", adoption.streams())
        self._copy_rows("keys (id, stream, kind, name)", adoption.keys())
        self._copy_rows("types (id, name)", adoption.types())
        self._copy_rows("tracking (name, position)", consumers.items())
        for statement in self._late:
            self._execute(statement)
        for table, given in (("streams", 0), ("keys", 0), ("types", _TYPES_GIVEN)):
            last = f"setval(pg_get_serial_sequence('{table}', 'id'), max(id))"
            self._execute(f"SELECT {last} FROM {table} HAVING max(id) > {given}")  # noqa: S608 - our own names
        self._execute(_CLEARS)
        self._execute("ANALYZE events, streams, keys, types")
        self._execute(self._q["rebuild_state"])
        self._execute(f"INSERT INTO causes (cause, effect) {self._q['named_causes']}")
        self.outcome = "unknown"
        self._execute(self._q["commit"])

    def _copy_rows(self, table: str, rows: Iterable[Sequence[Any]]) -> None:
        with self._connection.cursor() as cursor, cursor.copy(f"COPY {table} FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)

    def _execute(self, statement: Any, params: Mapping[str, object] | None = None) -> psycopg.Cursor[tuple[Any, ...]]:
        if isinstance(statement, str):
            statement = placeholders(statement)
        return self._connection.execute(statement, params)


def _packed(rows: Iterable[tuple[Any, ...]]) -> bytes:
    """Return rows as COPY's binary format has them: each part behind its length."""
    parts: list[bytes] = []
    add, pack, number = parts.append, _PLAIN.pack, _NUMBER.pack
    for row in rows:
        (
            at, branch, stream, version, event_id, kind, key, now,
            end, group, causes, actor, extra, form, lock, data, digest,
        ) = row  # fmt: skip
        add(
            pack(
                _COLUMNS, 8, at, 4, branch, 8, stream, 8, version, 16, event_id, 4, kind, 8, now,
                2, form, 4, lock, 32, digest, len(data),
            )
        )  # fmt: skip
        add(data)
        add(_NULL if key is None else number(8, key))
        if end is group is causes is actor is extra is None:
            add(_FIVE_NULLS)
        else:
            add(_NULL if end is None else number(8, end))
            for part in (group, causes, actor, extra):
                add(_NULL if part is None else len(part).to_bytes(4, "big") + part)
    return b"".join(parts)
