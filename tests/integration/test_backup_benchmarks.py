"""The benchmark of backups: what the peers' archives give back is a whole store, so that like is compared with like."""

from __future__ import annotations

from pathlib import Path

import pytest

import backstory
from backstory.testing.postgres import PostgresServer
from benchmarks import backup_memory, backup_sizes, backup_waits, peer_backups, real_runs
from benchmarks.backing_up import Source, created, restored
from benchmarks.contest import Run
from tests.support.runs import assistant, lines, user


def test_what_sqlites_backup_and_zstd_keep_of_an_open_store_is_the_store_as_it_was(tmp_path: Path) -> None:
    source, packed, new = (tmp_path / name for name in ("source.db", "packed", "new.db"))
    with backstory.open(f"sqlite:///{source}") as store:
        store.set_many("session:a", {f"key-{number}": number for number in range(100)})
        peer_backups.of_sqlite(source, packed)
        there = store.snapshot()
        store.set("session:a", "later", 1)
    peer_backups.to_sqlite(packed, new)

    assert 100 == peer_backups.events_in(new)
    with backstory.open(f"sqlite:///{new}") as restored:
        assert there == restored.snapshot()
        assert restored.verify().ok


def test_what_pg_dump_keeps_of_an_open_store_is_the_store_as_it_was(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    programs = peer_backups.programs_of(postgres_server)
    if programs is None:
        pytest.skip(peer_backups.NO_PROGRAMS)
    with postgres_server.database() as url, backstory.open(url) as store, postgres_server.database() as new:
        store.set_many("session:a", {f"key-{number}": number for number in range(100)})
        peer_backups.of_postgres(programs, url, tmp_path / "dump")
        peer_backups.to_postgres(programs, tmp_path / "dump", new)

        assert 100 == peer_backups.events_at(new)
        with backstory.open(new) as restored:
            assert store.snapshot() == restored.snapshot()
            assert restored.verify().ok


def test_a_restore_that_gives_another_state_ends_the_benchmark(tmp_path: Path) -> None:
    with backstory.open(f"sqlite:///{tmp_path / 'a.db'}") as store, backstory.open("memory://") as other:
        store.set("session:a", "key", 1)
        other.set("session:a", "key", 2)
        backup = created(store, tmp_path / "archives")

        assert {"ms", "MB/s", "events/s"} == restored(
            Source(store, 1, 1), backup, f"sqlite:///{tmp_path / 'b.db'}", None
        ).keys()
        with pytest.raises(AssertionError, match="not what was backed up"):
            restored(Source(other, 1, 1), backup, f"sqlite:///{tmp_path / 'c.db'}", None)


def test_increments_are_measured_beside_the_full_backup_that_they_build_on(tmp_path: Path) -> None:
    run = Run(tmp_path, "quick", 1, tell=lambda _: None)
    figures = {(figure.who, figure.metric): figure.median for figure in backup_sizes.increments(run).figures}

    assert figures["full", "events"] >= 20_000
    assert pytest.approx(figures["incremental", "MB"] / figures["full", "MB"]) == figures["incremental", "MB / full"]


def test_the_memory_of_processes_is_told_for_each_kind_of_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup_memory, "sizes", lambda _: [500, 1000])
    found = backup_memory.long_logs(Run(tmp_path, "quick", 1, tell=lambda _: None))
    peaks = {figure.who: figure.median for figure in found.figures if figure.metric == "peak MB"}
    assert {f"{work}, {size} events" for work in ("back up", "restore", "validate") for size in ("500", "1,000")} == {
        *peaks
    }
    assert all(10 < peak < 1000 for peak in peaks.values())
    assert len(found.claims) == len(peaks)


def test_recorded_runs_are_measured_against_what_their_archive_holds(tmp_path: Path) -> None:
    lines(tmp_path / real_runs.FILE, {"run_id": "r1", "messages": [user(), assistant("good day")]})
    found = backup_sizes.recorded_runs(Run(tmp_path, "quick", 1, tell=lambda _: None, data=tmp_path))
    figures = {(figure.who, figure.metric): figure.median for figure in found.figures}

    assert pytest.approx(figures["ours", "MB"] / figures["ours", "raw MB"]) == figures["ours", "archive / raw"]
    assert 1 == len(found.claims)


@pytest.mark.parametrize("making", [backup_waits._by_thread, backup_waits._by_process])
def test_backups_are_made_beside_the_writers_from_before_they_begin(
    tmp_path: Path, making: backup_waits.Making
) -> None:
    path = tmp_path / "store.db"
    with backstory.open(f"sqlite:///{path}") as store:
        store.set("session:a", "key", 1)
        with making(store, path, tmp_path / "archives") as made:
            assert list((tmp_path / "archives").glob("*.bsa"))
            store.set("session:a", "key", 2)

        assert made
        assert len(made) == len(list((tmp_path / "archives").glob("*.bsa")))


def test_a_process_that_fails_to_make_backups_ends_the_benchmark(tmp_path: Path) -> None:
    (tmp_path / "archives").write_text("no folder")
    path = tmp_path / "store.db"
    with (
        backstory.open(f"sqlite:///{path}") as store,
        pytest.raises(RuntimeError, match="ended with"),
        backup_waits._by_process(store, path, tmp_path / "archives"),
    ):
        pass
