"""The asyncio PostgreSQL engine: the same programs, driven over psycopg's own async connections."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any, NoReturn

import psycopg
from psycopg_pool import AsyncConnectionPool

from backstory.domain.commits import Commit, Outcome
from backstory.domain.errors import StoreClosedError
from backstory.domain.ports import Clock, Engine, Program, Step, Stop, never
from backstory.infrastructure.configuration import Settings
from backstory.infrastructure.postgres.base import LastRound, PostgresBase
from backstory.infrastructure.postgres.connections import LOST, POOL, adapt, ends_session, named, session_settings
from backstory.infrastructure.postgres.statements import placeholders
from backstory.infrastructure.programs import Round, advance_async, drive_async
from backstory.infrastructure.sql.statements import Ask, Exclusive
from backstory.infrastructure.waiting import Signal

Connection = psycopg.AsyncConnection[tuple[Any, ...]]
_LISTEN_S = 5.0
#: How long the pool tries by itself: who reads tries again at once, without the pool's growing pauses.
_TRY_S = 0.2


class AsyncPostgresEngine(PostgresBase):
    """A log in a PostgreSQL schema, for the tasks of one event loop."""

    def __init__(self, url: str, clock: Clock, settings: Settings, *, read_only: bool) -> None:
        super().__init__(url, clock, settings, read_only=read_only)
        self._write_lock = asyncio.Lock()
        self._write: Connection | None = None
        self._pool: AsyncConnectionPool[Connection] | None = None
        self._pool_lock = asyncio.Lock()
        self._listener: asyncio.Task[None] | None = None
        self._signal = Signal(lambda _: self._closed, poll_s=_LISTEN_S, changed_async=self._grown)

    @classmethod
    async def open_async(cls, url: str, clock: Clock, settings: Settings, *, create: bool, read_only: bool) -> Engine:
        """Return an engine on a database, its schema made where it is missing."""
        engine = cls(url, clock, settings, read_only=read_only)
        try:
            connection = await engine._connection()
            await drive_async(engine.prepare(create=create), lambda request: _execute(connection, request))
        except LOST as error:
            await engine.close_async()
            raise named(error, "open") from error
        except psycopg.Error as error:
            await engine.close_async()
            raise named(error, "make") from error
        except BaseException:
            await engine.close_async()
            raise
        return engine

    async def _connect(self) -> Connection:
        connection: Connection = await psycopg.AsyncConnection.connect(self._url, autocommit=True)
        await self._configure(connection)
        return connection

    async def _configure(self, connection: Connection) -> None:
        adapt(connection)
        await connection.execute(session_settings(self._settings, read_only=self.read_only))

    async def _connection(self) -> Connection:
        """Return the writing connection, made anew where it was lost."""
        if self._write is None or self._write.closed:
            introduction = self._introduction()
            self._write = await self._connect()
            if introduction is not None:
                await _execute(self._write, introduction)
        return self._write

    # Reading

    async def _reading(self) -> AsyncConnectionPool[Connection]:
        if self._closed:
            raise StoreClosedError
        async with self._pool_lock:
            if self._pool is None:
                self._pool = AsyncConnectionPool(
                    self._url,
                    min_size=1,
                    max_size=self._settings.pool_size,
                    reconnect_timeout=_TRY_S,
                    kwargs={"autocommit": True},
                    configure=self._configure,
                    open=False,
                )
                await self._pool.open()
        return self._pool

    async def _read(self, request: Any) -> Any:
        """Answer one request; a connection that was lost is tried again: reading twice does no harm."""
        if type(request) is Exclusive:
            return await self._exclusive(request)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._settings.reconnect_timeout_s
        while True:
            try:
                pool = await self._reading()
                async with pool.connection(timeout=_TRY_S) as connection:
                    return await _execute(connection, request)
            except psycopg.Error as error:
                again = isinstance(error, POOL) or ends_session(error)
                if not again or self._closed or loop.time() > deadline:
                    raise self._closed_or(error, "read") from error

    def _closed_or(self, error: Exception, action: str) -> Exception:
        return StoreClosedError() if self._closed else named(error, action)

    async def advance_async(self, program: Program[Any], request: Any) -> Step:
        """Answer requests without blocking the event loop."""
        return await advance_async(program, request, self._read)

    def advance(self, program: Program[Any], request: Any) -> Step:
        """Not this engine's: it was opened for an event loop."""
        self._not_blocking()

    def commit(self, commits: Sequence[Commit]) -> Sequence[Outcome]:
        """Not this engine's: it was opened for an event loop."""
        self._not_blocking()

    def wait(self, position: int, timeout_s: float, stop: Stop = never) -> bool:
        """Not this engine's: it was opened for an event loop."""
        self._not_blocking()

    def close(self) -> None:
        """Not this engine's: it was opened for an event loop."""
        self._not_blocking()

    @staticmethod
    def _not_blocking() -> NoReturn:
        raise TypeError("this engine was opened for an event loop; `open` makes one for threads")

    # Writing

    async def commit_async(self, commits: Sequence[Commit]) -> Sequence[Outcome]:
        """Store a group of commits; a lost connection is answered by looking, or by the truth."""
        deadline = asyncio.get_running_loop().time() + self._settings.reconnect_timeout_s
        async with self._write_lock, self._distrusting():
            while True:
                if self._closed:
                    raise StoreClosedError
                outcomes = await self._try(commits, deadline)
                if outcomes is not None:
                    break
        self._signal.wake()
        return outcomes

    async def _try(self, commits: Sequence[Commit], deadline: float) -> Sequence[Outcome] | None:
        """Return the outcomes, or None where nothing was written and it may be tried again."""
        sent = False

        async def execute(request: Any) -> Any:
            nonlocal sent
            sent = sent or type(request) is LastRound
            return await _execute(await self._connection(), request)

        try:
            return (await drive_async(self.committing(commits), execute)).outcomes
        except psycopg.Error as error:
            self._memory.forget()
            if not await self._lost(error):
                await self._roll_back()
                raise named(error, "write", outcome="not_written") from error
            if sent:
                return await self._look_up(error, deadline)
            if asyncio.get_running_loop().time() > deadline:
                raise named(error, "write", outcome="not_written") from error
            await asyncio.sleep(0.02)
            return None
        except Exception:
            self._memory.forget()
            await self._roll_back()
            raise

    async def _look_up(self, lost: Exception, deadline: float) -> Sequence[Outcome] | None:
        """Return the outcomes of a group whose answer was lost, None if it was not written.

        Raises `StoreUnavailableError` with outcome `unknown` where nobody can be asked.
        """
        batch = self._batch
        while batch is not None and batch.rows:
            try:
                connection = await self._connection()
                if not await drive_async(self.finding(batch), lambda request: _execute(connection, request)):
                    return None
            except psycopg.Error as error:
                if not await self._lost(error):
                    await self._roll_back()
                if asyncio.get_running_loop().time() > deadline:
                    break
                await asyncio.sleep(0.02)
            else:
                self._new.keep()
                return batch.outcomes
        raise named(lost, "write", outcome="unknown") from lost

    async def _lost(self, error: psycopg.Error) -> bool:
        """Return whether the writing connection is gone with this error; it is closed then."""
        if self._write is None or self._write.closed:
            return True
        if ends_session(error):
            await self._write.close()
        return self._write.closed

    @contextlib.asynccontextmanager
    async def _distrusting(self) -> AsyncIterator[None]:
        """Close the writing connection where an interrupt strikes: nobody knows which answer it would give next."""
        try:
            yield
        except Exception:
            raise
        except BaseException:
            self._memory.forget()
            if self._write is not None:
                await self._write.close()
            raise

    async def _roll_back(self) -> None:
        if self._write is None or self._write.closed:
            return
        try:
            await self._write.execute("ROLLBACK")
        except psycopg.Error:
            await self._write.close()

    async def _exclusive(self, request: Exclusive) -> None:
        async with self._write_lock, self._distrusting():
            self._memory.forget()
            try:
                connection = await self._connection()
                lock = Ask(self._q["lock"], {"lock": self._lock})
                begin, commit = Ask(self._q["begin"], {}), Ask(self._q["commit"], {})
                await _execute(connection, Round([begin, lock, *request.asks, commit]))
            except psycopg.Error as error:
                await self._roll_back()
                raise named(error, "write") from error

    # Waiting

    async def _grown(self, position: int) -> bool:
        if self._closed:
            return True
        rows = await self._read(Ask(self._q["head"], {}))
        return bool(rows) and rows[0][0] > position

    async def wait_async(self, position: int, timeout_s: float, stop: Stop = never) -> bool:
        """Wait until the log grew past a position: other processes' commits arrive by NOTIFY."""
        if self._listener is None and not self._closed:
            self._listener = asyncio.get_running_loop().create_task(self._listen())
        return await self._signal.wait_async(position, timeout_s, stop)

    async def _listen(self) -> None:
        while not self._closed:
            try:
                async with await self._connect() as connection:
                    await connection.execute(f'LISTEN "{self.channel}"')
                    self._signal.wake()
                    while not self._closed:
                        async for _ in connection.notifies(timeout=_LISTEN_S, stop_after=1):
                            self._signal.wake()
            except psycopg.Error:
                # The server is away: look again soon. Who waits polls meanwhile, nothing is missed.
                await asyncio.sleep(0.1)

    def wake(self) -> None:
        """Let everybody who waits look again."""
        self._signal.wake()

    # Closing

    async def close_async(self) -> None:
        """Close every connection; idempotent."""
        if self._closed:
            return
        self._closed = True
        self._signal.wake()
        if self._listener is not None:
            self._listener.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._listener
        async with self._write_lock:
            last_words = self._farewell()
            if last_words:
                with contextlib.suppress(psycopg.Error):
                    await _execute(await self._connection(), Round(last_words))
            if self._write is not None:
                await self._write.close()
        if self._pool is not None:
            await self._pool.close()


async def _execute(connection: Connection, request: Any) -> Any:
    """Answer a request on a connection; a round goes in one pipeline."""
    if type(request) is Ask:
        cursor = await _started(connection, request)
        return await cursor.fetchall() if cursor.description else []
    async with connection.pipeline():
        cursors = [await _started(connection, ask) for ask in request.requests]
    return [await cursor.fetchall() if cursor.description else [] for cursor in cursors]


async def _started(connection: Connection, ask: Ask) -> psycopg.AsyncCursor[tuple[Any, ...]]:
    return await connection.execute(placeholders(ask.sql), ask.params or None, binary=ask.binary)
