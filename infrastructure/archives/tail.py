"""The tail of an archive, found from its end: the manifest, and the hash of the whole."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

from backstory.infrastructure.archives.failures import BrokenError, truncated
from backstory.infrastructure.archives.head import Head
from backstory.infrastructure.archives.layout import (
    END_MAGIC,
    FRAME,
    HASH_BYTES,
    MAX_MANIFEST_BYTES,
    TRAILER,
)
from backstory.infrastructure.archives.manifest import Manifest
from backstory.infrastructure.archives.source import InputFile

__all__ = ["Tail", "read_tail", "trailer_bytes"]


@dataclass(frozen=True, slots=True)
class Tail:
    """The tail that was read, and where it lies."""

    manifest: Manifest
    manifest_hash: bytes
    #: Where the manifest begins, and the chunks end.
    offset: int
    #: The hash of the whole, as stated.
    whole: bytes
    #: Bytes of the file.
    size: int

    @property
    def hashed_bytes(self) -> int:
        """How many bytes, from the first on, the hash of the whole is of."""
        return self.size - len(END_MAGIC) - HASH_BYTES


def trailer_bytes(manifest: bytes, hashed_so_far: hashlib._Hash) -> bytes:
    """Return what follows a manifest, given the hash of all before and including it."""
    start = TRAILER.pack(len(manifest), hashlib.sha256(manifest).digest(), b"", b"")[: -HASH_BYTES - len(END_MAGIC)]
    hashed_so_far.update(start)
    return start + hashed_so_far.digest() + END_MAGIC


def read_tail(file: InputFile, head: Head) -> Tail:
    """Return the tail of an archive whose head has been read; raises BrokenError. It has not been authenticated yet."""
    size = file.size()
    least = len(head.stored) + FRAME.size + HASH_BYTES + TRAILER.size
    if size < least:
        raise truncated(size)
    file.seek(size - TRAILER.size)
    length, manifest_hash, whole, magic = TRAILER.unpack(file.read(TRAILER.size))
    if magic != END_MAGIC:
        raise truncated(size)
    offset = size - TRAILER.size - length
    if length > MAX_MANIFEST_BYTES or offset < least - TRAILER.size:
        raise BrokenError("damaged", size - TRAILER.size, "the end states an impossible length of the manifest")
    file.seek(offset)
    stored = file.read(length)
    if not hmac.compare_digest(hashlib.sha256(stored).digest(), manifest_hash):
        raise BrokenError("damaged", offset, "the manifest is not what was written")
    return Tail(_understood(stored, head, offset), manifest_hash, offset, whole, size)


def _understood(stored: bytes, head: Head, offset: int) -> Manifest:
    try:
        manifest = Manifest.from_bytes(stored)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BrokenError("damaged", offset, f"the manifest makes no sense: {error}") from error
    if manifest.header != head.header:
        raise BrokenError("foreign", offset, "the manifest is that of another archive")
    return manifest
