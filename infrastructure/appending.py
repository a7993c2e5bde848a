"""Appending: the program that every engine runs under its lock, once a group.

Read the head, load the facts that the commits ask for, sequence them, store the rows. What
never changes (or is proven unchanged by the head) is remembered from one group to the next.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from backstory.domain.branches import FOREVER, BranchRow, Lineage, lineage_of
from backstory.domain.commits import Commit, Draft, KeyHead, Needs
from backstory.domain.events import StoredEvent
from backstory.domain.ports import LogHead, LogQuery, Program, Reader
from backstory.domain.sequencer import Batch, Facts, Place, sequence
from backstory.infrastructure.programs import gather

_MOST_STREAMS: Final = 100_000
_MOST_EVENTS: Final = 4_096


class Table(Reader, Protocol):
    """A reader that can also store a batch, inside the lock."""

    def insert(self, batch: Batch) -> Program[None]:
        """Store everything a batch holds."""
        ...


@dataclass(slots=True)
class Memory:
    """Facts from the last group, true as long as the head is where it was."""

    head: LogHead | None = None
    branches: list[BranchRow] = field(default_factory=list)
    versions: dict[tuple[int, str], int] = field(default_factory=dict)
    events: dict[bytes, StoredEvent] = field(default_factory=dict)
    #: Keys that the last groups looked at; those who write without looking do not pay for them.
    keys: dict[tuple[int, str, str], KeyHead] = field(default_factory=dict)

    def forget(self) -> None:
        """Trust nothing any more: the transaction failed, or somebody else wrote."""
        self.head = None
        self.branches = []
        self.versions = {}
        self.events = {}
        self.keys = {}


def append(
    table: Table, commits: Sequence[Commit], memory: Memory, clock_us: int, *, head: LogHead | None = None
) -> Program[Batch]:
    """Store what these commits ask for; return the batch. Run it inside the log's lock.

    `head` spares the question where it was answered with the lock.
    """
    if head is None:
        head = yield from table.head()
    if memory.head != head:
        memory.forget()
        memory.branches = yield from table.branches()
        memory.head = head
    facts = yield from _load(table, commits, memory, head)
    batch = sequence(commits, facts, clock_us)
    if not batch.empty:
        yield from table.insert(batch)
    _remember(memory, facts, batch)
    return batch


def _remember(memory: Memory, facts: Facts, batch: Batch) -> None:
    memory.branches = facts.branches
    memory.versions = facts.versions if len(facts.versions) < _MOST_STREAMS else {}
    memory.events = facts.events if len(facts.events) < _MOST_EVENTS else {}
    memory.keys = facts.keys if len(facts.keys) < _MOST_EVENTS else {}
    if batch.rows:
        last = batch.rows[-1]
        memory.head = LogHead(last.position, last.recorded_us, last.hash)


def _load(table: Table, commits: Sequence[Commit], memory: Memory, head: LogHead) -> Program[Facts]:
    facts = Facts(head, list(memory.branches), memory.versions, events=memory.events)
    wanted = _Wanted(facts, memory.keys)
    for commit in commits:
        wanted.add(commit)
    if wanted.looked:
        facts.keys = memory.keys
    lineages = {row.id: lineage_of(facts.branches, row.id) for row in facts.branches}
    programs: list[Program[Any]] = []
    for branch, stream in wanted.streams:
        programs.append(table.stream_version(lineages[branch], stream, FOREVER))
    for branch, stream, key in wanted.keys:
        programs.append(table.key_head(lineages[branch], stream, key, FOREVER))
    for branch, stream in wanted.listings:
        programs.append(table.listing(lineages[branch], stream, None, ""))
    if wanted.event_ids:
        programs.append(table.events(list(wanted.event_ids)))
    programs.extend(table.tracking(name) for name in wanted.tracking)
    if len(programs) == 1:
        answer = yield from programs[0]
        wanted.settle([answer])
    elif programs:
        wanted.settle((yield from gather(programs)))
    if wanted.chosen:
        facts.free = yield from _free(table, wanted.chosen, facts, lineages)
    return facts


def _free(
    table: Table, chosen: Collection[Place], facts: Facts, lineages: Mapping[int, Lineage]
) -> Program[set[Place]]:
    """Return the chosen versions that nobody took; those beyond a stream's last are, without asking."""
    doubtful = [place for place in chosen if place[2] <= facts.versions[place[0], place[1]]]
    queries = [
        LogQuery(lineages[branch], stream=stream, versions=(version - 1, version), limit=1)
        for branch, stream, version in doubtful
    ]
    found = yield from gather([table.page(query) for query in queries])
    return set(chosen) - {place for place, rows in zip(doubtful, found, strict=True) if rows}


