"""Backups that are not what was written: whatever was done to them is told, and none of it is ever used."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

import backstory
from backstory import Encryption, IntegrityError
from backstory.backups.index import INDEX_NAME, read_index, write_index
from backstory.backups.targets import target_of
from backstory.infrastructure.archives.reader import reading
from backstory.infrastructure.archives.writer import ArchiveWriter
from tests.support.damaged_backups import flipped, rewritten, victim

if TYPE_CHECKING:
    from backstory import Backup

KEY: Final = bytes(range(32))
SEALS = pytest.mark.parametrize("encryption", [None, Encryption(key=KEY)], ids=["plain", "encrypted"])


def bytes_of(backup: Backup) -> bytes:
    return Path(backup.path).read_bytes()


@SEALS
def test_a_flipped_byte_at_any_offset_is_told_and_never_used(encryption: Encryption | None, tmp_path: Path) -> None:
    with victim(tmp_path, encryption=encryption) as found:
        [backup] = found.chain
        stored = bytes_of(backup)
        for at in range(len(stored)):
            rewritten(backup, flipped(stored, at))
            found.assert_refused(at)
        rewritten(backup, stored)


@pytest.mark.long
@SEALS
@pytest.mark.parametrize("mask", [0x80, 0xFF])
def test_a_byte_that_is_any_other_is_told_and_never_used(
    encryption: Encryption | None, mask: int, tmp_path: Path
) -> None:
    with victim(tmp_path, encryption=encryption, increments=1) as found:
        for backup in found.chain:
            stored = bytes_of(backup)
            for at in range(len(stored)):
                rewritten(backup, flipped(stored, at, mask))
                found.assert_refused((backup.kind, at))
            rewritten(backup, stored)


@SEALS
def test_an_archive_cut_at_any_length_is_told_and_never_used(encryption: Encryption | None, tmp_path: Path) -> None:
    with victim(tmp_path, encryption=encryption) as found:
        [backup] = found.chain
        stored = bytes_of(backup)
        for length in [*range(0, len(stored), 5), *range(len(stored) - 80, len(stored))]:
            rewritten(backup, stored[:length])
            found.assert_refused(length)
        rewritten(backup, stored)


@SEALS
def test_a_damaged_link_is_told_by_what_builds_on_it(encryption: Encryption | None, tmp_path: Path) -> None:
    with victim(tmp_path, encryption=encryption, increments=2) as found:
        for backup in found.chain:
            stored = bytes_of(backup)
            for at in range(0, len(stored), 29):
                rewritten(backup, flipped(stored, at))
                found.assert_refused((backup.kind, at))
            rewritten(backup, stored)


@SEALS
@pytest.mark.parametrize(
    ("part", "name", "lie"),
    [
        ("log", "recorded_at", "2000-01-01T00:00:00+00:00"),
        ("log", "head_hash", "ab" * 32),
        ("backup", "position", 1),
        ("backup", "scopes", ["agent:a"]),
        ("backup", "branch_id", 7),
        ("backup", "created_at", "2100-01-01T00:00:00+00:00"),
    ],
)
def test_what_an_index_says_and_the_archive_does_not_is_told_and_never_used(
    encryption: Encryption | None, tmp_path: Path, part: str, name: str, lie: object
) -> None:
    with victim(tmp_path, encryption=encryption) as found:
        found.reader.backups.list()
        target = target_of(Path(found.chain[-1].path).parent)
        ((file, known),) = read_index(target).items()
        info = {**known.facts.info, part: {**known.facts.info[part], name: lie}}
        write_index(target, {file: replace(known, facts=replace(known.facts, info=info))})

        assert "says something else than it is listed with" in found.assert_refused(name)

        found.assert_unharmed()
        (Path(target.place) / INDEX_NAME).unlink()


def resealed(backup: Backup, part: str, record: bytes) -> None:
    """Put another record into one part of a plain archive, with all its hashes made anew."""
    sink = BytesIO()
    with reading(backup.path) as archive:
        writer = ArchiveWriter(sink, backup_id=backup.id)
        for name, records in archive.parts():
            writer.begin(name)
            held = list(records)
            writer.write_all([record, *held[1:]] if name == part else held)
        writer.finish(archive.manifest.info)
    Path(backup.path).write_bytes(sink.getvalue())


@pytest.mark.parametrize(
    ("part", "record"),
    [
        ("about", b"[]"),
        ("about", b"null"),
        ("about", b'{"lineage":[[0,9]]}'),
        ("about", b'{"records":"one","lineage":[[0,9]]}'),
        ("about", b'{"records":1}'),
        ("about", b'{"records":1,"lineage":null}'),
        ("about", b'{"records":1,"lineage":[[0]]}'),
        ("about", b'{"records":1,"lineage":[["main",9]]}'),
        ("about", b'{"records":1,"lineage":[[[],9]]}'),
        ("consumers", b'["reader"]'),
        ("consumers", b'["reader","far"]'),
        ("consumers", b"7"),
    ],
)
def test_a_record_that_somebody_else_wrote_is_told_as_damage_is(tmp_path: Path, part: str, record: bytes) -> None:
    with victim(tmp_path) as found:
        whole = bytes_of(found.chain[-1])
        resealed(found.chain[-1], part, record)

        report = found.reader.backups.validate(found.chain[-1].path)
        assert ["holds a record that makes no sense" in each for each in report.errors] == [True]
        with pytest.raises(IntegrityError, match="makes no sense"):
            backstory.restore(found.chain[-1].path, f"sqlite:///{tmp_path / 'new' / 'new.db'}", as_of=1)
        found.assert_unharmed()
        rewritten(found.chain[-1], whole)
