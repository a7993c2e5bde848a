"""Making: a backup of the store at one position, read from the log while writers go on writing.

What is at or before a position never changes. So a backup takes no lock and holds nobody up: it reads the log up to the
head that it found, page by page, and folds on the way what became of each key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final, NamedTuple

from backstory.backups.announcing import failed, said
from backstory.backups.aside import Progress, aside, tell, watching
from backstory.backups.entries import Entry, facts_at, info_of
from backstory.backups.figures import Seen, state_hash
from backstory.backups.knowing import all_branches
from backstory.backups.parents import parent_for
from backstory.backups.shelf import Placed, Shelf
from backstory.backups.target import Target
from backstory.backups.wishes import Wish
from backstory.backups.writing import Job
from backstory.core import Core
from backstory.domain.backup_manifests import Backup
from backstory.domain.branches import Lineage
from backstory.domain.chain import genesis
from backstory.domain.errors import BackstoryError, BackupError, IntegrityError, StoreUnavailableError
from backstory.domain.events import from_micros
from backstory.domain.packed_events import PackedPage
from backstory.domain.ports import LogHead, LogQuery, Program
from backstory.infrastructure.aggregates.snapshot import BACKUP_PRUNED, stream_of_snapshot
from backstory.infrastructure.archives.encryption import Encryption
from backstory.infrastructure.clock import new_id
from backstory.schemas import registering

__all__ = ["create", "written_since"]

#: A page holds so many events at most, and so many bytes of data unless one event has more.
_MOST: Final = 2000
_PAGE_BYTES: Final = 4_000_000
#: So often consumers are looked up beside the head, until none of them went on in between.
_LOOKS: Final = 10


def create(core: Core, wish: Wish, shelf: Shelf, backup_id: str, progress: Progress | None) -> Program[Backup]:
    """Make a backup and return it; what fails leaves no file behind, and is said by `backup.failed`.

    Of a scheduled one the schedule's run says so.
    """
    try:
        parent = yield from parent_for(core, wish, shelf)
        # The clock first: what is written between the two is not to be missed at an instant that is said to be held.
        now_us = core.clock.now_us()
        at = yield from _position(core)
        made_at = from_micros(max(now_us, at.head.recorded_us))
        entry = yield from _written(core, wish, parent, backup_id, progress=progress, at=at, made_at=made_at)
        chain = () if parent is None else shelf.chain_of(parent)
        yield from _announced(core, wish, entry, chain, since=at.head.position)
    except (BackstoryError, OSError) as error:
        if not wish.scheduled:
            yield from failed(core, backup_id, "create", error)
        raise
    return entry.backup


class _Position(NamedTuple):
    """The position that is backed up, and how far consumers had come there."""

    head: LogHead
    consumers: Mapping[str, int]


def _position(core: Core) -> Program[_Position]:
    """Return the log's head, and how far consumers had come when it was that.

    Where somebody goes on however often one looks, what they had done before counts: they do the rest again, and leave
    nothing out.
    """
    looks, now = 0, (yield from core.engine.trackings(""))
    while True:
        looks += 1
        found = _Position((yield from core.engine.head()), now)
        now = yield from core.engine.trackings("")
        if now == found.consumers or looks == _LOOKS:
            return found


def _announced(core: Core, wish: Wish, entry: Entry, chain: Sequence[Placed], *, since: int) -> Program[None]:
    """Say that a backup was made, or take it away again: unless nobody knows what the log holds now."""
    try:
        yield from _check_kept(core, chain, since)
        yield from aside(lambda: _check_keys(chain))
    except BaseException:  # a task that is cancelled may ask nobody for anything any more
        wish.target.delete(entry.name)
        raise
    try:
        yield from said(core, entry.backup.id, "Made", backup=_facts(entry.backup))
    except BackstoryError as error:
        if not (isinstance(error, StoreUnavailableError) and error.outcome == "unknown"):
            yield from aside(lambda: wish.target.delete(entry.name))
        raise


def _check_kept(core: Core, chain: Sequence[Placed], since: int) -> Program[None]:
    """Raise `BackupError` where what a backup builds on was given up meanwhile.

    Who gives backups up says so first and then looks once more who builds on them. So one of the two sees the other.
    """
    streams = {stream_of_snapshot(each.entry.backup.id): each.entry.backup.id for each in chain}
    if not streams:
        return
    branches = yield from all_branches(core)
    query = LogQuery(branches, since, types=(BACKUP_PRUNED,))
    while rows := (yield from core.engine.page(query)):
        for row in rows:
            if row.stream in streams:
                raise BackupError(
                    f"backup {streams[row.stream]}, on which this one was made, was pruned meanwhile",
                    backup_id=streams[row.stream],
                    hint="Make it again: on another one, or a full one.",
                )
        query = query._replace(after=rows[-1].position)


def _check_keys(chain: Sequence[Placed]) -> None:
    """Raise `BackupError` where what a backup builds on got another key meanwhile: no one key would open its chain."""
    for placed in chain:
        backup = placed.entry.backup
        if not backup.encrypted:
            continue
        with placed.target.reading(placed.entry.name) as file:
            key_id = facts_at(file, path=backup.path).key_id
        if key_id != backup.key_id:
            raise BackupError(
                f"backup {backup.id}, on which this one was made, got another key meanwhile",
                backup_id=backup.id,
                path=backup.path,
                hint="Make it again, with the new key or as a full one.",
            )


def _facts(backup: Backup) -> dict[str, Any]:
    facts: dict[str, Any] = {name: getattr(backup, name) for name in Backup.__dataclass_fields__}
    scopes = None if backup.scopes is None else list(map(str, backup.scopes))
    return {**facts, "scopes": scopes, "created_at": backup.created_at.isoformat()}


# Writing it


def written_since(
    core: Core, placed: Placed, target: Target, encryption: Encryption | None, *, until: int
) -> Program[Placed]:
    """Write what the log has added since a backup, up to a position, and say nothing of it; return it as one on top."""
    wish = Wish(kind="incremental", target=target, level=1, encryption=encryption, product=placed.entry.product)
    consumers = yield from core.engine.trackings("")
    row = (yield from core.engine.events_at([until]))[0]
    at = _Position(LogHead(row.position, row.recorded_us, row.hash), consumers)
    made_at = from_micros(row.recorded_us)
    entry = yield from _written(core, wish, placed, new_id().hex(), progress=None, at=at, made_at=made_at)
    return Placed(entry, target)


def _written(
    core: Core,
    wish: Wish,
    parent: Placed | None,
    backup_id: str,
    *,
    progress: Progress | None,
    at: _Position,
    made_at: datetime,
) -> Program[Entry]:
    head = at.head
    lineage = lineage_within(core.lineage, head.position)
    since = parent.entry.backup.position if parent is not None else 0
    schemas = yield from _schemas(core)
    name = f"{made_at:%Y%m%dT%H%M%S%fZ}-{wish.kind}-{backup_id}.bsa"
    job = Job(wish, name, backup_id, lineage, busy=(yield from watching()))
    try:
        yield from aside(lambda: job.begin(core.branch.name))
        total = head.position - since
        yield from _copied(core, job, since, head.position, progress)
        yield from tell(progress, total, total)
        figures = yield from aside(lambda: job.write_state(head.recorded_us))
        if parent is not None or wish.scopes is not None:
            seen = Seen(core.engine, lineage, head, job.folded)
            figures = yield from state_hash(seen, wish.scopes, None if parent is None else parent.entry)
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
            branch_id=core.branch.id,
            importance=wish.importance,
            log_id=core.engine.log_id,
            head_hash=head.hash,
            since_hash=genesis(core.engine.log_id) if parent is None else parent.entry.head_hash,
            recorded_at=from_micros(head.recorded_us),
            state_hash=figures.hex(),
            schemas=schemas,
            product=wish.product,
        )
        kept = {name: min(come, head.position) for name, come in at.consumers.items()}
        return (yield from aside(lambda: job.finish(info, kept)))
    except BaseException as error:
        job.abandon(error)
        raise


def lineage_within(lineage: Lineage, position: int) -> Lineage:
    """Return a lineage that shows nothing after a position."""
    return tuple((branch, min(limit, position)) for branch, limit in lineage)


def _copied(core: Core, job: Job, after: int, until: int, progress: Progress | None) -> Program[None]:
    """Copy the log after a position up to another: every event of it, or those of some scopes."""
    branches = yield from all_branches(core)
    if job.wish.scopes is None:
        yield from _copied_all(core, job, LogQuery(branches, after, until), progress)
    else:
        # A stream's versions are counted on each branch anew, and only along one of them is its index in log order.
        for scope in job.wish.scopes:
            for branch in branches:
                query = LogQuery((branch,), after, until, str(scope), limit=_MOST)
                yield from _copied_stream(core, job, query, progress, until - after)
    yield from aside(job.settle)


def _copied_all(core: Core, job: Job, query: LogQuery, progress: Progress | None) -> Program[None]:
    """Copy whole pages: positions are dense, so each is told where it ends, and the database looks no further."""
    after, until = query.after, query.until
    while after < until:
        page = query._replace(after=after, until=min(until, after + _MOST), limit=_MOST)
        size = yield from _fitting(core, page)
        end = min(page.until, after + size)
        copied = yield from core.engine.packed(page._replace(until=end, limit=size))
        _check_dense(copied, after, end)
        yield from aside(partial(job.take, copied))
        after = end
        yield from tell(progress, after - query.after, until - query.after)


def _check_dense(page: PackedPage, after: int, until: int) -> None:
    """Raise `IntegrityError` unless a page holds all positions; they are all different."""
    if (page.events, page.first, page.last) != (until - after, after + 1, until):
        found = {touch[0] for touch in page.touches()}
        missing = next(at for at in range(after + 1, until + 1) if at not in found)
        raise IntegrityError(
            f"the log has a hole at position {missing}",
            position=missing,
            kind="gap",
            hint="A backup of it could not be restored. Verify the store, and restore a backup from before.",
        )


def _copied_stream(core: Core, job: Job, query: LogQuery, progress: Progress | None, total: int) -> Program[None]:
    while True:
        page = query._replace(limit=(yield from _fitting(core, query)))
        copied = yield from core.engine.packed(page)
        if copied.events:
            yield from aside(partial(job.take, copied))
            yield from tell(progress, min(job.events, total), total)
        if copied.events < page.limit:
            return
        query = query._replace(after=copied.last)


def _fitting(core: Core, query: LogQuery) -> Program[int]:
    """Return how many events the next page can have: no more than memory should hold, and one at least."""
    limit = query.limit
    while limit > 1:
        weight = yield from core.engine.weight(query._replace(limit=limit))
        if weight <= _PAGE_BYTES:
            break
        limit = max(1, min(limit - 1, limit * _PAGE_BYTES // weight))
    return limit


def _schemas(core: Core) -> Program[dict[str, tuple[str, ...]]]:
    found = {}
    for name in (yield from registering.names(core)):
        versions = yield from registering.versions(core, name)
        found[name] = tuple(each.version for each in versions)
    return found
