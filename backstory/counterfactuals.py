"""Counterfactuals: what-if questions checked and asked, and their answers as callers get them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from backstory.context import author_of
from backstory.core import Core, scope_of
from backstory.domain.commits import Draft
from backstory.domain.context import Author
from backstory.domain.decisions import Intent
from backstory.domain.errors import InvalidValueError
from backstory.domain.events import MISSING, Difference, Event, RecordedEvent, StoredEvent
from backstory.domain.keys import normalise_key
from backstory.domain.ports import Program
from backstory.domain.scopes import Scope
from backstory.domain.sequencer import SCOPE_CLEARED, STATE_DELETED, STATE_EXPIRED, STATE_SET
from backstory.infrastructure import codec
from backstory.operations import stream_of
from backstory.replay.what_if import Change, Insertion, Outcome, Redone, WhatIf
from backstory.tracing import EventLike, event_row

Inserted = tuple[Any, Scope | str, "Event | tuple[Any, ...]"]
_REMOVALS: Final = frozenset({STATE_DELETED, STATE_EXPIRED, SCOPE_CLEARED})
_INSERT: Final = (
    'Give (point, scope, ("set", key, value)), (point, scope, ("delete", key)) or (point, scope, Event(...)).'
)


class Counterfactual:
    """What would have happened. The live store is as it was.

    `diff` lists the keys that would hold something else now: `before` is what happened, `after` what would have.
    `vanished` are the events that would not have happened, `recomputed` those with another value, `stale` those that
    stay although they had read something that would have been different (or lost a cause), `assumed` the runs of
    hooks that are kept as recorded though their input would have been another: the hook is not registered, asks for
    what is not recorded, or stands behind the write. All in log order, without the
    events that the question itself left out.
    """

    def __init__(
        self, outcome: Outcome, without: frozenset[int], keep: Callable[[Sequence[Difference], str], Any]
    ) -> None:
        self._keep = keep
        self.vanished = _events(outcome, outcome.vanished - without)
        self.recomputed = _events(outcome, outcome.recomputed - without)
        self.stale = _events(outcome, outcome.stale - without)
        self.assumed = _events(outcome, outcome.assumed - without)
        found = ((scope_of(stream), key, was, would) for (stream, key), was, would in outcome.differences)
        self.diff = [Difference(scope, key, was, would) for scope, key, was, would in found if scope is not None]

    def keep(self, name: str) -> Any:
        """Make a branch that holds what would have been, and return a store on it; to be awaited on the asyncio face.

        It leaves this branch at its head and writes the differences, as `restore`. Raises `ConflictError` if there is
        a branch of this name.
        """
        return self._keep(self.diff, name)

    def __repr__(self) -> str:
        return (
            f"<Counterfactual: {len(self.diff)} keys differ, {len(self.vanished)} events vanish, "
            f"{len(self.recomputed)} recomputed, {len(self.stale)} stale, {len(self.assumed)} assumed>"
        )


def _events(outcome: Outcome, positions: Iterable[int]) -> list[RecordedEvent]:
    return [RecordedEvent(outcome.events[at], codec.decode_value) for at in sorted(positions)]


def what_if(
    core: Core,
    *,
    without: EventLike | Iterable[EventLike],
    replace: Mapping[EventLike, Any] | None,
    insert: Iterable[Inserted] | None,
    cascade: bool,
    keep: Callable[[Sequence[Difference], str], Any],
    at: object = None,
) -> Program[Counterfactual]:
    """Return what would have happened; raises `NotFoundError`, `InvalidPointError` and `InvalidValueError`."""
    left_out: set[int] = set()
    for event in _many(without):
        left_out.add((yield from event_row(core, event)).position)
    values = yield from _values(core, replace or {})
    insertions: list[Insertion] = []
    for given in insert or ():
        insertion = yield from _insertion(core, given)
        if insertion is not None:
            insertions.append(insertion)
    seen = yield from core.state.at(at)
    work = WhatIf(
        core.engine,
        core.lineage,
        at=seen,
        decode=codec.decode_value,
        canonical=codec.canonical,
        reads_of=codec.reads_of,
        shared_of=codec.shared_reads_of,
        redo=partial(_redo, core),
    )
    ordered = sorted(insertions, key=lambda insertion: insertion.after)
    change = Change(frozenset(left_out), values, tuple(ordered), cascade)
    outcome = yield from work.run(change)
    return Counterfactual(outcome, change.without, keep)


def _redo(core: Core, row: StoredEvent, runs: Sequence[StoredEvent], before: Any, value: Any) -> Program[Redone]:
    from backstory.redoing import redoing  # noqa: PLC0415 - only where hooks have run

    return (yield from redoing(core)(row, runs, before, value))


def _many(given: Any) -> list[Any]:
    single = isinstance(given, (str, int, RecordedEvent)) or not isinstance(given, Iterable)
    return [given] if single else list(given)


def _values(core: Core, replace: Mapping[EventLike, Any]) -> Program[dict[int, Any]]:
    """Return the other values of writes; an event of a caller's may have other data, which nothing follows from."""
    found: dict[int, Any] = {}
    for event, other in replace.items():
        row = yield from event_row(core, event)
        if row.type in _REMOVALS:
            raise InvalidValueError(
                "replace",
                rule=f"event {row.position} writes no value",
                hint="Leave it out with `without`, and insert what is to be there.",
            )
        value = _other_value(row, other) if isinstance(other, Event) else other
        encoded = core.decisions.encode(value, scope=row.stream, key=row.key)
        if row.type == STATE_SET:
            found[row.position] = codec.decode_value(encoded)
    return found


