"""Records in the raw bytes of a part: each behind its length, cut anywhere by the chunks."""

from __future__ import annotations

from typing import Final

from backstory.infrastructure.archives.layout import MAX_RECORD_BYTES, RECORD

__all__ = ["RecordSplitter"]

_PREFIX: Final = RECORD.size


class RecordSplitter:
    """Takes the raw bytes of a part in pieces, gives its records; holds no more than one record and one piece."""

    def __init__(self) -> None:
        self._rest = bytearray()
        #: How many bytes there must be before the next record is whole.
        self._wanted = _PREFIX
        self.records = 0

    @property
    def is_between_records(self) -> bool:
        """Whether all bytes so far have been given in records."""
        return not self._rest

    def feed(self, piece: bytes) -> list[bytes]:
        """Return the records that are complete with this piece; raises ValueError for an impossible length."""
        if self._rest:
            self._rest += piece
            if len(self._rest) < self._wanted:
                return []
            piece = bytes(self._rest)
        found: list[bytes] = []
        add, unpack, size = found.append, RECORD.unpack_from, len(piece)
        at, wanted = 0, _PREFIX
        while (start := at + _PREFIX) <= size:
            (length,) = unpack(piece, at)
            if length > MAX_RECORD_BYTES:
                raise ValueError(f"a record states {length} bytes")
            end = start + length
            if end > size:
                wanted += length
                break
            add(piece[start:end])
            at = end
        self._rest = bytearray(piece[at:])
        self._wanted = wanted
        self.records += len(found)
        return found
