"""Migrations that are cut short by a full disk, a lost server, Ctrl-C or a closed store: ended later, nothing lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import pytest

from backstory import MigrationError, StoreClosedError, StoreUnavailableError
from backstory.migrations import restoring
from tests.support.cutting_proxy import cutting_proxy
from tests.support.faulty_vfs import Fault, faulty_vfs
from tests.support.migrating import (
    HOME,
    LAST,
    NEW,
    OLD,
    POISON,
    assert_at,
    at_batch,
    carried,
    declare,
    fill,
    is_new,
    run,
    written_by,
)
from tests.support.on_a_loop import FACES, opened

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from backstory.testing.postgres import PostgresServer
    from tests.support.cutting_proxy import Cut, Proxy

BATCH: Final = 3
DOCUMENTS: Final = 4 * BATCH
VERBS: Final = ("resume", "rollback")


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a rollback of a small store go on for several commits."""
    monkeypatch.setattr(restoring, "_PAGE", BATCH)


def end(store: Any, verb: str, values: dict[str, Any]) -> None:
    """End what was cut short, and assert that all of it is at one version, brought there once."""
    last = store.migrations.status()[-1]
    assert last.status == "dead"
    report = getattr(store.migrations, verb)(last.migration_id)
    done = written_by(store, last.migration_id)
    assert set(done["migrate"].values()) == {1}
    if report.status == "completed":
        assert (len(values),) * 2 == (report.items_total, report.items_migrated)
        assert set(values) == set(done["migrate"])
        assert {at: carried(value) for at, value in values.items()} == store.items(HOME)
        assert_at(store, NEW)
    else:
        assert done["migrate"] == done["restore"]
        assert values == store.items(HOME)
        assert_at(store, OLD)
    assert store.migrations.status(last.migration_id).status == report.status


# Ctrl-C, and a store that is closed


@pytest.mark.parametrize("face", FACES)
def test_an_interrupted_run_is_ended_from_the_same_process(store_url: str, face: str) -> None:
    with opened(face, store_url) as store:
        declare(store)
        values = fill(store, DOCUMENTS)
        for batch, verb in ((0, "resume"), (2, "resume"), (2, "rollback")):
            interrupt(store, lambda progress: run(store, batch_size=BATCH, progress=progress), batch)
            assert batch * BATCH == sum(map(is_new, store.items(HOME).values()))
            end(store, verb, values)
            if verb == "resume":
                store.migrations.rollback(store.migrations.status()[-1].migration_id)


def test_a_run_interrupted_before_its_first_batch_is_taken_back(store_url: str) -> None:
    with opened("blocking", store_url) as store:
        declare(store)
        values = fill(store, DOCUMENTS)
        interrupt(store, lambda progress: run(store, progress=progress), 0)
        assert store.migrations.rollback(store.migrations.status()[-1].migration_id).items_restored == 0
        assert values == store.items(HOME)
        assert_at(store, OLD)


def test_an_interrupted_rollback_is_ended_from_the_same_process(store_url: str) -> None:
    with opened("blocking", store_url) as store:
        declare(store)
        values = fill(store, DOCUMENTS)
        for verb in VERBS:
            interrupt_rollback(store, run(store, batch_size=BATCH).migration_id)
            assert 0 < sum(map(is_new, store.items(HOME).values())) < DOCUMENTS
            with pytest.raises(MigrationError, match="is under way"):
                run(store)
            end(store, verb, values)


def interrupt_rollback(store: Any, migration_id: str) -> None:
    """Interrupt a rollback when some is back."""
    interrupt(store, lambda progress: store.migrations.rollback(migration_id, progress=progress), 1)


class Interrupted(BaseException):
    """Ctrl-C, as it is felt on an event loop in a thread, which KeyboardInterrupt itself would end."""


def interrupt(store: Any, go: Callable[[Any], Any], batch: int) -> None:
    """Interrupt what goes on after so many batches."""

    def strike() -> None:
        raise KeyboardInterrupt if not hasattr(store, "loop") else Interrupted

    with pytest.raises((KeyboardInterrupt, Interrupted)):
        go(at_batch(batch, strike))


