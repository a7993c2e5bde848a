"""Packed events: an event as one run of bytes, the same that the hash chain covers.

A record is what `chain` hashes after the previous hash: position u64, branch u32, version u64, recorded_us i64,
expires_us i64 (-1: none), format u8, cipher key u32, eight lengths u32, all big-endian; then event id (16 bytes),
stream, type, key, correlation, causes, actor, extra, data. A part that is absent has the length 0xFFFFFFFF. So the hash
of an event is SHA-256 of the hash before it and its record, and need not be kept.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from backstory.domain.errors import IntegrityError
from backstory.domain.events import StoredEvent

__all__ = [
    "ABSENT",
    "FOUR_ABSENT",
    "HEADER",
    "PackedPage",
    "Touch",
    "chained",
    "pack",
    "packed_page",
    "touch_of",
    "unpack",
]

#: What tells a fold what happened to whom: position, branch, stream, type, key, expiry in microseconds since 1970.
Touch = tuple[int, int, str, str, str | None, int | None]

#: A record's length, before it, where records lie behind one another.
_LENGTH: Final = struct.Struct(">I")
HEADER: Final = struct.Struct(">QIQqqBI8I")
ABSENT: Final = 0xFFFFFFFF
_START: Final = HEADER.size
_STREAM: Final = _START + 16
#: The lengths of correlation, causes, actor and extra: most events have none of these.
_FOUR: Final = slice(_START - 20, _START - 4)
FOUR_ABSENT: Final = struct.pack(">4I", *[ABSENT] * 4)
_unpack = HEADER.unpack_from
_sha256 = hashlib.sha256


class PackedPage(NamedTuple):
    """So many events, their lowest position and the highest one, and records, each behind its length (u32, big-endian).

    `touches` returns what each of them touched: whoever folds decodes it, not whoever fetches the next page. It raises
    `IntegrityError` for names that are no text.
    """

    events: int
    first: int
    last: int
    records: bytes
    touches: Callable[[], Sequence[Touch]]

    def record(self, index: int) -> bytes:
        """Return one event's record."""
        at = 0
        for _ in range(index):
            at += _LENGTH.size + _LENGTH.unpack_from(self.records, at)[0]
        start = at + _LENGTH.size
        return self.records[start : start + _LENGTH.unpack_from(self.records, at)[0]]


def packed_page(events: Iterable[StoredEvent]) -> PackedPage:
    """Return events packed."""
    touches: list[Touch] = []
    parts: list[bytes] = []
    for event in events:
        touches.append((event.position, event.branch, event.stream, event.type, event.key, event.expires_us))
        record = pack(event)
        parts += (_LENGTH.pack(len(record)), record)
    positions = [touch[0] for touch in touches]
    bounds = min(positions, default=0), max(positions, default=0)
    return PackedPage(len(touches), *bounds, b"".join(parts), lambda: touches)


def touch_of(record: bytes) -> Touch:
    """Return what an event touched by its record, the rest unread; raises `IntegrityError` for what is no record."""
    try:
        position, branch, _, _, expires_us, _, _, first, second, third, *_ = _unpack(record)
        middle = _STREAM + first
        end = middle + second
        key = None if third == ABSENT else record[end : end + third].decode()
        stream, kind = record[_STREAM:middle].decode(), record[middle:end].decode()
    except (struct.error, ValueError) as error:
        raise _no_event(error) from error
    return position, branch, stream, kind, key, None if expires_us < 0 else expires_us


def pack(event: StoredEvent) -> bytes:
    """Return an event's record, without its hash."""
    (
        position,
        branch,
        stream,
        version,
        event_id,
        kind,
        key,
        recorded_us,
        expires_us,
        correlation,
        causes,
        actor,
        extra,
        form,
        cipher_key,
        data,
        _,
    ) = event
    stream_bytes, kind_bytes = stream.encode(), kind.encode()
    key_bytes = None if key is None else key.encode()
    header = HEADER.pack(
        position,
        branch,
        version,
        recorded_us,
        -1 if expires_us is None else expires_us,
        form,
        cipher_key,
        len(stream_bytes),
        len(kind_bytes),
        ABSENT if key_bytes is None else len(key_bytes),
        ABSENT if correlation is None else len(correlation),
        ABSENT if causes is None else len(causes),
        ABSENT if actor is None else len(actor),
        ABSENT if extra is None else len(extra),
        len(data),
    )
    parts = (
        header,
        event_id,
        stream_bytes,
        kind_bytes,
        key_bytes or b"",
        correlation or b"",
        causes or b"",
        actor or b"",
        extra or b"",
        data,
    )
    return b"".join(parts)


def unpack(record: bytes, digest: bytes = b"") -> StoredEvent:
    """Return the event of a record, with this hash; raises `IntegrityError` for what is no record."""
    try:
        (
            position, branch, version, recorded_us, expires_us, form, cipher_key,
            first, second, third, correlated, caused, acted, more, said,
        ) = _unpack(record)  # fmt: skip
        key = correlation = causes = actor = extra = None
        middle = _STREAM + first
        at = middle + second
        stream, kind = record[_STREAM:middle].decode(), record[middle:at].decode()
        if third != ABSENT:
            key = record[at : (at := at + third)].decode()
        if record[_FOUR] != FOUR_ABSENT:
            if correlated != ABSENT:
                correlation = record[at : (at := at + correlated)]
            if caused != ABSENT:
                causes = record[at : (at := at + caused)]
            if acted != ABSENT:
                actor = record[at : (at := at + acted)]
            if more != ABSENT:
                extra = record[at : (at := at + more)]
        if at + said != len(record):
            raise ValueError("its lengths do not add up")  # noqa: TRY301 - told as any other garbage is
    except (struct.error, ValueError) as error:
        raise _no_event(error) from error
    parts = (
        position,
        branch,
        stream,
        version,
        record[_START:_STREAM],
        kind,
        key,
        recorded_us,
        None if expires_us < 0 else expires_us,
        correlation,
        causes,
        actor,
        extra,
        form,
        cipher_key,
        record[at:],
        digest,
    )
    return tuple.__new__(StoredEvent, parts)  # without the call in between: this runs for every event


def _no_event(error: Exception) -> IntegrityError:
    return IntegrityError(f"a record holds no event: {error}", kind="encoding")


def chained(records: Iterable[bytes], previous: bytes) -> list[StoredEvent]:
    """Return the events of records that follow one another in a log, with their hashes, after an event's hash."""
    found = []
    for record in records:
        previous = _sha256(previous + record).digest()
        found.append(unpack(record, previous))
    return found
