"""The sequencer: turns the commits of one group into rows of the log. Pure.

Rule 1: positions, versions, times and hashes are given here and nowhere else.
Rule 2: commits are decided in order; each sees what those before it did; one that is refused
leaves no trace and does not touch the others.
Rule 3: an event id is stored once; asking again answers with the first recording.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from backstory.domain.branches import BranchRow, find_branch
from backstory.domain.chain import link
from backstory.domain.commits import NEVER, Commit, Draft, KeyHead, Outcome, Tracking
from backstory.domain.errors import BackstoryError, ConflictError, NotFoundError
from backstory.domain.events import EMPTY, EXISTS, StoredEvent
from backstory.domain.ports import LogHead

STATE_SET: Final = "state.set"
STATE_DELETED: Final = "state.deleted"
STATE_EXPIRED: Final = "state.expired"
SCOPE_CLEARED: Final = "scope.cleared"
BRANCH_CREATED: Final = "branch.created"
BRANCH_DROPPED: Final = "branch.dropped"

Place = tuple[int, str, int]


@dataclass(slots=True)
class Facts:
    """What was read under the lock, kept true while commits are decided."""

    head: LogHead
    branches: list[BranchRow]
    versions: dict[tuple[int, str], int] = field(default_factory=dict)
    keys: dict[tuple[int, str, str], KeyHead] = field(default_factory=dict)
    listings: dict[tuple[int, str], dict[str, KeyHead]] = field(default_factory=dict)
    events: dict[bytes, StoredEvent] = field(default_factory=dict)
    tracking: dict[str, int | None] = field(default_factory=dict)
    #: Chosen versions (branch, stream, version) that nobody took.
    free: set[Place] = field(default_factory=set)


@dataclass(slots=True)
class Batch:
    """What one group adds to the store, and what each commit is told."""

    outcomes: list[Outcome]
    rows: list[StoredEvent] = field(default_factory=list)
    cleared: list[tuple[StoredEvent, tuple[str, ...]]] = field(default_factory=list)
    forks: list[BranchRow] = field(default_factory=list)
    drops: list[tuple[int, int]] = field(default_factory=list)
    tracking: list[Tracking] = field(default_factory=list)
    #: (cause, effect), both positions: the reverse of what the rows name as their causes, and as what they read,
    #: also the write with which they share it.
    causes: list[tuple[int, int]] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to store."""
        return not (self.rows or self.tracking)


class BranchView:
    """The `View` that a decision on one branch gets."""

    __slots__ = ("_branch", "_facts", "now_us", "position")

    def __init__(self, facts: Facts, branch: int, *, now_us: int, position: int) -> None:
        self._facts = facts
        self._branch = branch
        self.now_us = now_us
        self.position = position

    def version(self, stream: str) -> int:
        """Return the stream's version."""
        return self._facts.versions[self._branch, stream]

    def key(self, stream: str, key: str) -> KeyHead:
        """Return the key's head."""
        return self._facts.keys[self._branch, stream, key]

    def listing(self, stream: str) -> Mapping[str, KeyHead]:
        """Return the stream's live keys."""
        return self._facts.listings[self._branch, stream]

    def event(self, event_id: bytes) -> StoredEvent | None:
        """Return the recording of an id, or None."""
        return self._facts.events.get(event_id)


def sequence(commits: Sequence[Commit], facts: Facts, clock_us: int) -> Batch:
    """Return the rows that these commits add after `facts.head`, and each one's outcome.

    `clock_us` is the machine's time; recorded times never go back behind the head's.
    """
    now_us = max(clock_us, facts.head.recorded_us)
    batch = Batch([])
    writer = _Writer(facts, now_us, batch)
    for commit in commits:
        try:
            outcome = writer.put(commit)
        except BackstoryError as error:
            outcome = Outcome(error=error)
        batch.outcomes.append(outcome)
    return batch


def preview(drafts: Sequence[Draft], facts: Facts, branch: int) -> list[StoredEvent]:
    """Return plain drafts as a transaction sees them before it commits; keeps the facts true.

    Their causes are checked, and their places given, when it commits; nothing is hashed here.
    """
    writer = _Writer(facts, facts.head.recorded_us, Batch([]), chained=False)
    rows = [writer.place(branch, draft) for draft in drafts]
    facts.head = facts.head._replace(position=writer.position)
    return rows


