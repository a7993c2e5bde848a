"""The catalogue of backups: what lies in a target, whatever became of the index, and with nothing hidden."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, timedelta
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backstory.backups.catalogue import INDEX_NAME, Catalogue, Entry, Listing, entry_at, info_of
from backstory.backups.folder_target import FolderTarget
from backstory.backups.index import _digest, read_index
from backstory.backups.target import Stamp
from backstory.backups.targets import Target, target_of
from backstory.domain.backup_manifests import Backup, newest_first
from backstory.domain.errors import BackupError, IntegrityError
from backstory.infrastructure.archives.encryption import Encryption
from backstory.infrastructure.archives.rewrapping import rewrap
from backstory.infrastructure.archives.verifying import verify_archive
from tests.support.archives import keyed
from tests.support.backup_archives import NOON, backup_archive, tellings, told

Change = Callable[[dict[str, Any]], object]


class Counting(FolderTarget):
    """A folder that counts the archives which are opened, and the times that the index is written."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.opened: list[str] = []
        self.indexed = 0

    @contextmanager
    def reading(self, name: str) -> Iterator[BinaryIO]:
        self.opened.append(name)
        with super().reading(name) as file:
            yield file

    def write_text(self, name: str, data: bytes) -> None:
        self.indexed += 1
        super().write_text(name, data)


@pytest.fixture
def target(tmp_path: Path) -> Counting:
    return Counting(tmp_path)


def fill(folder: Path, count: int = 3) -> None:
    for number in range(count):
        stored = backup_archive(f"b{number}", created_at=NOON + timedelta(minutes=number), position=number)
        (folder / f"{number}.bsa").write_bytes(stored)


def fresh(folder: Path) -> Listing:
    """Return what a catalogue reads that knows nothing yet."""
    with TemporaryDirectory() as place:
        other = Path(place) / "copy"
        shutil.copytree(folder, other, ignore=shutil.ignore_patterns(INDEX_NAME), symlinks=True)
        listing = Catalogue(FolderTarget(other)).read()
    return moved(listing, str(other), str(folder))


def moved(listing: Listing, was: str, now: str) -> Listing:
    """Return a listing as it would be of another folder."""
    entries = [
        replace(each, backup=replace(each.backup, path=each.backup.path.replace(was, now))) for each in listing.entries
    ]
    unreadable = [
        each._replace(path=each.path.replace(was, now), reason=each.reason.replace(was, now))
        for each in listing.unreadable
    ]
    return Listing(entries, unreadable)


@given(tellings(), st.sampled_from(["none", "gzip", "zstd"]), st.none() | st.just(keyed()))
@settings(max_examples=60, deadline=None)
def test_what_is_told_comes_back(given_: dict[str, Any], compression: str, encryption: Encryption | None) -> None:
    stored = backup_archive("b7", info=info_of(**given_), compression=compression, encryption=encryption)
    whole = verify_archive(BytesIO(stored), encryption=encryption)
    assert whole.is_valid
    backup_facts = {name: given_[name] for name in told() if name in Backup.__dataclass_fields__}
    key_id = None if encryption is None else encryption.key_id()
    expected = Entry(
        Backup(
            id="b7",
            size_bytes=len(stored),
            raw_bytes=12,
            compression=compression,
            encrypted=encryption is not None,
            checksum=stored[-40:-8].hex(),
            path="/somewhere/x.bsa",
            key_id=key_id,
            **backup_facts | {"log_id": given_["log_id"].hex()},
        ),
        name="x.bsa",
        **{name: given_[name] for name in ("log_id", "head_hash", "since_hash", "state_hash", "schemas", "product")},
        recorded_at=given_["recorded_at"].astimezone(UTC),
        key_id=key_id,
    )
    assert expected == entry_at(BytesIO(stored), path="/somewhere/x.bsa", name="x.bsa")


