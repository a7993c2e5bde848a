"""Archive files: there whole or not at all, whatever fails; keys rotated in one step."""

from __future__ import annotations

import errno
import os
import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import pytest

from backstory.domain.errors import BackupError, EncryptionError, IntegrityError
from backstory.infrastructure.archives.encryption import Encryption
from backstory.infrastructure.archives.reader import read_manifest
from backstory.infrastructure.archives.rewrapping import rewrap
from backstory.infrastructure.archives.verifying import verify_archive
from backstory.infrastructure.archives.writer import ArchiveWriter, writing
from tests.support.archives import CHEAP, KEY, SMALL, archive, keyed, pieces, read

NEW = Encryption(passphrase="another", kdf=CHEAP)  # noqa: S106 - it is none


def write(path: Path, *, records: int = 3, encryption: Encryption | None = None) -> None:
    with writing(path, backup_id="b-1", compression="none", encryption=encryption) as writer:
        writer.begin("log")
        for _ in range(records):
            writer.write(os.urandom(50_000))
        writer.finish({"records": records})


def test_an_archive_stands_at_its_path_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "a.backup"
    write(path)
    assert [path] == list(tmp_path.iterdir())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert verify_archive(path).is_valid
    assert read_manifest(str(path))[0].info == {"records": 3}


def test_an_archive_that_exists_is_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "a.backup"
    path.write_text("something dear")
    with pytest.raises(BackupError, match="exists already"):
        write(path)
    assert path.read_text() == "something dear"
    assert [path] == list(tmp_path.iterdir())


@pytest.mark.parametrize("error", [ValueError("ours"), KeyboardInterrupt(), OSError("the caller's own")])
def test_nothing_is_left_of_an_archive_whose_writer_fails(error: BaseException, tmp_path: Path) -> None:
    def fail() -> None:
        with writing(tmp_path / "a", backup_id="b") as writer:
            writer.begin("log")
            raise error

    with pytest.raises(type(error)) as caught:
        fail()
    assert caught.value is error
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_of_an_archive_that_was_not_finished(tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="was not finished"), writing(tmp_path / "a", backup_id="b") as writer:
        writer.begin("log")
    assert list(tmp_path.iterdir()) == []


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Have the system refuse to let any file grow beyond a size."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size", [0, 1, 1000, 100_000, 150_000, 150_500])
def test_nothing_is_left_when_the_disk_lets_no_more_be_written(size: int, tmp_path: Path) -> None:
    with files_of_at_most(size), pytest.raises(BackupError, match="Nothing was left behind") as caught:
        write(tmp_path / "a")
    assert isinstance(caught.value.__cause__, OSError)
    assert list(tmp_path.iterdir()) == []


def test_a_full_device_is_told(tmp_path: Path) -> None:
    with Path("/dev/full").open("wb", buffering=0) as full, pytest.raises(BackupError, match="No space left"):
        ArchiveWriter(full, backup_id="b")
    assert list(tmp_path.iterdir()) == []


