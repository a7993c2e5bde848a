"""Commits of an imported run: one for each message, which writes what the message brings or, done before, nothing.

Event ids say what they are, so that importing again finds them: 10 bytes of a SHA-256 over branch and stream, 3 bytes
of the message's index, 3 bytes of the part (a UUIDv8; RFC 9562, 5.8). A run's ids lie side by side in an index, and
causes are known before anything is written. Every commit is decided under the log's lock:

- The message is recorded with the same content: nothing to do.
- It is recorded otherwise, or what was recorded before it is not what this run says: the run is another one under the
  same id, and nothing of it is written from there on.
- It is new: its events are written. If the run had been completed, it is running again.

The last message completes the run, unless a longer version of it is already there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from hashlib import sha256
from typing import Any, Final, NamedTuple

from backstory.domain.branches import Lineage
from backstory.domain.commits import Commit, Decision, Draft, Needs, View
from backstory.domain.context import Author
from backstory.domain.decisions import ValueCodec
from backstory.domain.errors import BackstoryError, InvalidValueError, ValueTooLargeError
from backstory.domain.events import StoredEvent
from backstory.domain.sequencer import STATE_SET
from backstory.domain.transcripts import Planned, Planner, Ref, Run, Step

__all__ = ["MessageCommit", "RunTarget", "Verdict", "commits_of"]

_PREFIX: Final = 10
_LIMIT: Final = 2**24
_COMPLETED: Final = b"\xff\xff\xff"
_RESUMED: Final = b"\xff\xff\xfe"
_STATES: Final = {"running": b'"running"', "completed": b'"completed"'}
_EXTRA: Final = b"\xff\xff\xff\xff\xff\xff"


class Verdict(Enum):
    """What became of a message: recorded now, recorded before, or not recorded for the run differs."""

    NEW = "new"
    KNOWN = "known"
    DIFFERENT = "different"


class MessageCommit(NamedTuple):
    """The commit of one message: its result is a `Verdict`. `last` ends the run; `size` counts bytes of data."""

    commit: Commit
    message: int
    last: bool
    size: int


@dataclass(frozen=True, slots=True)
class RunTarget:
    """Where runs go: a branch, who writes, and how values are encoded."""

    branch: int
    lineage: Lineage
    author: Author
    codec: ValueCodec
    max_bytes: int


def commits_of(run: Run, stream: str, target: RunTarget) -> Iterator[MessageCommit | str]:
    """Return the commits of a run's messages, in order, and what is wrong with those that have none.

    They belong together: put them into the log in this order.
    """
    planner = Planner()
    writer = _RunWriter(stream, target)
    try:
        writer.describe(run.extra)
    except BackstoryError as error:
        yield f"its other fields: {error}"
    held: tuple[int, list[Draft]] | None = None
    for index, message in enumerate(run.messages):
        try:
            step = planner.plan(index, message)
            drafts = writer.drafts(step)
        except BackstoryError as error:
            yield str(error)
            continue
        planner.accept(step)
        yield from step.problems
        if held is not None:
            yield writer.commit(*held, last=False)
        held = index, drafts
    if held is not None:
        yield writer.commit(*held, last=True)


class _Home(NamedTuple):
    """A branch that may hold this run's events: up to which position they count, and how their ids begin."""

    limit: int
    prefix: bytes
    extra_id: bytes


