"""Archives for tests: made in memory, read as far as they can be, taken apart and put together again."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final

from backstory.domain.errors import BackstoryError
from backstory.infrastructure.archives.derivation import Argon2id
from backstory.infrastructure.archives.encryption import Encryption
from backstory.infrastructure.archives.layout import END_MAGIC, FRAME, HASH_BYTES, PREFIX, TRAILER
from backstory.infrastructure.archives.reader import reading
from backstory.infrastructure.archives.writer import ArchiveWriter

KEY: Final = bytes(range(32))
CHEAP: Final = Argon2id(memory_kib=8, iterations=1, lanes=1)
Parts = dict[str, list[bytes]]
SMALL: Final[Parts] = {"log": [b"first", b"", b"a second record, over several chunks"], "empty": [], "state": [b"x"]}


def keyed(algorithm: str = "AES-256-GCM") -> Encryption:
    return Encryption(key=KEY, algorithm=algorithm)


def archive(
    parts: Parts | None = None,
    *,
    encryption: Encryption | None = None,
    info: dict[str, Any] | None = None,
    compression: str = "none",
    chunk_bytes: int = 16,
) -> bytes:
    sink = BytesIO()
    writer = ArchiveWriter(
        sink, backup_id="b-1", compression=compression, encryption=encryption, chunk_bytes=chunk_bytes
    )
    for name, records in (SMALL if parts is None else parts).items():
        writer.begin(name)
        for record in records:
            writer.write(record)
    writer.finish(info)
    return sink.getvalue()


def read(stored: bytes, encryption: Encryption | None = None) -> Parts:
    with reading(BytesIO(stored), encryption=encryption) as reader:
        return {name: list(records) for name, records in reader.parts()}


@dataclass
class Reading:
    """What came of an archive before it ended, or an error did."""

    records: list[tuple[str, bytes]]
    error: BackstoryError | None


def read_as_far_as_possible(stored: bytes, encryption: Encryption | None) -> Reading:
    found: list[tuple[str, bytes]] = []
    try:
        with reading(BytesIO(stored), encryption=encryption) as reader:
            for name, records in reader.parts():
                found.extend((name, record) for record in records)
    except BackstoryError as error:
        return Reading(found, error)
    return Reading(found, None)


@dataclass
class Pieces:
    """An archive taken apart."""

    head: bytes
    chunks: list[bytes]
    manifest: bytes

    def joined(self) -> bytes:
        """Put it together, with all hashes that need no key made anew."""
        front = self.head[:-HASH_BYTES]
        stored = front + hashlib.sha256(front).digest() + b"".join(self.chunks) + self.manifest
        stored += len(self.manifest).to_bytes(4, "big") + hashlib.sha256(self.manifest).digest()
        return stored + hashlib.sha256(stored).digest() + END_MAGIC


def pieces(stored: bytes) -> Pieces:
    _, _, header, slot = PREFIX.unpack_from(stored)
    at = PREFIX.size + header + slot + HASH_BYTES
    head = stored[:at]
    end = len(stored) - TRAILER.size - TRAILER.unpack(stored[-TRAILER.size :])[0]
    chunks = []
    while at < end:
        size = FRAME.size + FRAME.unpack_from(stored, at)[2]
        chunks.append(stored[at : at + size])
        at += size
    return Pieces(head, chunks, stored[end : -TRAILER.size])
