"""Disasters of backups: lost files, keys, links and folders, full and failing disks, other releases. One rule each."""

from __future__ import annotations

import errno
import os
import shutil
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import apsw
import pytest

import backstory
from backstory import (
    BackupError,
    IntegrityError,
    NotFoundError,
    RetentionPolicy,
    StoreUnavailableError,
    StoreVersionError,
)
from backstory.backups import contents as backup_contents
from backstory.backups import folder_target, ordering
from backstory.backups.index import INDEX_NAME
from backstory.backups.reports import BackupValidation
from backstory.backups.target import LEFTOVER_AGE
from backstory.schedules import Once
from backstory.testing.clock import ManualClock
from tests.support.damaged_backups import (
    HOME,
    assert_restores,
    contents,
    files_of_at_most,
    fill,
    flipped,
    harmless,
    new_url,
    remove,
)
from tests.support.faulty_vfs import Fault, faulty_vfs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

    from backstory import Backup, StateStore

PARTIAL: Final = ".{name}.0123abcd.partial"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the backups are."""
    return tmp_path / "kept"


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'store.db'}"


@pytest.fixture
def store(url: str, folder: Path) -> Iterator[StateStore]:
    with backstory.open(url, backups=str(folder), durability="relaxed") as store:
        fill(store)
        yield store


# The file


def test_a_lost_file_is_named_and_no_other_backup_is_harmed(store: StateStore, tmp_path: Path) -> None:
    first, lost = store.backups.create(), store.backups.create()
    Path(lost.path).unlink()
    assert [first.id] == [each.id for each in store.backups.list()]
    assert (lost.id,) == store.backups.usage().missing
    report = store.backups.validate(lost.id)
    assert not report.is_valid
    assert lost.path in report.errors[0]
    with harmless(store, tmp_path):
        relative = os.path.relpath(lost.path)
        for wanted, into in ((lost.id, None), (lost.path, None), (relative, None), (lost.id[:31], new_url(tmp_path))):
            with pytest.raises(BackupError, match=f"{lost.id} is gone: {lost.path}"):
                store.backups.restore(wanted, into=into)
        with pytest.raises(NotFoundError):
            backstory.restore(lost.path, new_url(tmp_path))
    assert_restores(store, first, new_url(tmp_path))
    assert_restores(store, store.backups.create(), new_url(tmp_path))


def test_what_a_killed_writer_left_is_no_backup_and_is_swept_after_a_day(url: str, folder: Path) -> None:
    clock = ManualClock()
    with backstory.open(url, backups=str(folder), clock=clock) as store:
        fill(store)
        whole = store.backups.create()
        left = folder / PARTIAL.format(name="20260101T000000000000Z-full-0123456789abcdef0123456789abcdef.bsa")
        left.write_bytes(Path(whole.path).read_bytes()[:500])
        os.utime(left, (whole.created_at.timestamp(),) * 2)
        assert [whole.id] == [each.id for each in store.backups.list()]
        assert () == store.backups.usage().unreadable
        store.backups.create()
        assert left.exists(), "somebody may still be writing it"
        clock.advance((LEFTOVER_AGE + timedelta(seconds=2)).total_seconds())
        store.backups.create()
        assert not left.exists()
        assert [True] * 3 == [store.backups.validate(each.id).is_valid for each in store.backups.list()]


def test_what_somebody_is_writing_is_not_swept_where_the_log_is_ahead_of_the_clock(url: str, folder: Path) -> None:
    clock = ManualClock()
    with backstory.open(url, backups=str(folder), clock=clock) as store:
        ahead = LEFTOVER_AGE + timedelta(days=1)
        clock.advance(ahead)
        fill(store)
        clock.set_back(ahead)
        folder.mkdir(exist_ok=True)
        busy = folder / PARTIAL.format(name="20260101T000000000000Z-full-0123456789abcdef0123456789abcdef.bsa")
        busy.touch()
        os.utime(busy, (clock.now().timestamp(),) * 2)

        assert clock.now() < store.backups.create().created_at

        assert busy.exists()


def test_a_backup_is_made_though_what_a_killed_writer_left_cannot_be_deleted(
    url: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.unlink

    def refusing(path: Path, **more: Any) -> None:
        if path.parent == folder and path.name.endswith(".partial"):
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        real(path, **more)

    with backstory.open(url, backups=str(folder)) as store:
        fill(store)
        folder.mkdir(exist_ok=True)
        left = folder / PARTIAL.format(name="20260101T000000000000Z-full-0123456789abcdef0123456789abcdef.bsa")
        left.touch()
        os.utime(left, (0, 0))
        monkeypatch.setattr(Path, "unlink", refusing)

        assert store.backups.validate(store.backups.create().id).is_valid
        store.backups.schedule("now", Once(0.0))
        assert [(True, None)] == [(run.backup is not None, run.error) for run in store.backups.run_due()]

        assert left.exists()


def test_a_backup_that_cannot_be_read_back_is_not_there(store: StateStore, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = store.backups.create()

    def refusing(*_: Any, **__: Any) -> Any:
        raise BackupError("cannot read it: Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr("backstory.backups.writing.entry_at", refusing)
        with pytest.raises(BackupError, match="Input/output error"):
            store.backups.create()
    assert [Path(whole.path).name] == [path.name for path in Path(whole.path).parent.glob("*full*")]
    assert ["create"] == [event.data["what"] for event in store.log(types="backup.failed")]


def test_a_half_written_file_under_a_backups_name_is_told_and_left_alone(store: StateStore, tmp_path: Path) -> None:
    whole = store.backups.create()
    half = Path(whole.path).with_name("half.bsa")
    half.write_bytes(Path(whole.path).read_bytes()[:-100])
    (half.parent / "empty.bsa").touch()
    (half.parent / "text.bsa").write_text("no archive")
    assert [whole.id] == [each.id for each in store.backups.list()]
    assert sorted(store.backups.usage().unreadable) == sorted(
        str(half.parent / name) for name in ("half.bsa", "empty.bsa", "text.bsa")
    )
    with harmless(store, tmp_path), pytest.raises(IntegrityError, match="cannot be read"):
        store.backups.restore(half)
    assert not store.backups.validate(half).is_valid
    second = store.backups.create("incremental")
    assert whole.id == second.parent_id
    store.backups.prune(RetentionPolicy(max_count=0, keep_full=0))
    assert half.exists(), "what cannot be read is nobody's to delete"
    assert_restores(store, second, new_url(tmp_path))


# Disks


def test_a_full_disk_while_a_backup_is_made_leaves_nothing_and_says_so(folder: Path) -> None:
    with backstory.open("memory://", backups=str(folder)) as store:
        fill(store)
        size = store.backups.create(compression="none").size_bytes
        for number, limit in enumerate(range(0, size, 60), 1):
            with files_of_at_most(limit), pytest.raises(BackupError, match="Nothing was left behind"):
                store.backups.create(compression="none")
            assert number == len(list(store.log(types=["backup.failed"])))
        assert 1 == len(store.backups.list())
        assert sorted(each.name for each in folder.iterdir()) == sorted(
            [INDEX_NAME, Path(store.backups.list()[0].path).name]
        )
        again = store.backups.create(compression="none")
        assert store.backups.validate(again.id).is_valid


def test_a_full_disk_under_store_and_backups_alike_is_told_as_what_it_is(
    store: StateStore, folder: Path, tmp_path: Path
) -> None:
    held = contents(store)
    with files_of_at_most(0), pytest.raises(BackupError, match="cannot write"):
        store.backups.create()
    assert [] == list(folder.iterdir())
    assert held == contents(store)
    assert_restores(store, store.backups.create(), new_url(tmp_path))


def test_where_the_store_has_no_room_nothing_is_pruned_before_somebody_makes_some_by_hand(
    folder: Path, tmp_path: Path
) -> None:
    policy = RetentionPolicy(max_count=1)
    with backstory.open(f"sqlite:///{tmp_path / 'full.db'}", backups=str(folder)) as store:
        fill(store)
        made = [store.backups.create() for _ in range(4)]
        with files_of_at_most(0):
            with pytest.raises(StoreUnavailableError, match="full"):
                store.backups.prune(policy)
            assert {each.id for each in made} == {each.id for each in store.backups.list()}
            would = store.backups.prune(policy, dry_run=True)
        gone = next(each.backup_id for each in would.decisions if not each.keep)
        Path(store.backups.info(gone).path).unlink()

        assert len(made) - 2 == sum(not each.keep for each in store.backups.prune(policy).decisions)

        assert [made[-1]] == store.backups.list()
        assert (gone,) == store.backups.usage().missing


def test_a_full_disk_leaves_nothing_of_a_new_store(store: StateStore, tmp_path: Path) -> None:
    backup, into = store.backups.create(), new_url(tmp_path)
    store.backups.restore(backup.id, into=into)
    size = (tmp_path / "new.db").stat().st_size
    (tmp_path / "new.db").unlink()
    for limit in range(0, size, 4096):
        with files_of_at_most(limit), pytest.raises((BackupError, StoreUnavailableError)):
            backstory.restore(backup.path, into)
        with files_of_at_most(limit), pytest.raises((BackupError, StoreUnavailableError)):
            store.backups.restore(backup.id, scope=HOME, into=into)
        assert [] == list(tmp_path.glob("*new.db*")), limit
    assert_restores(store, backup, into)


def outcome_of(store: StateStore, backup: Backup) -> str:
    """Return what a restore says about itself."""
    try:
        store.backups.restore(backup.id)
    except StoreUnavailableError as error:
        return error.outcome
    return "written"


@pytest.mark.parametrize("operation", ["write", "sync"])
@pytest.mark.parametrize("kind", ["error", "late"])
def test_a_disk_that_fails_under_a_restore_leaves_the_old_state_or_the_whole_new_one(
    operation: str, kind: str, tmp_path: Path
) -> None:
    with faulty_vfs() as vfs:
        for number in count(1):
            url = f"sqlite:///{tmp_path / f'{number}.db'}"
            with backstory.open(url, vfs=vfs.vfs_name, backups=str(tmp_path / "kept")) as store:
                fill(store)
                backup, before = store.backups.create(), contents(store)
                store.set(HOME, "step", "later")
                store.set(HOME, "new", 1)
                changed = contents(store)
                vfs.arm(Fault(operation, kind, number, lasting=True))
                outcome = outcome_of(store, backup)
                happened = vfs.happened
                vfs.heal()
                possible = {"not_written": [changed], "unknown": [changed, before], "written": [before]}
                assert contents(store) in possible[outcome]
                store.backups.restore(backup.id)
                assert before == contents(store)
                assert store.verify().ok
            if not happened:
                break
        assert number > 1


def test_an_outcome_that_nobody_knows_is_told_so_and_not_called_a_failure(tmp_path: Path) -> None:
    with faulty_vfs() as vfs:
        url = f"sqlite:///{tmp_path / 'store.db'}"
        with backstory.open(url, vfs=vfs.vfs_name, backups=str(tmp_path / "kept")) as store:
            fill(store)
            backup = store.backups.create()
            store.set(HOME, "step", "later")
            vfs.arm(Fault("sync", "late"))
            with pytest.raises(StoreUnavailableError) as caught:
                store.backups.restore(backup.id)
            vfs.heal()
            assert "unknown" == caught.value.outcome
            assert [] == list(store.log(types=["backup.failed"]))


class Failing:
    """A file whose reads fail from one on."""

    def __init__(self, file: BinaryIO, disk: Disk) -> None:
        self._file = file
        self._disk = disk

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, *given: int) -> bytes:
        self._disk.fail()
        return self._file.read(*given)

    def readinto(self, given: Any) -> int:
        self._disk.fail()
        found: int = self._file.readinto(given)  # type: ignore[attr-defined]
        return found


class Disk:
    """A disk below a folder of backups; from the `left`-th read on it fails."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left = 10**9
        self._opened = folder_target._opened
        monkeypatch.setattr(folder_target, "_opened", self.open)

    def open(self, path: Path) -> Any:
        return Failing(self._opened(path), self)

    def fail(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_a_disk_that_cannot_be_read_is_told_by_every_read_of_an_archive(
    store: StateStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup, into = store.backups.create(), new_url(tmp_path)
    store.set(HOME, "later", 1)
    disk = Disk(monkeypatch)

    def refusals(work: Callable[[], object]) -> int:
        """Return how many reads there are; each that fails must be told, and nothing done."""
        for number in count():
            disk.left = number
            with harmless(store, tmp_path):
                complaint = complaint_of(work)
            if not complaint:
                return number
            assert "Input/output error" in complaint
        raise AssertionError

    assert refusals(lambda: store.backups.validate(backup.path)) > 1
    assert refusals(lambda: store.backups.restore(backup.path, dry_run=True)) > 1

    def renew() -> None:
        backstory.restore(backup.path, into)
        remove(into)

    assert refusals(renew) > 1


def complaint_of(work: Callable[[], object]) -> str:
    """Return what is said against doing something; nothing if it is done."""
    try:
        done = work()
    except BackupError as error:
        return error.message
    return done.errors[0] if isinstance(done, BackupValidation) and done.errors else ""


# Releases


def test_an_archive_of_a_newer_release_says_which_to_install(
    store: StateStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as newer:
        newer.setattr("backstory.backups.writing.RECORDS", backup_contents.RECORDS + 1)
        newer.setattr(ordering, "version", lambda _: "99.1.0")
        backup = store.backups.create()
    assert [backup.id] == [each.id for each in store.backups.list()]
    report = store.backups.validate(backup.id)
    assert not report.is_valid
    assert "newer release (99.1.0)" in report.errors[0]
    with harmless(store, tmp_path):
        for into in (None, new_url(tmp_path)):
            with pytest.raises(BackupError, match=r"newer release \(99.1.0\).*Install"):
                store.backups.restore(backup.id, into=into)
        with pytest.raises(BackupError, match="newer release"):
            backstory.restore(backup.path, new_url(tmp_path))


def test_a_chain_of_two_releases_restores_and_is_warned_of(
    store: StateStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as older:
        older.setattr(ordering, "version", lambda _: "0.0.1")
        store.backups.create()
    store.set(HOME, "step", "second")
    child = store.backups.create("incremental")
    [warning] = store.backups.validate(child.id).warnings
    assert "release 0.0.1" in warning
    assert_restores(store, child, new_url(tmp_path))


@pytest.mark.parametrize("version", [1, 99])
def test_a_store_of_another_version_is_left_alone_and_its_backup_goes_elsewhere(
    version: int, url: str, folder: Path, tmp_path: Path
) -> None:
    with backstory.open(url, backups=str(folder)) as store:
        fill(store)
        backup, held = store.backups.create(), contents(store)
    path = Path(url.removeprefix("sqlite:///"))
    connection = apsw.Connection(str(path))
    connection.pragma("user_version", version)
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StoreVersionError):
        backstory.open(url)
    with pytest.raises(BackupError, match="exists already"):
        backstory.restore(backup.path, url)
    assert before == path.read_bytes()
    path.rename(tmp_path / "aside.db")
    backstory.restore(backup.path, url)
    with backstory.open(url) as store:
        assert held == contents(store)


# The folder


def test_a_lost_or_damaged_index_loses_nothing(store: StateStore, folder: Path, tmp_path: Path) -> None:
    store.backups.create()
    store.set(HOME, "step", "second")
    child = store.backups.create("incremental")
    listed = store.backups.list()
    index = folder / INDEX_NAME
    stored = index.read_bytes()
    for damage in (None, b"", stored[: len(stored) // 2], flipped(stored, len(stored) // 3), b"[]"):
        index.unlink() if damage is None else index.write_bytes(damage)
        assert listed == store.backups.list()
        assert stored == index.read_bytes()
        index.unlink()
        assert store.backups.validate(child.id).is_valid
    assert_restores(store, child, new_url(tmp_path))


def test_a_folder_that_is_gone_is_told_and_made_again(store: StateStore, folder: Path, tmp_path: Path) -> None:
    lost = [store.backups.create(), store.backups.create("incremental")]
    shutil.rmtree(folder)
    assert [] == store.backups.list()
    assert {each.id for each in lost} == set(store.backups.usage().missing)
    for each in lost:
        assert not store.backups.validate(each.id).is_valid
    with pytest.raises(BackupError, match="full"):
        store.backups.create("incremental")
    assert () == tuple(store.backups.prune(RetentionPolicy(max_count=0)).deleted)
    assert_restores(store, store.backups.create(), new_url(tmp_path))


def test_a_backup_is_named_by_any_way_to_its_file(
    store: StateStore, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup = store.backups.create()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    for way in (f"../kept/{Path(backup.path).name}", folder / "." / ".." / "kept" / Path(backup.path).name):
        assert backup == store.backups.info(way)
        backstory.restore(way, new_url(tmp_path))
        remove(new_url(tmp_path))


def test_a_folder_that_was_moved_is_found_where_it_is(
    url: str, store: StateStore, folder: Path, tmp_path: Path
) -> None:
    backup = store.backups.create()
    moved = tmp_path / "moved"
    folder.rename(moved)
    assert not store.backups.validate(backup.id).is_valid
    with backstory.open(url, backups=str(moved)) as again:
        assert [backup.id] == [each.id for each in again.backups.list()]
        assert () == again.backups.usage().missing
        assert_restores(again, backup, new_url(tmp_path))
