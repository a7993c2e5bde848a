"""What both PostgreSQL engines share: the program of a commit, and the schema's making.

A commit takes two rounds to the server: one begins, locks, and reads the head; one inserts,
notifies and commits. A group whose last round got no answer is looked up by its event ids,
under the lock, which its lost transaction cannot hold any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple
from uuid import uuid4

from backstory.domain.chain import genesis
from backstory.domain.commits import Commit
from backstory.domain.errors import StoreUnavailableError, StoreVersionError
from backstory.domain.ports import Clock, LogHead, Program, Recovery
from backstory.domain.sequencer import Batch
from backstory.infrastructure.appending import Memory, append
from backstory.infrastructure.configuration import Settings
from backstory.infrastructure.postgres.connections import check_settings
from backstory.infrastructure.postgres.statements import literal, many, queries
from backstory.infrastructure.postgres.writers import forget_dead, hold, living
from backstory.infrastructure.programs import Round
from backstory.infrastructure.sql.names import Names, NewNames
from backstory.infrastructure.sql.reader import SqlReader
from backstory.infrastructure.sql.statements import Ask, split, text_of
from backstory.infrastructure.sql.writing import rows_of, tracking_ask
from backstory.infrastructure.writers import Writer

VERSION: Final = 2


class LastRound(NamedTuple):
    """The last round of a commit: from here on a lost connection leaves the outcome open."""

    requests: list[Any]


class PostgresBase(SqlReader):
    """A log in a PostgreSQL schema, without a way to talk to it yet."""

    recovery: Recovery | None = None

    def __init__(self, url: str, clock: Clock, settings: Settings, *, read_only: bool) -> None:
        check_settings(settings)
        found = queries()
        super().__init__(found, Names(found), glob="name LIKE :{param} ESCAPE '!'")
        self.read_only: Final = read_only
        self._url = url
        self._clock = clock
        self._settings = settings
        self._closed = False
        self._memory = Memory()
        self._new = NewNames(self.names, found)
        self._tail: list[Any] = []
        self._batch: Batch | None = None
        self._kept = True
        self._writer = Writer(uuid4().hex)
        self.writer_id: Final = self._writer.id
        self._announced = False

    # Opening

    def _settle_log(self, log_id: bytes) -> None:
        self.log_id = log_id
        self._lock = int.from_bytes(log_id[:8], "big", signed=True)
        self.channel = "backstory_" + log_id.hex()[:24]

    def prepare(self, *, create: bool) -> Program[None]:
        """Make the schema where it is missing, and learn the log's id."""
        namespace = self._settings.namespace
        if not (yield from self._exists()):
            if not create or self.read_only:
                raise StoreUnavailableError(
                    f"the database holds no store in schema {namespace}", hint="Open it with `create=True` first."
                )
            yield Ask(self._q["begin"], {})
            yield Ask("SELECT pg_advisory_xact_lock(hashtext(:name))", {"name": f"backstory {namespace}"})
            if not (yield from self._exists()):
                yield Ask(f'CREATE SCHEMA IF NOT EXISTS "{namespace}"', {})
                for statement in split(text_of("backstory.infrastructure.postgres", "schema.sql")):
                    yield Ask(statement, {})
                params = {"id": uuid4().bytes, "version": str(VERSION).encode()}
                yield Ask("INSERT INTO store VALUES ('log_id', :id), ('version', :version)", params)
            yield Ask(self._q["commit"], {})
        rows = dict((yield Ask("SELECT name, value FROM store", {})))
        version = int(bytes(rows["version"]))
        if version != VERSION:
            raise StoreVersionError(found=version, supported=VERSION)
        self._settle_log(bytes(rows["log_id"]))
        if not self.read_only:
            yield from forget_dead(self._q, self._lock)

    def _exists(self) -> Program[bool]:
        # Not `to_regclass`: its cache may not know yet what another process made while this one waited for its lock.
        rows = yield Ask(self._q["store_exists"], {"namespace": self._settings.namespace})
        return bool(rows[0][0])

    def _introduction(self) -> Ask | None:
        """Return what a new writing session begins with; with it the writer announces itself again."""
        self._announced = False
        return None if self.read_only else hold(self._q, self._writer.id)

    def _farewell(self) -> list[Ask]:
        """Return what to say last: that this writer closed the store."""
        return [Ask(self._q["remove_writer"], {"id": self._writer.id})] if self._writer.added else []

    def living_writers(self) -> Program[set[str]]:
        """Return the ids of the writers that live."""
        return living(self._q)

    @staticmethod
    def array(values: Sequence[int] | Sequence[bytes]) -> str:
        """Return a list as a parameter: an array's text."""
        return literal(values)

    # Writing

    def committing(self, commits: Sequence[Commit]) -> Program[Batch]:
        """Store a group of commits: the program of one transaction, begin and commit included."""
        self._new = NewNames(self.names, self._q)
        self._tail = []
        self._batch = None
        lock = Ask(self._q["lock"], {"lock": self._lock})
        first = [Ask(self._q["begin"], {}), lock, Ask(self._q["head"], {}), Ask(self._q["projection"], {})]
        _, _, head, kept = yield Round(first)
        self._kept = bool(kept[0][0])
        at = LogHead(*head[0]) if head else LogHead(0, 0, genesis(self.log_id))
        batch = yield from append(self, commits, self._memory, self._clock.now_us(), head=at)
        if batch.empty:
            yield Ask(self._q["rollback"], {})
            return batch
        notify = Ask(self._q["notify"], {"channel": self.channel, "payload": ""})
        self._batch = batch
        yield LastRound([*self._tail, notify, Ask(self._q["commit"], {})])
        self._new.keep()
        self._announced = True
        return batch

    def insert(self, batch: Batch) -> Program[None]:
        """Put together what stores a batch; the last round sends it."""
        rows = yield from rows_of(batch, self._new)
        tail = self._tail
        if not self._announced:
            self._writer.added = True
            since = 0 if self._memory.head is None else self._memory.head.position
            tail.append(Ask(self._q["add_writer"], self._writer.row(since)))
        own = (("insert_event", rows.events), ("insert_clear_row", rows.clears), ("insert_cause", batch.causes))
        for name, values in own:
            if values:
                tail.append(many(self._q[name], values))
        if self._kept:
            for name, values in (("upsert_state", rows.upserts), ("remove_state", rows.removals)):
                if values:
                    tail.append(many(self._q[name], values))
        for fork in batch.forks:
            params = {"id": fork.id, "name": fork.name, "parent": fork.parent, "position": fork.position}
            tail.append(Ask(self._q["insert_branch"], {**params, "created_us": fork.created_us}))
        for branch, position in batch.drops:
            tail.append(Ask(self._q["end_branch"], {"id": branch, "position": position}))
        for tracking in batch.tracking:
            tail.append(tracking_ask(self._q, tracking))

    def finding(self, batch: Batch) -> Program[bool]:
        """Return whether a group whose answer was lost is in the log; waits for its lost transaction to end."""
        yield Ask(self._q["begin"], {})
        yield Ask(self._q["lock"], {"lock": self._lock})
        rows = yield Ask(self._q["recorded_at_all"], {"ids": [row.event_id for row in batch.rows]})
        yield Ask(self._q["rollback"], {})
        return bool(rows[0][0] == len(batch.rows))
