"""The blocking PostgreSQL engine: a pool to read with, one connection to write with, one that listens."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

import psycopg
from psycopg_pool import ConnectionPool

from backstory.domain.commits import Commit, Outcome
from backstory.domain.errors import StoreClosedError
from backstory.domain.ports import Clock, Engine, Program, Step, Stop, never
from backstory.infrastructure.configuration import Settings
from backstory.infrastructure.postgres.base import LastRound, PostgresBase
from backstory.infrastructure.postgres.connections import LOST, POOL, adapt, ends_session, named, session_settings
from backstory.infrastructure.postgres.statements import placeholders
from backstory.infrastructure.programs import Round, advance, drive
from backstory.infrastructure.sql.statements import Ask, Exclusive
from backstory.infrastructure.waiting import Signal

Connection = psycopg.Connection[tuple[Any, ...]]
_LISTEN_S = 5.0
#: How long the pool tries by itself: who reads tries again at once, without the pool's growing pauses.
_TRY_S = 0.2


class PostgresEngine(PostgresBase):
    """A log in a PostgreSQL schema, for threads."""

    def __init__(self, url: str, clock: Clock, settings: Settings, *, read_only: bool) -> None:
        super().__init__(url, clock, settings, read_only=read_only)
        self._write_lock = threading.Lock()
        self._write: Connection | None = None
        self._pool: ConnectionPool[Connection] | None = None
        self._listener: threading.Thread | None = None
        self._listener_lock = threading.Lock()
        self._signal = Signal(self._grown, poll_s=_LISTEN_S)

    @classmethod
    def open(cls, url: str, clock: Clock, settings: Settings, *, create: bool, read_only: bool) -> Engine:
        """Return an engine on a database, its schema made where it is missing."""
        engine = cls(url, clock, settings, read_only=read_only)
        try:
            connection = engine._connection()
            drive(engine.prepare(create=create), lambda request: _execute(connection, request))
        except LOST as error:
            engine.close()
            raise named(error, "open") from error
        except psycopg.Error as error:
            engine.close()
            raise named(error, "make") from error
        except BaseException:
            engine.close()
            raise
        return engine

    @staticmethod
    async def open_async(url: str, clock: Clock, settings: Settings, *, create: bool, read_only: bool) -> Engine:
        """Return the engine for one event loop."""
        from backstory.infrastructure.postgres.async_engine import AsyncPostgresEngine

        return await AsyncPostgresEngine.open_async(url, clock, settings, create=create, read_only=read_only)

    def _connect(self) -> Connection:
        connection: Connection = psycopg.Connection.connect(self._url, autocommit=True)
        self._configure(connection)
        return connection

    def _configure(self, connection: Connection) -> None:
        adapt(connection)
        connection.execute(session_settings(self._settings, read_only=self.read_only))

    def _connection(self) -> Connection:
        """Return the writing connection, made anew where it was lost."""
        if self._write is None or self._write.closed:
            introduction = self._introduction()
            self._write = self._connect()
            if introduction is not None:
                _execute(self._write, introduction)
        return self._write

    # Reading

    def _reading(self) -> ConnectionPool[Connection]:
        if self._closed:
            raise StoreClosedError
        if self._pool is None:
            with self._listener_lock:
                if self._pool is None:
                    self._pool = ConnectionPool(
                        self._url,
                        min_size=1,
                        max_size=self._settings.pool_size,
                        reconnect_timeout=_TRY_S,
                        kwargs={"autocommit": True},
                        configure=self._configure,
                        open=True,
                    )
        return self._pool

    def _read(self, request: Any) -> Any:
        """Answer one request; a connection that was lost is tried again: reading twice does no harm."""
        if type(request) is Exclusive:
            return self._exclusive(request)
        deadline = time.monotonic() + self._settings.reconnect_timeout_s
        while True:
            try:
                with self._reading().connection(timeout=_TRY_S) as connection:
                    return _execute(connection, request)
            except psycopg.Error as error:
                again = isinstance(error, POOL) or ends_session(error)
                if not again or self._closed or time.monotonic() > deadline:
                    raise self._closed_or(error, "read") from error

    def _closed_or(self, error: Exception, action: str) -> Exception:
        return StoreClosedError() if self._closed else named(error, action)

    def advance(self, program: Program[Any], request: Any) -> Step:
        """Answer requests in the caller's thread."""
        return advance(program, request, self._read)

    async def advance_async(self, program: Program[Any], request: Any) -> Step:
        """Not this engine's: it was opened for threads."""
        self._not_async()

    async def commit_async(self, commits: Sequence[Commit]) -> Sequence[Outcome]:
        """Not this engine's: it was opened for threads."""
        self._not_async()

    async def wait_async(self, position: int, timeout_s: float, stop: Stop = never) -> bool:
        """Not this engine's: it was opened for threads."""
        self._not_async()

    async def close_async(self) -> None:
        """Not this engine's: it was opened for threads."""
        self._not_async()

    @staticmethod
    def _not_async() -> NoReturn:
        raise TypeError("this engine was opened for threads; `open_async` makes one for an event loop")

    # Writing

    def commit(self, commits: Sequence[Commit]) -> Sequence[Outcome]:
        """Store a group of commits; a lost connection is answered by looking, or by the truth."""
        deadline = time.monotonic() + self._settings.reconnect_timeout_s
        with self._write_lock, self._distrusting():
            while True:
                if self._closed:
                    raise StoreClosedError
                outcomes = self._try(commits, deadline)
                if outcomes is not None:
                    break
        self._signal.wake()
        return outcomes

    def _try(self, commits: Sequence[Commit], deadline: float) -> Sequence[Outcome] | None:
        """Return the outcomes, or None where nothing was written and it may be tried again."""
        sent = False

        def execute(request: Any) -> Any:
            nonlocal sent
            sent = sent or type(request) is LastRound
            return _execute(self._connection(), request)

        try:
            return drive(self.committing(commits), execute).outcomes
        except psycopg.Error as error:
            self._memory.forget()
            if not self._lost(error):
                self._roll_back()
                raise named(error, "write", outcome="not_written") from error
            if sent:
                return self._look_up(error, deadline)
            if time.monotonic() > deadline:
                raise named(error, "write", outcome="not_written") from error
            time.sleep(0.02)
            return None
        except Exception:
            self._memory.forget()
            self._roll_back()
            raise

    def _look_up(self, lost: Exception, deadline: float) -> Sequence[Outcome] | None:
        """Return the outcomes of a group whose answer was lost, None if it was not written.

        Raises `StoreUnavailableError` with outcome `unknown` where nobody can be asked.
        """
        batch = self._batch
        while batch is not None and batch.rows:
            try:
                connection = self._connection()
                if not drive(self.finding(batch), lambda request: _execute(connection, request)):
                    return None
            except psycopg.Error as error:
                if not self._lost(error):
                    self._roll_back()
                if time.monotonic() > deadline:
                    break
                time.sleep(0.02)
            else:
                self._new.keep()
                return batch.outcomes
        raise named(lost, "write", outcome="unknown") from lost

    def _lost(self, error: psycopg.Error) -> bool:
        """Return whether the writing connection is gone with this error; it is closed then."""
        if self._write is None or self._write.closed:
            return True
        if ends_session(error):
            self._write.close()
        return self._write.closed

    @contextlib.contextmanager
    def _distrusting(self) -> Iterator[None]:
        """Close the writing connection where an interrupt strikes: nobody knows which answer it would give next."""
        try:
            yield
        except Exception:
            raise
        except BaseException:
            self._memory.forget()
            if self._write is not None:
                self._write.close()
            raise

    def _roll_back(self) -> None:
        if self._write is None or self._write.closed:
            return
        try:
            self._write.execute("ROLLBACK")
        except psycopg.Error:
            self._write.close()

    def _exclusive(self, request: Exclusive) -> None:
        with self._write_lock, self._distrusting():
            self._memory.forget()
            try:
                connection = self._connection()
                lock = Ask(self._q["lock"], {"lock": self._lock})
                begin, commit = Ask(self._q["begin"], {}), Ask(self._q["commit"], {})
                _execute(connection, Round([begin, lock, *request.asks, commit]))
            except psycopg.Error as error:
                self._roll_back()
                raise named(error, "write") from error

    # Waiting

    def _grown(self, position: int) -> bool:
        if self._closed:
            return True
        rows = self._read(Ask(self._q["head"], {}))
        return bool(rows) and rows[0][0] > position

    def wait(self, position: int, timeout_s: float, stop: Stop = never) -> bool:
        """Block until the log grew past a position: other processes' commits arrive by NOTIFY."""
        with self._listener_lock:
            if self._listener is None and not self._closed:
                self._listener = threading.Thread(target=self._listen, name="backstory-listen", daemon=True)
                self._listener.start()
        return self._signal.wait(position, timeout_s, stop)

    def _listen(self) -> None:
        while not self._closed:
            try:
                with self._connect() as connection:
                    connection.execute(f'LISTEN "{self.channel}"')
                    self._signal.wake()
                    while not self._closed:
                        for _ in connection.notifies(timeout=_LISTEN_S, stop_after=1):
                            self._signal.wake()
            except psycopg.Error:
                # The server is away: look again soon. Who waits polls meanwhile, nothing is missed.
                time.sleep(0.1)

    def wake(self) -> None:
        """Let everybody who waits look again."""
        self._signal.wake()

    # Closing

    def close(self) -> None:
        """Close every connection; idempotent."""
        with self._write_lock:
            if self._closed:
                return
            self._closed = True
            last_words = self._farewell()
            if self._listener is not None:
                last_words.append(Ask(self._q["notify"], {"channel": self.channel, "payload": ""}))
            if last_words:
                with contextlib.suppress(psycopg.Error):
                    _execute(self._connection(), Round(last_words))
            if self._write is not None:
                self._write.close()
        self._signal.wake()
        if self._listener is not None:
            self._listener.join()
        if self._pool is not None:
            self._pool.close()


def _execute(connection: Connection, request: Any) -> Any:
    """Answer a request on a connection; a round goes in one pipeline."""
    if type(request) is Ask:
        cursor = _started(connection, request)
        return cursor.fetchall() if cursor.description else []
    with connection.pipeline():
        cursors = [_started(connection, ask) for ask in request.requests]
    return [cursor.fetchall() if cursor.description else [] for cursor in cursors]


def _started(connection: Connection, ask: Ask) -> psycopg.Cursor[tuple[Any, ...]]:
    return connection.execute(placeholders(ask.sql), ask.params or None, binary=ask.binary)
