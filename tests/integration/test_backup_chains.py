"""Disasters of keys and chains: lost and wrong keys, links that are missing, replaced or forged. One rule each."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import backstory
from backstory import (
    BackupError,
    Encryption,
    EncryptionError,
    RetentionPolicy,
)
from backstory.backups import ordering
from tests.support.damaged_backups import (
    HOME,
    KEY,
    WRONG,
    assert_restores,
    fill,
    harmless,
    new_url,
    rewritten,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backstory import StateStore


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


# Keys


def test_a_wrong_key_is_refused_and_changes_nothing(store: StateStore, tmp_path: Path) -> None:
    backup = store.backups.create(encryption=KEY)
    store.set(HOME, "later", 1)
    report = store.backups.validate(backup.id, encryption=WRONG)
    assert not report.is_valid
    assert "key" in report.errors[0]
    assert 1 == report.errors[0].count(backup.path)
    for wrong in (WRONG, None, Encryption(key=b"k" * 32)):
        with harmless(store, tmp_path):
            with pytest.raises(EncryptionError):
                store.backups.restore(backup.id, encryption=wrong)
            with pytest.raises(EncryptionError):
                store.backups.restore(backup.id, into=new_url(tmp_path), encryption=wrong)
            with pytest.raises(EncryptionError):
                backstory.restore(backup.path, new_url(tmp_path), encryption=wrong)
    assert_restores(store, backup, new_url(tmp_path), encryption=KEY)


def test_a_lost_key_loses_what_it_closed_and_nothing_else(store: StateStore, tmp_path: Path) -> None:
    plain = store.backups.create(target=tmp_path / "plain")
    first = store.backups.create(encryption=KEY)
    second = store.backups.create("incremental", encryption=KEY)
    assert {plain.id, first.id, second.id} == {each.id for each in store.backups.list()}
    assert first == store.backups.info(first.id)
    assert (3, ()) == (store.backups.usage().count, store.backups.usage().unreadable)
    report = store.backups.validate(second.id)
    assert not report.is_valid
    assert "nobody can tell whether it can be restored" in report.errors[0]
    with pytest.raises(BackupError):
        store.backups.create("incremental", parent=second)
    assert plain.id == store.backups.create("incremental", target=tmp_path / "plain").parent_id, (
        "one without a key builds on one without"
    )
    assert_restores(store, plain, new_url(tmp_path))
    fresh = store.backups.create(encryption=WRONG)
    assert_restores(store, fresh, new_url(tmp_path), encryption=WRONG)
    kept = store.backups.prune(RetentionPolicy(max_count=1, keep_full=0)).kept
    assert [fresh.id] == [each.id for each in kept], "what nobody can open can still be given up"


# Chains


def test_without_its_parent_an_incremental_backup_is_told_and_refused(store: StateStore, tmp_path: Path) -> None:
    older = store.backups.create()
    store.set(HOME, "step", "second")
    parent = store.backups.create()
    store.set(HOME, "step", "third")
    child = store.backups.create("incremental")
    assert parent.id == child.parent_id
    Path(parent.path).unlink()
    report = store.backups.validate(child.id)
    assert not report.is_valid
    assert parent.id in report.errors[0]
    with harmless(store, tmp_path):
        for given in ({}, {"into": new_url(tmp_path)}, {"as_of": older.position}):
            with pytest.raises(BackupError, match=parent.id):
                store.backups.restore(child.id, **given)
        with pytest.raises(BackupError, match=parent.id):
            backstory.restore(child.path, new_url(tmp_path))
        with pytest.raises(BackupError):
            store.backups.create("incremental", parent=child)
    again = store.backups.create("incremental")
    assert older.id == again.parent_id
    assert_restores(store, again, new_url(tmp_path))
    report_ = store.backups.prune(RetentionPolicy(max_count=2))
    assert {again.id, older.id} == {each.id for each in report_.kept}


def test_a_parent_that_came_back_heals_its_chain(store: StateStore, tmp_path: Path) -> None:
    parent = store.backups.create()
    child = store.backups.create("incremental")
    elsewhere = tmp_path / "copy.bsa"
    shutil.move(parent.path, elsewhere)
    assert not store.backups.validate(child.id).is_valid
    shutil.move(elsewhere, parent.path)
    assert_restores(store, child, new_url(tmp_path))


def test_another_archive_in_the_place_of_a_parent_is_refused(store: StateStore, tmp_path: Path) -> None:
    older = store.backups.create()
    store.set(HOME, "step", "second")
    parent = store.backups.create()
    child = store.backups.create("incremental", parent=parent)
    rewritten(parent, Path(older.path).read_bytes())
    assert not store.backups.validate(child.id).is_valid
    with harmless(store, tmp_path):
        for into in (None, new_url(tmp_path)):
            with pytest.raises(BackupError, match=parent.id):
                store.backups.restore(child.id, into=into)
    assert_restores(store, older, new_url(tmp_path))


@pytest.mark.parametrize("how", ["another log", "the same log gone on otherwise"])
def test_a_parents_id_does_not_make_another_archive_its_parent(
    how: str, store: StateStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = store.backups.create()
    store.set(HOME, "step", "second")
    parent = store.backups.create()
    child = store.backups.create("incremental", parent=parent)

    class Same:
        def hex(self) -> str:
            return parent.id

    if how == "another log":
        other_url = "memory://"
    else:
        other_url = f"sqlite:///{tmp_path / 'other.db'}"
        store.backups.restore(base.id, into=other_url)
    with backstory.open(other_url, backups=str(tmp_path / "foreign")) as other:
        while other.position() < parent.position:
            other.set(HOME, "step", "otherwise")
        monkeypatch.setattr(ordering, "new_id", Same)
        forged = other.backups.create()
        monkeypatch.undo()
    assert (parent.id, parent.position) == (forged.id, forged.position)
    rewritten(parent, Path(forged.path).read_bytes())
    report = store.backups.validate(child.id)
    assert not report.is_valid
    with harmless(store, tmp_path):
        for into in (None, new_url(tmp_path)):
            with pytest.raises(BackupError, match="not the one that it was made on"):
                store.backups.restore(child.id, into=into)
        with pytest.raises(BackupError):
            backstory.restore(child.path, new_url(tmp_path))