class _Writer:
    """The running state of one group. `chained`: hashes are wanted."""

    __slots__ = (
        "add",
        "batch",
        "chained",
        "events",
        "facts",
        "hash",
        "live",
        "now_us",
        "position",
        "versions",
        "watched",
    )

    def __init__(self, facts: Facts, now_us: int, batch: Batch, *, chained: bool = True) -> None:
        self.facts = facts
        self.chained = chained
        self.now_us = now_us
        self.batch = batch
        self.add = batch.rows.append
        self.events = facts.events
        self.versions = facts.versions
        self.position = facts.head.position
        self.hash = facts.head.hash
        self.watched = bool(facts.keys or facts.listings)
        self.live = {row.id for row in facts.branches if not row.dropped}

    def put(self, commit: Commit) -> Outcome:
        if commit.branch not in self.live:
            self._refuse_branch(commit.branch)
        if commit.reads or commit.since_us:
            self._check_reads(commit)
        if commit.tracking is not None:
            self._check_tracking(commit.tracking)
        result = None
        drafts = commit.drafts
        if commit.decide is not None:
            view = BranchView(self.facts, commit.branch, now_us=self.now_us, position=self.position)
            drafts, result = commit.decide(view)
        self._check_drafts(commit.branch, drafts)
        if commit.fork is not None:
            self._check_fork(commit)
        if commit.drop is not None and commit.drop not in self.live:
            self._refuse_branch(commit.drop)  # somebody else dropped it: its name may be another branch's by now
        events = [self.place(commit.branch, draft) for draft in drafts]
        if commit.tracking is not None or commit.fork is not None or commit.drop is not None:
            self._effects(commit, events)
        return Outcome(events, result)

    def _refuse_branch(self, branch: int) -> None:
        row = next((row for row in self.facts.branches if row.id == branch), None)
        raise NotFoundError("branch", branch if row is None else row.name)

    def _check_reads(self, commit: Commit) -> None:
        """Refuse what was decided on something that has changed since, or expired; time does not go back behind it."""
        branch = commit.branch
        for stream, key, version in commit.reads:
            actual = (
                self.facts.versions[branch, stream] if key is None else self.facts.keys[branch, stream, key].version
            )
            if actual != version:
                raise ConflictError(expected=version, actual=actual, stream=stream, key=key)
        self.now_us = max(self.now_us, commit.since_us)
        if commit.expiry is not None and commit.expiry.expires_us <= self.now_us:
            _, stream, key = commit.expiry
            raise ConflictError(expected=EXISTS, actual=EMPTY, stream=stream, key=key)

    def _check_tracking(self, tracking: Tracking) -> None:
        stored = self.facts.tracking.get(tracking.name)
        if stored is not None and tracking.position is not None and tracking.position <= stored:
            raise ConflictError(expected=tracking.position, actual=stored, stream=tracking.name, key=None)

    def _check_fork(self, commit: Commit) -> None:
        fork = commit.fork
        assert fork is not None
        if find_branch(self.facts.branches, fork.name) is not None:
            raise ConflictError(expected="no branch of this name", actual="one exists", stream=fork.name, key=None)

    def _check_drafts(self, branch: int, drafts: Sequence[Draft]) -> None:
        """Refuse before anything is placed: an unknown cause, a version that is taken."""
        if len(drafts) == 1 and drafts[0].causes is None and drafts[0].version is None:
            return
        events = self.facts.events
        own: set[bytes] = set()
        chosen: set[Place] = set()
        for draft in drafts:
            causes = draft.causes
            if causes is not None:
                for at in range(0, len(causes), 16):
                    cause = causes[at : at + 16]
                    if cause not in events and cause not in own:
                        raise NotFoundError("event", UUID(bytes=cause), hint="A cause must be an event of this log.")
            if draft.version is not None:
                place = (branch, draft.stream, draft.version)
                current = self.facts.versions[branch, draft.stream]
                if place in chosen or not (draft.version > current or place in self.facts.free):
                    raise ConflictError(expected=draft.version - 1, actual=current, stream=draft.stream, key=None)
                chosen.add(place)
            own.add(draft.event_id)

    def place(self, branch: int, draft: Draft) -> StoredEvent:
        """Give a draft its place; return its row, or the first recording of its id."""
        (
            event_id,
            stream,
            kind,
            data,
            key,
            expires_us,
            correlation,
            causes,
            actor,
            extra,
            form,
            given,
            cleared,
            chosen,
            _,
            reads,
            shared,
        ) = draft
        if given and (first := self.events.get(event_id)) is not None:
            return first
        if shared is not None:
            reads = (*reads, self.events[shared].position)
        if causes is not None:
            first = self._trace(causes, reads)
            if correlation is None:
                correlation = first.correlation or b"u" + first.event_id
        elif reads:
            self._refer(set(reads))
        at = (branch, stream)
        last = self.versions[at]
        version = last + 1 if chosen is None else chosen
        position = self.position + 1
        now_us = self.now_us
        digest = b""
        if self.chained:
            digest = link(
                self.hash,
                position,
                branch,
                version,
                now_us,
                expires_us,
                form,
                0,
                event_id,
                stream,
                kind,
                key,
                correlation,
                causes,
                actor,
                extra,
                data,
            )
        parts = (
            position,
            branch,
            stream,
            version,
            event_id,
            kind,
            key,
            now_us,
            expires_us,
            correlation,
            causes,
            actor,
            extra,
            form,
            0,
            data,
            digest,
        )
        row = tuple.__new__(StoredEvent, parts)  # without the call in between: this runs for every event
        self.versions[at] = version if version > last else last  # noqa: FURB136 - a call less
        if self.facts.free:
            self.facts.free.discard((branch, stream, version))
        self.position = position
        self.hash = digest
        self.events[event_id] = row
        self.add(row)
        if cleared is not None:
            self.batch.cleared.append((row, cleared))
        if self.watched:
            self._watch(row, cleared)
        return row

    def _trace(self, causes: bytes, reads: Sequence[int]) -> StoredEvent:
        """Note the next event as the effect of its causes, and of what it rests on; return the first cause."""
        named = [self.events[causes[at : at + 16]] for at in range(0, len(causes), 16)]
        self._refer({event.position for event in named}.union(reads))
        return named[0]

    def _refer(self, positions: set[int]) -> None:
        effect = self.position + 1
        self.batch.causes.extend((cause, effect) for cause in sorted(positions) if 0 < cause < effect)

    def _watch(self, row: StoredEvent, cleared: tuple[str, ...] | None) -> None:
        """Keep the keys that somebody looks at true after one more event."""
        facts = self.facts
        if row.type == STATE_SET:
            assert row.key is not None
            self._turn(row, row.key, KeyHead(row.version, row.position, True, row.expires_us, row.data))
        elif row.type == STATE_DELETED:
            assert row.key is not None
            self._turn(row, row.key, KeyHead(row.version, row.position, False, None, None))
        elif row.type == STATE_EXPIRED:
            listing = facts.listings.get((row.branch, row.stream))
            if listing is not None and row.key is not None:
                listing.pop(row.key, None)
        elif cleared is not None:
            for key in cleared:
                self._turn(row, key, KeyHead(row.version, row.position, False, None, None))

    def _turn(self, row: StoredEvent, key: str, head: KeyHead) -> None:
        facts = self.facts
        if (row.branch, row.stream, key) in facts.keys:
            facts.keys[row.branch, row.stream, key] = head
        listing = facts.listings.get((row.branch, row.stream))
        if listing is None:
            return
        if head.live:
            listing[key] = head
        else:
            listing.pop(key, None)

    def _effects(self, commit: Commit, events: Sequence[StoredEvent]) -> None:
        if commit.tracking is not None:
            self.facts.tracking[commit.tracking.name] = commit.tracking.position
            self.batch.tracking.append(commit.tracking)
        if commit.fork is not None:
            number = max(row.id for row in self.facts.branches) + 1
            fork = commit.fork
            row = BranchRow(number, fork.name, fork.parent, fork.position, events[0].recorded_us, 0)
            self.facts.branches.append(row)
            self.live.add(number)
            self.batch.forks.append(row)
        if commit.drop is not None:
            self._drop(commit.drop, events[0].position)

    def _drop(self, branch: int, position: int) -> None:
        branches = self.facts.branches
        at = next(index for index, row in enumerate(branches) if row.id == branch)
        branches[at] = branches[at]._replace(dropped=position)
        self.live.discard(branch)
        self.batch.drops.append((branch, position))


__all__ = ["NEVER", "Batch", "BranchView", "Facts", "preview", "sequence"]
