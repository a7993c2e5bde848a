"""The SQLite engine: one file, one writing connection, as many reading ones as readers."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Awaitable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple
from uuid import uuid4

import apsw

from backstory.domain.branches import FOREVER, Lineage
from backstory.domain.commits import Commit, KeyHead, Outcome
from backstory.domain.errors import BackstoryError, StoreClosedError
from backstory.domain.ports import Clock, Program, Recovery, Step, Stop, never
from backstory.domain.sequencer import Batch
from backstory.infrastructure.appending import Memory, append
from backstory.infrastructure.configuration import Settings
from backstory.infrastructure.programs import advance, drive, in_a_thread
from backstory.infrastructure.sql.names import Names, NewNames
from backstory.infrastructure.sql.reader import SqlReader
from backstory.infrastructure.sql.statements import Ask, Exclusive, load
from backstory.infrastructure.sql.writing import rows_of, tracking_ask
from backstory.infrastructure.sqlite.connections import (
    FAULTS,
    check_library,
    configure,
    connect,
    named,
    shut,
    translated,
)
from backstory.infrastructure.sqlite.schema import prepare, recognise
from backstory.infrastructure.waiting import Signal
from backstory.infrastructure.writers import Writer, living_writers, look_for_dead

_READERS: Final = 4


class _Known(NamedTuple):
    """A request for a key's head from memory."""

    place: tuple[int, str, str]


def _queries() -> dict[str, str]:
    shared = load("backstory.infrastructure.sql", "queries.sql")
    return shared | load("backstory.infrastructure.sqlite", "queries.sql")