class _RunWriter:
    """Makes one run's commits, and remembers between them whether the run turned out to be another one."""

    def __init__(self, stream: str, target: RunTarget) -> None:
        self._stream = stream
        self._target = target
        self._homes = tuple(
            _Home(limit, _prefix(branch, stream), _prefix(branch, stream) + _EXTRA) for branch, limit in target.lineage
        )
        self._extra: bytes | None = None
        self._counted: Draft | None = None
        self._different = False

    # Drafts

    def describe(self, extra: dict[str, Any]) -> None:
        """Take the run's other fields, for its key `run`; raises what keeps them from being stored."""
        if not extra:
            return
        self._extra = self._encoded(extra, "run")
        digest = self._target.codec.canonical(extra)
        self._homes = tuple(
            home._replace(extra_id=_prefix(branch, self._stream, digest) + _EXTRA)
            for home, (branch, _) in zip(self._homes, self._target.lineage, strict=True)
        )

    def drafts(self, step: Step) -> list[Draft]:
        """Return what a step writes; raises what keeps any of it from being stored."""
        return [self._draft(planned) for planned in step.events]

    def _draft(self, planned: Planned) -> Draft:
        data = self._encoded(planned.data, planned.key)
        if planned.type == STATE_SET:
            data = self._target.codec.encode_set(data, "set", None)
        cause = None if planned.cause is None else self._id(planned.cause)
        return self._made(self._id(planned.ref), planned.type, data, planned.key, cause)

    def _made(self, event_id: bytes, kind: str, data: bytes, key: str | None, cause: bytes | None) -> Draft:
        correlation, causes, actor, extra = self._target.author
        if cause is not None:
            causes = cause
        return Draft(event_id, self._stream, kind, data, key, None, correlation, causes, actor, extra)

    def _put(self, event_id: bytes, key: str, value: bytes, cause: bytes) -> Draft:
        data = self._target.codec.encode_set(value, "set", None)
        return self._made(event_id, STATE_SET, data, key, cause)

    def _encoded(self, value: object, key: str | None) -> bytes:
        encoded = self._target.codec.encode_value(value)
        if len(encoded) > self._target.max_bytes:
            raise ValueTooLargeError(size=len(encoded), limit=self._target.max_bytes, scope=self._stream, key=key)
        return encoded

    def _id(self, ref: Ref) -> bytes:
        if max(ref) >= _LIMIT - 2:
            rule = f"is beyond what one run may hold, {_LIMIT - 2} messages and as many parts of one"
            raise InvalidValueError(f"messages[{ref.message}]", rule=rule, hint="Split the run.")
        return self._homes[0].prefix + ref.message.to_bytes(3) + ref.part.to_bytes(3)

    # Commits

    def commit(self, index: int, drafts: list[Draft], *, last: bool) -> MessageCommit:
        """Return the commit of the next message, which is decided under the log's lock."""
        before, self._counted = self._counted, _count_of(drafts)

        def decide(view: View) -> Decision:
            return self._decide(_Facts(view, self._stream, self._homes), drafts, before, last=last)

        commit = Commit(self._target.branch, (), decide, self._needs(drafts, before, last=last))
        return MessageCommit(commit, index, last, sum(len(draft.data) for draft in drafts))

    def _needs(self, drafts: Sequence[Draft], before: Draft | None, *, last: bool) -> Needs:
        message = drafts[0]
        asked = [message.event_id]
        if last:
            asked.append(message.event_id[:-3] + _COMPLETED)
        if before is not None:
            asked.append(message.causes or b"")
        ids = [home.prefix + event_id[_PREFIX:] for event_id in asked for home in self._homes]
        if before is None:
            causes = self._target.author.causes or b""
            ids.extend(causes[at : at + 16] for at in range(0, len(causes), 16))
        if (last or before is None) and self._extra is not None:
            ids.extend(home.extra_id for home in self._homes)
        keys = ((self._stream, "messages"), (self._stream, "status"))
        return Needs(keys=keys, event_ids=tuple(ids))

    def _decide(self, facts: _Facts, drafts: list[Draft], before: Draft | None, *, last: bool) -> Decision:
        if self._different:
            return Decision((), Verdict.DIFFERENT)
        known = facts.find(drafts[0].event_id)
        if known is not None and self._same(known, drafts[0]):
            return Decision(self._ending(facts, drafts) if last else (), Verdict.KNOWN)
        if known is not None or not facts.counted(None if before is None else before.data):
            self._different = True
            return Decision((), Verdict.DIFFERENT)
        own = drafts[0].event_id
        written = list(drafts)
        if before is not None:
            written[0] = facts.resolved(drafts[0])
            if facts.status == self._state("completed"):
                written.insert(1, self._put(own[:-3] + _RESUMED, "status", _STATES["running"], own))
        if last or before is None:
            written.extend(self._description(facts, own))
        if last:
            written.append(self._completion(own, own))
        return Decision(written, Verdict.NEW)

    def _same(self, known: StoredEvent, draft: Draft) -> bool:
        """Return whether an event is recorded as this run has it; the order of an object's keys does not count."""
        if (known.stream, known.type) != (draft.stream, draft.type):
            return False
        codec = self._target.codec
        return known.data == draft.data or (
            codec.canonical(codec.decode_value(known.data)) == codec.canonical(codec.decode_value(draft.data))
        )

    def _state(self, name: str) -> bytes:
        return self._target.codec.encode_set(_STATES[name], "set", None)

    def _description(self, facts: _Facts, cause: bytes) -> list[Draft]:
        """Return the write of the run's other fields, if they are not recorded as they are."""
        if self._extra is None or facts.is_described():
            return []
        return [self._put(self._homes[0].extra_id, "run", self._extra, cause)]

    def _completion(self, message_id: bytes, cause: bytes) -> Draft:
        return self._put(message_id[:-3] + _COMPLETED, "status", _STATES["completed"], cause)

    def _ending(self, facts: _Facts, drafts: Sequence[Draft]) -> list[Draft]:
        """Return what a run whose messages are all recorded still lacks; nothing where it went on."""
        own = drafts[0].event_id
        if facts.messages != _count_of(drafts).data:
            return []
        cause = facts.id_of(own)
        ending = self._description(facts, cause)
        if facts.status == self._state("running") and facts.find(own[:-3] + _COMPLETED) is None:
            ending.append(self._completion(own, cause))
        return ending


