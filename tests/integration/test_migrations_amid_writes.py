"""Migrations and rollbacks of a scope that others write to meanwhile: the way that asks nobody gives way."""

from __future__ import annotations

import pytest

import backstory
from tests.support.migrating import HOME, NEW, OLD, declare, fill, key, new, old

_DOCUMENTS = 40


def _store() -> backstory.StateStore:
    store = backstory.open("memory://")
    declare(store)
    fill(store, _DOCUMENTS)
    return store


@pytest.mark.parametrize("batch_size", [1, 7, _DOCUMENTS])
def test_what_was_written_between_two_batches_is_not_migrated_over(batch_size: int) -> None:
    with _store() as store:
        said: list[int] = []

        def amid(done: int, _: int) -> None:
            said.append(done)
            if len(said) == 2:  # once before the scope is listed, then behind each batch
                store.set(HOME, key(_DOCUMENTS - 1), old(1000))
                store.delete(HOME, key(_DOCUMENTS - 2))

        store.migrations.run(store.migrations.plan("doc", NEW), batch_size=batch_size, progress=amid)

        values = store.items(HOME)
        assert new(1000) == values[key(_DOCUMENTS - 1)]
        assert key(_DOCUMENTS - 2) not in values
        assert [new(number, number) for number in range(_DOCUMENTS - 2)] == [
            values[key(number)] for number in range(_DOCUMENTS - 2)
        ]
        assert store.verify().ok


@pytest.mark.parametrize("track_reads", [True, False])
def test_a_rollback_brings_back_what_was_whether_or_not_reads_are_recorded(*, track_reads: bool) -> None:
    with backstory.open("memory://", track_reads=track_reads) as store:
        declare(store)
        values = fill(store, _DOCUMENTS)
        report = store.migrations.run(store.migrations.plan("doc", NEW))
        back = store.migrations.rollback(report.migration_id)

        assert values == store.items(HOME)
        assert (_DOCUMENTS, ()) == (back.items_restored, back.conflicts)
        assert ("doc", OLD) == store.history(HOME, key(0))[-1].schema


def test_a_rollback_leaves_alone_what_was_written_since() -> None:
    with _store() as store:
        report = store.migrations.run(store.migrations.plan("doc", NEW))
        store.set(HOME, key(3), new(1000))
        back = store.migrations.rollback(report.migration_id)

        assert [key(3)] == [each.key for each in back.conflicts]
        assert new(1000) == store.get(HOME, key(3))
        assert old(4, 4) == store.get(HOME, key(4))
