"""The benchmark of backups: what the peers' archives give back is a whole store, so that like is compared with like."""

from __future__ import annotations

from pathlib import Path

import pytest

import backstory
from backstory.testing.postgres import PostgresServer
from benchmarks import peer_backups


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
