"""Making: a backup of the store at one position, read from the log while writers go on writing.

What is at or before a position never changes. So a backup takes no lock and holds nobody up: it reads the log up to the
head that it found, page by page, and folds on the way what became of each key.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

from backstory.backups.announcing import failed, said, snapshot_of
from backstory.backups.aside import Progress, aside, tell
from backstory.backups.contents import ABOUT, CONSUMERS, EVENTS, RECORDS, SELECTED, STATE, opened
from backstory.backups.entries import Entry, entry_at, info_of
from backstory.backups.figures import Seen, state_hash
from backstory.backups.shelf import Placed, Shelf
from backstory.backups.target import Target
from backstory.core import Core
from backstory.domain.backup_manifests import Backup, BackupKind
from backstory.domain.branches import FOREVER, Lineage
from backstory.domain.chain import genesis
from backstory.domain.errors import BackstoryError, BackupError, EncryptionError, IntegrityError
from backstory.domain.events import StoredEvent, from_micros
from backstory.domain.packed_events import pack
from backstory.domain.ports import LogHead, LogQuery, Program
from backstory.domain.scopes import Scope
from backstory.domain.stands import pack_stand
from backstory.domain.state_hash import StateHash
from backstory.infrastructure.archives.encryption import Encryption
from backstory.infrastructure.archives.writer import ArchiveWriter
from backstory.infrastructure.clock import new_id
from backstory.infrastructure.codec import encode_value
from backstory.infrastructure.sqlite.folded_state import FoldedState
from backstory.schemas import registering

__all__ = ["Wish", "create", "hash_at", "written_since"]

#: A page holds so many events at most, and about so many bytes.
_MOST: Final = 2000
_PAGE_BYTES: Final = 4_000_000
_FIRST_PAGE: Final = 100
#: What an event takes beside its data, roughly.
_OTHER_BYTES: Final = 200
#: So many events are written before writers in other threads have the interpreter for a moment.
_SLICE: Final = 50


@dataclass(frozen=True, slots=True)
class Wish:
    """A backup as it was asked for, checked."""

    kind: BackupKind
    target: Target
    parent_id: str | None
    scopes: tuple[Scope, ...] | None
    compression: str
    level: int | None
    encryption: Encryption | None
    importance: int
    product: str


def create(core: Core, wish: Wish, shelf: Shelf, backup_id: str, progress: Progress | None) -> Program[Backup]:
    """Make a backup and return it; what fails leaves no file behind, and is said by `backup.failed`."""
    try:
        parent = yield from _parent(core, wish, shelf)
        head = yield from core.engine.head()
        entry = yield from _written(core, wish, parent, backup_id, progress=progress, head=head)
    except (BackstoryError, OSError) as error:
        yield from failed(core, backup_id, "create", error)
        raise
    snapshot = yield from snapshot_of(core, backup_id)
    snapshot.say("Made", backup=_facts(entry.backup))
    yield from said(core, backup_id, snapshot=snapshot)
    return entry.backup


def _facts(backup: Backup) -> dict[str, Any]:
    facts: dict[str, Any] = {name: getattr(backup, name) for name in Backup.__dataclass_fields__}
    scopes = None if backup.scopes is None else list(map(str, backup.scopes))
    return {**facts, "scopes": scopes, "created_at": backup.created_at.isoformat()}


# What it is made on


def _parent(core: Core, wish: Wish, shelf: Shelf) -> Program[Placed | None]:
    """Return the backup that an incremental one is made on; raises `BackupError` where there is none that fits."""
    if wish.kind == "full":
        return None
    if wish.parent_id is not None:
        parent = shelf.get(wish.parent_id)
        shelf.chain_of(parent)
        problem = yield from _problem(core, wish, parent)
        if problem is not None:
            raise BackupError(
                f"backup {parent.entry.backup.id} cannot be the parent: it {problem}", backup_id=parent.entry.backup.id
            )
        return parent
    beside = [each for each in shelf.restorable() if each.target.place == wish.target.place]
    for parent in sorted(beside, key=lambda each: -each.entry.backup.position):
        if (yield from _problem(core, wish, parent)) is None:
            return parent
    raise BackupError(
        f"there is no backup to build on in {wish.target.place}: none of this log, branch, scopes and key",
        hint="Make a full one first, or name a parent.",
    )


def _problem(core: Core, wish: Wish, parent: Placed) -> Program[str | None]:
    """Return why a backup cannot be built on, or None."""
    backup = parent.entry.backup
    if parent.entry.log_id != core.engine.log_id:
        return "is of another log"
    if backup.branch != core.branch.name:
        return f"is of branch {backup.branch}"
    if backup.scopes is not None and (wish.scopes is None or not set(wish.scopes) <= set(backup.scopes)):
        return "leaves out some of the scopes"
    digest = yield from hash_at(core, backup.position)
    if digest != parent.entry.head_hash:
        return "holds a log that went on otherwise: this store was restored since"
    return (yield from aside(lambda: _key_problem(parent, wish.encryption)))


def _key_problem(parent: Placed, encryption: Encryption | None) -> str | None:
    """Return why a key does not open a backup, or None: a chain is restored with one key."""
    if parent.entry.backup.encrypted != (encryption is not None):
        return "is encrypted, and no key was given" if parent.entry.backup.encrypted else "is not encrypted"
    try:
        with opened(parent, encryption):
            return None
    except EncryptionError as error:
        return f"needs another key: {error.message}"
    except BackupError as error:
        return f"cannot be read: {error.message}"
    except IntegrityError as error:
        return f"is damaged: {error.message}"


def hash_at(core: Core, position: int) -> Program[bytes | None]:
    """Return the log's hash at a position, None where it does not reach so far."""
    if position == 0:
        return genesis(core.engine.log_id)
    rows = yield from core.engine.events_at([position])
    return rows[0].hash if rows else None


