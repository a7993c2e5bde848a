"""Whose backups they are, of this store or of one that went on from it; told by any branch, known to be damaged."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import backstory
from backstory import BackupError, Encryption, RetentionPolicy
from backstory.backups import giving_up
from backstory.domain.branches import FOREVER
from backstory.domain.ports import LogQuery
from backstory.domain.retention import RetentionReport
from tests.support.damaged_backups import fill, flipped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backstory import Backup, StateStore

FEWEST = RetentionPolicy(max_count=1)
NONE = RetentionPolicy(max_count=0, keep_last=0, keep_full=0)
KEY = Encryption(key=b"k" * 32)
OTHER_KEY = Encryption(key=b"o" * 32)


@pytest.fixture
def store(store_url: str, tmp_path: Path) -> Iterator[StateStore]:
    with backstory.open(store_url, backups=str(tmp_path / "kept")) as store:
        fill(store)
        yield store


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[StateStore]:
    with backstory.open(f"sqlite:///{tmp_path / 'plain.db'}", backups=str(tmp_path / "kept")) as store:
        fill(store)
        yield store


def kept(report: RetentionReport) -> dict[str, str]:
    return {each.backup_id: each.reason for each in report.decisions if each.keep}


def deleted(report: RetentionReport) -> list[str]:
    return [each.id for each in report.deleted]


def spoil(backup: Backup) -> bytes:
    """Change a byte amid a backup, which its ends do not tell; return what was there."""
    path = Path(backup.path)
    stored = path.read_bytes()
    path.write_bytes(flipped(stored, len(stored) // 3))
    return stored


# Of which history


def test_a_store_that_went_on_from_a_backup_leaves_the_backups_of_the_first_alone(
    store: StateStore, tmp_path: Path
) -> None:
    shared = store.backups.create()
    new = f"sqlite:///{tmp_path / 'trial.db'}"
    store.set("agent:a", "step", "theirs")
    store.backups.create()
    theirs = store.backups.create("incremental")
    backstory.restore(shared.path, new)

    with backstory.open(new, backups=str(tmp_path / "kept")) as trial:
        for number in range(9):
            trial.set("agent:a", "step", f"ours {number}")
        ours = trial.backups.create()
        report = trial.backups.prune(FEWEST)

    assert [shared.id] == deleted(report)
    assert "newest that can be restored" in kept(report)[ours.id]
    assert "of another history of this log" in kept(report)[theirs.id]
    assert [each.id for each in report.kept] == [each.backup_id for each in report.decisions if each.keep]
    assert store.backups.validate(theirs.id).is_valid


def test_what_another_history_builds_on_is_kept(store: StateStore, tmp_path: Path) -> None:
    shared = store.backups.create()
    store.set("agent:a", "step", "theirs")
    theirs = store.backups.create("incremental")
    new = f"sqlite:///{tmp_path / 'trial.db'}"
    backstory.restore(shared.path, new)

    with backstory.open(new, backups=str(tmp_path / "kept")) as trial:
        trial.set("agent:a", "step", "ours")
        trial.backups.create()
        report = trial.backups.prune(FEWEST)

    assert [] == deleted(report)
    assert f"{theirs.id} builds on it, of another history of this log" in kept(report)[shared.id]
    assert store.backups.validate(theirs.id).is_valid


def test_a_backup_beyond_the_head_of_a_store_that_was_restored_is_none_of_its_own(
    store: StateStore, tmp_path: Path
) -> None:
    first = store.backups.create()
    store.set("agent:a", "step", "lost")
    beyond = store.backups.create()
    new = f"sqlite:///{tmp_path / 'again.db'}"
    backstory.restore(first.path, new)

    with backstory.open(new, backups=str(tmp_path / "kept")) as again:
        report = again.backups.prune(NONE)
        assert "newest that can be restored" in kept(report)[first.id], "the other one does not stand in for it"
        assert "another history" in kept(report)[beyond.id]
        assert () == report.deleted


# Told by any branch


def test_what_a_fork_has_made_is_known_to_all_branches_and_the_reverse(store: StateStore, tmp_path: Path) -> None:
    fork = store.fork("trial")
    of_fork = fork.backups.create(target=tmp_path / "a")
    of_main = store.backups.create(target=tmp_path / "b")
    for branch in (store, fork):
        assert {of_fork.id, of_main.id} == {each.id for each in branch.backups.list()}
        assert () == branch.backups.usage().missing
    Path(of_fork.path).unlink()
    for branch in (store, fork):
        assert (of_fork.id,) == branch.backups.usage().missing
        with pytest.raises(BackupError, match="is gone"):
            branch.backups.info(of_fork.id)


def test_a_backup_outlives_the_branch_that_it_is_of(store: StateStore, tmp_path: Path) -> None:
    fork = store.fork("trial")
    fork.set("agent:a", "step", "trial")
    backup = fork.backups.create(target=tmp_path / "elsewhere")
    store.drop_branch("trial")
    assert backup == store.backups.info(backup.id)
    assert store.backups.validate(backup.id).is_valid
    store.backups.restore(backup.id)
    assert "trial" == store.get("agent:a", "step")


def test_what_a_fork_gives_up_is_missing_nowhere(store: StateStore) -> None:
    first, second = store.backups.create(), store.backups.create()
    fork = store.fork("trial")
    third = fork.backups.create()
    assert first.id in deleted(fork.backups.prune(FEWEST))
    for branch in (store, fork):
        assert () == branch.backups.usage().missing
    assert {third.id, second.id} >= {each.id for each in store.backups.list()}
    assert 1 == len([event for event in fork.log(types="backup.pruned") if event.stream.endswith(first.id)])


def test_all_branches_write_to_the_stream_of_a_backup(store: StateStore) -> None:
    fork = store.fork("trial")
    backup = store.backups.create()
    assert fork.backups.validate(backup.id).is_valid
    assert store.backups.validate(backup.id).is_valid
    fork.backups.restore(backup.id)
    store.backups.restore(backup.id)
    scope = f"custom:backup:{backup.id}"
    assert ["backup.verified", "backup.restored"] == [event.type for event in fork.log(scope=scope)]
    told = ["backup.created", "backup.verified", "backup.restored"]
    assert told == [event.type for event in store.log(scope=scope)]
    assert store.verify().ok


def test_damage_that_a_fork_has_found_is_known_on_main(store: StateStore) -> None:
    backup = store.backups.create()
    fork = store.fork("trial")
    spoil(backup)
    assert not fork.backups.validate(backup.id).is_valid
    assert (backup.path,) == store.backups.usage().damaged


# Known to be damaged


def test_a_backup_that_was_found_damaged_stands_in_for_none(store: StateStore) -> None:
    good = store.backups.create()
    bad = store.backups.create()
    spoil(bad)
    assert good.id in deleted(store.backups.prune(FEWEST, dry_run=True)), "nobody has looked yet"
    assert not store.backups.validate(bad.id).is_valid

    report = store.backups.prune(FEWEST)

    assert [bad.id] == deleted(report)
    (reason,) = [each.reason for each in report.decisions if each.backup_id == bad.id]
    assert "cannot be restored: validated on" in reason
    assert "not valid" in reason
    assert store.backups.validate(good.id).is_valid


def test_a_later_look_that_finds_it_whole_lifts_what_was_said(store: StateStore) -> None:
    backup = store.backups.create()
    stored = spoil(backup)
    store.backups.validate(backup.id)
    assert (backup.path,) == store.backups.usage().damaged
    Path(backup.path).write_bytes(stored)
    assert (backup.path,) == store.backups.usage().damaged, "until somebody looks again"
    assert store.backups.validate(backup.id).is_valid
    assert () == store.backups.usage().damaged
    assert backup.id == store.backups.create("incremental").parent_id


def test_damage_of_a_parent_is_found_with_its_child_and_is_the_parents(store: StateStore) -> None:
    full = store.backups.create()
    store.set("agent:a", "step", "later")
    child = store.backups.create("incremental")
    stored = spoil(full)

    report = store.backups.validate(child.id)

    assert (full.id,) == report.damaged
    assert (full.path,) == store.backups.usage().damaged
    told = [event for event in store.log(types="backup.verified") if event.stream.endswith(full.id)]
    assert [(full.path, full.checksum, True)] == [
        (event.data["path"], event.data["checksum"], event.data["is_damaged"]) for event in told
    ]
    with pytest.raises(BackupError, match="no backup to build on"):
        store.backups.create("incremental")
    with pytest.raises(BackupError, match=r"is damaged: .* validated on"):
        store.backups.create("incremental", parent=full)
    Path(full.path).write_bytes(stored)
    assert store.backups.validate(child.id).is_valid
    assert () == store.backups.usage().damaged


@pytest.mark.parametrize("key", [None, OTHER_KEY])
def test_a_key_that_is_missing_or_another_is_no_damage(key: Encryption | None, plain: StateStore) -> None:
    backup = plain.backups.create(encryption=KEY)
    assert not plain.backups.validate(backup.id, encryption=key).is_valid
    assert () == plain.backups.usage().damaged
    assert "newest that can be restored" in kept(plain.backups.prune(FEWEST))[backup.id]


def test_damage_of_an_encrypted_backup_is_found_without_a_key(plain: StateStore) -> None:
    backup = plain.backups.create(encryption=KEY)
    spoil(backup)
    plain.backups.validate(backup.id)
    assert (backup.path,) == plain.backups.usage().damaged


def test_a_whole_copy_stands_in_for_a_damaged_one_and_is_not_given_up(plain: StateStore, tmp_path: Path) -> None:
    backup = plain.backups.create()
    plain.backups.create(target=tmp_path / "a")
    copy = Path(shutil.copy2(backup.path, tmp_path / "a"))
    spoil(backup)
    plain.backups.validate(backup.path)

    assert str(copy) == plain.backups.info(backup.id).path
    assert backup.path in {each.path for each in plain.backups.prune(RetentionPolicy(max_count=2)).deleted}
    assert plain.backups.validate(backup.id).is_valid


# Given up


def test_a_backup_is_said_to_be_given_up_once_however_many_prune(store: StateStore) -> None:
    first, _ = store.backups.create(), store.backups.create()
    reports: list[Any] = []

    def meanwhile(_: Any) -> None:
        if not reports:
            reports.append(None)
            reports.append(store.backups.prune(FEWEST))

    store.hooks.register("before_backup_prune", meanwhile, name="meanwhile")
    report = store.backups.prune(FEWEST)

    assert [first.id] == deleted(report) == deleted(reports[1])
    assert 1 == len([event for event in store.log(types="backup.pruned") if event.stream.endswith(first.id)])


def test_what_is_built_upon_while_others_prune_is_kept(
    store: StateStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = store.backups.create()
    store.set("agent:a", "step", "later")
    last = store.backups.create(target=tmp_path / "far")
    made: list[Backup] = []

    def meanwhile(core: Any, report: RetentionReport) -> Any:
        monkeypatch.undo()
        made.append(store.backups.create("incremental", parent=first))
        return giving_up._told(core, report)

    monkeypatch.setattr(giving_up, "_told", meanwhile)
    report = store.backups.prune(RetentionPolicy(max_count=1))

    assert () == report.deleted
    assert {first.id, last.id} == {each.id for each in report.kept}
    assert f"{made[0].id}, made meanwhile, builds on it" in kept(report)[first.id]
    assert store.backups.validate(made[0].id).is_valid


def test_a_store_may_have_more_forks_than_a_question_has_terms(store: StateStore) -> None:
    everything = tuple((branch, FOREVER) for branch in range(3000))
    rows = store._runner.run(store._core.engine.page(LogQuery(everything, limit=100)))
    assert store.position() == len(rows)
