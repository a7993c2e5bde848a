"""Restoring: what a run has changed goes back to what it was, by appending."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from backstory.core import Core
from backstory.domain.commits import Decision, Draft, KeyHead, View
from backstory.domain.context import Author
from backstory.domain.decisions import Intent
from backstory.domain.errors import ConflictError
from backstory.domain.events import StoredEvent
from backstory.domain.ports import LAST_POSITION, LogQuery, Program
from backstory.domain.sequencer import STATE_SET
from backstory.infrastructure import codec
from backstory.infrastructure.programs import gather
from backstory.migrations.items import Wanted, items_in
from backstory.migrations.reports import RollbackConflict
from backstory.migrations.work import Workshop, commit_on, put_where_still

_PAGE: Final = 500


def written_by(core: Core, migration_id: str, correlation: bytes, after: int) -> Program[tuple[list[StoredEvent], int]]:
    """Return the writes of a run after a position, a page of them, and where to go on (0: nowhere)."""
    query = LogQuery(core.lineage, after, types=(STATE_SET,), correlation=correlation, limit=_PAGE)
    rows = yield from core.engine.page(query)
    own = [row for row in rows if _belongs(row.extra, migration_id)]
    return own, rows[-1].position if len(rows) == _PAGE else 0


def _belongs(extra: bytes | None, migration_id: str) -> bool:
    carried = codec.part_of(extra, "carried") or {}
    return carried.get("migration") == migration_id and not carried.get("write")


def restore_page(
    core: Core, migration_id: str, rows: Sequence[StoredEvent], author: Author, *, force: bool
) -> Program[tuple[int, list[RollbackConflict]]]:
    """Bring back what these writes replaced; return how many, and what was written since and left alone.

    With `force` what was written since is replaced as well, and told all the same.
    """
    before = yield from _before(core, rows)
    versions = yield from _versions(core, rows)
    heads = yield from _heads(core, rows)
    todo: dict[tuple[str, str], tuple[KeyHead, Draft]] = {}
    conflicts: list[RollbackConflict] = []
    done = 0
    for row in rows:
        assert row.key is not None
        head = heads[row.stream, row.key]
        if head.position != row.position:
            if (yield from _is_restored(core, head, migration_id)):
                done += 1
                continue
            conflicts.append(RollbackConflict(row.stream, row.key, head.position))
            if not force:
                continue
        todo[row.stream, row.key] = (head, _draft(core, before[row.position], row, author, migration_id))

    def decide(view: View) -> Decision:
        for at, (head, _) in todo.items():
            actual = view.key(*at)
            if actual.position != head.position:
                raise ConflictError(expected=head.version, actual=actual.version, stream=at[0], key=at[1])
        return Decision([draft for _, draft in todo.values()])

    if todo:
        try:
            yield from _put(core, decide, todo, author, versions)
        except ConflictError:
            return (yield from restore_page(core, migration_id, rows, author, force=force))
    return done + len(todo), conflicts


def left_behind(core: Core, shop: Workshop, stream: str, since: int) -> Program[list[RollbackConflict]]:
    """Return the values of a scope that others have written in the new version, or had carried over, after a position.

    A run replaced nothing there, so there is nothing to bring back, and they are no values of the older version.
    """
    wanted = Wanted(shop.to.name, frozenset({shop.to.version}), shop.wanted.selection)
    items = yield from items_in(core, wanted, stream)
    return [RollbackConflict(stream, item.key, item.head.position) for item in items if item.head.position > since]


def _put(
    core: Core,
    decide: Any,
    todo: Mapping[tuple[str, str], tuple[KeyHead, Draft]],
    author: Author,
    versions: Mapping[str, int],
) -> Program[None]:
    """Commit what brings back exactly what was: no hook before writes may make something else of it."""
    drafts = [draft for _, draft in todo.values()]
    if (yield from put_where_still(core, drafts, {stream: versions[stream] for stream, _ in todo})) is not None:
        return
    commit = commit_on(decide, tuple(todo), author, core.branch.id)
    path = core.gate.path
    if path is not None and path.writes:
        yield from path.behind(core.session, Intent((), commit.needs, decide), author)
    else:
        yield from core.session.append(commit)


def _before(core: Core, rows: Sequence[StoredEvent]) -> Program[dict[int, StoredEvent]]:
    """Return by the position of each write the event that had written what it replaced."""
    reader, lineage = core.engine, core.lineage
    told = {row.position: reads[0] for row in rows if len(reads := codec.reads_of(row.extra)) == 1}
    events = yield from reader.events_at(sorted(set(told.values())))
    found = {(event.position, event.type, event.stream, event.key): event for event in events}
    places = {row.position: (told.get(row.position), STATE_SET, row.stream, row.key) for row in rows}
    before = {position: found[place] for position, place in places.items() if place in found}
    # A store that records no reads does not say what a write rests on.
    asked = [row for row in rows if row.position not in before]
    heads = yield from gather([reader.key_head(lineage, row.stream, row.key or "", row.position - 1) for row in asked])
    events = yield from reader.events_at(sorted({head.position for head in heads}))
    others = {event.position: event for event in events}
    return before | {row.position: others[head.position] for row, head in zip(asked, heads, strict=True)}


def _versions(core: Core, rows: Sequence[StoredEvent]) -> Program[dict[str, int]]:
    streams = list(dict.fromkeys(row.stream for row in rows))
    versions = yield from gather([core.engine.stream_version(core.lineage, each, LAST_POSITION) for each in streams])
    return dict(zip(streams, versions, strict=True))


def _heads(core: Core, rows: Sequence[StoredEvent]) -> Program[dict[tuple[str, str], KeyHead]]:
    places = [(row.stream, row.key or "") for row in rows]
    heads = yield from gather([core.engine.key_now(core.lineage, stream, key) for stream, key in places])
    return dict(zip(places, heads, strict=True))


def _is_restored(core: Core, head: KeyHead, migration_id: str) -> Program[bool]:
    rows = yield from core.engine.events_at([head.position])
    extra = rows[0].extra if rows else None
    return (codec.part_of(extra, "restored") or {}).get("migration") == migration_id


def _draft(core: Core, before: StoredEvent, row: StoredEvent, author: Author, migration_id: str) -> Draft:
    assert row.key is not None
    value, _ = codec.parts_of_set(before.data)
    draft = core.decisions.set_draft(
        (row.stream, row.key), value, author=author, op="restore", expires_us=before.expires_us
    )
    said: dict[str, Any] = {"restored": {"migration": migration_id, "position": before.position}}
    schema = codec.schema_of(before.extra)
    if schema is not None:
        said["schema"] = list(schema)
    said["reads"] = (before.position,)
    return draft._replace(extra=codec.extra_with(author.extra, said), reads=(before.position,))