@pytest.mark.parametrize(("face", "verb"), [*zip(FACES, VERBS, strict=True)])
@pytest.mark.parametrize("url", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_a_run_whose_store_is_closed_is_ended_by_another_one(
    url: str, face: str, verb: str, request: pytest.FixtureRequest
) -> None:
    store_url = request.getfixturevalue(f"{url}_url")
    with opened(face, store_url) as store:
        declare(store)
        values = fill(store, DOCUMENTS)

        def close() -> None:
            if face == "blocking":
                store.close()
            else:
                store.inner._runner._closed = True  # what `aclose` does first; it then waits for this very task

        with pytest.raises(StoreClosedError):
            run(store, batch_size=BATCH, progress=at_batch(2, close))
        if face == "asyncio":
            store.inner._runner._closed = False
    with opened(face, store_url) as store:
        assert 0 < sum(map(is_new, store.items(HOME).values())) < DOCUMENTS
        end(store, verb, values)


# The disk and the server


@pytest.mark.parametrize(("face", "verb"), [*zip(FACES, VERBS, strict=True)])
def test_a_run_that_filled_the_disk_is_ended_when_there_is_room(sqlite_url: str, verb: str, face: str) -> None:
    with faulty_vfs() as vfs, opened(face, sqlite_url, vfs=vfs.vfs_name) as store:
        declare(store)
        values = fill(store, DOCUMENTS)

        def full() -> None:
            vfs.arm(Fault("write", "full", lasting=True))

        with pytest.raises(StoreUnavailableError):
            run(store, batch_size=BATCH, progress=at_batch(2, full))
        assert vfs.happened
        vfs.heal()
        end(store, verb, values)


@pytest.mark.parametrize("what", ["rollback", "restore"])
def test_what_filled_the_disk_on_its_way_back_is_ended_when_there_is_room(sqlite_url: str, what: str) -> None:
    with faulty_vfs() as vfs, opened("blocking", sqlite_url, vfs=vfs.vfs_name) as store:
        declare(store)
        values = fill(store, DOCUMENTS)

        def full() -> None:
            vfs.arm(Fault("write", "full", number=12, lasting=True))

        if what == "restore":
            values[LAST] = POISON
            store.set(HOME, LAST, POISON)
            with pytest.raises(StoreUnavailableError):
                run(store, batch_size=BATCH, progress=at_batch(DOCUMENTS // BATCH, full))
        else:
            done = run(store, batch_size=BATCH)
            with pytest.raises(StoreUnavailableError):
                store.migrations.rollback(done.migration_id, progress=at_batch(0, full))
        assert vfs.happened
        vfs.heal()
        last = store.migrations.status()[-1]
        assert last.status == "dead"
        if what == "restore" and not list(store.log(types=["migration.rollback_started"])):
            with pytest.raises(MigrationError, match="what was is back"):
                store.migrations.resume(last.migration_id)
        else:
            store.migrations.resume(last.migration_id)
        assert values == store.items(HOME)
        assert_at(store, OLD)


@pytest.fixture
def url_and_proxy(postgres_server: PostgresServer, postgres_url: str) -> Iterator[tuple[str, Proxy]]:
    """The URL of an empty store behind a proxy, and the proxy."""
    parts = urlsplit(postgres_url)
    if postgres_server.cluster is not None:
        parts = urlsplit(postgres_server.url_of(parts.path[1:], loopback=True))
    with cutting_proxy(parts.hostname or "localhost", parts.port or 5432) as proxy:
        at, _, _ = parts.netloc.rpartition("@")
        place = f"{at}@127.0.0.1:{proxy.port}".removeprefix("@")
        yield parts._replace(netloc=place, query="sslmode=disable&gssencmode=disable").geturl(), proxy


@pytest.mark.postgres
@pytest.mark.parametrize("what", ["request", "answer"])
@pytest.mark.parametrize("face", FACES)
def test_a_run_goes_on_where_its_connection_breaks(url_and_proxy: tuple[str, Proxy], what: Cut, face: str) -> None:
    url, proxy = url_and_proxy
    with opened(face, url, reconnect_timeout_s=60.0) as store:
        declare(store)
        values = fill(store, DOCUMENTS)
        for number in (1, 2):

            def cut(number: int = number) -> None:
                proxy.cut_at(number, what)

            report = run(store, batch_size=BATCH, progress=at_batch(1, cut))
            assert report.status == "completed"
            assert {1} == set(written_by(store, report.migration_id)["migrate"].values())
            assert {at: carried(value) for at, value in values.items()} == store.items(HOME)
            store.migrations.rollback(report.migration_id, progress=at_batch(0, cut))
            assert values == store.items(HOME)
            assert_at(store, OLD)
        assert proxy.cuts == 4


@pytest.mark.postgres
@pytest.mark.parametrize(("what", "verb"), [("request", "rollback"), ("answer", "resume")])
def test_a_run_whose_server_is_lost_is_ended_when_it_is_back(
    url_and_proxy: tuple[str, Proxy], what: Cut, verb: str
) -> None:
    url, proxy = url_and_proxy
    with opened("blocking", url, reconnect_timeout_s=0.05) as store:
        declare(store)
        values = fill(store, DOCUMENTS)

        def cut() -> None:
            proxy.cut_at(1, what, stay_away=True)

        with pytest.raises(StoreUnavailableError):
            run(store, batch_size=BATCH, progress=at_batch(2, cut))
        proxy.heal()
        end(store, verb, values)
