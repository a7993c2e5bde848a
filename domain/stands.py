"""Stands: where a key stands, as one run of bytes: what backups keep of a folded state, and what its hash is made of.

A record is the position of the write (u64; 0: removed), the expiry (i64, microseconds since 1970; -1: none), the length
of the scope's text in bytes (u32), all big-endian, then scope and key in UTF-8.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from backstory.domain.errors import IntegrityError

__all__ = ["Stand", "pack_stand", "unpack_stand"]

_PLACE: Final = struct.Struct(">QqI")
_START: Final = _PLACE.size


class Stand(NamedTuple):
    """What the last event did to a key: wrote a value at a position, or removed it (0)."""

    stream: str
    key: str
    position: int
    expires_us: int | None = None

    def present(self, instant_us: int) -> bool:
        """Return whether a reader at an instant sees a value."""
        return self.position > 0 and (self.expires_us is None or self.expires_us > instant_us)


def pack_stand(stand: Stand) -> bytes:
    """Return where a key stands as a record."""
    stream, key, position, expires_us = stand
    scope = stream.encode()
    return _PLACE.pack(position, -1 if expires_us is None else expires_us, len(scope)) + scope + key.encode()


def unpack_stand(record: bytes) -> Stand:
    """Return where a key stands by its record; raises `IntegrityError` for what is none."""
    try:
        position, expires_us, length = _PLACE.unpack_from(record)
        end = _START + length
        return Stand(
            record[_START:end].decode(), record[end:].decode(), position, None if expires_us < 0 else expires_us
        )
    except (struct.error, ValueError) as error:
        raise IntegrityError(f"a record holds no key: {error}", kind="encoding") from error
