"""Transactions: one view of the log, its own writes over it, and one commit."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from backstory.committing import Performed, commit_of, referring
from backstory.context import with_reads
from backstory.domain.branches import BranchRow, Lineage
from backstory.domain.commits import Commit, Decision, Draft, Expiry, KeyHead, Needs, Read, View, split_causes
from backstory.domain.context import Author
from backstory.domain.decisions import Intent
from backstory.domain.errors import SchemaError, StoreClosedError
from backstory.domain.events import MISSING, RecordedEvent, StoredEvent, settle
from backstory.domain.ports import LAST_POSITION, LogHead, Program
from backstory.domain.sequencer import SCOPE_CLEARED, STATE_DELETED, STATE_SET, BranchView, Facts, preview, sequence
from backstory.gate import Gate, each_of, items_of
from backstory.infrastructure import codec
from backstory.projections.points import At
from backstory.resting import Resting

if TYPE_CHECKING:
    from backstory.sessions import DirectSession


class TransactionSession:
    """One transaction: reads the log at the point where it began, over it its own writes.

    It is serializable by optimism: everything it read is checked when it commits, and a
    `ConflictError` says what has changed since. A `brief` one is over before its caller sees it: it may read each
    thing where it stands, for the check at its commit is all that matters.
    """

    def __init__(self, home: DirectSession, gate: Gate, *, brief: bool = False) -> None:
        self.home = home
        self._brief = brief and len(home.state.lineage) == 1
        self.state = home.state
        self.guard = home.guard
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
                self._at = At(LAST_POSITION, self.state.clock.now_us())
                self._facts.head = LogHead(0, self._at.instant_us, b"\0" * 32)
            else:
                self._at = yield from self.state.at(None)
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
        found = yield from self.state.reader.events(sorted(ids))
        self._facts.events.update({event.event_id: event for event in found if event is not None})

    def _load_version(self, stream: str, at: At, *, exact: bool = False) -> Program[None]:
        if (self._branch, stream) not in self._facts.versions:
            if self._brief and not exact:
                self._facts.versions[self._branch, stream] = self._before[stream] = 0
                return
            version = yield from self.state.reader.stream_version(self._lineage, stream, at.position)
            self._facts.versions[self._branch, stream] = self._before[stream] = version

    def _load_key(self, stream: str, key: str, at: At) -> Program[KeyHead]:
        head = self._facts.keys.get((self._branch, stream, key))
        if head is None:
            reader = self.state.reader
            if self._brief:
                head = yield from reader.key_now(self._lineage, stream, key)
            else:
                head = yield from reader.key_head(self._lineage, stream, key, at.position)
            self._facts.keys[self._branch, stream, key] = head
            self._reads[stream, key] = head.version
            if self._brief and head.expires_us is not None:
                # Where the machine's clock is behind the log's, the log's counts.
                at = self._at = at._replace(instant_us=(yield from self.state.now_us()))
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
        listing = dict((yield from self.state.reader.listing(self._lineage, stream, at.position, "")))
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
        guard = self.guard
        if guard.blind:
            yield from guard.settle()
            yield from guard.look()
        yield from guard.meets(intent.drafts)
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
                guard.check(decision.drafts)
                decided.extend(decision.drafts)
                return decision

            commit.decide = remember
        else:
            decided.extend(commit.drafts)
        learnt = guard.learnt
        batch = sequence([commit], self._facts, at.instant_us)
        if (yield from guard.refused_too_soon(batch.outcomes[0].error, learnt)):
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

    def seen(self, stream: str, key: str, as_of: object) -> Program[tuple[object, KeyHead]]:
        """Return a point at which a key is read, and its head there; None for what this transaction sees.

        Raises `SchemaError` for its own writes: which schema they carry is known when they are committed.
        """
        if as_of is not None:
            return (yield from self.home.seen(stream, key, as_of))
        head, _ = yield from self.head_of(stream, key)
        if head.position > self._began:
            raise SchemaError(
                f"{stream} {key} was written in this transaction, and carries no schema yet",
                hint="Commit first, or leave `schema_version` out.",
            )
        return None, head

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
        return self.state.value(head) if head.present(now_us) else MISSING

    def _head_at(self, stream: str, key: str, as_of: object) -> Program[tuple[KeyHead, int]]:
        yield from self.begin()
        at = yield from self.state.at(as_of)
        head = yield from self.state.reader.key_head(self._lineage, stream, key, at.position)
        return head, at.instant_us

    def get_many(self, stream: str, keys: Sequence[str], as_of: object) -> Program[dict[str, Any]]:
        """Return the values of those keys that have one; with a point, what is committed there."""
        return each_of(self, keys, stream, as_of, "get_many")

    def heads(self, stream: str, prefix: str, as_of: object) -> Program[list[tuple[str, KeyHead]]]:
        """Return the present keys of a scope."""
        if as_of is not None:
            return (yield from self.state.heads(stream, prefix, as_of))
        at = yield from self.begin()
        listing = yield from self._load_listing(stream, at)
        return sorted(
            (key, head) for key, head in listing.items() if key.startswith(prefix) and head.present(at.instant_us)
        )

    def items(self, stream: str, prefix: str, as_of: object) -> Program[dict[str, Any]]:
        """Return the values of a scope by key."""
        return items_of(self, self._gate, stream, prefix, as_of)

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
            outcome = yield from self.home.append(commit)
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
            outcome = yield from self.home.append(self._checked(Commit(self._branch, drafts), checked=checked))
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
