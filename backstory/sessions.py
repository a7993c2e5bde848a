"""Sessions: where an operation reads and writes, either the log itself or one transaction.

Both answer the same few questions, so that every operation is written once.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any, Protocol

from backstory.context import with_reads
from backstory.domain.branches import BranchRow, Lineage
from backstory.domain.commits import Commit, Decision, Draft, Expiry, KeyHead, Needs, Outcome, Read, View, split_causes
from backstory.domain.context import Author
from backstory.domain.decisions import Intent
from backstory.domain.errors import StoreClosedError
from backstory.domain.events import MISSING, RecordedEvent, StoredEvent, settle
from backstory.domain.ports import LAST_POSITION, Append, LogHead, Program
from backstory.domain.sequencer import SCOPE_CLEARED, STATE_DELETED, STATE_SET, BranchView, Facts, preview, sequence
from backstory.infrastructure import codec
from backstory.infrastructure.programs import gather
from backstory.projections.points import At
from backstory.projections.state import StateReader
from backstory.resting import Resting

Performed = tuple[Sequence[RecordedEvent], Any]


class Session(Protocol):
    """What operations need of the place they work in."""

    def perform(self, intent: Intent, author: Author) -> Program[Performed]:
        """Decide and write; return the events, one a draft, and the decision's result."""
        ...

    def head_of(self, stream: str, key: str) -> Program[tuple[KeyHead, int]]:
        """Return a key's head as this session sees it now, and the reader's instant."""
        ...

    def refer(self, intent: Intent) -> Program[Intent]:
        """Return the intent of a copy that refers to what it copies."""
        ...

    def saw(self, head: KeyHead, as_of: object = None) -> tuple[int, ...]:
        """Note that a caller was shown this, now or at a point.

        Return what of it the next write is to say, where it is not noted for all that follow.
        """
        ...

    def get(self, stream: str, key: str, as_of: object, operation: str = "get") -> Program[Any]:
        """Return a key's value or `MISSING`."""
        ...

    def get_many(self, stream: str, keys: Sequence[str], as_of: object) -> Program[dict[str, Any]]:
        """Return the values of those keys that have one, all seen at the same point."""
        ...

    def heads(self, stream: str, prefix: str, as_of: object) -> Program[list[tuple[str, KeyHead]]]:
        """Return the present keys of a scope, sorted, with their heads."""
        ...

    def items(self, stream: str, prefix: str, as_of: object) -> Program[dict[str, Any]]:
        """Return the values of a scope by key, sorted."""
        ...


class HookPath(Protocol):
    """What stands in the path of operations, and behind it, once a hook is registered."""

    def write(self, session: DirectSession, intent: Intent, author: Author) -> Program[Performed]:
        """Perform an operation of its own, as its hooks have it."""
        ...

    def write_in(self, tx: TransactionSession, intent: Intent, author: Author) -> Program[Performed]:
        """Perform an operation inside a transaction, as its hooks have it."""
        ...

    def read(self, session: Session, stream: str, key: str, as_of: object, operation: str) -> Program[Any]:
        """Return a key's value or `MISSING`, as its hooks have it."""
        ...

    def underway(self) -> AbstractContextManager[None]:
        """Return the block in which a commit and what is due behind it belong together."""
        ...

    def committed(self, session: DirectSession, rows: Sequence[StoredEvent]) -> Program[None]:
        """See to the hooks behind what was committed."""
        ...

    def commit(self, session: DirectSession, commit: Commit) -> Program[Outcome]:
        """Put a commit that is no operation's into the log, as its hooks have it."""
        ...

    @property
    def writes(self) -> bool:
        """Whether any hook stands in the path of writes, or behind them."""
        ...

    def end(self) -> Any:
        """Let what runs in the background end; on the asyncio face the answer is to be awaited."""
        ...

    def leave(self) -> Program[None]:
        """Say that nothing is left to do."""
        ...

    @property
    def reads(self) -> bool:
        """Whether any hook stands in the path of reads."""
        ...


class Gate:
    """Where hooks join the path of a store's operations: empty until one is registered."""

    __slots__ = ("path", "scheduler")

    def __init__(self) -> None:
        self.path: HookPath | None = None
        #: What runs replays when they come due; there is one once something is scheduled.
        self.scheduler: Any = None