# Writing it


def written_since(
    core: Core, placed: Placed, target: Target, encryption: Encryption | None, *, until: int
) -> Program[Placed]:
    """Write what the log has added since a backup, up to a position, and say nothing of it; return it as one on top."""
    wish = Wish("incremental", target, None, None, "zstd", 1, encryption, 0, placed.entry.product)
    row = (yield from core.engine.events_at([until]))[0]
    head = LogHead(row.position, row.recorded_us, row.hash)
    return Placed((yield from _written(core, wish, placed, new_id().hex(), progress=None, head=head)), target)


def _written(
    core: Core, wish: Wish, parent: Placed | None, backup_id: str, *, progress: Progress | None, head: LogHead
) -> Program[Entry]:
    lineage = lineage_within(core.lineage, head.position)
    since = parent.entry.backup.position if parent is not None else 0
    made_at = from_micros(max(core.clock.now_us(), head.recorded_us))
    schemas = yield from _schemas(core)
    name = f"{made_at:%Y%m%dT%H%M%S%fZ}-{wish.kind}-{backup_id}.bsa"
    job = _Job(wish, name, backup_id, lineage)
    try:
        yield from aside(lambda: job.begin(core.branch.name))
        total = head.position - since
        yield from _copied(core, job, since, head.position, progress)
        yield from tell(progress, total, total)
        if parent is None:
            figures = yield from aside(lambda: job.write_state(head.recorded_us))
        else:
            seen = Seen(core.engine, lineage, head, job.folded)
            figures = yield from state_hash(seen, wish.scopes, parent.entry)
            yield from aside(lambda: job.write_state(head.recorded_us))
        consumers = yield from core.engine.trackings("")
        info = info_of(
            kind=wish.kind,
            parent_id=None if parent is None else parent.entry.backup.id,
            position=head.position,
            since_position=since,
            created_at=made_at,
            events=job.events,
            entries=figures.entries,
            scopes=wish.scopes,
            branch=core.branch.name,
            importance=wish.importance,
            log_id=core.engine.log_id,
            head_hash=head.hash,
            since_hash=genesis(core.engine.log_id) if parent is None else parent.entry.head_hash,
            recorded_at=from_micros(head.recorded_us),
            state_hash=figures.hex(),
            schemas=schemas,
            product=wish.product,
        )
        kept = {name: at for name, at in consumers.items() if wish.scopes is None and at <= head.position}
        return (yield from aside(lambda: job.finish(info, kept)))
    except BaseException as error:
        job.abandon(error)
        raise


def everything(core: Core) -> Program[Lineage]:
    """Return what shows all events of all branches."""
    rows = yield from core.engine.branches()
    return tuple((row.id, FOREVER) for row in rows)


def lineage_within(lineage: Lineage, position: int) -> Lineage:
    """Return a lineage that shows nothing after a position."""
    return tuple((branch, min(limit, position)) for branch, limit in lineage)


