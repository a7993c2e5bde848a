"""Contents: the records of a backup's archive, written and read: `docs/backup-contents.md` has each of them.

`about`, one JSON object: how records are written, and the branch's lineage. `events`, or `selected` where scopes were:
packed events in log order, those of `selected` within each scope and branch. `state`: where each key stands that was
touched since the parent, by scope and key. `consumers`: JSON lists of a name and a position.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

from backstory.backups.entries import Entry, entry_of, facts_of
from backstory.backups.index import INDEX_NAME
from backstory.backups.shelf import Placed
from backstory.domain.branches import Lineage
from backstory.domain.chain import genesis
from backstory.domain.errors import BackupError, IntegrityError
from backstory.domain.events import StoredEvent
from backstory.domain.packed_events import chained
from backstory.domain.stands import Stand, unpack_stand
from backstory.infrastructure.archives.encryption import Encryption
from backstory.infrastructure.archives.reader import ArchiveReader, reading
from backstory.infrastructure.codec import decode_value

__all__ = [
    "ABOUT",
    "CONSUMERS",
    "EVENTS",
    "RECORDS",
    "SELECTED",
    "STATE",
    "about_of",
    "check_chain",
    "consumers_in",
    "log_pages",
    "opened",
    "own_records",
    "stands_in",
]

#: The version of the records: a reader refuses higher ones.
RECORDS: Final = 1
ABOUT: Final = "about"
EVENTS: Final = "events"
SELECTED: Final = "selected"
STATE: Final = "state"
CONSUMERS: Final = "consumers"


@contextmanager
def opened(placed: Placed, encryption: Encryption | None) -> Iterator[ArchiveReader]:
    """Give a reader of a backup's archive, which must be the one that was listed, and say what it was listed with.

    What is listed may be remembered, and was read without a key: here it is known. Raises `BackupError`,
    `IntegrityError` and `EncryptionError`.
    """
    backup = placed.entry.backup
    with placed.target.reading(placed.entry.name) as file, reading(file, encryption=encryption) as archive:
        if archive.manifest.header.backup_id != backup.id:
            raise IntegrityError(f"{backup.path} is the archive of another backup", kind="foreign")
        _check_listed(archive, placed.entry)
        yield archive


def _check_listed(archive: ArchiveReader, listed: Entry) -> None:
    """Raise `IntegrityError` where an archive says something else than it is listed with, but for its key."""
    backup = listed.backup
    facts = replace(
        facts_of(archive.ends), key_id=backup.key_id, checksum=backup.checksum, size_bytes=backup.size_bytes
    )
    if entry_of(facts, path=backup.path, name=listed.name) != listed:
        raise IntegrityError(
            f"{backup.path} says something else than it is listed with",
            kind="foreign",
            hint=f"Delete {INDEX_NAME} beside it, which is made anew, and try again.",
        )


def check_chain(chain: Iterable[Placed], encryption: Encryption | None) -> None:
    """Hold each archive of a chain against the hash of all its bytes before any of it is used.

    What is used is checked again where it is read; parts that are not are checked here alone. Raises `BackupError`,
    `IntegrityError` and `EncryptionError`.
    """
    for placed in chain:
        with opened(placed, encryption) as archive:
            archive.check_whole()


def about_of(archive: ArchiveReader, placed: Placed) -> Mapping[str, Any]:
    """Return what an archive says about itself; raises `BackupError` where a newer release wrote it."""
    for batch in archive.part(ABOUT):
        with _making_sense(placed):
            said: dict[str, Any] = dict(decode_value(batch[0]))
            records = int(said["records"])
        if records > RECORDS:
            backup = placed.entry.backup
            raise BackupError(
                f"{backup.path} was written by a newer release ({placed.entry.product})",
                backup_id=backup.id,
                path=backup.path,
                hint="Install that release, or a newer one, and restore with it.",
            )
        return said
    raise IntegrityError(f"{placed.entry.backup.path} says nothing about itself", kind="encoding")


def lineage_in(placed: Placed, encryption: Encryption | None) -> Lineage:
    """Return the lineage of the branch that a backup is of."""
    with opened(placed, encryption) as archive:
        said = about_of(archive, placed)
        with _making_sense(placed):
            return tuple((int(branch), int(limit)) for branch, limit in said["lineage"])


def consumers_in(placed: Placed, encryption: Encryption | None, until: int) -> dict[str, int]:
    """Return how far consumers had come, no farther than a position."""
    with opened(placed, encryption) as archive, _making_sense(placed):
        found = (decode_value(record) for batch in archive.part(CONSUMERS) for record in batch)
        return {str(name): min(int(position), until) for name, position in found}


def stands_in(placed: Placed, encryption: Encryption | None) -> Iterator[Stand]:
    """Yield what became of each key that was touched since the parent."""
    with opened(placed, encryption) as archive:
        for batch in archive.part(STATE):
            yield from map(unpack_stand, batch)


def log_pages(chain: Iterable[Placed], encryption: Encryption | None) -> Iterator[list[StoredEvent]]:
    """Yield the whole log of a chain of backups, in pages, each event with its hash.

    Raises `IntegrityError` where it is not what was recorded: positions are dense, and each backup ends with its hash.
    """
    previous, position = b"", 0
    for placed in chain:
        entry = placed.entry
        previous = previous or genesis(entry.log_id)
        with opened(placed, encryption) as archive:
            about_of(archive, placed)
            for batch in archive.part(EVENTS):
                page = chained(batch, previous)
                if [row.position for row in page] != list(range(position + 1, position + 1 + len(page))):
                    raise _not_the_log(placed, position)
                if page:
                    position, previous = page[-1].position, page[-1].hash
                    yield page
        if previous != entry.head_hash or position != entry.backup.position:
            raise _not_the_log(placed, position)


def own_records(placed: Placed, encryption: Encryption | None) -> Iterator[list[bytes]]:
    """Yield the records of the events of one archive alone, some at a time."""
    with opened(placed, encryption) as archive:
        about_of(archive, placed)
        yield from filter(None, archive.part(EVENTS if placed.entry.backup.scopes is None else SELECTED))


@contextmanager
def _making_sense(placed: Placed) -> Iterator[None]:
    """Raise `IntegrityError` for records that are as they were written, and not by us."""
    try:
        yield
    except (KeyError, IndexError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise IntegrityError(
            f"{placed.entry.backup.path} holds a record that makes no sense: {error}", kind="encoding"
        ) from error


def _not_the_log(placed: Placed, position: int) -> IntegrityError:
    return IntegrityError(
        f"the log in {placed.entry.backup.path} is not the one that was backed up, from position {position} on",
        position=position,
        kind="hash",
        hint="Restore another backup: this one, or one that it builds on, is not what was written.",
    )