def commit_of(intent: Intent, author: Author, branch: int) -> Commit:
    """Return the commit that carries out an intent under the log's lock."""
    if intent.decide is None:
        return Commit(branch, intent.drafts)
    needs = intent.needs or Needs()
    causes = author.causes
    if causes is not None:
        needs = replace(needs, event_ids=(*needs.event_ids, *split_causes(causes)))
    return Commit(branch, (), intent.decide, needs)


def append(commit: Commit) -> Program[Outcome]:
    """Put a commit into the log; raises what refused it."""
    outcome: Outcome = yield Append(commit)
    if outcome.error is not None:
        raise outcome.error
    return outcome


def reading(intent: Intent, positions: Sequence[int]) -> Intent:
    """Return an intent whose events say that they rest on what was read."""
    decide = intent.decide
    if not positions or decide is None:
        return intent

    def wish(view: View) -> Decision:
        decision = decide(view)
        return Decision(tuple(with_reads(draft, positions) for draft in decision.drafts), decision.result)

    return intent._replace(decide=wish)


def referring(intent: Intent, until: int) -> Intent:
    """Return the intent of a copy whose events refer to what they copy, as to something read up to a position."""
    decide = intent.decide
    assert decide is not None

    def wish(view: View) -> Decision:
        decision = decide(view)
        drafts = tuple(
            with_reads(draft, (draft.source,)) if 0 < draft.source <= until else draft for draft in decision.drafts
        )
        return Decision(drafts, decision.result)

    return intent._replace(decide=wish)


class DirectSession:
    """Reads the log as it is, and commits each operation by itself."""

    def __init__(self, state: StateReader, branch: int, gate: Gate, *, track_reads: bool) -> None:
        self.state = self._state = state
        self.track_reads = track_reads
        self.branch = self._branch = branch
        self._gate = gate

    def saw(self, head: KeyHead, as_of: object = None) -> tuple[int, ...]:  # noqa: ARG002 - all here is committed
        """Return where what was read was written, if that is to be recorded."""
        return (head.position,) if self.track_reads and head.position else ()

    def transaction(self, *, brief: bool = False) -> TransactionSession:
        """Return a new transaction on the same branch."""
        return TransactionSession(self, self._gate, brief=brief)

    def perform(self, intent: Intent, author: Author) -> Program[Performed]:
        """Decide under the log's lock and commit, unless hooks have it otherwise."""
        path = self._gate.path
        return self.perform_plain(intent, author) if path is None else path.write(self, intent, author)

    def refer(self, intent: Intent) -> Program[Intent]:
        """Return the intent of a copy that refers to what it copies."""
        yield from ()
        return referring(intent, LAST_POSITION)

    def perform_plain(self, intent: Intent, author: Author) -> Program[Performed]:
        """Decide under the log's lock and commit."""
        outcome: Outcome = yield Append(commit_of(intent, author, self._branch))
        if outcome.error is not None:
            raise outcome.error
        return [RecordedEvent(row, codec.decode_value) for row in outcome.events], outcome.result

    def head_of(self, stream: str, key: str) -> Program[tuple[KeyHead, int]]:
        """Return a key's head now."""
        now_us = yield from self._state.now_us()
        head = yield from self._state.reader.key_head(self._state.lineage, stream, key, 2**62)
        return head, now_us

    def get(self, stream: str, key: str, as_of: object, operation: str = "get") -> Program[Any]:
        """Return a key's value or `MISSING`."""
        path = self._gate.path
        if path is not None and path.reads:
            return path.read(self, stream, key, as_of, operation)
        return self._state.get(stream, key, as_of)

    def get_plain(self, stream: str, key: str, as_of: object) -> Program[Any]:
        """Return a key's value or `MISSING`, whatever hooks stand there."""
        return self._state.get(stream, key, as_of)

    def get_many(self, stream: str, keys: Sequence[str], as_of: object) -> Program[dict[str, Any]]:
        """Return the values of those keys that have one; no commit falls between two of them."""
        path = self._gate.path
        if path is not None and path.reads:
            return (yield from _each(self, keys, stream, as_of, "get_many"))
        at = yield from self._state.at(as_of)
        values = yield from gather([self._state.get_at(stream, key, at) for key in keys])
        return {key: value for key, value in zip(keys, values, strict=True) if value is not MISSING}

    def heads(self, stream: str, prefix: str, as_of: object) -> Program[list[tuple[str, KeyHead]]]:
        """Return the present keys of a scope."""
        return self._state.heads(stream, prefix, as_of)

    def items(self, stream: str, prefix: str, as_of: object) -> Program[dict[str, Any]]:
        """Return the values of a scope by key."""
        return _items(self, self._gate, stream, prefix, as_of)