class SqliteEngine(SqlReader):
    """A log in a SQLite file."""

    def __init__(self, path: str, clock: Clock, settings: Settings, *, create: bool, read_only: bool) -> None:
        queries = _queries()
        super().__init__(queries, Names(queries), glob="name GLOB :{param}")
        check_library()
        self.read_only: Final = read_only
        self._path = path if path == ":memory:" else str(Path(path).absolute())
        self._clock = clock
        self._settings = settings
        self._closed = False
        self._lost = False
        self._memory = Memory()
        self._write_lock = threading.Lock()
        self._idle: deque[apsw.Connection] = deque()
        self._executor: ThreadPoolExecutor | None = None
        self._new: NewNames | None = None
        self._writer = Writer(uuid4().hex)
        self.writer_id: Final = self._writer.id
        self._signal = Signal(self._grown, poll_s=settings.poll_interval_s)
        self._write = self._connect(create=create)
        try:
            self.log_id = prepare(self._write, self._path)
            self.recovery: Recovery | None = drive(look_for_dead(self, queries), self._read)
        except BaseException:
            self.close()
            raise

    def _connect(self, *, create: bool = False) -> apsw.Connection:
        connection = connect(self._path, self._settings, create=create, read_only=self.read_only)
        try:
            recognise(connection, self._path, create=create and not self.read_only)
            configure(connection, self._path, self._settings, read_only=self.read_only)
        except BaseException:
            shut(connection)
            raise
        return connection

    # Reading

    def _read(self, request: Any) -> Any:
        """Answer one request on a connection of its own; autocommit, so each sees the newest state."""
        if type(request) is _Known:
            return self._known(request)
        if type(request) is not Ask:
            return self._exclusive(request) if type(request) is Exclusive else list(map(self._read, request.requests))
        if self._closed:
            raise StoreClosedError
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._connect()
        try:
            return connection.execute(request.sql, request.params).fetchall()
        except FAULTS as error:
            raise named(error, "read", self._path) from error
        finally:
            self._idle.append(connection)
            if self._closed:
                self._close_idle()

    def advance(self, program: Program[Any], request: Any) -> Step:
        """Answer requests in the caller's thread."""
        return advance(program, request, self._read)

    async def advance_async(self, program: Program[Any], request: Any) -> Step:
        """Answer requests in a thread of ours: SQLite never blocks the event loop."""
        run = copy_context().run  # what a program finds in the caller's context, it finds in a thread as well
        return await in_a_thread(self._threads(), partial(run, self.advance, program, request))

    def _threads(self) -> ThreadPoolExecutor:
        if self._closed:
            raise StoreClosedError
        if self._executor is None:
            self._executor = ThreadPoolExecutor(_READERS, thread_name_prefix="backstory")
        return self._executor

    def living_writers(self) -> Program[set[str]]:
        """Return the ids of the writers whose process lives."""
        return living_writers(self._q)

    def key_now(self, lineage: Lineage, stream: str, key: str) -> Program[KeyHead]:
        """Return what last happened to a key: what a commit left in memory, while nobody has written since."""
        place = (lineage[0][0], stream, key)
        if place in self._memory.keys:
            known: KeyHead | None = yield _Known(place)
            if known is not None:
                return known
        return (yield from self.key_head(lineage, stream, key, FOREVER))

    def _known(self, request: _Known) -> KeyHead | None:
        """Return a head that is in memory, if nobody commits and the log ends where it did."""
        if not self._write_lock.acquire(blocking=False):
            return None
        try:
            head = self._memory.head
            if self._closed or self._lost or head is None:
                return None
            rows = self._write.execute(self._q["head"]).fetchall()
            return self._memory.keys.get(request.place) if rows and rows[0][0] == head.position else None
        except apsw.Error as error:
            raise named(error, "read", self._path) from error
        finally:
            self._write_lock.release()

    # Writing

    def commit(self, commits: Sequence[Commit]) -> Sequence[Outcome]:
        """Store a group of commits in one durable transaction."""
        with self._write_lock:
            if self._closed:
                raise StoreClosedError
            outcome: Any = "not_written"
            connection = self._writing()
            self._new = NewNames(self.names, self._q)
            try:
                connection.execute("BEGIN IMMEDIATE")
                batch = drive(append(self, commits, self._memory, self._clock.now_us()), self._written)
                if batch.empty:
                    connection.execute("ROLLBACK")
                    return batch.outcomes
                outcome = "unknown"
                connection.execute("COMMIT")
            except FAULTS as error:
                raise self._given_up(error, outcome) from error
            except BaseException:
                self._roll_back()
                raise
            self._new.keep()
            self._writer.added = True
        self._signal.wake()
        return batch.outcomes

    def _written(self, request: Any) -> Any:
        if type(request) is not Ask:
            return list(map(self._written, request.requests))
        return self._write.execute(request.sql, request.params).fetchall()

    def _given_up(self, error: apsw.Error | UnicodeDecodeError, outcome: Any) -> BackstoryError:
        """Undo what is left of a failed transaction and return what to raise.

        A full disk or a refused lock at the commit leaves nothing behind. After another fault
        there nobody knows whether the commit mark reached the disk.
        """
        if isinstance(error, (apsw.FullError, apsw.BusyError)):
            outcome = "not_written"
        self._roll_back()
        return named(error, "write", self._path, outcome=outcome)

    def _roll_back(self) -> None:
        self._memory.forget()
        try:
            if self._write.in_transaction:
                self._write.execute("ROLLBACK")
        except apsw.Error:
            shut(self._write)
            self._lost = True

    def _writing(self) -> apsw.Connection:
        """Return the writing connection, made anew where it could not even roll back."""
        if self._lost:
            self._write = self._connect()
            self._lost = False
        return self._write

    def commit_async(self, commits: Sequence[Commit]) -> Awaitable[Sequence[Outcome]]:
        """Store a group of commits from a thread of ours, started at once."""
        return asyncio.get_running_loop().run_in_executor(self._threads(), self.commit, commits)

    def insert(self, batch: Batch) -> Program[None]:
        """Store a batch, inside the transaction."""
        assert self._new is not None
        rows = yield from rows_of(batch, self._new)
        if not self._writer.added:
            since = 0 if self._memory.head is None else self._memory.head.position
            yield Ask(self._q["add_writer"], self._writer.row(since))
        self._many("insert_event", rows.events)
        self._many("insert_clear_row", rows.clears)
        self._many("insert_cause", batch.causes)
        if rows.state and (yield from self.state_kept()):
            self._many("upsert_state", rows.upserts)
            self._many("remove_state", rows.removals)
        for fork in batch.forks:
            params = {"id": fork.id, "name": fork.name, "parent": fork.parent, "position": fork.position}
            yield Ask(self._q["insert_branch"], {**params, "created_us": fork.created_us})
        for branch, position in batch.drops:
            yield Ask(self._q["end_branch"], {"id": branch, "position": position})
        for tracking in batch.tracking:
            yield tracking_ask(self._q, tracking)

    def _many(self, name: str, rows: Iterable[tuple[Any, ...]]) -> None:
        if rows:
            self._write.executemany(self._q[name], rows)

    def _exclusive(self, request: Exclusive) -> None:
        """Run statements in one transaction of their own."""
        with self._write_lock, translated("write", self._path):
            if self._closed:
                raise StoreClosedError
            self._memory.forget()
            self._writing().execute("BEGIN IMMEDIATE")
            try:
                for ask in request.asks:
                    self._written(ask)
                self._write.execute("COMMIT")
            except BaseException:
                self._roll_back()
                raise

    # Waiting

    def _grown(self, position: int) -> bool:
        if self._closed:
            return True
        rows = self._read(Ask(self._q["head"], {}))
        return bool(rows) and rows[0][0] > position

    def wait(self, position: int, timeout_s: float, stop: Stop = never) -> bool:
        """Block until the log grew past a position."""
        return self._signal.wait(position, timeout_s, stop)

    async def wait_async(self, position: int, timeout_s: float, stop: Stop = never) -> bool:
        """Wait until the log grew past a position; looking takes microseconds, on the loop's thread."""
        return await self._signal.wait_async(position, timeout_s, stop)

    def wake(self) -> None:
        """Let everybody who waits look again."""
        self._signal.wake()

    # Closing

    def close(self) -> None:
        """Close every connection; the last one to close folds the write-ahead log into the file."""
        with self._write_lock:
            if self._closed:
                return
            self._closed = True
            self._leave()
        self._signal.wake()
        if self._executor is not None:
            self._executor.shutdown(wait=True)
        self._close_idle()
        shut(self._write)

    def _close_idle(self) -> None:
        """Close the reading connections that nobody uses; who uses one closes it when done."""
        while self._idle:
            try:
                connection = self._idle.pop()
            except IndexError:
                return
            shut(connection)

    def _leave(self) -> None:
        """Say that this writer closed the store; if that cannot be written, the next one looks closely."""
        if not self._writer.added:
            return
        try:
            self._written(Ask(self._q["remove_writer"], {"id": self._writer.id}))
        except apsw.Error:
            self._roll_back()

    async def close_async(self) -> None:
        """Close every connection without blocking the event loop."""
        await asyncio.to_thread(self.close)
