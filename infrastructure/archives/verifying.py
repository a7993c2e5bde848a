"""Verifying archives: every problem is told with its place, without raising; a whole archive is read once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from backstory.domain.errors import BackupError, EncryptionError, IntegrityError
from backstory.infrastructure.archives.chunks import Place, frames, open_frame
from backstory.infrastructure.archives.compression import codec
from backstory.infrastructure.archives.encryption import Encryption
from backstory.infrastructure.archives.failures import BrokenError
from backstory.infrastructure.archives.head import Head, read_head
from backstory.infrastructure.archives.layout import Bounds
from backstory.infrastructure.archives.manifest import Manifest
from backstory.infrastructure.archives.reader import ArchiveReader, seal_of
from backstory.infrastructure.archives.sealing import Seal
from backstory.infrastructure.archives.source import InputFile, Source, opened
from backstory.infrastructure.archives.tail import Tail, read_tail

__all__ = ["ArchiveProblem", "ArchiveReport", "verify_archive"]

_BLOCK_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ArchiveProblem:
    """One thing that is wrong with an archive."""

    #: `unreadable`, `truncated`, `damaged`, `foreign`, `chunk`, `record`, `part`, `manifest`, `hash` or `key`.
    kind: str
    #: The byte where it was met, or None.
    offset: int | None
    message: str


@dataclass(frozen=True, slots=True)
class ArchiveReport:
    """What a verification found."""

    problems: tuple[ArchiveProblem, ...]
    #: What the archive says it holds, where that can be read.
    manifest: Manifest | None
    #: Whether the content was opened. Of an encrypted archive without a key only hashes and layout are looked at.
    is_opened: bool

    @property
    def is_valid(self) -> bool:
        """Whether nothing is wrong with what was looked at."""
        return not self.problems


def verify_archive(source: Source, *, encryption: Encryption | None = None) -> ArchiveReport:
    """Read an archive to its end and report everything that is wrong with it.

    Raises nothing for the archive's sake; `ConfigError` where a package is missing that it needs.
    """
    try:
        with opened(source) as file:
            return _verified(file, encryption)
    except BackupError as error:
        return ArchiveReport((ArchiveProblem("unreadable", None, str(error)),), None, is_opened=False)


def _verified(file: InputFile, encryption: Encryption | None) -> ArchiveReport:
    problems: list[ArchiveProblem] = []
    try:
        head = read_head(file)
    except BrokenError as error:
        return ArchiveReport((_problem(error),), None, is_opened=False)
    tail = _tail(file, head, problems)
    seal = _seal(head, encryption, file.name, problems)
    found = None if tail is None else tail.manifest
    first = None if seal is None or problems else _first_problem(file, seal)
    if first is not None:
        problems.append(first)
    if seal is None or problems:
        problems.extend(_all_problems(file, head, tail, seal))
    unlike = {(problem.kind, problem.offset): problem for problem in problems}
    return ArchiveReport(tuple(unlike.values()), found, is_opened=seal is not None)


def _tail(file: InputFile, head: Head, problems: list[ArchiveProblem]) -> Tail | None:
    try:
        return read_tail(file, head)
    except BrokenError as error:
        problems.append(_problem(error))
        return None


def _seal(head: Head, encryption: Encryption | None, name: str, problems: list[ArchiveProblem]) -> Seal | None:
    if head.slot is not None and encryption is None:
        return None
    try:
        return seal_of(head, encryption, name=name)
    except EncryptionError as error:
        problems.append(ArchiveProblem("key", None, str(error)))
        return None


def _first_problem(file: InputFile, seal: Seal) -> ArchiveProblem | None:
    """Read the archive as anybody would; a whole one has been read once by then."""
    try:
        file.seek(0)
        for _, records in ArchiveReader(file, seal=seal).parts():
            for _ in records:
                pass
    except IntegrityError as error:
        cause = error.__cause__
        return _problem(cause) if isinstance(cause, BrokenError) else ArchiveProblem(error.kind, None, str(error))
    return None


def _all_problems(file: InputFile, head: Head, tail: Tail | None, seal: Seal | None) -> Iterator[ArchiveProblem]:
    """Go on past what is wrong, as far as the chunks' lengths lead."""
    end = file.size() if tail is None else tail.offset
    whole = hashlib.sha256(head.stored)
    used = codec(head.header.compression)
    bounds = Bounds(head.header.chunk_bytes)
    try:
        for frame in frames(file, start=Place(len(head.stored)), end=end, bounds=bounds, whole=whole):
            try:
                if seal is not None:
                    open_frame(frame, seal=seal, codec=used, header_hash=head.header_hash)
            except BrokenError as error:
                yield _problem(error)
            if tail is None and frame.kind.is_last:
                break
    except BrokenError as error:
        yield _problem(error)
    if tail is not None and _hash_of(file, tail.hashed_bytes) != tail.whole:
        yield ArchiveProblem("hash", tail.offset, "the hash of the whole is another")


def _hash_of(file: InputFile, length: int) -> bytes:
    hashed = hashlib.sha256()
    file.seek(0)
    while length:
        block = file.read(min(length, _BLOCK_BYTES))
        hashed.update(block)
        length -= len(block)
    return hashed.digest()


def _problem(error: BrokenError) -> ArchiveProblem:
    return ArchiveProblem(error.kind, error.offset, error.message)
