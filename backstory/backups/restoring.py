"""Restoring: the live store's state becomes what a backup holds, by appending, in one commit.

Nothing is taken out of the log: values are written again, later keys removed, each with op `restore`, and an event says
what was restored from what. So the head before is a rollback point for good.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from backstory.backups.announcing import unsaid
from backstory.backups.reports import RestoreReport
from backstory.backups.states import At, Held, held_by
from backstory.context import author_of
from backstory.core import Core, scope_of
from backstory.domain.commits import Commit, Decision, Draft, KeyHead, Needs, View
from backstory.domain.context import Author
from backstory.domain.decisions import Intent
from backstory.domain.events import MISSING, Difference
from backstory.domain.ports import Program
from backstory.domain.selection import Selection
from backstory.infrastructure import codec
from backstory.infrastructure.aggregates.snapshot import Snapshot
from backstory.projections.points import At as Point

__all__ = ["Change", "Wanted", "live_state", "planned", "restored"]

_PAGE: Final = 1000


class Wanted(NamedTuple):
    """Which keys a restore is about: of a selection those that the backup holds, `scopes` (None: all of them)."""

    selection: Selection
    scopes: frozenset[str] | None = None

    def fits_scope(self, stream: str) -> bool:
        """Return whether a scope is among them."""
        return self.selection.fits_scope(stream) and (self.scopes is None or stream in self.scopes)

    def fits(self, stream: str, key: str) -> bool:
        """Return whether a key is among them."""
        return self.fits_scope(stream) and self.selection.fits(stream, key)


@dataclass(slots=True)
class Change:
    """What is to be written and removed so that a selection of the state is what a backup holds."""

    target: Mapping[At, Held]
    about: Wanted
    #: What the live store held when it was looked at, by scope and key.
    live: dict[At, Held] = field(default_factory=dict)
    now_us: int = 0

    def streams(self) -> tuple[str, ...]:
        """Return the scopes that it is about."""
        return tuple(sorted({stream for stream, _ in (*self.target, *self.live)}))

    def differing(self, at: At, held: Held | None) -> bool:
        """Return whether a key must be written or removed."""
        wanted = self.wanted(at)
        if wanted is None or held is None:
            return wanted is not held
        return wanted[:3] != held[:3]

    def wanted(self, at: At) -> Held | None:
        """Return what a key is to hold: nothing that has expired meanwhile."""
        held = self.target.get(at)
        if held is None or (held.expires_us is not None and held.expires_us <= self.now_us):
            return None
        return held

    def report(self, backup_id: str, position: int, head: int) -> RestoreReport:
        """Return what would be done at a head."""
        places = {*self.target, *self.live}
        differing = [at for at in places if self.differing(at, self.live.get(at))]
        written = sum(self.wanted(at) is not None for at in differing)
        same = len(places) - len(differing) - sum(self.wanted(at) is None and at not in self.live for at in places)
        return RestoreReport(
            backup_id,
            position,
            restored=written,
            removed=len(differing) - written,
            unchanged=same,
            rollback_point=head,
            dry_run=True,
        )

    def differences(self) -> list[Difference]:
        """Return what would change, by scope and key."""
        places = sorted(at for at in {*self.target, *self.live} if self.differing(at, self.live.get(at)))
        return [Difference(scope_of(at[0]), at[1], _value(self.live.get(at)), _value(self.wanted(at))) for at in places]


def _value(held: Held | None) -> Any:
    return MISSING if held is None else codec.decode_value(held.value)


def live_state(core: Core, about: Wanted, as_of: Point | None = None) -> Program[dict[At, Held]]:
    """Return the values that the live store holds, now or at a resolved point."""
    found: dict[At, Held] = {}
    for stream in (yield from core.state.present_streams(as_of)):
        if not about.fits_scope(stream):
            continue
        heads = yield from core.state.heads(stream, "", as_of)
        wanted = {head.position: key for key, head in heads if about.fits(stream, key)}
        positions = sorted(wanted)
        for start in range(0, len(positions), _PAGE):
            for row in (yield from core.engine.events_at(positions[start : start + _PAGE])):
                found[stream, wanted[row.position]] = held_by(row)
    return found


def planned(core: Core, target: Mapping[At, Held], about: Wanted) -> Program[Change]:
    """Return what would have to change in the live store as it is now."""
    change = Change(target, about, now_us=(yield from core.state.now_us()))
    change.live = yield from live_state(core, about)
    return change


def restored(core: Core, change: Change, backup_id: str, position: int) -> Program[RestoreReport]:
    """Commit a change, decided again under the log's lock where others have written meanwhile; return what was done.

    A scope that others wrote to for the first time meanwhile is left alone.
    """
    snapshot = unsaid(backup_id)
    author = author_of({}, core.actor)
    done: list[RestoreReport] = []

    def decide(view: View) -> Decision:
        drafts: list[Draft] = []
        counts = {"restored": 0, "removed": 0, "unchanged": 0}
        change.now_us = view.now_us
        for stream in change.streams():
            listing = {key: head for key, head in view.listing(stream).items() if head.present(view.now_us)}
            for key in sorted({*listing, *(key for home, key in change.target if home == stream)}):
                if change.about.fits(stream, key):
                    drafts += _draft(
                        core,
                        change,
                        (stream, key),
                        listing.get(key),
                        backup_id=backup_id,
                        author=author,
                        counts=counts,
                    )
        said = {**counts, "position": position, "rollback_point": view.position}
        events = _telling(snapshot, change.about.selection, said, author)
        written, removed, unchanged = counts.values()
        done[:] = [RestoreReport(backup_id, position, written, removed, unchanged, rollback_point=view.position)]
        return Decision([*drafts, *events], None)

    needs = Needs(targets=(snapshot.id,), streams=change.streams(), listings=change.streams())
    path = core.gate.path
    if path is not None and path.writes:
        yield from path.behind(core.session, Intent((), needs, decide), author)
    else:
        yield from core.session.append(Commit(core.branch.id, decide=decide, needs=needs))
    return done[0]


def _draft(
    core: Core, change: Change, at: At, head: KeyHead | None, *, backup_id: str, author: Author, counts: dict[str, int]
) -> list[Draft]:
    live = change.live.get(at)
    if head is None:
        live = None
    elif live is None or live.position != head.position:
        live = _of_head(head)
    wanted = change.wanted(at)
    if not change.differing(at, live):
        counts["unchanged"] += wanted is not None
        return []
    if wanted is None:
        counts["removed"] += 1
        draft = core.decisions.delete_draft(at, author, "restore")
        return [draft._replace(extra=codec.extra_with(author.extra, _mark(backup_id)))]
    counts["restored"] += 1
    draft = core.decisions.set_draft(at, wanted.value, author=author, op="restore", expires_us=wanted.expires_us)
    extra: dict[str, Any] = _mark(backup_id, position=wanted.position)
    if wanted.schema is not None:
        extra["schema"] = list(wanted.schema)
    return [draft._replace(extra=codec.extra_with(author.extra, extra))]


def _mark(backup_id: str, **facts: Any) -> dict[str, Any]:
    return {"restored": {"backup": backup_id, **facts}}


def _of_head(head: KeyHead) -> Held:
    assert head.data is not None
    value, _ = codec.parts_of_set(head.data)
    # What schema it carries is not known under the lock: it counts as another value, and is written again.
    return Held(value, head.expires_us, ("", ""), head.position)


def _telling(snapshot: Snapshot, selection: Selection, said: Mapping[str, int], author: Author) -> list[Draft]:
    keys = None if selection.keys == "*" else selection.keys
    again = Snapshot.empty(snapshot.id)  # decided anew where a group has to be committed again
    again.say("Restored", scope=selection.scope, keys=keys, **said)
    return again.drafts(author)
