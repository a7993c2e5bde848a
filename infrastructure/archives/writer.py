"""Writing archives: part after part, record after record, in one pass and constant memory."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain, islice
from os import PathLike
from pathlib import Path
from typing import Any, Final, Protocol

from backstory.domain.errors import BackupError, ConfigError, ValueTooLargeError, shown
from backstory.infrastructure.archives.atomic_file import atomic_file
from backstory.infrastructure.archives.compression import codec
from backstory.infrastructure.archives.encryption import Encryption
from backstory.infrastructure.archives.failures import not_written
from backstory.infrastructure.archives.head import head_bytes, header_hash_of
from backstory.infrastructure.archives.key_slot import KeySlot, new_data_key, wrap
from backstory.infrastructure.archives.layout import (
    CHUNK_BYTES,
    FRAME,
    MAX_CHUNK_BYTES,
    MAX_MANIFEST_BYTES,
    MAX_RECORD_BYTES,
    RECORD,
    Header,
    Kind,
    name_problem,
)
from backstory.infrastructure.archives.manifest import Manifest, PartSummary
from backstory.infrastructure.archives.sealing import KeyedSeal, PlainSeal, Seal, bound
from backstory.infrastructure.archives.tail import trailer_bytes

__all__ = ["ArchiveWriter", "Sink", "writing"]

#: So many records are put behind one another at once.
_TOGETHER: Final = 64


class Sink(Protocol):
    """Where an archive is written to: anything that takes all the bytes it is given."""

    def write(self, data: bytes, /) -> object:
        """Take the bytes; raises OSError."""


@contextmanager
def writing(
    path: str | PathLike[str],
    *,
    backup_id: str,
    compression: str = "zstd",
    level: int | None = None,
    encryption: Encryption | None = None,
    chunk_bytes: int = CHUNK_BYTES,
) -> Iterator[ArchiveWriter]:
    """Give a writer whose archive stands at `path`, on disk, once the block has ended; `finish` must have been called.

    If the block fails, or the disk, nothing is left behind. Raises as `ArchiveWriter` does, and `BackupError` also
    where `path` exists already.
    """
    with atomic_file(Path(path)) as file:
        writer = ArchiveWriter(
            file,
            backup_id=backup_id,
            compression=compression,
            level=level,
            encryption=encryption,
            chunk_bytes=chunk_bytes,
            name=str(path),
        )
        yield writer
        if not writer.is_finished:
            raise BackupError(f"{path} was not finished", path=str(path), hint="Call finish(info) at the end.")


class ArchiveWriter:
    """Writes one archive to a sink: `begin` a part, `write` its records, and so on, then `finish`.

    Raises `ConfigError` for settings that do not go together or packages that are missing, `EncryptionError` where no
    key is to be had, `BackupError` where the sink fails.
    """

    def __init__(
        self,
        sink: Sink,
        *,
        backup_id: str,
        compression: str = "zstd",
        level: int | None = None,
        encryption: Encryption | None = None,
        chunk_bytes: int = CHUNK_BYTES,
        name: str = "the archive",
    ) -> None:
        """Write the head."""
        _check_settings(backup_id, chunk_bytes)
        self._sink = sink
        self._name = name
        self._codec = codec(compression, level)
        algorithm = None if encryption is None else encryption.algorithm
        self.header = Header(secrets.token_hex(16), backup_id, compression, chunk_bytes, algorithm)
        self._header_hash = header_hash_of(self.header)
        self._seal, slot = _sealed(encryption, self._header_hash)
        self._whole = hashlib.sha256()
        self._chunks = 0
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._parts: list[PartSummary] = []
        self._part: _Part | None = None
        #: Bytes written so far.
        self.stored_bytes = 0
        self.is_finished = False
        self._put(head_bytes(self.header, slot))

    def begin(self, name: str) -> None:
        """Begin a part, ending the one before; raises `ConfigError` for a name that is none, or was given before."""
        self._check_open()
        wrong = name_problem(name) or ("was given before" if name in self._names() else None)
        if wrong:
            raise ConfigError(f"the name of a part {wrong}: {shown(name)}", key="name")
        self._end_part()
        self._part = _Part(name, self._seal, number=len(self._parts) + 1, offset=self.stored_bytes)
        self._put_chunk(Kind.PART, name.encode())

    def write(self, record: bytes) -> None:
        """Add a record to the part; raises `ValueTooLargeError` for one of more than 256 MiB."""
        self.write_all((record,))

    def write_all(self, records: Iterable[bytes]) -> None:
        """Add many records to the part, as `write` does one."""
        part = self._open_part()
        waiting = iter(records)
        while batch := list(islice(waiting, _TOGETHER)):
            sizes = list(map(len, batch))
            if max(sizes) > MAX_RECORD_BYTES:
                raise ValueTooLargeError(size=max(sizes), limit=MAX_RECORD_BYTES)
            part.records += len(batch)
            self._gather(b"".join(chain.from_iterable(zip(map(RECORD.pack, sizes), batch, strict=True))))

    def write_framed(self, records: bytes, count: int) -> None:
        """Add many records that are behind one another already, each behind its length as archives have it."""
        part = self._open_part()
        if len(records) > MAX_RECORD_BYTES:
            _check_sizes(records)
        part.records += count
        self._gather(records)

    def _gather(self, records: bytes) -> None:
        """Put records behind those that wait, and write all chunks that are full now."""
        self._waiting.append(records)
        self._waiting_bytes += len(records)
        full = self.header.chunk_bytes
        if self._waiting_bytes < full:
            return
        waiting = b"".join(self._waiting)
        end = len(waiting) - len(waiting) % full
        for at in range(0, end, full):
            self._put_records(waiting[at : at + full])
        self._waiting = [waiting[end:]]
        self._waiting_bytes = len(waiting) - end

    def finish(self, info: Mapping[str, Any] | None = None) -> Manifest:
        """End the archive and return its manifest; `info` is kept in it, readable without a key.

        Raises TypeError for `info` that is not JSON.
        """
        self._check_open()
        self._end_part()
        manifest = Manifest(self.header, tuple(self._parts), self._chunks + 1, {} if info is None else info)
        stored = manifest.to_bytes()
        if len(stored) > MAX_MANIFEST_BYTES:
            raise ValueTooLargeError(size=len(stored), limit=MAX_MANIFEST_BYTES)
        self._put_chunk(Kind.END, hashlib.sha256(stored).digest())
        self._put(stored)
        self._put(trailer_bytes(stored, self._whole))
        self.is_finished = True
        return manifest

    def _open_part(self) -> _Part:
        self._check_open()
        if self._part is None:
            raise BackupError("there is no part to write to", path=self._name, hint="Call begin(name) first.")
        return self._part

    def _check_open(self) -> None:
        if self.is_finished:
            raise BackupError(f"{self._name} is finished", path=self._name, hint="Write another archive.")

    def _names(self) -> set[str]:
        return {part.name for part in self._parts} | ({self._part.name} if self._part else set())

    def _end_part(self) -> None:
        if self._part is None:
            return
        if self._waiting_bytes:
            self._put_records(b"".join(self._waiting))
        self._waiting, self._waiting_bytes = [], 0
        self._parts.append(self._part.summary(self.stored_bytes))
        self._part = None

    def _put_records(self, raw: bytes) -> None:
        assert self._part is not None
        self._part.raw_bytes += len(raw)
        self._part.digest.update(raw)
        self._put_chunk(Kind.RECORDS, raw)

    def _put_chunk(self, kind: Kind, raw: bytes) -> None:
        number = self._chunks
        part = len(self._parts) if self._part is None else self._part.number
        held = bound(self._header_hash, kind=kind, number=number, part=part, raw_bytes=len(raw))
        content = self._codec.compress(raw) if kind is Kind.RECORDS else raw
        stored = self._seal.close(content, held, number=number)
        self._put(FRAME.pack(kind, len(raw), len(stored)) + stored)
        self._chunks += 1

    def _put(self, data: bytes) -> None:
        self._whole.update(data)
        try:
            self._sink.write(data)
        except OSError as error:
            raise not_written(self._name, error) from error
        self.stored_bytes += len(data)


class _Part:
    """The part that is being written."""

    def __init__(self, name: str, seal: Seal, *, number: int, offset: int) -> None:
        self.name = name
        self.number = number
        self.records = 0
        self.raw_bytes = 0
        self.digest = seal.digest()
        self._offset = offset

    def summary(self, end: int) -> PartSummary:
        return PartSummary(self.name, self.records, self.raw_bytes, end - self._offset, self.digest.hexdigest())


def _check_sizes(records: bytes) -> None:
    at = 0
    while at < len(records):
        (size,) = RECORD.unpack_from(records, at)
        if size > MAX_RECORD_BYTES:
            raise ValueTooLargeError(size=size, limit=MAX_RECORD_BYTES)
        at += RECORD.size + size


def _check_settings(backup_id: object, chunk_bytes: object) -> None:
    if wrong := name_problem(backup_id):
        raise ConfigError(f"the id of a backup {wrong}: {shown(backup_id)}", key="backup_id")
    if type(chunk_bytes) is not int or not 1 <= chunk_bytes <= MAX_CHUNK_BYTES:
        raise ConfigError(
            f"chunk_bytes is {shown(chunk_bytes)}", key="chunk_bytes", hint=f"Give 1 to {MAX_CHUNK_BYTES}."
        )


def _sealed(encryption: Encryption | None, header_hash: bytes) -> tuple[Seal, KeySlot | None]:
    if encryption is None:
        return PlainSeal(), None
    data_key = new_data_key()
    slot = wrap(data_key, encryption, algorithm=encryption.algorithm, header_hash=header_hash)
    return KeyedSeal(data_key, algorithm=encryption.algorithm, header_hash=header_hash), slot