def test_an_entry_is_read_from_a_path_too(tmp_path: Path) -> None:
    fill(tmp_path, 1)
    path = str(tmp_path / "0.bsa")
    assert "b0" == entry_at(path, path=path, name="0.bsa").backup.id
    with pytest.raises(BackupError, match="cannot read"):
        entry_at(tmp_path / "none.bsa", path="none", name="none.bsa")


@pytest.mark.parametrize("place", ["memory", "folder"])
def test_a_catalogue_lists_newest_first_and_names_each_place(place: str, tmp_path: Path) -> None:
    target: Target = target_of(tmp_path) if place == "folder" else target_of(f"memory://{uuid4().hex}")
    for minute in (3, 1, 2):
        with target.writing(f"{minute}.bsa") as file:
            file.write(backup_archive(f"b{minute}", created_at=NOON + timedelta(minutes=minute)))
    first, second = Catalogue(target).read(), Catalogue(target).read()
    assert first == second
    assert ["b3", "b2", "b1"] == [each.backup.id for each in first.entries]
    assert [target.path_of(each.name) for each in first.entries] == [each.backup.path for each in first.entries]
    assert {"1.bsa", "2.bsa", "3.bsa"} == set(read_index(target))


def test_a_place_that_does_not_exist_holds_nothing_and_is_not_made(tmp_path: Path) -> None:
    assert Listing([], []) == Catalogue(target_of(tmp_path / "none")).read()
    assert not (tmp_path / "none").exists()


def test_an_archive_is_read_once_and_the_index_written_when_something_changed(target: Counting) -> None:
    folder = Path(target.place)
    fill(folder)
    first = Catalogue(target).read()
    assert (["0.bsa", "1.bsa", "2.bsa"], 1) == (target.opened, target.indexed)
    assert first == Catalogue(target).read()
    assert (3, 1) == (len(target.opened), target.indexed)
    (folder / "3.bsa").write_bytes(backup_archive("b3"))
    (folder / "0.bsa").unlink()
    second = Catalogue(target).read()
    assert ("3.bsa", 4, 2) == (target.opened[-1], len(target.opened), target.indexed)
    assert {"1.bsa", "2.bsa", "3.bsa"} == {each.name for each in second.entries} == set(read_index(target))


