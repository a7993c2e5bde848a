"""The layout of an archive file: magic numbers, fixed structures and limits, as docs/archive-format.md tells them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import IntEnum
from struct import Struct
from typing import Any, Final

import orjson

FORMAT: Final = 1
#: As PNG's: a byte above 127, and line ends of both kinds, so that a transfer as text shows at once.
MAGIC: Final = b"\x89BKS\r\n\x1a\n"
END_MAGIC: Final = b"BKS-END\n"

#: Raw bytes of a chunk, unless the writer is told otherwise, and the most that any archive may state.
CHUNK_BYTES: Final = 1024 * 1024
MAX_CHUNK_BYTES: Final = 16 * CHUNK_BYTES
MAX_RECORD_BYTES: Final = 256 * 1024 * 1024
MAX_HEAD_BYTES: Final = 64 * 1024
MAX_MANIFEST_BYTES: Final = 16 * 1024 * 1024
MAX_NAME_BYTES: Final = 255

#: Magic, format, length of the header, length of the key slot.
PREFIX: Final = Struct(">8sHII")
#: Kind, raw length, stored length.
FRAME: Final = Struct(">BII")
#: What the seal of a chunk binds: hash of the header, kind, number of the chunk, number of the part, raw length.
BOUND: Final = Struct(">32sBQII")
#: Length of the manifest, its SHA-256, the SHA-256 of all before that field, magic.
TRAILER: Final = Struct(">I32s32s8s")
RECORD: Final = Struct(">I")
HASH_BYTES: Final = 32


class Kind(IntEnum):
    """What a chunk holds."""

    PART = 1
    RECORDS = 2
    END = 3

    @property
    def is_last(self) -> bool:
        """Whether no chunk follows."""
        return self is Kind.END


@dataclass(frozen=True, slots=True)
class Header:
    """What an archive says of itself at its beginning; every chunk is bound to it."""

    #: 32 hexadecimal digits, drawn for this archive.
    archive_id: str
    backup_id: str
    #: `zstd`, `gzip`, `lz4`, `brotli` or `none`.
    compression: str
    #: The most raw bytes that a chunk holds.
    chunk_bytes: int
    #: `AES-256-GCM`, `ChaCha20-Poly1305`, or None where nothing is encrypted.
    encryption: str | None

    def to_json(self) -> dict[str, Any]:
        """Return it as the header, and the manifest, spell it."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Bounds:
    """The limits of an archive's chunks, which follow from the raw bytes that one may hold."""

    chunk_bytes: int

    def raw(self, kind: Kind) -> int:
        """Return the most raw bytes that a chunk of this kind holds."""
        return {Kind.PART: MAX_NAME_BYTES, Kind.RECORDS: self.chunk_bytes, Kind.END: HASH_BYTES}[kind]

    def stored(self, kind: Kind) -> int:
        """Return the most bytes that it takes in the file: what cannot be compressed grows a little."""
        return self.raw(kind) + self.raw(kind) // 128 + 1024


def canonical(value: Any) -> bytes:
    """Return a value as JSON, names sorted; raises TypeError for what JSON cannot say."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def name_problem(name: object) -> str | None:
    """Return what is wrong with the name of a part or a backup, or None."""
    if not isinstance(name, str) or not name:
        return "must be text, and not empty"
    if not name.isprintable():
        return "must be printable"
    if len(name.encode()) > MAX_NAME_BYTES:
        return f"must take no more than {MAX_NAME_BYTES} bytes as UTF-8"
    return None