class _Wanted:
    """The union of what a group's commits need and nobody knows yet."""

    def __init__(self, facts: Facts, known: Mapping[tuple[int, str, str], KeyHead]) -> None:
        self._facts = facts
        self._known = known
        self.looked = False
        self._branches = {row.id for row in facts.branches}
        self.streams: dict[tuple[int, str], None] = {}
        self.keys: dict[tuple[int, str, str], None] = {}
        self.listings: dict[tuple[int, str], None] = {}
        self.event_ids: dict[bytes, None] = {}
        self.tracking: dict[str, None] = {}
        self.chosen: dict[Place, None] = {}

    def add(self, commit: Commit) -> None:
        branch = commit.branch
        if branch not in self._branches:
            return
        self._add_drafts(branch, commit.drafts)
        for stream, key, *_ in commit.reads:
            if key is None:
                self._stream(branch, stream)
            else:
                self._key(branch, stream, key)
        if commit.tracking is not None and commit.tracking.position is not None:
            self.tracking[commit.tracking.name] = None
        if commit.needs is not None:
            self._add_needs(branch, commit.needs)

    def _add_drafts(self, branch: int, drafts: Sequence[Draft]) -> None:
        for draft in drafts:
            self._stream(branch, draft.stream)
            if draft.causes is not None:
                self._events(draft.causes[at : at + 16] for at in range(0, len(draft.causes), 16))
            if draft.given_id:
                self._events((draft.event_id,))
            if draft.version is not None:
                self.chosen[branch, draft.stream, draft.version] = None

    def _add_needs(self, branch: int, needs: Needs) -> None:
        for stream in (*needs.targets, *needs.streams):
            self._stream(branch, stream)
        for stream, key in needs.keys:
            self._key(branch, stream, key)
            self._stream(branch, stream)
        for stream in needs.listings:
            self.listings[branch, stream] = None
            self._stream(branch, stream)
        self._events(needs.event_ids)

    def _key(self, branch: int, stream: str, key: str) -> None:
        self.looked = True
        if (branch, stream, key) not in self._known:
            self.keys[branch, stream, key] = None

    def _stream(self, branch: int, stream: str) -> None:
        if (branch, stream) not in self._facts.versions:
            self.streams[branch, stream] = None

    def _events(self, ids: Iterable[bytes]) -> None:
        for event_id in ids:
            if event_id not in self._facts.events:
                self.event_ids[event_id] = None

    def settle(self, answers: list[Any]) -> None:
        """Put the answers into the facts, in the order in which they were asked."""
        replies = iter(answers)
        facts = self._facts
        for stream_at in self.streams:
            facts.versions[stream_at] = next(replies)
        for key_at in self.keys:
            facts.keys[key_at] = next(replies)
        for listing_at in self.listings:
            facts.listings[listing_at] = _as_heads(next(replies))
        if self.event_ids:
            found: list[StoredEvent | None] = next(replies)
            facts.events.update({event.event_id: event for event in found if event is not None})
        for name in self.tracking:
            facts.tracking[name] = next(replies)


def _as_heads(listed: Iterable[tuple[str, KeyHead]]) -> dict[str, KeyHead]:
    return dict(listed)