def _copied(core: Core, job: _Job, after: int, until: int, progress: Progress | None) -> Program[None]:
    """Copy the log after a position up to another: every event of it, or those of some scopes."""
    query = LogQuery((yield from everything(core)), after, until, limit=_FIRST_PAGE)
    if job.wish.scopes is not None:
        for scope in job.wish.scopes:
            yield from _copied_pages(core, job, query._replace(stream=str(scope)), progress)
        return
    # Positions are dense: a page is told where it ends, so that the database looks no further.
    while after < until:
        page = query._replace(after=after, until=min(until, after + query.limit))
        size = yield from _copied_page(core, job, page, progress, until - query.after)
        after, query = page.until, query._replace(limit=size)


def _copied_pages(core: Core, job: _Job, query: LogQuery, progress: Progress | None) -> Program[None]:
    total = query.until - query.after
    while True:
        before = job.events
        size = yield from _copied_page(core, job, query, progress, total)
        if job.events - before < query.limit:
            return
        query = query._replace(after=job.last, limit=size)


def _copied_page(core: Core, job: _Job, query: LogQuery, progress: Progress | None, total: int) -> Program[int]:
    """Copy a page; return how many events the next one should have."""
    rows = yield from core.engine.page(query)
    yield from aside(lambda: job.take(rows))
    yield from tell(progress, min(job.events, total), total)
    taken = sum(len(row.data) + _OTHER_BYTES for row in rows)
    return max(1, min(_MOST, len(rows) * _PAGE_BYTES // max(1, taken)))


def _schemas(core: Core) -> Program[dict[str, tuple[str, ...]]]:
    found = {}
    for name in (yield from registering.names(core)):
        versions = yield from registering.versions(core, name)
        found[name] = tuple(each.version for each in versions)
    return found


class _Job:
    """An archive that is being written, and what is folded for it; its methods block."""

    def __init__(self, wish: Wish, name: str, backup_id: str, lineage: Lineage) -> None:
        self.wish: Final = wish
        self._name = name
        self._backup_id = backup_id
        self._lineage = lineage
        self._place: AbstractContextManager[BinaryIO] | None = None
        self._writer: ArchiveWriter | None = None
        self.folded = FoldedState(lineage)
        self.events = 0
        self.last = 0

    def begin(self, branch: str) -> None:
        place = self.wish.target.writing(self._name)
        file = place.__enter__()
        self._place = place
        self._writer = writer = ArchiveWriter(
            file,
            backup_id=self._backup_id,
            compression=self.wish.compression,
            level=self.wish.level,
            encryption=self.wish.encryption,
            name=self.wish.target.path_of(self._name),
        )
        writer.begin(ABOUT)
        writer.write(
            encode_value({"records": RECORDS, "branch": branch, "lineage": [list(each) for each in self._lineage]})
        )
        writer.begin(EVENTS if self.wish.scopes is None else SELECTED)

    def take(self, rows: Sequence[StoredEvent]) -> None:
        assert self._writer is not None
        for start in range(0, len(rows), _SLICE):
            part = rows[start : start + _SLICE]
            self._writer.write_all(map(pack, part))
            self.folded.take(part)
            time.sleep(0)  # whoever waits for the interpreter goes first
        self.events += len(rows)
        self.last = rows[-1].position if rows else self.last

    def write_state(self, instant_us: int) -> StateHash:
        """Write where the keys stand that were touched; return what these come to at an instant."""
        assert self._writer is not None
        found = StateHash()

        def records() -> Iterator[bytes]:
            for count, stand in enumerate(self.folded.stands()):
                if not count % _SLICE:
                    time.sleep(0)
                record = pack_stand(stand)
                if stand.present(instant_us):
                    found.add(record)
                yield record

        self._writer.begin(STATE)
        self._writer.write_all(records())
        return found

    def finish(self, info: dict[str, Any], consumers: dict[str, int]) -> Entry:
        assert self._writer is not None
        assert self._place is not None
        writer, target = self._writer, self.wish.target
        if self.wish.scopes is None:
            writer.begin(CONSUMERS)
            writer.write_all(encode_value(list(each)) for each in sorted(consumers.items()))
        writer.finish(info)
        place, self._place = self._place, None
        place.__exit__(None, None, None)
        self.folded.close()
        with target.reading(self._name) as file:
            return entry_at(file, path=target.path_of(self._name), name=self._name)

    def abandon(self, error: BaseException) -> None:
        """Leave nothing behind."""
        self.folded.close()
        if self._place is not None:
            place, self._place = self._place, None
            try:
                place.__exit__(type(error), error, error.__traceback__)
            except BaseException as again:  # noqa: BLE001 - the context manager raises again what it was given
                if again is not error:
                    error.add_note(f"and: {again}")