class Failing(BytesIO):
    """A sink whose write fails at one place."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.left = at

    def write(self, data: object, /) -> int:
        self.left -= 1
        if self.left < 0:
            raise OSError(errno.EIO, "it broke")
        return super().write(data)  # type: ignore[arg-type]


def write_three_chunks(sink: BytesIO) -> None:
    writer = ArchiveWriter(sink, backup_id="b", chunk_bytes=16)
    writer.begin("log")
    writer.write(bytes(40))
    writer.finish()


@pytest.mark.parametrize("at", range(8))
def test_every_write_that_fails_is_an_error_of_ours_and_leaves_no_whole_archive(at: int) -> None:
    sink = Failing(at)
    with pytest.raises(BackupError, match="it broke"):
        write_three_chunks(sink)
    assert not verify_archive(BytesIO(sink.getvalue())).is_valid


def test_the_writes_that_were_made_to_fail_are_all_there_are() -> None:
    sink = Failing(8)
    write_three_chunks(sink)
    assert ({"log": [bytes(40)]}, 0) == (read(sink.getvalue()), sink.left)


@pytest.mark.parametrize("step", ["fsync", "replace", "open"])
def test_nothing_is_left_when_the_last_steps_fail(step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "it broke")

    if step == "replace":
        monkeypatch.setattr(Path, "replace", broken)
    else:
        monkeypatch.setattr(os, step, broken)
    with pytest.raises(BackupError, match="it broke"):
        write(tmp_path / "a")
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []


def test_the_content_is_on_disk_before_the_name_and_the_name_before_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    sync, rename = os.fsync, Path.replace

    def synced(descriptor: int) -> None:
        steps.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        sync(descriptor)

    def renamed(self: Path, target: Path) -> Path:
        steps.append("name")
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", renamed)
    write(tmp_path / "a")
    assert ["file", "name", "folder"] == steps


@pytest.mark.parametrize("name", ["missing", "."])
def test_what_cannot_be_opened_is_an_error_of_ours(name: str, tmp_path: Path) -> None:
    with pytest.raises(BackupError):
        read_manifest(tmp_path / name)
    assert not verify_archive(tmp_path / name).is_valid
    with pytest.raises(BackupError):
        write(tmp_path / "no folder" / "a")


class TestRotation:
    def test_has_the_new_key_open_the_same_chunks_and_the_old_one_not(self, tmp_path: Path) -> None:
        path = tmp_path / "a"
        before = archive(encryption=keyed())
        path.write_bytes(before)
        key_id = rewrap(path, keyed(), NEW)
        after = path.read_bytes()
        assert SMALL == read(after, NEW)
        assert key_id == read_manifest(path)[1] != keyed().key_id()
        assert pieces(before).chunks == pieces(after).chunks
        assert pieces(before).manifest == pieces(after).manifest
        assert verify_archive(path, encryption=NEW).is_valid
        with pytest.raises(EncryptionError):
            read(after, keyed())
        assert [path] == list(tmp_path.iterdir())

    def test_can_be_done_again_and_back(self, tmp_path: Path) -> None:
        path = tmp_path / "a"
        path.write_bytes(archive(encryption=keyed()))
        rewrap(path, keyed(), NEW)
        assert rewrap(path, NEW, Encryption(key=KEY)) == keyed().key_id()
        assert SMALL == read(path.read_bytes(), keyed())

    def test_with_a_wrong_key_or_without_encryption_changes_nothing(self, tmp_path: Path) -> None:
        for stored in (archive(encryption=keyed()), archive()):
            path = tmp_path / "a"
            path.write_bytes(stored)
            with pytest.raises(EncryptionError):
                rewrap(path, Encryption(key=bytes(32)), NEW)
            assert path.read_bytes() == stored
            assert [path] == list(tmp_path.iterdir())

    def test_of_a_damaged_archive_does_not_hide_the_damage(self, tmp_path: Path) -> None:
        path = tmp_path / "a"
        stored = archive(encryption=keyed())
        for at in range(0, len(stored), 7):
            flipped = bytearray(stored)
            flipped[at] ^= 1
            path.write_bytes(flipped)
            with pytest.raises((IntegrityError, BackupError, EncryptionError)):
                rewrap(path, keyed(), NEW)
            assert path.read_bytes() == flipped
        assert [path] == list(tmp_path.iterdir())

    def test_that_finds_no_room_changes_nothing(self, tmp_path: Path) -> None:
        path = tmp_path / "a"
        write(path, encryption=keyed())
        stored = path.read_bytes()
        with files_of_at_most(100_000), pytest.raises(BackupError, match="cannot write"):
            rewrap(path, keyed(), NEW)
        assert path.read_bytes() == stored
        assert [path] == list(tmp_path.iterdir())

    def test_through_a_link_leaves_the_link(self, tmp_path: Path) -> None:
        path, link = tmp_path / "a", tmp_path / "link"
        path.write_bytes(archive(encryption=keyed()))
        link.symlink_to("a")
        rewrap(link, keyed(), NEW)
        assert link.is_symlink()
        assert SMALL == read(path.read_bytes(), NEW)
