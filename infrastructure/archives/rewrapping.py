"""Rotation: an archive's data key wrapped by another key; its chunks stay as they are, byte for byte."""

from __future__ import annotations

import hashlib
import hmac
import os
from contextlib import ExitStack
from os import PathLike
from pathlib import Path
from typing import BinaryIO

from backstory.domain.errors import EncryptionError
from backstory.infrastructure.archives.atomic_file import atomic_file
from backstory.infrastructure.archives.encryption import Encryption
from backstory.infrastructure.archives.failures import BrokenError, not_written
from backstory.infrastructure.archives.head import Head, head_bytes, read_head
from backstory.infrastructure.archives.key_slot import KeySlot, unwrap, wrap
from backstory.infrastructure.archives.layout import END_MAGIC
from backstory.infrastructure.archives.source import InputFile, opened
from backstory.infrastructure.archives.tail import Tail, read_tail

__all__ = ["Rewrapping", "rewrap"]

_BLOCK_BYTES = 1024 * 1024


class Rewrapping:
    """An archive with another key or passphrase, whole and on disk beside the one whose place it is to take.

    The chunks are copied, not encrypted again, and the cipher stays the archive's. Copies of the old file still open
    with the old key. Until it is published the file is what it was; either `publish` or `abandon` it.
    """

    def __init__(self, path: str | PathLike[str], old: Encryption, new: Encryption) -> None:
        """Write it. Raises `EncryptionError` for a wrong key or a plain archive, `IntegrityError` for a damaged one.

        Raises `BackupError` for what cannot be read or written. Then nothing is left of it.
        """
        with ExitStack() as stack, opened(path) as file:
            try:
                head = read_head(file)
                tail = read_tail(file, head)
                slot = _new_slot(head, old, new, file.name)
                # Not through a link: what it points to is the archive.
                target = stack.enter_context(atomic_file(Path(path).resolve(), replace=True))
                _copy(file, target, head_bytes(head.header, slot), head, tail)
            except BrokenError as error:
                raise error.told(file.name) from error
            self._place = stack.pop_all()
        self.key_id = slot.key_id

    def publish(self) -> None:
        """Replace the old file in one step; raises `BackupError`."""
        self._place.close()

    def abandon(self) -> None:
        """Leave nothing of it behind, unless it was published."""
        self._place.__exit__(_AbandonedError, _AbandonedError(), None)


class _AbandonedError(Exception):
    """Nobody wants what was written."""


def rewrap(path: str | PathLike[str], old: Encryption, new: Encryption) -> str:
    """Have an archive need another key or passphrase, and return the new key's id; raises as `Rewrapping` does."""
    made = Rewrapping(path, old, new)
    made.publish()
    return made.key_id


def _new_slot(head: Head, old: Encryption, new: Encryption, name: str) -> KeySlot:
    algorithm = head.header.encryption
    if head.slot is None or algorithm is None:
        raise EncryptionError(
            f"{name} is not encrypted", hint="Make an encrypted backup; this one has no key to change."
        )
    data_key = unwrap(head.slot, old, algorithm=algorithm, header_hash=head.header_hash, name=name)
    return wrap(data_key, new, algorithm=algorithm, header_hash=head.header_hash)


def _copy(file: InputFile, target: BinaryIO, new_head: bytes, head: Head, tail: Tail) -> None:
    before, after = hashlib.sha256(head.stored), hashlib.sha256(new_head)
    file.seek(len(head.stored))
    left = tail.hashed_bytes - len(head.stored)
    try:
        target.write(new_head)
        while left:
            block = file.read(min(left, _BLOCK_BYTES))
            if not block:
                raise BrokenError("truncated", tail.hashed_bytes - left, "the file has become shorter")
            before.update(block)
            after.update(block)
            target.write(block)
            left -= len(block)
        target.write(after.digest() + END_MAGIC)
        target.flush()
        os.fsync(target.fileno())
    except OSError as error:
        raise not_written(file.name, error) from error
    if not hmac.compare_digest(before.digest(), tail.whole):
        raise BrokenError("hash", tail.offset, "the hash of the whole is another")
