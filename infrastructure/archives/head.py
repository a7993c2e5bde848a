"""The head of an archive: what it is, how its chunks are stored, and the key slot, under a hash."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import Any, Final

import orjson

from backstory.domain.errors import BackstoryError, BackupError
from backstory.infrastructure.archives.compression import ALGORITHMS as COMPRESSIONS
from backstory.infrastructure.archives.encryption import ALGORITHMS as CIPHERS
from backstory.infrastructure.archives.failures import BrokenError, truncated
from backstory.infrastructure.archives.key_slot import KeySlot
from backstory.infrastructure.archives.layout import (
    FORMAT,
    HASH_BYTES,
    MAGIC,
    MAX_CHUNK_BYTES,
    MAX_HEAD_BYTES,
    PREFIX,
    Header,
    canonical,
    name_problem,
)
from backstory.infrastructure.archives.source import InputFile

__all__ = ["Head", "head_bytes", "header_hash_of", "read_head"]

_ID_DIGITS: Final = 32


@dataclass(frozen=True, slots=True)
class Head:
    """The head that was read: its documents, and its bytes."""

    header: Header
    slot: KeySlot | None
    header_hash: bytes
    stored: bytes


def header_hash_of(header: Header) -> bytes:
    """Return the hash that every chunk, and the wrapped key, is bound to."""
    return hashlib.sha256(canonical(header.to_json())).digest()


def head_bytes(header: Header, slot: KeySlot | None) -> bytes:
    """Return a head as it is stored."""
    first = canonical(header.to_json())
    second = b"" if slot is None else canonical(slot.to_json())
    stored = PREFIX.pack(MAGIC, FORMAT, len(first), len(second)) + first + second
    return stored + hashlib.sha256(stored).digest()


def read_head(file: InputFile) -> Head:
    """Return the head of the archive that a file begins with.

    Raises `BackupError` for what is no archive, or one of a later format, and BrokenError for a damaged one.
    """
    prefix = file.read(PREFIX.size)
    _check_magic(prefix, file.name)
    if len(prefix) < PREFIX.size:
        raise truncated(len(prefix))
    _, found, *lengths = PREFIX.unpack(prefix)
    if found != FORMAT:
        raise BackupError(
            f"{file.name} is an archive of format {found}, and this release of Backstory reads format {FORMAT}",
            path=file.name,
            hint="Install a release that reads it, or take another copy if the file may be damaged.",
        )
    if sum(lengths) > MAX_HEAD_BYTES:
        raise BrokenError("damaged", PREFIX.size, "the head states an impossible length")
    rest = file.read(sum(lengths) + HASH_BYTES)
    if len(rest) < sum(lengths) + HASH_BYTES:
        raise truncated(len(prefix) + len(rest))
    if not hmac.compare_digest(hashlib.sha256(prefix + rest[:-HASH_BYTES]).digest(), rest[-HASH_BYTES:]):
        raise BrokenError("damaged", 0, "the head is not what was written")
    return _understood(prefix + rest, rest[: lengths[0]], rest[lengths[0] : -HASH_BYTES])


def _check_magic(prefix: bytes, name: str) -> None:
    if prefix[: len(MAGIC)] == MAGIC:
        return
    if prefix and MAGIC.startswith(prefix):
        raise truncated(len(prefix))
    what = "empty" if not prefix else "no archive of Backstory's"
    raise BackupError(f"{name} is {what}", path=name, hint="Name a file that `backups.create` made.")


def _understood(stored: bytes, first: bytes, second: bytes) -> Head:
    """Make sense of documents that are as written, though not necessarily by us."""
    try:
        header = _checked(Header(**orjson.loads(first)))
        slot = KeySlot.from_json(orjson.loads(second)) if second else None
    except (KeyError, TypeError, ValueError, AttributeError, BackstoryError) as error:
        raise BrokenError("damaged", PREFIX.size, f"the head makes no sense: {error}") from error
    if (slot is None) != (header.encryption is None):
        raise BrokenError("damaged", PREFIX.size, "the head has a key slot without encryption, or lacks one")
    return Head(header, slot, hashlib.sha256(first).digest(), stored)


def _checked(header: Header) -> Header:
    wrong: dict[str, Any] = {
        "archive_id": len(bytes.fromhex(header.archive_id)) * 2 != _ID_DIGITS,
        "backup_id": name_problem(header.backup_id),
        "compression": header.compression not in COMPRESSIONS,
        "chunk_bytes": type(header.chunk_bytes) is not int or not 1 <= header.chunk_bytes <= MAX_CHUNK_BYTES,
        "encryption": header.encryption is not None and header.encryption not in CIPHERS,
    }
    if found := [name for name, problem in wrong.items() if problem]:
        raise ValueError(f"unknown {', '.join(found)}")
    return header