def test_a_file_that_was_changed_is_read_again_even_if_its_size_and_its_time_are_the_same(target: Counting) -> None:
    path = Path(target.place) / "a.bsa"
    path.write_bytes(backup_archive("b1"))
    before = path.stat()
    assert "b1" == Catalogue(target).read().entries[0].backup.id
    other = path.with_name("other")
    other.write_bytes(backup_archive("b2"))
    other.replace(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (before.st_size, before.st_mtime_ns) == (path.stat().st_size, path.stat().st_mtime_ns)
    assert "b2" == Catalogue(target).read().entries[0].backup.id


def test_an_archive_whose_key_was_changed_names_the_new_one(target: Counting) -> None:
    path = Path(target.place) / "a.bsa"
    path.write_bytes(backup_archive(encryption=keyed()))
    assert keyed().key_id() == Catalogue(target).read().entries[0].key_id
    new = Encryption(key=bytes(32))
    rewrap(path, keyed(), new)
    (entry,) = Catalogue(target).read().entries
    assert (new.key_id(), True) == (entry.key_id, entry.backup.encrypted)


def test_a_place_without_times_has_every_archive_read_each_time(tmp_path: Path) -> None:
    class Timeless(Counting):
        def names(self) -> dict[str, Stamp]:
            return {name: Stamp(stamp.size, "") for name, stamp in super().names().items()}

    fill(tmp_path)
    target = Timeless(tmp_path)
    assert Catalogue(target).read() == Catalogue(target).read()
    assert (6, 0) == (len(target.opened), target.indexed)


def flipped(stored: bytes) -> bytes:
    """Change a digit of a position, so that the index stays what JSON is."""
    changed = stored.replace(b'"position":2', b'"position":7')
    assert stored != changed
    return changed


def lying(stored: bytes, change: Change) -> bytes:
    """Change what is told of each archive, and make the hash anew."""
    document = json.loads(stored)
    for each in document["archives"].values():
        change(each)
    document["sha256"] = _digest(document["archives"])
    return json.dumps(document).encode()


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "garbage": lambda _: os.urandom(500),
    "half": lambda stored: stored[: len(stored) // 2],
    "another document": lambda _: b"[1, 2]",
    "a number": lambda _: b"7",
    "deep": lambda _: b"[" * 200_000,
    "a huge number": lambda _: b"7" * 10_000,
    "of a later format": lambda stored: stored.replace(b'"format":1', b'"format":2'),
    "no archives": lambda _: b'{"format":1,"sha256":"x","archives":null}',
    "a flipped digit": flipped,
    "no stamp": lambda stored: lying(stored, lambda each: each.pop("size")),
    "a strange stamp": lambda stored: lying(stored, lambda each: each.update(changed=7)),
    "no facts": lambda stored: lying(stored, lambda each: each.update(facts=None)),
    "strange facts": lambda stored: lying(stored, lambda each: each["facts"].update(checksum=None)),
    "too many facts": lambda stored: lying(stored, lambda each: each["facts"].update(more=1)),
    "senseless info": lambda stored: lying(stored, lambda each: each["facts"].update(info={})),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_index_is_made_anew_without_a_word_lost(damage: Callable[[bytes], bytes], target: Counting) -> None:
    fill(Path(target.place))
    expected = Catalogue(target).read()
    index = Path(target.place) / INDEX_NAME
    whole = index.read_bytes()
    index.write_bytes(damage(whole))
    assert expected == Catalogue(target).read()
    assert whole == index.read_bytes()


def test_an_index_that_is_no_file_or_may_not_be_written_can_be_done_without(
    target: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(Path(target.place))
    (Path(target.place) / INDEX_NAME).mkdir()
    first = Catalogue(target).read()
    assert 3 == len(first.entries)
    (Path(target.place) / INDEX_NAME).rmdir()

    def refuse(*_: object) -> None:
        raise BackupError("cannot write: read-only file system", path=target.place)

    monkeypatch.setattr(target, "write_text", refuse)
    assert first == Catalogue(target).read()
    assert not (Path(target.place) / INDEX_NAME).exists()


def test_the_index_of_another_place_does_no_harm(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    fill(tmp_path / "one", 2)
    fill(tmp_path / "two", 3)
    Catalogue(target_of(tmp_path / "one")).read()
    shutil.copy2(tmp_path / "one" / INDEX_NAME, tmp_path / "two")
    listing = Catalogue(target_of(tmp_path / "two")).read()
    assert ["b2", "b1", "b0"] == [each.backup.id for each in listing.entries]
    assert {str(tmp_path / "two")} == {str(Path(each.backup.path).parent) for each in listing.entries}


def test_a_place_that_was_moved_tells_its_new_paths(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    fill(tmp_path / "old")
    Catalogue(target_of(tmp_path / "old")).read()
    (tmp_path / "old").rename(tmp_path / "new")
    listing = Catalogue(target_of(tmp_path / "new")).read()
    assert {str(tmp_path / "new" / each.name) for each in listing.entries} == {
        each.backup.path for each in listing.entries
    }


UNREADABLE: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda _: b"", "is empty"),
    "no archive": (lambda _: b"PK" + bytes(200), "no archive of Backstory's"),
    "cut short": (lambda stored: stored[:-1], "the end is missing"),
    "only its beginning": (lambda stored: stored[:5], "the end is missing"),
    "damaged in its head": (lambda stored: stored[:40] + b"?" + stored[41:], "the head is not what was written"),
    "damaged in its tail": (lambda stored: stored[:-150] + b"?" + stored[-149:], "is not what was written"),
}


@pytest.mark.parametrize(("damage", "reason"), UNREADABLE.values(), ids=UNREADABLE)
def test_an_archive_that_is_damaged_is_listed_as_such(
    damage: Callable[[bytes], bytes], reason: str, target: Counting
) -> None:
    fill(Path(target.place))
    path = Path(target.place) / "1.bsa"
    whole = Catalogue(target).read()
    stored = path.read_bytes()
    path.write_bytes(damage(stored))
    for _ in range(2):
        listing = Catalogue(target).read()
        assert ["b2", "b0"] == [each.backup.id for each in listing.entries]
        ((name, told_path, why),) = listing.unreadable
        assert ("1.bsa", str(path)) == (name, told_path)
        assert reason in why
        assert str(path) in why
    path.write_bytes(stored)
    assert whole == Catalogue(target).read()


def changed(part: str | None, **changes: Any) -> dict[str, Any]:
    info = info_of(**told())
    at = info if part is None else info[part]
    for name, value in changes.items():
        if value is ...:
            del at[name]
        else:
            at[name] = value
    return info


SENSELESS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "of something else": {"records": 3},
    "backup is a list": changed(None, backup=[]),
    "no log": changed(None, log=...),
    "no state hash": changed(None, state_hash=""),
    "schemas are a list": changed(None, schemas=[]),
    "versions are text": changed(None, schemas={"a": "1"}),
    "a version is a number": changed(None, schemas={"a": [1]}),
    "no product": changed(None, product=None),
    "kind": changed("backup", kind="differential"),
    "no parent": changed("backup", kind="incremental"),
    "no word of a parent": changed("backup", parent_id=...),
    "position": changed("backup", position=-1),
    "a true position": changed("backup", position=True),
    "events": changed("backup", events=1.5),
    "time": changed("backup", created_at="yesterday"),
    "time without a zone": changed("backup", created_at="2026-01-01T00:00:00"),
    "time of no day": changed("backup", created_at="0001-01-01T00:00:00+10:00"),
    "branch": changed("backup", branch=""),
    "no scopes": changed("backup", scopes=[]),
    "scopes": changed("backup", scopes=["nobody:x"]),
    "a scope": changed("backup", scopes=[None]),
    "log id": changed("log", id="00"),
    "hash": changed("log", head_hash="x" * 64),
    "since": changed("log", since_hash=None),
    "recorded at": changed("log", recorded_at=7),
}


@pytest.mark.parametrize("info", SENSELESS.values(), ids=SENSELESS)
def test_a_manifest_that_makes_no_sense_is_listed_with_the_reason(info: dict[str, Any], target: Counting) -> None:
    fill(Path(target.place), 1)
    (Path(target.place) / "x.bsa").write_bytes(backup_archive("bx", info=info))
    listing = Catalogue(target).read()
    assert ["b0"] == [each.backup.id for each in listing.entries]
    ((name, path, reason),) = listing.unreadable
    assert ("x.bsa", str(Path(target.place) / "x.bsa")) == (name, path)
    assert "bx" in reason or path in reason
    with pytest.raises(BackupError) as caught:
        entry_at(path, path=path, name=name)
    assert ("bx", path) == (caught.value.backup_id, caught.value.path)


def test_what_a_later_release_tells_besides_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "a.bsa"
    path.write_bytes(backup_archive(info=changed(None, more={"x": 1})))
    assert "b1" == entry_at(path, path=str(path), name="a.bsa").backup.id


def test_a_manifest_nested_without_end_takes_nothing_down(target: Counting) -> None:
    deep: Any = []
    for _ in range(240):
        deep = [deep]
    (Path(target.place) / "a.bsa").write_bytes(backup_archive(info=changed(None, more=deep)))
    assert Catalogue(target).read() == Catalogue(target).read()
    assert 1 == len(Catalogue(target).read().entries)


def test_files_of_strange_names_are_listed(target: Counting) -> None:
    for stored in (b"\xff.bsa", b"a b\n.bsa", "Größe.bsa".encode()):
        (Path(target.place) / os.fsdecode(stored)).write_bytes(backup_archive("b"))
    for name in ("notes.txt", ".hidden.bsa", "x.bsa.bak"):
        (Path(target.place) / name).write_text("x")
    assert 3 == len(Catalogue(target).read().entries)
    assert Catalogue(target).read() == Catalogue(target).read()
    assert 3 == len(target.opened)


def test_an_archive_that_is_deleted_while_it_is_looked_for_is_gone(tmp_path: Path) -> None:
    class Racing(FolderTarget):
        @contextmanager
        def reading(self, name: str) -> Iterator[BinaryIO]:
            (tmp_path / "1.bsa").unlink(missing_ok=True)
            with super().reading(name) as file:
                yield file

    fill(tmp_path)
    listing = Catalogue(Racing(tmp_path)).read()
    assert (["b2", "b0"], []) == ([each.backup.id for each in listing.entries], listing.unreadable)


def test_a_place_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(BackupError):
        Catalogue(target_of(tmp_path / "file")).read()


def test_damage_at_the_ends_is_told_apart_from_what_is_no_archive() -> None:
    with pytest.raises(IntegrityError) as damaged:
        entry_at(BytesIO(backup_archive()[:-1]), path="/x", name="x")
    assert "truncated" == damaged.value.kind
    with pytest.raises(BackupError):
        entry_at(BytesIO(b"text"), path="/x", name="x")


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["write", "delete", "damage", "lose index", "spoil index", "read", "old index"]),
        st.integers(0, 3),
        st.integers(0, 2**32),
    ),
    max_size=14,
)


