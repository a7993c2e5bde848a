"""Which backup another one may be made on: of the same log, branch, scopes and key, and whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import backstory
from backstory import BackupError, RetentionPolicy
from tests.support.on_a_loop import opened
from tests.support.versioned_users import places

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOME = "agent:a"


@pytest.fixture(params=places("asyncio"), ids="-".join)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    face, engine = request.param
    url = request.getfixturevalue(f"{engine}_url")
    with opened(face, url, durability="relaxed", backups=tmp_path / "backups") as opened_store:
        yield opened_store


def made_again(store: Any) -> tuple[Any, Any]:
    """Return a backup of a branch that was dropped, and the branch that was made under its name since."""
    first = store.fork("x")
    first.set(HOME, "a", "of the first")
    old = first.backups.create()
    store.drop_branch("x")
    second = store.fork("x")
    second.set(HOME, "b", "of the second")
    return old, second


def test_no_backup_is_made_on_one_of_a_dropped_branch_of_the_same_name(store: Any) -> None:
    old, second = made_again(store)
    with pytest.raises(BackupError, match="no backup to build on"):
        second.backups.create("incremental")
    with pytest.raises(BackupError, match="was dropped"):
        second.backups.create("incremental", parent=old)
    full = second.backups.create()
    second.set(HOME, "c", 3)
    more = second.backups.create("incremental")
    assert (full.id, full.branch_id) == (more.parent_id, more.branch_id)
    assert old.branch_id != more.branch_id
    assert second.backups.validate(more.id).is_valid
    second.delete(HOME, "b")
    second.backups.restore(more.id)
    assert {"b": "of the second", "c": 3} == dict(second.items(HOME))


def test_the_log_of_a_branch_does_not_carry_on_from_one_of_the_same_name(store: Any, tmp_path: Path) -> None:
    old, second = made_again(store)
    new = second.backups.restore(old.id, as_of=store.position(), into=f"sqlite:///{tmp_path}/new.db")
    assert old.entries == new.restored
    second.backups.restore(old.id, as_of=store.position())
    assert {"a": "of the first"} == dict(second.items(HOME)), "it is read on the branch that was backed up"


def test_a_backup_of_a_branch_does_not_stand_in_for_one_of_the_same_name(store: Any) -> None:
    old, second = made_again(store)
    new = second.backups.create()
    assert {old.id, new.id} == {each.id for each in second.backups.prune(RetentionPolicy(max_count=0)).kept}


def test_in_a_restored_store_branches_are_the_ones_that_were_backed_up(store: Any, tmp_path: Path) -> None:
    _, second = made_again(store)
    full = second.backups.create()
    url = f"sqlite:///{tmp_path}/new.db"
    backstory.restore(full.path, url)
    with backstory.open(url, branch="x", backups=str(tmp_path / "backups")) as new:
        new.set(HOME, "c", 3)
        more = new.backups.create("incremental")
        assert full.id == more.parent_id
        assert new.backups.validate(more.id).is_valid
