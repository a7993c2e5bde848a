"""The hash chain: each event's hash covers the one before it and every stored byte.

hash = SHA-256(previous hash, 32 bytes
    | position u64, branch u32, version u64, recorded_us i64, expires_us i64 (-1: none),
      format u8, cipher key u32, and the lengths (u32) of what follows, all big-endian
    | event id, stream, type, key, correlation, causes, actor, extra, data)
A part that is absent has the length 0xFFFFFFFF. The first event's predecessor is
SHA-256 of the log's id: two logs never share a prefix.
"""

from __future__ import annotations

import hashlib
import struct
from typing import Final

from backstory.domain.events import StoredEvent
from backstory.domain.packed_events import ABSENT, FOUR_ABSENT, HEADER, pack

#: The header where correlation, causes, actor and extra are absent, as in most events.
_PLAIN_HEADER: Final = struct.Struct(">QIQqqBI3I16sI")
_sha256 = hashlib.sha256


def genesis(log_id: bytes) -> bytes:
    """Return the predecessor hash of a log's first event."""
    return _sha256(log_id).digest()


def link(  # noqa: PLR0917 - the hot path: one argument a stored part, no packing in between
    previous: bytes,
    position: int,
    branch: int,
    version: int,
    recorded_us: int,
    expires_us: int | None,
    form: int,
    cipher_key: int,
    event_id: bytes,
    stream: str,
    kind: str,
    key: str | None,
    correlation: bytes | None,
    causes: bytes | None,
    actor: bytes | None,
    extra: bytes | None,
    data: bytes,
) -> bytes:
    """Return the hash of an event with these stored parts, chained to `previous`."""
    stream_bytes = stream.encode()
    kind_bytes = kind.encode()
    if key is not None and correlation is None and causes is None and actor is None and extra is None:
        name = key.encode()
        plain = _PLAIN_HEADER.pack(
            position,
            branch,
            version,
            recorded_us,
            -1 if expires_us is None else expires_us,
            form,
            cipher_key,
            len(stream_bytes),
            len(kind_bytes),
            len(name),
            FOUR_ABSENT,
            len(data),
        )
        return _sha256(b"".join((previous, plain, event_id, stream_bytes, kind_bytes, name, data))).digest()
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
        previous,
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
    return _sha256(b"".join(parts)).digest()


def link_of(previous: bytes, event: StoredEvent) -> bytes:
    """Return the hash that a stored event should have after `previous`."""
    return _sha256(previous + pack(event)).digest()
