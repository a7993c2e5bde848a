"""Copies of a backup, and keys that are changed: of all copies or of one, told by the log."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

import backstory
from backstory import BackupError, Encryption, EncryptionError, IntegrityError, ReadOnlyError, RetentionPolicy
from backstory.backups.targets import target_of
from tests.support.damaged_backups import fill, flipped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backstory import Backup, StateStore

KEY = Encryption(key=b"k" * 32)
OTHER_KEY = Encryption(key=b"o" * 32)
THIRD_KEY = Encryption(key=b"t" * 32)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StateStore]:
    with backstory.open(f"sqlite:///{tmp_path / 'store.db'}", backups=str(tmp_path / "kept")) as store:
        fill(store)
        yield store


@pytest.fixture
def copied(store: StateStore, tmp_path: Path) -> tuple[Backup, Path]:
    """Return an encrypted backup, and a copy in another place that is known."""
    store.backups.create(target=tmp_path / "a")
    backup = store.backups.create(encryption=KEY)
    return backup, Path(shutil.copy2(backup.path, tmp_path / "a"))


def is_opened(store: StateStore, wanted: object, key: Encryption) -> bool:
    return store.backups.validate(wanted, encryption=key).is_valid  # type: ignore[arg-type]


def test_a_new_key_is_given_to_every_copy_that_is_known(store: StateStore, copied: tuple[Backup, Path]) -> None:
    backup, copy = copied

    changed = store.backups.rewrap(backup.id, KEY, OTHER_KEY)

    assert backup.path == changed.path
    for path in (backup.path, copy):
        assert (False, True) == (is_opened(store, path, KEY), is_opened(store, path, OTHER_KEY))
    told = [event.data for event in store.log(types="backup.rewrapped")]
    assert {backup.path, str(copy)} == {each["path"] for each in told}
    assert {store.backups.info(str(each["path"])).checksum for each in told} == {each["checksum"] for each in told}
    assert {changed.size_bytes} == {each["size_bytes"] for each in told}
    assert all(each["key_id"] for each in told)
    assert backup.checksum not in {each["checksum"] for each in told}


def test_copies_with_different_keys_are_one_backup(store: StateStore, copied: tuple[Backup, Path]) -> None:
    backup, copy = copied
    words = Encryption(passphrase="correct horse", kdf="pbkdf2")  # noqa: S106 - nobody's
    assert str(copy) == store.backups.rewrap(copy, KEY, words).path

    for key in (KEY, words):
        assert is_opened(store, backup.id, key), "the one that fits is taken"
        assert store.backups.restore(backup.id, encryption=key).restored == 0
    with pytest.raises(EncryptionError):
        store.backups.restore(backup.id, encryption=OTHER_KEY)
    report = store.backups.prune(RetentionPolicy(max_count=2))
    assert [str(copy)] == [each.path for each in report.deleted]
    assert is_opened(store, backup.id, KEY)


def test_a_chain_goes_on_from_the_copy_that_its_key_opens(
    store: StateStore, copied: tuple[Backup, Path], tmp_path: Path
) -> None:
    backup, copy = copied
    store.backups.rewrap(copy, KEY, OTHER_KEY)
    store.set("agent:a", "step", "later")
    child = store.backups.create("incremental", encryption=KEY)
    assert backup.id == child.parent_id
    moved = Path(shutil.move(child.path, tmp_path / "a"))
    store.backups.rewrap(moved, KEY, OTHER_KEY)
    assert is_opened(store, child.id, OTHER_KEY)


@pytest.mark.parametrize("rotated", [True, False])
def test_pruning_leaves_beside_a_backup_the_copies_that_it_is_restored_with(
    store: StateStore, tmp_path: Path, rotated: bool
) -> None:
    aside, key = tmp_path / "a", KEY
    store.backups.create(target=aside, scopes=["agent:a"])
    chain = [store.backups.create(encryption=KEY)]
    for number in range(2):
        store.set("agent:a", "step", number)
        chain.append(store.backups.create("incremental", encryption=KEY))
    copies = [Path(shutil.copy2(each.path, aside)) for each in chain]
    if rotated:
        key = OTHER_KEY
        for copy in copies:
            store.backups.rewrap(copy, KEY, OTHER_KEY)
    Path(chain[-1].path).unlink()
    assert is_opened(store, copies[-1], key)

    would = store.backups.prune(RetentionPolicy(max_count=0, keep_full=0), dry_run=True)
    assert would == store.backups.prune(RetentionPolicy(max_count=0, keep_full=0))

    assert set(copies) == set(aside.glob("*.bsa"))
    assert is_opened(store, copies[-1], key)
    assert 3 == backstory.restore(copies[-1], f"sqlite:///{tmp_path / 'new.db'}", encryption=key).restored


def test_a_chain_is_restored_with_the_copy_of_its_key_wherever_that_lies(store: StateStore, tmp_path: Path) -> None:
    store.backups.create(target=tmp_path / "a", scopes=["agent:a"])
    full = store.backups.create(encryption=KEY)
    store.set("agent:a", "step", "later")
    child = store.backups.create("incremental", encryption=KEY)
    copy = Path(shutil.copy2(full.path, tmp_path / "a"))
    moved = Path(shutil.move(child.path, tmp_path / "a"))
    store.backups.rewrap(copy, KEY, OTHER_KEY)
    assert is_opened(store, moved, KEY)
    assert store.backups.prune(RetentionPolicy(max_count=0)).deleted
    assert is_opened(store, moved, KEY)


def test_a_change_of_keys_that_was_cut_short_is_ended_by_the_next(
    store: StateStore, copied: tuple[Backup, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    backup, copy = copied

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("backstory.backups.rotating.said", killed)
        with pytest.raises(KeyboardInterrupt):
            store.backups.rewrap(backup.id, KEY, OTHER_KEY)
    assert 1 == sum(is_opened(store, path, OTHER_KEY) for path in (backup.path, copy))
    store.backups.rewrap(backup.id, KEY, OTHER_KEY)
    with pytest.raises(EncryptionError):
        store.backups.rewrap(backup.id, KEY, OTHER_KEY)
    assert all(is_opened(store, path, OTHER_KEY) for path in (backup.path, copy))
    told = [(event.data["path"], event.data["checksum"]) for event in store.log(types="backup.rewrapped")]
    assert sorted((path, store.backups.info(path).checksum) for path in (backup.path, str(copy))) == sorted(told)


@pytest.mark.parametrize("link", [0, 1])
def test_a_backup_is_not_made_on_one_that_gets_another_key_meanwhile(
    store: StateStore, tmp_path: Path, link: int
) -> None:
    chain = [store.backups.create(encryption=KEY)]
    store.set("agent:a", "step", "later")
    chain.append(store.backups.create("incremental", encryption=KEY))
    with backstory.open(f"sqlite:///{tmp_path / 'store.db'}", backups=str(tmp_path / "kept")) as other:

        def rotating(_done: int, _total: int) -> None:
            if store.backups.info(chain[link].id).checksum == chain[link].checksum:
                other.backups.rewrap(chain[link].id, KEY, OTHER_KEY)

        with pytest.raises(BackupError, match=f"{chain[link].id}, .* got another key meanwhile"):
            store.backups.create("incremental", encryption=KEY, progress=rotating)
    assert [each.id for each in reversed(chain)] == [each.id for each in store.backups.list()]
    assert 1 == len(list(store.log(types="backup.failed")))


def test_where_one_copy_cannot_get_the_key_none_does_and_it_is_named(
    store: StateStore, copied: tuple[Backup, Path]
) -> None:
    backup, copy = copied
    store.backups.rewrap(copy, KEY, THIRD_KEY)
    before = Path(backup.path).read_bytes()
    with pytest.raises(BackupError, match=r"a/.*Nothing was changed"):
        store.backups.rewrap(backup.id, KEY, OTHER_KEY)
    assert before == Path(backup.path).read_bytes()
    store.backups.rewrap(copy, THIRD_KEY, OTHER_KEY)
    store.backups.rewrap(backup.id, KEY, OTHER_KEY)
    assert is_opened(store, backup.path, OTHER_KEY)


@pytest.mark.parametrize("wrong", ["damaged", "folder"])
def test_a_copy_that_fails_only_when_it_is_written_keeps_the_others_from_getting_the_key(
    store: StateStore, copied: tuple[Backup, Path], monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    backup, copy = copied
    if wrong == "damaged":
        stored = copy.read_bytes()
        copy.write_bytes(flipped(stored, len(stored) // 2))
    else:
        refuse_new_files_in(copy.parent, monkeypatch)
    before = {path: path.read_bytes() for path in (Path(backup.path), copy)}
    with pytest.raises((BackupError, IntegrityError), match=str(copy)):
        store.backups.rewrap(backup.id, KEY, OTHER_KEY)
    assert before == {path: path.read_bytes() for path in before}
    assert [] == [path for place in before for path in place.parent.iterdir() if path.name.startswith(".")]
    assert [] == list(store.log(types="backup.rewrapped"))


def refuse_new_files_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.open

    def refusing(path: Any, flags: int, *rest: Any, **more: Any) -> int:
        if flags & os.O_CREAT and Path(path).parent == folder and str(path).endswith(".partial"):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return real(path, flags, *rest, **more)

    monkeypatch.setattr("os.open", refusing)


@pytest.mark.parametrize("by_path", [True, False])
def test_every_name_of_a_file_gets_the_key(store: StateStore, tmp_path: Path, by_path: bool) -> None:
    store.backups.create(target=tmp_path / "a")
    backup = store.backups.create(encryption=KEY)
    for number, link in enumerate((Path.symlink_to, Path.hardlink_to)):
        link(tmp_path / "a" / f"{number}.bsa", Path(backup.path))

    assert backup.path == store.backups.rewrap(backup.path if by_path else backup.id, KEY, OTHER_KEY).path

    for path in (backup.path, tmp_path / "a" / "0.bsa", tmp_path / "a" / "1.bsa"):
        assert (False, True) == (is_opened(store, path, KEY), is_opened(store, path, OTHER_KEY))
    assert (tmp_path / "a" / "0.bsa").is_symlink()


def test_a_copy_behind_a_url_is_named(store: StateStore) -> None:
    place = f"memory://{uuid4().hex}"
    store.backups.create(target=place)
    backup = store.backups.create(encryption=KEY)
    with target_of(place).writing(Path(backup.path).name) as file:
        file.write(Path(backup.path).read_bytes())
    with pytest.raises(BackupError, match=place):
        store.backups.rewrap(backup.id, KEY, OTHER_KEY)
    assert is_opened(store, backup.path, KEY)
    with pytest.raises(BackupError, match="cannot be replaced in one step"):
        store.backups.rewrap(f"{place}/{Path(backup.path).name}", KEY, OTHER_KEY)


def test_a_key_that_cannot_be_changed_says_why_and_changes_nothing(store: StateStore) -> None:
    plain, secret = store.backups.create(), store.backups.create(encryption=KEY)
    stored = Path(secret.path).read_bytes()
    for wanted in (plain.id, plain.path):
        with pytest.raises(EncryptionError, match="is not encrypted"):
            store.backups.rewrap(wanted, KEY, OTHER_KEY)
    with pytest.raises(EncryptionError, match="is encrypted with the key"):
        store.backups.rewrap(secret.id, Encryption(key=b"x" * 32), OTHER_KEY)
    Path(secret.path).write_bytes(flipped(stored, len(stored) // 2))
    with pytest.raises(IntegrityError):
        store.backups.rewrap(secret.id, KEY, OTHER_KEY)
    assert flipped(stored, len(stored) // 2) == Path(secret.path).read_bytes()
    assert [] == list(store.log(types="backup.rewrapped"))


def test_a_store_that_is_only_read_changes_no_keys(store: StateStore, tmp_path: Path) -> None:
    secret = store.backups.create(encryption=KEY)
    with (
        backstory.open(f"sqlite:///{tmp_path / 'store.db'}", read_only=True, backups=str(tmp_path / "kept")) as reader,
        pytest.raises(ReadOnlyError),
    ):
        reader.backups.rewrap(secret.id, KEY, OTHER_KEY)
    assert is_opened(store, secret.id, KEY)