def _items(
    session: DirectSession | TransactionSession, gate: Gate, stream: str, prefix: str, as_of: object
) -> Program[dict[str, Any]]:
    listed = yield from session.heads(stream, prefix, as_of)
    if gate.path is not None and gate.path.reads:
        return (yield from _each(session, [key for key, _ in listed], stream, as_of, "items"))
    for _, head in listed:
        session.saw(head, as_of)
    return {key: session.state.value(head) for key, head in listed}


def _each(
    session: DirectSession | TransactionSession, keys: Sequence[str], stream: str, as_of: object, operation: str
) -> Program[dict[str, Any]]:
    """Return values that are read one by one, because hooks stand in their path."""
    found: dict[str, Any] = {}
    for key in keys:
        value = yield from session.get(stream, key, as_of, operation)
        if value is not MISSING:
            found[key] = value
    return found


class TransactionSession:
    """One transaction: reads the log at the point where it began, over it its own writes.

    It is serializable by optimism: everything it read is checked when it commits, and a
    `ConflictError` says what has changed since. A `brief` one is over before its caller sees it: it may read each
    thing where it stands, for the check at its commit is all that matters.
    """

    def __init__(self, home: DirectSession, gate: Gate, *, brief: bool = False) -> None:
        self.home = home
        self._brief = brief and len(home.state.lineage) == 1
        self.state = self._state = home.state
        self._gate = gate
        self._branch = home.branch
        self._lineage: Lineage = home.state.lineage
        self._at: At | None = None
        self._began = 0
        self._facts = Facts(LogHead(0, 0, b"\0" * 32), [])
        self._drafts: list[Draft] = []
        self._pending: list[RecordedEvent] = []
        self._places: list[int] = []
        self._reads: dict[tuple[str, str | None], int] = {}
        self._before: dict[str, int] = {}
        self._expiry: Expiry | None = None
        self._resting = Resting()
        self._ended = False

    def begin(self) -> Program[At]:
        """Return the point that this transaction reads at, fixed by the first question."""
        if self._ended:
            raise StoreClosedError("transaction", hint="Begin another: `with store.transaction() as tx`.")
        if self._at is None:
            if self._brief:
                self._at = At(LAST_POSITION, self._state.clock.now_us())
                self._facts.head = LogHead(0, self._at.instant_us, b"\0" * 32)
            else:
                self._at = yield from self._state.at(None)
                self._facts.head = LogHead(self._at.position, self._at.instant_us, b"\0" * 32)
            self._began = self._at.position
            # Whether the branch still lives is for the commit to find out.
            self._facts.branches = [BranchRow(self._branch, "", None, 0, 0, 0)]
        return self._at

    # Facts, read once and then kept true by the transaction's own writes

    def _load(self, needs: Needs, drafts: Sequence[Any]) -> Program[None]:
        at = yield from self.begin()
        for stream in needs.targets:
            yield from self._load_version(stream, at)
        for stream in needs.streams:
            yield from self._load_version(stream, at, exact=True)
            self._reads.setdefault((stream, None), self._before[stream])
        for stream, key in needs.keys:
            yield from self._load_key(stream, key, at)
            yield from self._load_version(stream, at)
        for stream in needs.listings:
            yield from self._load_listing(stream, at)
        ids = {*needs.event_ids, *(draft.event_id for draft in drafts if draft.given_id)}
        for draft in drafts:
            yield from self._load_version(draft.stream, at)
            ids.update(split_causes(draft.causes))
        ids.difference_update(draft.event_id for draft in drafts if not draft.given_id)
        yield from self._load_events(ids - self._facts.events.keys())

    def _load_events(self, ids: set[bytes]) -> Program[None]:
        found = yield from gather([self._state.reader.event(event_id) for event_id in sorted(ids)])
        self._facts.events.update({event.event_id: event for event in found if event is not None})

    def _load_version(self, stream: str, at: At, *, exact: bool = False) -> Program[None]:
        if (self._branch, stream) not in self._facts.versions:
            if self._brief and not exact:
                self._facts.versions[self._branch, stream] = self._before[stream] = 0
                return
            version = yield from self._state.reader.stream_version(self._lineage, stream, at.position)
            self._facts.versions[self._branch, stream] = self._before[stream] = version

    def _load_key(self, stream: str, key: str, at: At) -> Program[KeyHead]:
        head = self._facts.keys.get((self._branch, stream, key))
        if head is None:
            reader = self._state.reader
            if self._brief:
                head = yield from reader.key_now(self._lineage, stream, key)
            else:
                head = yield from reader.key_head(self._lineage, stream, key, at.position)
            self._facts.keys[self._branch, stream, key] = head
            self._reads[stream, key] = head.version
            if self._brief and head.expires_us is not None:
                # Where the machine's clock is behind the log's, the log's counts.
                at = self._at = at._replace(instant_us=(yield from self._state.now_us()))
        self._note(stream, key, head, at)
        return head

    def _note(self, stream: str, key: str, head: KeyHead, at: At) -> None:
        """Remember which value that was seen expires first: what was decided on it holds no longer than it does."""
        if head.expires_us is not None and head.present(at.instant_us):
            expiry = Expiry(head.expires_us, stream, key)
            self._expiry = expiry if self._expiry is None else min(self._expiry, expiry)

    def _load_listing(self, stream: str, at: At) -> Program[dict[str, KeyHead]]:
        listing = self._facts.listings.get((self._branch, stream))
        if listing is None:
            listing = yield from self._read_listing(stream, at)
        for key, head in listing.items():
            self._note(stream, key, head, at)
        return listing

    def _read_listing(self, stream: str, at: At) -> Program[dict[str, KeyHead]]:
        home = (self._branch, stream)
        yield from self._load_version(stream, at)
        self._reads.setdefault((stream, None), self._before[stream])
        listing = dict((yield from self._state.reader.listing(self._lineage, stream, at.position, "")))
        for (branch, other, key), head in self._facts.keys.items():
            if (branch, other) != home:
                continue
            if head.live:
                listing[key] = head
            else:
                listing.pop(key, None)
        self._facts.listings[home] = listing
        return listing

    # The session's questions

    def perform(self, intent: Intent, author: Author) -> Program[Performed]:
        """Decide on what this transaction sees; nothing is written before it commits."""
        path = self._gate.path
        return self.perform_plain(intent, author) if path is None else path.write_in(self, intent, author)

    def decide(self, intent: Intent, author: Author) -> Program[Decision]:
        """Return what an operation would write, without writing it; everything its causes need is loaded."""
        commit = commit_of(intent, author, self._branch)
        yield from self._load(commit.needs or Needs(), commit.drafts)
        at = yield from self.begin()
        if commit.decide is None:
            return Decision(commit.drafts)
        view = BranchView(self._facts, self._branch, now_us=at.instant_us, position=self._facts.head.position)
        return commit.decide(view)

    def event(self, event_id: bytes) -> Program[StoredEvent | None]:
        """Return an event of the log, or of this transaction."""
        yield from self._load_events({event_id} - self._facts.events.keys())
        return self._facts.events.get(event_id)

    def read_places(self) -> set[tuple[str, str | None]]:
        """Return the streams and keys that this transaction relies on."""
        return set(self._reads)

    def forgive(self, stream: str, key: str | None) -> None:
        """Rely no longer on what was read there."""
        self._reads.pop((stream, key), None)

    def owns(self, event_id: bytes) -> bool:
        """Return whether an event is this transaction's own, in no log yet."""
        return any(draft.event_id == event_id for draft in self._drafts)

    def keys_of(self, stream: str) -> Program[list[str]]:
        """Return the keys that a clear of a scope would take away, sorted."""
        at = yield from self.begin()
        listing = yield from self._load_listing(stream, at)
        return sorted(key for key, head in listing.items() if head.present(at.instant_us))

    def saw(self, head: KeyHead, as_of: object = None) -> tuple[int, ...]:
        """Note that a caller was shown this: whatever is written from here on may rest on it."""
        position = head.position if as_of is not None else self.place_of(head)
        if position and self.home.track_reads:
            self._resting.saw(position)
        return ()

    def refer(self, intent: Intent) -> Program[Intent]:
        """Return the intent of a copy that refers to what it copies; to what is written here, when it commits."""
        at = yield from self.begin()
        return referring(intent, at.position)

    def place_of(self, head: KeyHead) -> int:
        """Return the position of what wrote this; 0 for what nothing wrote, or this transaction, which has none yet."""
        return head.position if head.position <= self._began else 0

    def perform_plain(self, intent: Intent, author: Author) -> Program[Performed]:
        """Note an operation as it is."""
        intent = self._resting.intent(intent)
        if intent.decide is None and not any(draft.given_id or draft.causes for draft in intent.drafts):
            at = yield from self.begin()
            for draft in intent.drafts:
                if (self._branch, draft.stream) not in self._facts.versions:
                    yield from self._load_version(draft.stream, at)
            rows = preview(intent.drafts, self._facts, self._branch)
            return self._noted(intent.drafts, rows, rows), None
        commit = commit_of(intent, author, self._branch)
        yield from self._load(commit.needs or Needs(), commit.drafts)
        at = yield from self.begin()
        decided: list[Any] = []
        if commit.decide is not None:
            wish = commit.decide

            def remember(view: Any) -> Any:
                decision = wish(view)
                decided.extend(decision.drafts)
                return decision

            commit.decide = remember
        else:
            decided.extend(commit.drafts)
        batch = sequence([commit], self._facts, at.instant_us)
        outcome = batch.outcomes[0]
        if outcome.error is not None:
            raise outcome.error
        self._facts.head = self._advanced(batch.rows)
        return self._noted(decided, outcome.events, batch.rows), outcome.result

    def _noted(
        self, drafts: Sequence[Any], events: Sequence[StoredEvent], rows: Sequence[StoredEvent]
    ) -> list[RecordedEvent]:
        """Note drafts to commit later and what they change; return their events, without places yet."""
        self._drafts.extend(drafts)
        self._resting.noted()
        pending = [RecordedEvent(tuple.__new__(StoredEvent, (0, *row[1:])), codec.decode_value) for row in events]
        self._pending.extend(pending)
        self._places.extend(row.position for row in events)
        for row in rows:
            self._keep(row)
        return pending

    def _advanced(self, rows: Sequence[StoredEvent]) -> LogHead:
        head = self._facts.head
        return LogHead(rows[-1].position, head.recorded_us, rows[-1].hash) if rows else head

    def _keep(self, row: StoredEvent) -> None:
        """Remember what a write of this transaction did to keys that it had not read."""
        keys = self._facts.keys
        if row.type == STATE_SET and row.key is not None:
            keys[row.branch, row.stream, row.key] = KeyHead(row.version, row.position, True, row.expires_us, row.data)
        elif row.type == STATE_DELETED and row.key is not None:
            keys[row.branch, row.stream, row.key] = KeyHead(row.version, row.position, False, None, None)
        elif row.type == SCOPE_CLEARED:
            for key in codec.decode_value(row.data)["keys"]:
                keys[row.branch, row.stream, key] = KeyHead(row.version, row.position, False, None, None)

    def head_of(self, stream: str, key: str) -> Program[tuple[KeyHead, int]]:
        """Return a key's head as this transaction sees it."""
        at = yield from self.begin()
        head = yield from self._load_key(stream, key, at)
        return head, at.instant_us

    def get(self, stream: str, key: str, as_of: object, operation: str = "get") -> Program[Any]:
        """Return a key's value or `MISSING`; with a point, what is committed there."""
        path = self._gate.path
        if path is not None and path.reads:
            return path.read(self, stream, key, as_of, operation)
        return self.get_plain(stream, key, as_of)

    def get_plain(self, stream: str, key: str, as_of: object) -> Program[Any]:
        """Return a key's value or `MISSING`, whatever hooks stand there."""
        head, now_us = yield from self.head_of(stream, key) if as_of is None else self._head_at(stream, key, as_of)
        self.saw(head, as_of)
        return self._state.value(head) if head.present(now_us) else MISSING

    def _head_at(self, stream: str, key: str, as_of: object) -> Program[tuple[KeyHead, int]]:
        yield from self.begin()
        at = yield from self._state.at(as_of)
        head = yield from self._state.reader.key_head(self._lineage, stream, key, at.position)
        return head, at.instant_us

    def get_many(self, stream: str, keys: Sequence[str], as_of: object) -> Program[dict[str, Any]]:
        """Return the values of those keys that have one; with a point, what is committed there."""
        return _each(self, keys, stream, as_of, "get_many")

    def heads(self, stream: str, prefix: str, as_of: object) -> Program[list[tuple[str, KeyHead]]]:
        """Return the present keys of a scope."""
        if as_of is not None:
            return (yield from self._state.heads(stream, prefix, as_of))
        at = yield from self.begin()
        listing = yield from self._load_listing(stream, at)
        return sorted(
            (key, head) for key, head in listing.items() if key.startswith(prefix) and head.present(at.instant_us)
        )

    def items(self, stream: str, prefix: str, as_of: object) -> Program[dict[str, Any]]:
        """Return the values of a scope by key."""
        return _items(self, self._gate, stream, prefix, as_of)

    # The end

    def commit(self, *, checked: bool = True) -> Program[None]:
        """Write everything, if all that was read is still so (or whether or not); raises `ConflictError`."""
        self._ended = True
        if not self._drafts:
            return
        commit = self._checked(Commit(self._branch, self._drafts), checked=checked)
        if any(draft.source > self._began for draft in self._drafts):
            commit = replace(commit, drafts=(), decide=self._decide, needs=self._needs())
        path = self._gate.path
        with nullcontext() if path is None else path.underway():
            outcome = yield from append(commit)
            for event, row in zip(self._pending, outcome.events, strict=True):
                settle(event, row)
            if path is not None:
                yield from path.committed(self.home, outcome.events)

    def conclude(self, drafts: Sequence[Draft], *, checked: bool = True) -> Program[list[RecordedEvent]]:
        """Write these and nothing else, if all that was read is still so; the transaction is over with that."""
        self._ended = True
        if not drafts:
            return []
        path = self._gate.path
        with nullcontext() if path is None else path.underway():
            outcome = yield from append(self._checked(Commit(self._branch, drafts), checked=checked))
            if path is not None:
                yield from path.committed(self.home, outcome.events)
        return [RecordedEvent(row, codec.decode_value) for row in outcome.events]

    def _checked(self, commit: Commit, *, checked: bool) -> Commit:
        """Return a commit that is refused unless all that was read is still so."""
        commit.since_us = 0 if self._at is None else self._at.instant_us
        if checked:
            commit.reads = [Read(stream, key, version) for (stream, key), version in self._reads.items()]
            commit.expiry = self._expiry
        return commit

    def _needs(self) -> Needs:
        """Return the facts that placing this transaction's drafts needs."""
        ids = {draft.event_id for draft in self._drafts if draft.given_id}
        for draft in self._drafts:
            ids.update(split_causes(draft.causes))
        return Needs(targets=tuple({draft.stream for draft in self._drafts}), event_ids=tuple(ids))

    def _decide(self, view: View) -> Decision:
        """Return the drafts; those that copy an event of this transaction name where that one comes to lie."""
        moved: dict[int, int] = {}
        known: set[bytes] = set()
        position = view.position
        drafts: list[Draft] = []
        for draft, place in zip(self._drafts, self._places, strict=True):
            if draft.source > self._began:
                draft = _resourced(draft, moved[draft.source])  # noqa: PLW2901 - the same draft, better informed
            drafts.append(draft)
            if draft.given_id and (draft.event_id in known or view.event(draft.event_id) is not None):
                continue
            known.add(draft.event_id)
            position += 1
            moved[place] = position
        return Decision(drafts)

    def abandon(self) -> None:
        """Give everything up; nothing was written."""
        self._ended = True


def _resourced(draft: Draft, position: int) -> Draft:
    """Return the draft of a copy with another position of what it copies."""
    data = codec.decode_value(draft.data)
    data["source"]["position"] = position
    return with_reads(draft._replace(data=codec.encode_value(data), source=position), (position,))
