"""The manifest: what an archive holds, readable from its end without a key; it has counts and sizes, no content."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import orjson

from backstory.infrastructure.archives.layout import Header, canonical, name_problem

__all__ = ["Manifest", "PartSummary"]


@dataclass(frozen=True, slots=True)
class PartSummary:
    """One part, in numbers."""

    name: str
    records: int
    #: The records with their lengths.
    raw_bytes: int
    #: What the part takes in the file.
    stored_bytes: int
    #: SHA-256 of the raw bytes, hexadecimal; of an encrypted archive HMAC-SHA-256 under its key.
    digest: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an archive holds. `info` is the caller's: of an encrypted archive, too, anybody can read it."""

    header: Header
    parts: tuple[PartSummary, ...]
    #: All chunks, the one that ends the archive included.
    chunks: int
    info: Mapping[str, Any] = field(default_factory=dict)

    @property
    def raw_bytes(self) -> int:
        """What all parts take before compression."""
        return sum(part.raw_bytes for part in self.parts)

    @property
    def records(self) -> int:
        """The records of all parts."""
        return sum(part.records for part in self.parts)

    def to_bytes(self) -> bytes:
        """Return it as the archive spells it; raises TypeError for `info` that is not JSON."""
        return canonical(
            {
                "archive": self.header.to_json(),
                "chunks": self.chunks,
                "info": dict(self.info),
                "parts": [asdict(part) for part in self.parts],
            }
        )

    @staticmethod
    def from_bytes(stored: bytes) -> Manifest:
        """Return the manifest that an archive spells; raises KeyError, TypeError or ValueError."""
        document = orjson.loads(stored)
        parts = tuple(PartSummary(**part) for part in document["parts"])
        counts = [document["chunks"], *(n for part in parts for n in (part.records, part.raw_bytes, part.stored_bytes))]
        if any(type(count) is not int or count < 0 for count in counts) or document["chunks"] < 1:
            raise ValueError("a count is none")
        if any(name_problem(part.name) for part in parts) or type(document["info"]) is not dict:
            raise ValueError("a name or the info is none")
        return Manifest(Header(**document["archive"]), parts, document["chunks"], document["info"])
