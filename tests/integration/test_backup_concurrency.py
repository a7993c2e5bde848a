"""Backups made while many write: each is the store as it was at one position, and nobody who writes is harmed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Event as Flag
from typing import TYPE_CHECKING, Final

import pytest

import backstory
from tests.support.busy_writer import write
from tests.support.damaged_backups import contents
from tests.support.processes import children, heard, told

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from backstory import Backup, StateStore

WRITERS: Final = 8
BACKUPS: Final = 6


def assert_as_it_was(store: StateStore, made: list[Backup], tmp_path: Path) -> None:
    """Assert that each backup holds the log up to its position, and the state there, as a new store shows it."""
    log = [(event.position, event.event_id, event.hash) for event in store.log()]
    for number, backup in enumerate(made):
        report = store.backups.validate(backup.id)
        assert report.is_valid, report
        assert (backup.position, backup.entries) == (report.events, report.entries)
        into = f"sqlite:///{tmp_path / f'new-{number}.db'}"
        store.backups.restore(backup.id, into=into)
        with backstory.open(into, read_only=True) as new:
            assert log[: backup.position] == [(event.position, event.event_id, event.hash) for event in new.log()]
            assert contents(store, backup.position) == contents(new)
            assert new.get("global", "left", 0) + new.get("global", "right", 0) == 0, "a transaction was torn"


def backed_up(store: StateStore) -> list[Backup]:
    """Make backups, one on another but for the first and the last."""
    kinds = ["full", *["incremental"] * (BACKUPS - 2), "full"]
    made = []
    for kind in kinds:
        head = store.position()
        made.append(store.backups.create(kind))
        assert head <= made[-1].position
    return made


@pytest.fixture
def store(store_url: str, tmp_path: Path) -> Iterator[StateStore]:
    with backstory.open(store_url, backups=str(tmp_path / "kept"), durability="relaxed") as store:
        yield store


def test_what_is_backed_up_while_eight_threads_write_is_the_store_at_one_position(
    store: StateStore, tmp_path: Path
) -> None:
    done = Flag()
    with ThreadPoolExecutor(WRITERS) as pool:
        writers = [pool.submit(write, store, number, done) for number in range(WRITERS)]
        try:
            made = backed_up(store)
        finally:
            done.set()
        counts = [writer.result() for writer in writers]
    assert sum(counts) == store.get("global", "count")
    assert sorted({each.position for each in made}) == [each.position for each in made]
    assert_as_it_was(store, made, tmp_path)


@pytest.mark.parametrize("engine", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_what_is_backed_up_while_eight_processes_write_is_the_store_at_one_position(
    engine: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    url = request.getfixturevalue(f"{engine}_url")
    with backstory.open(url, backups=str(tmp_path / "kept"), durability="relaxed") as store, children() as started:
        writers = [started.start("tests.support.busy_writer", url, number) for number in range(WRITERS)]
        for writer in writers:
            assert heard(writer) == "writing"
        made = backed_up(store)
        for writer in writers:
            told(writer, "end")
        counts = [int(heard(writer)) for writer in writers]
        assert sum(counts) == store.get("global", "count")
        assert_as_it_was(store, made, tmp_path)


def test_two_may_make_backups_at_once_and_each_is_whole(store: StateStore) -> None:
    store.set("agent:a", "k", 1)
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: store.backups.create(), range(8)))
    assert {each.id for each in made} == {each.id for each in store.backups.list()}
    assert [True] * 8 == [store.backups.validate(each.id).is_valid for each in made]


def test_what_is_written_amid_a_restore_is_kept_or_taken_back_as_a_whole(store: StateStore) -> None:
    for number in range(20):
        store.set("agent:a", f"k{number}", "kept")
    backup = store.backups.create()
    done = Flag()

    def disturb(number: int) -> None:
        while not done.is_set():
            store.set_many("agent:a", dict.fromkeys((f"k{number}", f"later{number}"), number))

    with ThreadPoolExecutor(4) as pool:
        writers = [pool.submit(disturb, number) for number in range(4)]
        try:
            reports = [store.backups.restore(backup.id) for _ in range(5)]
        finally:
            done.set()
        for writer in writers:
            writer.result()
    for report in reports:
        said = next(event for event in store.log(since=report.rollback_point, types=["backup.restored"]))
        assert contents(store, backup.position) == contents(store, said.position)
        between = list(store.log(since=report.rollback_point, until=said.position - 1))
        assert report.restored + report.removed == len(between), "it is one commit"
    assert store.verify().ok
