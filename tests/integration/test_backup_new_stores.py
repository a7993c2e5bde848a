"""New stores of a restore: where they may be made, what a dry run says of them, who hears how far they are."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import backstory
from backstory import BackupError, ConfigError, StoreUnavailableError
from backstory.testing.clock import ManualClock
from tests.support.damaged_backups import files_of_at_most
from tests.support.on_a_loop import FACES, opened

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

A, B = "agent:a", "agent:b"
#: What is brought back: the whole log, or a selection.
PARTS: tuple[dict[str, Any], ...] = ({}, {"scope": A})


@pytest.fixture(params=FACES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    with opened(request.param, "memory://", backups=tmp_path / "kept") as opened_store:
        for at in range(5):
            opened_store.set(A, f"k/{at}", at)
        opened_store.set(B, "k", 1)
        yield opened_store


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# Places


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("there", ["", "-wal", "-journal"])
def test_a_file_that_sqlite_would_take_for_a_part_of_the_new_store_is_in_its_way(
    store: Any, tmp_path: Path, part: dict[str, Any], there: str
) -> None:
    backup = store.backups.create()
    place = tmp_path / "new"
    place.mkdir()
    (place / f"new.db{there}").write_bytes(b"something")
    for dry_run in (True, False):
        with pytest.raises(BackupError, match=f"new.db{there} exists already"):
            store.backups.restore(backup.id, **part, into=f"sqlite:///{place / 'new.db'}", dry_run=dry_run)
    assert [f"new.db{there}"] == names(place)
    assert b"something" == (place / f"new.db{there}").read_bytes()


@pytest.mark.postgres
@pytest.mark.parametrize("part", PARTS)
def test_a_schema_that_holds_a_store_is_in_the_way_of_a_new_one(
    store: Any, postgres_url: str, part: dict[str, Any]
) -> None:
    backup = store.backups.create()
    with backstory.open(postgres_url) as other:
        other.set(A, "theirs", 1)
        for dry_run in (True, False):
            with pytest.raises(BackupError, match="holds a store already"):
                store.backups.restore(backup.id, **part, into=postgres_url, dry_run=dry_run)
        assert {"theirs": 1} == other.items(A)


@pytest.mark.postgres
def test_values_go_into_a_store_that_is_there_if_it_is_empty(store: Any, postgres_url: str) -> None:
    backup = store.backups.create()
    backstory.open(postgres_url).close()
    would = store.backups.restore(backup.id, scope=A, into=postgres_url, dry_run=True)
    assert would.restored == store.backups.restore(backup.id, scope=A, into=postgres_url).restored > 0
    with backstory.open(postgres_url) as other:
        assert store.items(A) == other.items(A)


@pytest.mark.postgres
@pytest.mark.parametrize("part", PARTS)
def test_no_password_of_a_new_stores_url_gets_into_the_log(store: Any, postgres_url: str, part: dict[str, Any]) -> None:
    separator = "&" if "?" in postgres_url else "?"
    url = f"{postgres_url}{separator}password=hunter-two"
    backup = store.backups.create()
    store.hooks.register("before_backup_restore", lambda _: None, name="notes")
    with backstory.open(postgres_url) as other:
        other.set(A, "theirs", 1)
    with pytest.raises(BackupError):
        store.backups.restore(backup.id, **part, into=url)
    assert {"backup.failed", "hook.executed"} <= {event.type for event in store.log()}
    assert "hunter-two" not in str([event.data for event in store.log()])


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:hunter/two@localhost:1/db",
        "postgresql://me:1/hunter@localhost:1/db",
        "postgresql://me:no@hunter@localhost:1/db",
        "postgresql://me:hunter%zz@localhost:1/db",
        "postgresql://me:hunter#two@localhost:1/db",
        "postgresql://me@localhost:1/db?pasword=hunter",
    ],
)
@pytest.mark.parametrize("part", PARTS)
def test_a_password_that_is_not_written_as_urls_have_it_gets_nowhere(
    store: Any, url: str, part: dict[str, Any]
) -> None:
    pytest.importorskip("psycopg")
    backup = store.backups.create()
    store.hooks.register("before_backup_restore", lambda _: None, name="notes")
    with pytest.raises((ConfigError, StoreUnavailableError)) as refused:
        store.backups.restore(backup.id, **part, into=url)
    assert "hunter" not in str(refused.value)
    assert "hunter" not in str([event.data for event in store.log()])


@pytest.mark.parametrize("part", PARTS)
def test_a_folder_that_is_missing_is_refused_and_not_made(store: Any, tmp_path: Path, part: dict[str, Any]) -> None:
    backup = store.backups.create()
    for dry_run in (True, False):
        with pytest.raises(BackupError, match="there is no folder"):
            store.backups.restore(
                backup.id, **part, into=f"sqlite:///{tmp_path / 'absent' / 'new.db'}", dry_run=dry_run
            )
    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("name", ["new.db", "new[1].db", "*.db", "a?b.db"])
def test_nothing_stands_beside_a_new_store_whatever_its_name(
    store: Any, tmp_path: Path, part: dict[str, Any], name: str
) -> None:
    backup = store.backups.create()
    place = tmp_path / "new"
    place.mkdir()
    report = store.backups.restore(backup.id, **part, into=f"sqlite:///{place / name}")
    assert [name] == names(place)
    assert 1 == (place / name).stat().st_nlink
    assert [("ok",)] == sqlite3.connect(place / name).execute("PRAGMA integrity_check").fetchall()
    with backstory.open(f"sqlite:///{place / name}") as new:
        assert report.restored == sum(len(values) for values in new.snapshot().values())


def test_a_store_of_a_selection_is_on_disk_before_it_has_its_name(
    store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup = store.backups.create()
    brought = []
    sync = os.fsync

    def seen(descriptor: int) -> None:
        brought.append((str(Path(f"/proc/self/fd/{descriptor}").readlink()), (tmp_path / "new.db").exists()))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", seen)
    store.backups.restore(backup.id, scope=A, into=f"sqlite:///{tmp_path / 'new.db'}")
    assert [".partial", False] == [brought[0][0][-8:], brought[0][1]]
    assert (str(tmp_path), True) == brought[-1]


def test_a_dry_run_counts_what_is_done_in_earnest(tmp_path: Path) -> None:
    clock = ManualClock()
    with backstory.open("memory://", clock=clock, backups=tmp_path / "kept") as store:
        store.set(A, "ends", 1, ttl=10)
        store.set(A, "stays", 1)
        backups = [store.backups.create(), store.backups.create(scopes=[A])]
        clock.advance(60)
        later = store.set(A, "later", 1)
        for number, backup in enumerate(backups):
            for as_of in (None, later.position, later.recorded_at):
                for part in PARTS:
                    asked = {**part, "as_of": as_of, "into": f"sqlite:///{tmp_path / f'{number}.db'}"}
                    tried = store.backups.restore(backup.id, **asked, dry_run=True)
                    done = store.backups.restore(backup.id, **asked)
                    told = ("backup_id", "position", "restored", "removed", "unchanged", "events", "rollback_point")
                    assert [getattr(tried, name) for name in told] == [getattr(done, name) for name in told]
                    (tmp_path / f"{number}.db").unlink()


# Progress


def _restores(store: Any, tmp_path: Path) -> Iterator[tuple[str, Callable[[Any], Any]]]:
    whole, scoped = store.backups.create(), store.backups.create(scopes=[A])
    later = store.set(A, "k/0", "later").position
    new = f"sqlite:///{tmp_path / 'new.db'}"
    calls: dict[str, Callable[[Any], Any]] = {
        "live": lambda tell: store.backups.restore(whole.id, progress=tell),
        "live, beyond": lambda tell: store.backups.restore(whole.id, as_of=later, progress=tell),
        "live, scoped": lambda tell: store.backups.restore(scoped.id, progress=tell),
        "dry": lambda tell: store.backups.restore(whole.id, dry_run=True, progress=tell),
        "new": lambda tell: store.backups.restore(whole.id, into=new, progress=tell),
        "new, beyond": lambda tell: store.backups.restore(whole.id, as_of=later, into=new, progress=tell),
        "new, earlier": lambda tell: store.backups.restore(whole.id, as_of=2, into=new, progress=tell),
        "new, selected": lambda tell: store.backups.restore(whole.id, scope=A, into=new, progress=tell),
        "new, scoped": lambda tell: store.backups.restore(scoped.id, into=new, progress=tell),
        "new, dry": lambda tell: store.backups.restore(whole.id, into=new, dry_run=True, progress=tell),
        "validate": lambda tell: store.backups.validate(whole.id, progress=tell),
        "validate, scoped": lambda tell: store.backups.validate(scoped.id, progress=tell),
        "validate, on paper": lambda tell: store.backups.validate(whole.id, trial_restore=False, progress=tell),
        "create": lambda tell: store.backups.create(progress=tell),
    }
    for name, call in calls.items():
        yield name, call
        (tmp_path / "new.db").unlink(missing_ok=True)


def test_whoever_asks_hears_how_far_a_restore_is_up_to_its_end(store: Any, tmp_path: Path) -> None:
    for name, call in _restores(store, tmp_path):
        told: list[tuple[int, int]] = []
        call(lambda *at, told=told: told.append(at))
        assert told, name
        assert told == sorted(told), name
        done, total = told[-1]
        assert 0 < done == total, name


def test_what_progress_raises_ends_the_work_and_is_raised(store: Any, tmp_path: Path) -> None:
    class EnoughError(Exception):
        pass

    def enough(*_: int) -> None:
        raise EnoughError

    before = dict(store.items(A))
    for name, call in _restores(store, tmp_path):
        before = {**before, "k/0": "later"}
        with pytest.raises(EnoughError):
            call(enough)
        assert before == dict(store.items(A)), name
        assert ["kept"] == names(tmp_path), name
    assert 2 == len(store.backups.list())


# Temporary folders


def test_without_a_temporary_folder_a_validation_says_so_and_a_restore_is_refused(
    store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup = store.backups.create()
    beyond = store.set(A, "k/0", "later").position
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    report = store.backups.validate(backup.id)
    assert not report.is_valid
    assert "temporary folder" in report.errors[0]
    assert store.backups.validate(backup.id, trial_restore=False).is_valid
    with pytest.raises(BackupError, match="TMPDIR"):
        store.backups.restore(backup.id, as_of=beyond, into=f"sqlite:///{tmp_path / 'new.db'}")
    assert ["kept"] == names(tmp_path)


def test_a_full_disk_is_told_by_a_validation_and_refuses_a_restore(store: Any, tmp_path: Path) -> None:
    backup = store.backups.create()
    with files_of_at_most(5000):
        report = store.backups.validate(backup.id)
        for part in PARTS:
            with pytest.raises(BackupError, match="Nothing was left behind"):
                store.backups.restore(backup.id, **part, into=f"sqlite:///{tmp_path / 'new.db'}")
    assert not report.is_valid
    assert "cannot write" in report.errors[0]
    assert "acknowledged" not in report.errors[0]
    assert ["kept"] == names(tmp_path)
