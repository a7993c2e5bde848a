"""Reading archives: recognised, unlocked and authenticated when opened, then part after part in constant memory."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from backstory.domain.errors import EncryptionError
from backstory.infrastructure.archives.chunks import Frame, Place, frames, open_frame, place_of_part
from backstory.infrastructure.archives.compression import codec
from backstory.infrastructure.archives.encryption import Encryption
from backstory.infrastructure.archives.failures import BrokenError
from backstory.infrastructure.archives.head import Head, read_head
from backstory.infrastructure.archives.key_slot import unwrap
from backstory.infrastructure.archives.layout import FRAME, HASH_BYTES, Bounds, Kind
from backstory.infrastructure.archives.manifest import Manifest, PartSummary
from backstory.infrastructure.archives.records import RecordSplitter
from backstory.infrastructure.archives.sealing import KeyedSeal, PlainSeal, Seal
from backstory.infrastructure.archives.source import InputFile, Source, opened
from backstory.infrastructure.archives.tail import Tail, read_tail

__all__ = ["ArchiveReader", "Ends", "read_ends", "read_manifest", "reading", "seal_of"]


_BLOCK_BYTES: Final = 1024 * 1024


@contextmanager
def reading(source: Source, *, encryption: Encryption | None = None) -> Iterator[ArchiveReader]:
    """Give a reader of an archive, and close the file that was opened for it.

    Raises as `ArchiveReader` does, and `BackupError` for a file that cannot be read.
    """
    with opened(source) as file:
        yield ArchiveReader(file, encryption=encryption)


@dataclass(frozen=True, slots=True)
class Ends:
    """What the two ends of an archive say, head and tail."""

    manifest: Manifest
    #: The id of the key that it needs, or None.
    key_id: str | None
    #: SHA-256 of the whole as it is stated, hexadecimal.
    checksum: str
    #: Bytes of the file.
    size_bytes: int


def read_ends(source: Source, *, name: str | None = None) -> Ends:
    """Return what an archive says of itself, read without a key and from its ends only.

    Of an encrypted archive it is what somebody wrote there: `reading` tells whether it was the one with the key. `name`
    is what errors call a file that is open already. Raises `BackupError` for what is no archive, `IntegrityError` for
    one that is cut short or damaged there.
    """
    with opened(source, name=name) as file:
        try:
            head = read_head(file)
            return _ends(head, read_tail(file, head))
        except BrokenError as error:
            raise error.told(file.name) from error


def _ends(head: Head, tail: Tail) -> Ends:
    return Ends(tail.manifest, None if head.slot is None else head.slot.key_id, tail.whole.hex(), tail.size)


def read_manifest(source: Source) -> tuple[Manifest, str | None]:
    """Return what an archive holds, and the id of the key it needs or None; as `read_ends`, which tells more."""
    ends = read_ends(source)
    return ends.manifest, ends.key_id


class ArchiveReader:
    """Reads one archive from a file that can seek.

    Once made, head, manifest and end have been checked, with the key where there is one; the rest is as it is read.
    Raises `BackupError` for what is no archive, or of a later format, `IntegrityError` for a damaged one,
    `EncryptionError` for a missing or wrong key, and for a key where nothing is encrypted: somebody may have put a file
    of theirs there.
    """

    def __init__(self, file: InputFile, *, encryption: Encryption | None = None, seal: Seal | None = None) -> None:
        """Take the file at its beginning, and the key, or what was made of it before."""
        self._file = file
        self._name = name = file.name
        try:
            self._head = read_head(file)
            self._tail = read_tail(file, self._head)
            self._seal = seal_of(self._head, encryption, name=name) if seal is None else seal
            self._codec = codec(self._head.header.compression)
            self._check_end()
        except BrokenError as error:
            raise error.told(name) from error

    @property
    def manifest(self) -> Manifest:
        """What the archive holds."""
        return self._tail.manifest

    @property
    def ends(self) -> Ends:
        """What its two ends say."""
        return _ends(self._head, self._tail)

    def parts(self) -> Iterator[tuple[str, Iterator[bytes]]]:
        """Yield each part's name and its records, in the order of writing; all is checked by the time it ends.

        Records of a part that are left are passed over, and checked all the same. Chunks are checked before a byte of
        theirs is given; that a part and the whole are complete, as manifest and hashes say, when they end. Raises
        `IntegrityError`. May be called again.
        """
        try:
            yield from self._parts()
        except BrokenError as error:
            raise error.told(self._name) from error

    def check_whole(self) -> None:
        """Hold all bytes of the file against the hash of the whole; raises `IntegrityError`."""
        whole = hashlib.sha256()
        self._file.seek(0)
        left = self._tail.hashed_bytes
        while left and (block := self._file.read(min(left, _BLOCK_BYTES))):
            whole.update(block)
            left -= len(block)
        if not hmac.compare_digest(whole.digest(), self._tail.whole):
            raise BrokenError("hash", self._tail.offset, "the hash of the whole is another").told(self._name)

    def part(self, name: str) -> Iterator[list[bytes]]:
        """Yield the records of one part, some at a time; nothing if there is no such part.

        All of the part is checked, chunk by chunk before a byte is given, and at its end as a whole. Other parts are
        passed over, unread. Raises `IntegrityError`.
        """
        number = next((at for at, part in enumerate(self.manifest.parts, 1) if part.name == name), None)
        if number is None:
            return
        try:
            start, end = len(self._head.stored), self._tail.offset
            bounds = Bounds(self._head.header.chunk_bytes)
            place = place_of_part(self._file, number, start=start, end=end, bounds=bounds)
            chunks = self._chunks(place, None)
            yield from self._part(self.manifest.parts[number - 1], next(chunks), chunks).batches()
        except BrokenError as error:
            raise error.told(self._name) from error

    def _part(self, summary: PartSummary, first: _Chunk | None, chunks: Iterator[_Chunk]) -> _PartReading:
        if first is None or first.kind is not Kind.PART or first.raw != summary.name.encode():
            raise BrokenError("manifest", self._tail.offset, f"part {summary.name!r} is not where it should be")
        return _PartReading(summary, first, chunks, self._seal)

    def _parts(self) -> Iterator[tuple[str, Iterator[bytes]]]:
        whole = hashlib.sha256(self._head.stored)
        chunks = self._chunks(Place(len(self._head.stored)), whole)
        following = next(chunks, None)
        for summary in self.manifest.parts:
            part = self._part(summary, following, chunks)
            yield summary.name, part.records(self._name)
            for _ in part.batches():
                pass
            following = part.following
        self._check_whole(following, chunks, whole)

    def _chunks(self, start: Place, whole: hashlib._Hash | None) -> Iterator[_Chunk]:
        bounds = Bounds(self._head.header.chunk_bytes)
        found = frames(self._file, start=start, end=self._tail.offset, bounds=bounds, whole=whole)
        for frame in found:
            raw = open_frame(frame, seal=self._seal, codec=self._codec, header_hash=self._head.header_hash)
            yield _Chunk(frame.kind, raw, frame.offset, frame.size)

    def _check_whole(self, last: _Chunk | None, chunks: Iterator[_Chunk], whole: hashlib._Hash) -> None:
        if last is None or last.kind is not Kind.END or last.raw != self._tail.manifest_hash or next(chunks, None):
            raise BrokenError("manifest", self._tail.offset, "the archive does not end where it should")
        self._file.seek(self._tail.offset)
        whole.update(self._file.read(self._tail.hashed_bytes - self._tail.offset))
        if not hmac.compare_digest(whole.digest(), self._tail.whole):
            raise BrokenError("hash", self._tail.offset, "the hash of the whole is another")

    def _check_end(self) -> None:
        """Authenticate the manifest by the last chunk, whose length is known."""
        stored_bytes = HASH_BYTES + self._seal.overhead
        offset = self._tail.offset - FRAME.size - stored_bytes
        self._file.seek(offset)
        kind, raw_bytes, stated = FRAME.unpack(self._file.read(FRAME.size))
        if (kind, raw_bytes, stated) != (Kind.END, HASH_BYTES, stored_bytes):
            raise BrokenError("manifest", offset, "the manifest does not follow the end of the chunks")
        manifest = self.manifest
        stored = self._file.read(stored_bytes)
        end = Frame(Kind.END, manifest.chunks - 1, len(manifest.parts), raw_bytes, stored, offset)
        raw = open_frame(end, seal=self._seal, codec=self._codec, header_hash=self._head.header_hash)
        if raw != self._tail.manifest_hash:
            raise BrokenError("manifest", self._tail.offset, "the manifest is not that of these chunks")


@dataclass(frozen=True, slots=True)
class _Chunk:
    """One chunk, opened."""

    kind: Kind
    raw: bytes
    offset: int
    size: int


class _PartReading:
    """Reads one part, and the first chunk after it."""

    def __init__(self, summary: PartSummary, first: _Chunk, chunks: Iterator[_Chunk], seal: Seal) -> None:
        self._summary = summary
        self._chunks = chunks
        self._splitter = RecordSplitter()
        self._digest = seal.digest()
        self._raw_bytes = 0
        self._stored_bytes = first.size
        self._offset = first.offset
        self.following: _Chunk | None = None
        self._batches = self._read()

    def records(self, name: str) -> Iterator[bytes]:
        """Yield the records; raises `IntegrityError`."""
        try:
            for batch in self._batches:
                yield from batch
        except BrokenError as error:
            raise error.told(name) from error

    def batches(self) -> Iterator[list[bytes]]:
        """Yield what is left, the records that end in a chunk together; raises BrokenError."""
        return self._batches

    def _read(self) -> Iterator[list[bytes]]:
        for chunk in self._chunks:
            if chunk.kind is not Kind.RECORDS:
                self.following = chunk
                break
            self._offset = chunk.offset
            self._raw_bytes += len(chunk.raw)
            self._stored_bytes += chunk.size
            self._digest.update(chunk.raw)
            try:
                batch = self._splitter.feed(chunk.raw)
            except ValueError as error:
                raise BrokenError("record", chunk.offset, str(error)) from error
            yield batch
        self._check()

    def _check(self) -> None:
        if not self._splitter.is_between_records:
            raise BrokenError("record", self._offset, f"part {self._summary.name!r} ends inside a record")
        counts = (self._splitter.records, self._raw_bytes, self._stored_bytes, self._digest.hexdigest())
        summary = self._summary
        if counts != (summary.records, summary.raw_bytes, summary.stored_bytes, summary.digest):
            raise BrokenError("part", self._offset, f"part {summary.name!r} is not what the manifest says")


def seal_of(head: Head, encryption: Encryption | None, *, name: str) -> Seal:
    """Return what opens an archive's chunks; raises `EncryptionError`."""
    header = head.header
    if head.slot is None or header.encryption is None:
        if encryption is not None:
            raise EncryptionError(
                f"{name} is not encrypted, though a key was given",
                hint="Make sure that it is the file you mean; then read it without a key.",
            )
        return PlainSeal()
    if encryption is None:
        raise EncryptionError(f"{name} is encrypted (key id {head.slot.key_id})", key_id=head.slot.key_id)
    data_key = unwrap(head.slot, encryption, algorithm=header.encryption, header_hash=head.header_hash, name=name)
    return KeyedSeal(data_key, algorithm=header.encryption, header_hash=head.header_hash)