class _Facts:
    """What is known under the lock of one run."""

    def __init__(self, view: View, stream: str, homes: Sequence[_Home]) -> None:
        self._view = view
        self._homes = homes
        self.messages = view.key(stream, "messages").data
        self.status = view.key(stream, "status").data

    def find(self, event_id: bytes) -> StoredEvent | None:
        """Return the recording of an event of this run that this branch shows, whichever branch it was written on."""
        for home in self._homes:
            event = self._view.event(home.prefix + event_id[_PREFIX:])
            if event is not None and event.position <= home.limit:
                return event
        return None

    def id_of(self, event_id: bytes) -> bytes:
        """Return the id that an event is recorded under, or its own."""
        event = self.find(event_id)
        return event_id if event is None else event.event_id

    def resolved(self, draft: Draft) -> Draft:
        """Return a draft whose one cause is named as it is recorded: on a fork, it may be the parent's."""
        if len(self._homes) == 1 or draft.causes is None:
            return draft
        return draft._replace(causes=self.id_of(draft.causes))

    def counted(self, count: bytes | None) -> bool:
        """Return whether as many messages are recorded as somebody counted; a scope that was cleared says nothing."""
        return self.messages is None or self.messages == count

    def is_described(self) -> bool:
        """Return whether the run's other fields have been recorded as they are."""
        events = ((home, self._view.event(home.extra_id)) for home in self._homes)
        return any(event is not None and event.position <= home.limit for home, event in events)


def _count_of(drafts: Sequence[Draft]) -> Draft:
    """Return the write of a message's count, which every message brings."""
    return next(draft for draft in drafts if draft.key == "messages" and draft.type == STATE_SET)


def _prefix(branch: int, stream: str, *more: bytes) -> bytes:
    """Return how the ids of a stream's import begin: 10 bytes with the version and variant bits of a UUIDv8."""
    digest = bytearray(sha256(b"\0".join((f"{branch}/{stream}".encode(), *more))).digest()[:_PREFIX])
    digest[6] = digest[6] & 0x0F | 0x80
    digest[8] = digest[8] & 0x3F | 0x80
    return bytes(digest)
