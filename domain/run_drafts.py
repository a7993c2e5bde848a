"""Drafts of an imported run: its planned events with ids, causes and encoded data.

Event ids say what they are, so that importing again finds them: 10 bytes of a SHA-256 over branch and stream, 3 bytes
of the message's index, 3 bytes of the part (a UUIDv8; RFC 9562, 5.8). The ids of a run lie side by side in an index,
and causes are known before anything is written.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final, NamedTuple

from backstory.domain.branches import Lineage
from backstory.domain.commits import Draft
from backstory.domain.context import Author
from backstory.domain.decisions import ValueCodec
from backstory.domain.errors import InvalidValueError, ValueTooLargeError
from backstory.domain.sequencer import STATE_SET
from backstory.domain.transcripts import Planned, Ref, Step

__all__ = ["COMPLETED", "Home", "RunDrafts", "RunTarget", "count_of", "message_of", "twin"]

COMPLETED: Final = b"\xff\xff\xff"
"""The part of the write that completes a run at a message."""

_RESUMED: Final = b"\xff\xff\xfe"
_EXTRA: Final = b"\xff\xff\xff\xff\xff\xff"
_PREFIX: Final = 10
_MOST: Final = 2**24 - 2
_STATES: Final = {"running": b'"running"', "completed": b'"completed"'}


@dataclass(frozen=True, slots=True)
class RunTarget:
    """Where runs go: a branch, who writes, and how values are encoded."""

    branch: int
    lineage: Lineage
    author: Author
    codec: ValueCodec
    max_bytes: int


class Home(NamedTuple):
    """A branch that may hold a run's events: up to which position they count, and how their ids begin.

    `extra_id` is the id of the write of the run's other fields, which depends on what they are.
    """

    limit: int
    prefix: bytes
    extra_id: bytes


class RunDrafts:
    """Makes the drafts of one run. Its `homes` are the branch that is written to, then those it shows."""

    def __init__(self, stream: str, target: RunTarget) -> None:
        self.stream: Final = stream
        self.target: Final = target
        self.homes = self._homes(b"")
        self.extra: bytes | None = None

    def _homes(self, extra: bytes) -> tuple[Home, ...]:
        return tuple(
            Home(limit, _prefix(branch, self.stream), _prefix(branch, self.stream, extra) + _EXTRA)
            for branch, limit in self.target.lineage
        )

    def describe(self, extra: dict[str, Any]) -> None:
        """Take the run's other fields, for its key `run`; raises what keeps them from being stored."""
        if extra:
            self.extra = self._encoded(extra, "run")
            self.homes = self._homes(self.target.codec.canonical(extra))

    def drafts(self, step: Step) -> list[Draft]:
        """Return what a step writes, its message first; raises what keeps any of it from being stored."""
        return [self._draft(planned) for planned in step.events]

    def _draft(self, planned: Planned) -> Draft:
        data = self._encoded(planned.data, planned.key)
        if planned.type == STATE_SET:
            data = self.target.codec.encode_set(data, "set", None)
        cause = None if planned.cause is None else self._id(planned.cause)
        return self._made(self._id(planned.ref), planned.type, data, planned.key, cause)

    def _made(self, event_id: bytes, kind: str, data: bytes, key: str | None, cause: bytes | None) -> Draft:
        correlation, causes, actor, extra = self.target.author
        if cause is not None:
            causes = cause
        return Draft(event_id, self.stream, kind, data, key, None, correlation, causes, actor, extra)

    def _encoded(self, value: object, key: str | None) -> bytes:
        encoded = self.target.codec.encode_value(value)
        if len(encoded) > self.target.max_bytes:
            raise ValueTooLargeError(size=len(encoded), limit=self.target.max_bytes, scope=self.stream, key=key)
        return encoded

    def _id(self, ref: Ref) -> bytes:
        if max(ref) >= _MOST:
            rule = f"is beyond what one run may hold: {_MOST} messages, and as many parts of one"
            raise InvalidValueError(f"messages[{ref.message}]", rule=rule, hint="Split the run.")
        return self.homes[0].prefix + ref.message.to_bytes(3) + ref.part.to_bytes(3)

    # What a message brings beside its plan, because of its place in the run. The `message` is its own draft.

    def resumption(self, message: Draft) -> Draft:
        """Return the write by which a completed run goes on."""
        return self._put(message.event_id[:-3] + _RESUMED, "status", _STATES["running"], message.event_id)

    def completion(self, message: Draft, *, cause: bytes | None = None) -> Draft:
        """Return the write by which a message completes the run; the message may be recorded under another id."""
        return self._put(message.event_id[:-3] + COMPLETED, "status", _STATES["completed"], cause or message.event_id)

    def description(self, message: Draft, *, cause: bytes | None = None) -> list[Draft]:
        """Return the write of the run's other fields, if it has any."""
        if self.extra is None:
            return []
        return [self._put(self.homes[0].extra_id, "run", self.extra, cause or message.event_id)]

    def _put(self, event_id: bytes, key: str, value: bytes, cause: bytes) -> Draft:
        data = self.target.codec.encode_set(value, "set", None)
        return self._made(event_id, STATE_SET, data, key, cause)

    def status(self, name: str) -> bytes:
        """Return the data of a write of the status."""
        return self.target.codec.encode_set(_STATES[name], "set", None)


def count_of(drafts: list[Draft]) -> bytes:
    """Return the data of the write of the count, which every message brings."""
    return next(draft.data for draft in drafts if draft.key == "messages" and draft.type == STATE_SET)


def message_of(event_id: bytes) -> int:
    """Return the index of the message that an event belongs to."""
    return int.from_bytes(event_id[_PREFIX:-3])


def twin(event_id: bytes, home: Home) -> bytes:
    """Return the id that the same event has when it is written on another branch."""
    return home.prefix + event_id[_PREFIX:]


def _prefix(branch: int, stream: str, *more: bytes) -> bytes:
    """Return how the ids of a stream's import begin: 10 bytes with the version and variant bits of a UUIDv8."""
    digest = bytearray(sha256(b"\0".join((f"{branch}/{stream}".encode(), *more))).digest()[:_PREFIX])
    digest[6] = digest[6] & 0x0F | 0x80
    digest[8] = digest[8] & 0x3F | 0x80
    return bytes(digest)