def _other_value(row: StoredEvent, other: Event) -> Any:
    """Return the value that another event writes in an event's place."""
    if row.type != STATE_SET:
        return other.data
    same = other.type == STATE_SET and (other.key is None or normalise_key(other.key) == row.key)
    if not same or not isinstance(other.data, Mapping) or "value" not in other.data:
        raise InvalidValueError(
            "replace",
            rule=f"event {row.position} writes a value to {row.key}, the other event does not",
            hint="Give the other value, or leave the event out and insert another.",
        )
    return other.data["value"]


def _insertion(core: Core, given: Any) -> Program[Insertion | None]:
    if not isinstance(given, Sequence) or isinstance(given, str) or len(given) != 3:  # noqa: PLR2004 - its three parts
        raise InvalidValueError("insert", rule=f"is no insertion: {given!r}", hint=_INSERT)
    point, scope, what = given
    stream = stream_of(scope)
    at = yield from core.at(point)
    if isinstance(what, Event):
        return None  # nothing follows from an event that nobody could have named as a cause
    if not isinstance(what, Sequence) or isinstance(what, str) or not what:
        raise InvalidValueError("insert", rule=f"is no write: {what!r}", hint=_INSERT)
    verb, *parts = what
    if (verb, len(parts)) not in {("set", 2), ("delete", 1)}:
        raise InvalidValueError("insert", rule=f"is no write: {what!r}", hint=_INSERT)
    value = codec.decode_value(core.decisions.encode(parts[1], scope=stream, key=parts[0])) if parts[1:] else MISSING
    return Insertion(at.position, at.instant_us, (stream, normalise_key(parts[0])), value)


def kept(core: Core, differences: Sequence[Difference], name: str) -> Program[Core]:
    """Return the core of a new branch on which the differences are written."""
    branch = yield from core.fork(name, None)
    author = author_of({}, core.actor)
    drafts = [_draft(branch, difference, author) for difference in differences]
    if drafts:
        yield from branch.session.perform_plain(Intent(tuple(drafts)), author)
    return branch


def _draft(core: Core, difference: Difference, author: Author) -> Draft:
    at = (str(difference.scope), difference.key)
    if difference.after is MISSING:
        return core.decisions.delete_draft(at, author, "restore")
    value = codec.encode_value(difference.after)
    return core.decisions.set_draft(at, value, author=author, op="restore")