@given(STEPS)
@settings(max_examples=60, deadline=None)
def test_whatever_happens_to_archives_and_index_the_catalogue_tells_what_a_new_one_would(
    steps: list[tuple[str, int, int]],
) -> None:
    with TemporaryDirectory() as place:
        folder = Path(place)
        kept: list[bytes] = []
        for at, (step, number, seed) in enumerate(steps):
            happen(folder, step, number, seed, kept)
            # The clock of a file system may be too slow to tell two steps apart; a day between them it does.
            for path in folder.glob(f"{number}.bsa"):
                os.utime(path, (0, at * 86_400))
        found = Catalogue(FolderTarget(folder)).read()
        assert fresh(folder) == found == Catalogue(FolderTarget(folder)).read()
        assert newest_first(each.backup for each in found.entries) == [each.backup for each in found.entries]
        names = {each.name for each in found.entries} | {each.name for each in found.unreadable}
        assert {path.name for path in folder.glob("*.bsa")} == names


def happen(folder: Path, step: str, number: int, seed: int, kept: list[bytes]) -> None:
    path, index = folder / f"{number}.bsa", folder / INDEX_NAME
    if step == "write":
        path.write_bytes(backup_archive(f"b{number}", position=seed, created_at=NOON + timedelta(seconds=seed % 9)))
    elif step == "delete":
        path.unlink(missing_ok=True)
    elif step == "damage" and path.exists():
        stored = bytearray(path.read_bytes())
        stored[seed % len(stored)] ^= 1 + seed % 255
        path.write_bytes(stored)
    elif step == "lose index":
        index.unlink(missing_ok=True)
    elif step == "spoil index" and index.exists():
        kept.append(index.read_bytes())
        spoilt = bytearray(kept[-1])
        spoilt[seed % len(spoilt)] ^= 1 + seed % 255
        index.write_bytes(spoilt)
    elif step == "old index" and kept:
        index.write_bytes(kept[0])
    elif step == "read":
        Catalogue(FolderTarget(folder)).read()
        if index.exists():
            kept.append(index.read_bytes())
