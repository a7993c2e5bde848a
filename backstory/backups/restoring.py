"""Restoring: the live store's state becomes what a backup holds, by appending, in one commit.

Nothing is taken out of the log: values are written again, later keys removed, each with op `restore`, and an event says
what was restored from what. So the head before is a rollback point for good.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from backstory.backups.announcing import unsaid
from backstory.backups.reports import RestoreReport
from backstory.backups.states import At, Held, held_by
from backstory.committing import commit_of
from backstory.context import author_of
from backstory.core import Core, scope_of
from backstory.domain.commits import Decision, Draft, KeyHead, Needs, View
from backstory.domain.context import Author
from backstory.domain.decisions import Intent
from backstory.domain.events import MISSING, Difference
from backstory.domain.ports import Program
from backstory.domain.selection import Selection
from backstory.infrastructure import codec
from backstory.infrastructure.aggregates.snapshot import Snapshot
from backstory.projections.points import At as Point

__all__ = ["Change", "Origin", "Wanted", "live_state", "planned", "restored"]

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


class Origin(NamedTuple):
    """What a restore is of: a backup, the position whose state it brings back, and what it is called."""

    backup_id: str
    position: int
    what: str = "restore"


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

    def verdict(self, at: At, held: Held | None) -> str | None:
        """Return what becomes of a key, in the words of a report; None where nothing is there, nor to be."""
        wanted = self.wanted(at)
        if self.differing(at, held):
            return "removed" if wanted is None else "restored"
        return None if wanted is None else "unchanged"

    def report(self, origin: Origin, head: int) -> RestoreReport:
        """Return what would be done at a head."""
        verdicts = Counter(self.verdict(at, self.live.get(at)) for at in {*self.target, *self.live})
        return _report(origin, verdicts, head, dry_run=True)

    def differences(self) -> list[Difference]:
        """Return what would change, by scope and key."""
        places = sorted(at for at in {*self.target, *self.live} if self.differing(at, self.live.get(at)))
        return [Difference(scope_of(at[0]), at[1], _value(self.live.get(at)), _value(self.wanted(at))) for at in places]


def _report(origin: Origin, verdicts: Counter[str | None], head: int, *, dry_run: bool = False) -> RestoreReport:
    return RestoreReport(
        origin.backup_id,
        origin.position,
        restored=verdicts["restored"],
        removed=verdicts["removed"],
        unchanged=verdicts["unchanged"],
        rollback_point=head,
        dry_run=dry_run,
    )


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


def restored(core: Core, change: Change, origin: Origin) -> Program[RestoreReport]:
    """Commit a change, decided again under the log's lock where others have written meanwhile; return what was done.

    A scope that others wrote to for the first time meanwhile is left alone.
    """
    snapshot = unsaid(origin.backup_id)
    author = author_of({}, core.actor)
    done: list[RestoreReport] = []

    def decide(view: View) -> Decision:
        drafts: list[Draft] = []
        verdicts: Counter[str | None] = Counter()
        change.now_us = view.now_us
        for stream in change.streams():
            listing = {key: head for key, head in view.listing(stream).items() if head.present(view.now_us)}
            for key in sorted({*listing, *(key for home, key in change.target if home == stream)}):
                if change.about.fits(stream, key):
                    at = stream, key
                    verdict = change.verdict(at, _held_now(change, at, listing.get(key)))
                    verdicts[verdict] += 1
                    drafts += _drafts(core, change, at, verdict, backup_id=origin.backup_id, author=author)
        done[:] = [_report(origin, verdicts, view.position)]
        events = _telling(snapshot, change.about, done[0], origin.what, author)
        return Decision([*drafts, *events], None)

    needs = Needs(targets=(snapshot.id,), streams=change.streams(), listings=change.streams())
    intent, path = Intent((), needs, decide), core.gate.path
    if path is not None and path.writes:
        yield from path.behind(core.session, intent, author)
    else:
        yield from core.session.append(commit_of(intent, author, core.branch.id))
    return done[0]


def _held_now(change: Change, at: At, head: KeyHead | None) -> Held | None:
    """Return what a key holds under the lock: what was looked at, unless others have written since."""
    if head is None:
        return None
    live = change.live.get(at)
    return live if live is not None and live.position == head.position else _of_head(head)


def _drafts(core: Core, change: Change, at: At, verdict: str | None, *, backup_id: str, author: Author) -> list[Draft]:
    wanted = change.wanted(at)
    if verdict == "removed":
        draft = core.decisions.delete_draft(at, author, "restore")
        return [draft._replace(extra=codec.extra_with(author.extra, _mark(backup_id)))]
    if verdict != "restored" or wanted is None:
        return []
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


def _telling(snapshot: Snapshot, about: Wanted, done: RestoreReport, what: str, author: Author) -> list[Draft]:
    again = Snapshot.empty(snapshot.id)  # decided anew where a group has to be committed again
    again.say(
        "Restored",
        position=done.position,
        scope=about.selection.scope,
        keys=None if about.selection.keys == "*" else about.selection.keys,
        restored=done.restored,
        removed=done.removed,
        unchanged=done.unchanged,
        rollback_point=done.rollback_point,
        scopes=None if about.scopes is None else sorted(about.scopes),
        what=what,
    )
    return again.drafts(author)
