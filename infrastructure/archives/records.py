"""Records in the raw bytes of a part: each behind its length, cut anywhere by the chunks."""

from __future__ import annotations

from collections.abc import Iterator

from backstory.infrastructure.archives.layout import MAX_RECORD_BYTES, RECORD

__all__ = ["RecordSplitter"]


class RecordSplitter:
    """Takes the raw bytes of a part in pieces, gives its records; holds no more than one record and one piece."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self.records = 0

    @property
    def is_between_records(self) -> bool:
        """Whether all bytes so far have been given in records."""
        return not self._rest

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Yield the records that are complete with this piece; raises ValueError for an impossible length.

        Use it up before the next piece.
        """
        rest = self._rest
        rest += piece
        at = 0
        try:
            while (start := at + RECORD.size) <= len(rest):
                (length,) = RECORD.unpack_from(rest, at)
                if length > MAX_RECORD_BYTES:
                    raise ValueError(f"a record states {length} bytes")
                if start + length > len(rest):
                    break
                at = start + length
                self.records += 1
                yield bytes(rest[start:at])
        finally:
            del rest[:at]
