"""Where backups lie: one file by several names, files that are called otherwise, places that cannot be looked at."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import uuid4

import pytest

import backstory
from backstory import BackupError, NotFoundError, RetentionPolicy
from backstory.backups.targets import target_of
from tests.support.damaged_backups import contents, fill

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backstory import Backup, StateStore

FEWEST = RetentionPolicy(max_count=1)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'store.db'}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "kept").mkdir()
    return tmp_path / "kept"


@pytest.fixture
def store(url: str, folder: Path) -> Iterator[StateStore]:
    with backstory.open(url, backups=str(folder)) as store:
        fill(store)
        yield store


def assert_restores(store: StateStore, backup: Backup, into: Path) -> None:
    store.backups.restore(backup.id, into=f"sqlite:///{into}")
    with backstory.open(f"sqlite:///{into}") as new:
        assert contents(store, backup.position) == contents(new)


# One file by several names


def test_a_folder_that_is_known_by_two_names_holds_each_backup_once(
    url: str, store: StateStore, folder: Path, tmp_path: Path
) -> None:
    backup = store.backups.create()
    link = tmp_path / "link"
    link.symlink_to(folder)

    with backstory.open(url, backups=str(link)) as again:
        assert [backup.id] == [each.id for each in again.backups.list()]
        report = again.backups.prune(FEWEST)
        assert ([backup.id], ()) == ([each.id for each in report.kept], report.deleted)
        assert Path(backup.path).exists()
        assert backup.id == again.backups.info(str(link / Path(backup.path).name)).id
        again.set("agent:a", "step", "later")
        assert backup.id == again.backups.create("incremental").parent_id
        assert backup.id == again.backups.create("incremental", target=folder, parent=backup).parent_id
        assert () == again.backups.usage().missing


def test_a_link_to_a_file_beside_it_is_the_same_backup_and_goes_with_it(store: StateStore, folder: Path) -> None:
    backup = store.backups.create()
    for name in ("a.bsa", "z.bsa"):
        (folder / name).symlink_to(backup.path)

    assert 1 == len(store.backups.list())
    assert () == store.backups.prune(FEWEST).deleted
    store.backups.restore(backup.id)
    later = store.backups.create()
    assert [backup.id] == [each.id for each in store.backups.prune(FEWEST).deleted]
    assert {later.path} == {str(path) for path in folder.glob("*.bsa")}


def test_a_folder_behind_a_link_that_is_known_from_the_log_alone_is_looked_at_once(
    store: StateStore, folder: Path, tmp_path: Path
) -> None:
    link = tmp_path / "link"
    link.symlink_to(folder)
    first = store.backups.create(target=link)
    second = store.backups.create()
    assert {first.id, second.id} == {each.id for each in store.backups.list()}
    assert [first.id] == [each.id for each in store.backups.prune(FEWEST).deleted]
    assert [second.id] == [each.id for each in store.backups.list()]
    assert () == store.backups.usage().missing


def test_two_spellings_of_a_url_are_one_place(url: str) -> None:
    name = uuid4().hex
    with backstory.open(url, backups=f"memory://{name}/x") as store:
        fill(store)
        backup = store.backups.create()
    with backstory.open(url, backups=f"memory:///{name}/x") as store:
        assert [backup.id] == [each.id for each in store.backups.list()]
        assert () == store.backups.prune(FEWEST).deleted
        assert store.backups.validate(backup.id).is_valid
        store.set("agent:a", "step", "later")
        assert backup.id == store.backups.create("incremental").parent_id


def test_places_are_told_apart_by_what_they_are_and_not_by_their_names(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    name = uuid4().hex
    same: list[tuple[Any, Any]] = [
        (tmp_path / "real", tmp_path / "link"),
        (tmp_path / "new", tmp_path / "link" / ".." / "new"),
    ]
    same += [(f"memory://{name}/x", f"memory:///{name}/x/")]
    for one, other in same:
        assert target_of(one).identity == target_of(other).identity
    others: list[tuple[Any, Any]] = [
        (tmp_path / "real", tmp_path / "new"),
        (f"memory://{name}/x", f"memory://{name}/y"),
    ]
    for one, other in others:
        assert target_of(one).identity != target_of(other).identity


def test_of_true_copies_the_one_at_home_stays_and_nothing_is_said_to_be_given_up(
    store: StateStore, tmp_path: Path
) -> None:
    elsewhere = store.backups.create(target=tmp_path / "a")
    backup = store.backups.create()
    for path in (backup.path, elsewhere.path):
        shutil.copy2(path, tmp_path / "a" / f"copy-{Path(path).name}")

    assert 4 == len(store.backups.list())
    report = store.backups.prune(RetentionPolicy(max_count=2))

    assert {backup.id, elsewhere.id} == {each.id for each in report.kept}
    assert backup.path in {each.path for each in report.kept}
    assert 2 == len(report.deleted)
    assert [] == list(store.log(types="backup.pruned"))
    Path(backup.path).unlink()
    assert (backup.id,) == store.backups.usage().missing


# Files that are called otherwise


@pytest.mark.parametrize("name", ["copy.backup", "copy", "20260301"])
def test_nothing_hangs_on_the_name_of_a_file(name: str, store: StateStore, tmp_path: Path) -> None:
    full = store.backups.create()
    store.set("agent:a", "step", "later")
    change = store.backups.create("incremental")
    moved = Path(change.path).rename(Path(change.path).parent / name)

    assert store.backups.validate(moved).is_valid
    assert change.id == store.backups.info(str(moved)).id
    backstory.restore(moved, f"sqlite:///{tmp_path / 'new.db'}")
    with backstory.open(f"sqlite:///{tmp_path / 'new.db'}") as new:
        assert contents(store, change.position) == contents(new)
    assert full.id == change.parent_id


def test_a_file_is_named_without_its_folder(store: StateStore, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backup = store.backups.create()
    shutil.copy(backup.path, folder / "copy.backup")
    monkeypatch.chdir(folder)
    assert str(folder / "copy.backup") == store.backups.info("copy.backup").path
    (folder / "notes.txt").write_text("not an archive")
    with pytest.raises(BackupError, match="no archive"):
        store.backups.restore("notes.txt")
    with pytest.raises(NotFoundError):
        store.backups.info("nothing.backup")


def test_a_file_behind_a_url_may_be_called_otherwise_too(store: StateStore) -> None:
    place = f"memory://{uuid4().hex}"
    backup = store.backups.create(target=place)
    target: Any = target_of(place)
    with target.reading(Path(backup.path).name) as file, target.writing("copy.backup") as copy:
        copy.write(file.read())
    assert store.backups.validate(f"{place}/copy.backup").is_valid


@pytest.mark.parametrize("start", ["file://", "file://localhost", "local://", "FILE://"])
@pytest.mark.parametrize("name", [None, "nightly 100%.bak"])
def test_a_file_on_this_machine_is_named_by_its_url(
    store: StateStore, tmp_path: Path, start: str, name: str | None
) -> None:
    backup = store.backups.create(target=f"file://{quote(str(tmp_path / 'off site 50%41'))}")
    path = Path(backup.path)
    if name is not None:
        path = path.rename(tmp_path / name)
    url = start + quote(str(path))

    assert (backup.id, str(path)) == (store.backups.info(url).id, store.backups.info(url).path)
    assert store.backups.validate(url).is_valid
    assert 0 == store.backups.restore(url).restored
    assert 3 == backstory.restore(url, f"sqlite:///{tmp_path / 'new.db'}").restored
    store.set("agent:a", "step", "later")
    assert backup.id == store.backups.create("incremental", parent=url).parent_id


def test_a_parent_elsewhere_is_named_by_its_path(store: StateStore, tmp_path: Path) -> None:
    backup = store.backups.create()
    (tmp_path / "far").mkdir()
    moved = Path(backup.path).rename(tmp_path / "far" / "moved.bsa")
    store.set("agent:a", "step", "later")
    child = store.backups.create("incremental", parent=str(moved))
    assert backup.id == child.parent_id
    assert 5 + 1 + 1 == child.position


@pytest.mark.parametrize(("wanted", "hint"), [("0123abc", "8 digits"), ("0123abcd", "listed"), ("nope/x", "listed")])
def test_a_backup_that_is_not_found_says_what_names_one(wanted: str, hint: str, store: StateStore) -> None:
    with pytest.raises(NotFoundError) as caught:
        store.backups.info(wanted)
    assert hint in str(caught.value.hint)
    assert "backups." not in str(caught.value)


# Places that cannot be looked at


@pytest.fixture
def away(store: StateStore, tmp_path: Path) -> tuple[Backup, Backup, Path]:
    """Give a backup at home, and one that builds on it, in a place that cannot be looked at."""
    home = store.backups.create()
    usb = tmp_path / "usb"
    store.set("agent:a", "step", "later")
    child = store.backups.create("incremental", target=usb, parent=home)
    usb.rename(tmp_path / "unplugged")
    usb.write_text("no folder any more")
    return home, child, usb


def test_a_place_that_cannot_be_looked_at_holds_up_no_other(
    store: StateStore, away: tuple[Backup, Backup, Path], tmp_path: Path
) -> None:
    home, child, _ = away

    assert [home.id] == [each.id for each in store.backups.list()]
    assert store.backups.validate(home.path).is_valid
    assert store.backups.validate(home.id).is_valid
    assert_restores(store, home, tmp_path / "new.db")
    assert home.id == store.backups.create("incremental").parent_id
    assert not store.backups.validate(child.id).is_valid
    with pytest.raises(BackupError, match="usb, which cannot be looked at"):
        store.backups.restore(child.id)


def test_usage_names_the_place_and_does_not_call_missing_what_lies_there(
    store: StateStore, away: tuple[Backup, Backup, Path], tmp_path: Path
) -> None:
    _, child, usb = away

    usage = store.backups.usage()

    assert (1, ()) == (usage.count, usage.missing)
    ((place, reason),) = usage.unreachable
    assert str(usb) == place
    assert "Not a directory" in reason
    usb.unlink()
    (tmp_path / "unplugged").rename(usb)
    assert (2, ()) == (store.backups.usage().count, store.backups.usage().unreachable)
    shutil.rmtree(usb)
    assert ((child.id,), ()) == (store.backups.usage().missing, store.backups.usage().unreachable)


def test_what_may_be_built_upon_where_nobody_can_look_is_kept(
    store: StateStore, away: tuple[Backup, Backup, Path]
) -> None:
    home, child, usb = away
    later = store.backups.create()

    report = store.backups.prune(FEWEST)

    assert {home.id, later.id} == {each.id for each in report.kept}
    (reason,) = [each.reason for each in report.decisions if each.backup_id == home.id]
    assert f"{child.id} builds on it, in {usb}" in reason


def test_a_package_that_is_missing_holds_up_no_backup_elsewhere(
    store: StateStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = store.backups.create()
    far = store.backups.create(target=f"memory://{uuid4().hex}")
    monkeypatch.setitem(__import__("sys").modules, "backstory.backups.fsspec_target", None)
    assert [home.id] == [each.id for each in store.backups.list()]
    ((place, reason),) = store.backups.usage().unreachable
    assert far.path.startswith(place)
    assert "package" in reason


def test_a_home_that_cannot_be_looked_at_is_an_error_unless_a_path_elsewhere_is_named(
    store: StateStore, folder: Path, tmp_path: Path
) -> None:
    elsewhere = store.backups.create(target=tmp_path / "far")
    folder.rmdir()
    folder.write_text("no folder any more")
    with pytest.raises(BackupError):
        store.backups.list()
    assert store.backups.validate(elsewhere.path).is_valid
    store.backups.restore(elsewhere.path)
