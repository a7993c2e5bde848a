"""Migrations amid writers, in threads, tasks and processes: nothing is lost, nothing is mixed, and one is at it."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

import pytest

from backstory import MigrationError, SchemaError, transforms
from backstory.migrations import restoring
from tests.support.document_writers import SHARED, Ledger, crew, stock, tasks
from tests.support.migrating import (
    HOME,
    NEW,
    OLD,
    assert_at,
    at_batch,
    carried,
    declare,
    fill,
    is_new,
    key,
    new,
    old,
    read,
    run,
    versions,
    way,
    written_by,
)
from tests.support.migration_campaign import nurseries, settled
from tests.support.migration_runner import Order
from tests.support.on_a_loop import opened

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.migration_campaign import Nursery

BATCH: Final = 3
DISK: Final = ("sqlite", pytest.param("postgres", marks=pytest.mark.postgres))
AT_ONCE: Final = 4


@pytest.fixture(params=DISK)
def disk_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty store that outlives its process."""
    found: str = request.getfixturevalue(f"{request.param}_url")
    return found


@pytest.fixture(
    params=[
        ("threads", "memory"),
        *((kind, engine) for kind in ("threads", "processes") for engine in ("sqlite", "postgres")),
    ],
    ids="-".join,
)
def kind_and_url(request: pytest.FixtureRequest) -> tuple[str, str]:
    """Where writers are, and the URL of an empty store."""
    kind, engine = request.param
    return kind, request.getfixturevalue(f"{engine}_url")


# Writers


def place(store: Any, kind: str) -> int:
    """Return the position of the one event of a type."""
    [event] = store.log(types=[kind])
    position: int = event.position
    return position


def assert_accounted(store: Any, before: dict[str, Any], ledger: Ledger) -> None:
    """Assert that each document holds what the writers were told that it holds."""
    items = store.items(HOME)
    for number in range(SHARED):
        assert number + ledger.raised[key(number)] == read(items[key(number)])
    numbers = {at: read(value) for at, value in before.items() if not at < key(SHARED)} | ledger.own
    assert {at: number for at, number in numbers.items() if number is not None} == {
        at: read(value) for at, value in items.items() if not at < key(SHARED)
    }


def assert_migrated(store: Any, before: dict[str, Any], ledger: Ledger, migration_id: str) -> None:
    """Assert that all is at the new version, and writers were told the truth at each moment."""
    moving, moved = place(store, "schema.moving"), place(store, "schema.moved")
    assert_accounted(store, before, ledger)
    assert_at(store, NEW)
    assert set(written_by(store, migration_id)["migrate"].values()) <= {1}
    assert all(position < moved for position in ledger.accepted["old"])
    assert all(position > moving for position in ledger.accepted["new"])
    assert all(after >= moved for _, after in ledger.refused["old"])
    assert all(begun < moving for begun, _ in ledger.refused["new"])
    assert ledger.refused["raise"] == []
    amid = [event for event in store.log(since=moving) if event.position < moved and event.stream == HOME]
    assert {"set", "migrate"} <= {event.data["op"] for event in amid if event.type == "state.set"}


def test_what_others_write_amid_a_run_is_carried_over_taken_or_refused(kind_and_url: tuple[str, str]) -> None:
    kind, url = kind_and_url
    with opened("blocking", url) as store:
        declare(store)
        before = stock(store)
        with crew(kind, store, url) as writers:
            writers.await_more()
            report = run(store, batch_size=BATCH, progress=writers.await_more, concurrency=2)
            writers.await_more()
            ledger = writers.end()
        assert_migrated(store, before, ledger, report.migration_id)
        assert ledger.refused["neither"]
        assert ledger.accepted["old"]
        assert ledger.accepted["new"]


def test_what_tasks_write_amid_a_run_is_carried_over_taken_or_refused(store_url: str) -> None:
    async def amid(store: Any) -> tuple[Any, Ledger]:
        plan = await store.migrations.plan("doc", NEW)
        return await tasks(store, store.migrations.run(plan, batch_size=BATCH, concurrency=2))

    with opened("asyncio", store_url) as store:
        declare(store)
        before = stock(store)
        report, ledger = asyncio.run_coroutine_threadsafe(amid(store.inner), store.loop).result()
        assert_migrated(store, before, ledger, report.migration_id)


def test_what_others_write_amid_a_rollback_is_left_alone_and_told(
    kind_and_url: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restoring, "_PAGE", BATCH)
    kind, url = kind_and_url
    with opened("blocking", url) as store:
        declare(store)
        before = stock(store)
        done = run(store)
        with crew(kind, store, url) as writers:
            writers.await_more()
            report = store.migrations.rollback(done.migration_id, progress=writers.await_more)
            writers.await_more()
            ledger = writers.end()
        kept = place(store, "schema.kept")
        assert_accounted(store, before, ledger)
        left = {at for at, value in store.items(HOME).items() if is_new(value)}
        assert left <= {conflict.key for conflict in report.conflicts}
        assert versions(store) == {at: NEW if at in left else OLD for at in store.items(HOME)}
        assert all(position > kept for position in ledger.accepted["old"])
        assert all(position < kept for position in ledger.accepted["new"])
        assert all(begun < kept for begun, _ in ledger.refused["old"])
        assert all(after >= kept for kind in ("new", "raise") for _, after in ledger.refused[kind])
        assert store.verify().ok


def test_a_rollback_tells_what_was_written_amid_the_run_and_is_not_its_own(store_url: str) -> None:
    with opened("blocking", store_url) as store:
        declare(store)
        values = fill(store, 3 * BATCH)
        last = max(values)

        def write() -> None:
            store.set(HOME, last, old(100))
            store.set(HOME, "doc/created", old(200))
            store.set(HOME, "doc/created-new", new(300))

        report = run(store, batch_size=BATCH, progress=at_batch(1, write))
        assert len(values) - 1 == report.items_migrated
        back = store.migrations.rollback(report.migration_id)
        theirs = {last: new(100), "doc/created": new(200), "doc/created-new": new(300)}
        assert set(theirs) == {conflict.key for conflict in back.conflicts}
        assert values | theirs == store.items(HOME)


def test_a_key_deleted_or_created_amid_a_run_stays_so(store_url: str) -> None:
    with opened("blocking", store_url) as store:
        declare(store)
        values = fill(store, 3 * BATCH)
        first, *_, last = sorted(values)

        def write() -> None:
            store.delete(HOME, first)
            store.delete(HOME, last)
            store.set(HOME, "doc/created", old(7))

        report = run(store, batch_size=BATCH, progress=at_batch(1, write))
        left = {at: carried(value) for at, value in values.items() if at not in {first, last}}
        assert left | {"doc/created": new(7)} == store.items(HOME)
        assert_at(store, NEW)
        assert {conflict.key for conflict in store.migrations.rollback(report.migration_id).conflicts} == {
            first,
            "doc/created",
        }


def test_what_is_written_while_a_page_is_being_brought_back_is_left_alone(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = restoring._put
    with opened("blocking", store_url) as store:
        declare(store)
        values = fill(store, BATCH)
        done = run(store)

        def late(*args: Any) -> Any:
            monkeypatch.setattr(restoring, "_put", put)
            store.set(HOME, key(1), old(100))
            return (yield from put(*args))

        monkeypatch.setattr(restoring, "_put", late)
        report = store.migrations.rollback(done.migration_id)
        assert values | {key(1): old(100)} == store.items(HOME)
        assert [key(1)] == [conflict.key for conflict in report.conflicts]
        assert len(values) - 1 == report.items_restored
        assert_at(store, OLD)


# One at a time


def interrupted(store: Any, batch: int = 1) -> str:
    """Let a run be interrupted after so many batches; return its id."""

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(store, batch_size=BATCH, progress=at_batch(batch, interrupt))
    found: str = store.migrations.status()[-1].migration_id
    return found


def test_of_two_runs_of_a_schema_at_once_one_is_refused(store_url: str) -> None:
    with opened("blocking", store_url) as store:
        declare(store)
        values = fill(store, 3 * BATCH)
        plan = store.migrations.plan("doc", NEW)
        refusals, together = threading.Semaphore(0), threading.Barrier(AT_ONCE)

        def others_are_refused() -> None:
            for _ in range(AT_ONCE - 1):
                assert refusals.acquire(timeout=60)

        def try_it(_: int) -> str:
            together.wait()
            try:
                report = store.migrations.run(plan, batch_size=BATCH, progress=at_batch(1, others_are_refused))
            except MigrationError as error:
                refusals.release()
                return error.message.rpartition(" is ")[2]
            status: str = report.status
            return status

        with ThreadPoolExecutor(AT_ONCE) as pool:
            answers = Counter(pool.map(try_it, range(AT_ONCE)))
        assert {"completed": 1, "under way": AT_ONCE - 1} == answers
        assert {at: carried(value) for at, value in values.items()} == store.items(HOME)


def test_a_run_that_lives_is_neither_resumed_nor_taken_back(store_url: str) -> None:
    with opened("blocking", store_url) as store:
        declare(store)
        fill(store, 3 * BATCH)
        asked = []

        def ask() -> None:
            [report] = store.migrations.status()
            asked.append(report.status)
            for verb in (store.migrations.resume, store.migrations.rollback):
                with pytest.raises(MigrationError, match="under way"):
                    verb(report.migration_id)
            # Who was refused has not made it look dead.
            asked.append(store.migrations.status(report.migration_id).status)

        with ThreadPoolExecutor(1) as pool:
            report = run(store, batch_size=BATCH, progress=at_batch(1, lambda: pool.submit(ask).result()))
        assert ["running", "running"] == asked
        assert report.status == "completed"
        assert_at(store, NEW)


@pytest.mark.parametrize("verb", ["resume", "rollback"])
def test_of_those_who_take_up_a_run_at_once_in_a_process_one_wins(store_url: str, verb: str) -> None:
    with opened("blocking", store_url) as store:
        declare(store)
        values = fill(store, 4 * BATCH)
        migration_id = interrupted(store)
        assert store.migrations.status(migration_id).status == "dead"
        together = threading.Barrier(AT_ONCE)

        def take(_: int) -> str:
            together.wait()
            try:
                status: str = getattr(store.migrations, verb)(migration_id).status
            except MigrationError:
                return "refused"
            return status

        with ThreadPoolExecutor(AT_ONCE) as pool:
            answers = Counter(pool.map(take, range(AT_ONCE)))
        assert {"completed" if verb == "resume" else "rolled_back": 1, "refused": AT_ONCE - 1} == answers
        done = written_by(store, migration_id)
        assert set(done["migrate"].values()) == {1}
        if verb == "resume":
            assert set(values) == set(done["migrate"])
            assert_at(store, NEW)
        else:
            assert done["migrate"] == done["restore"]
            assert values == store.items(HOME)


@pytest.fixture
def pair() -> Iterator[list[Nursery]]:
    with nurseries(2) as found:
        yield found


def test_of_two_processes_that_resume_at_once_one_wins(pair: list[Nursery], disk_url: str) -> None:
    with opened("blocking", disk_url) as store:
        declare(store)
        values = fill(store, 40)
        for number in range(2):
            pid = pair[0].start(Order(disk_url, "run", hold=1))
            pair[0].hear("held")
            migration_id = store.migrations.status()[-1].migration_id
            assert store.migrations.status(migration_id).status == "running"
            for verb in (store.migrations.resume, store.migrations.rollback):
                with pytest.raises(MigrationError, match="in a process that lives"):
                    verb(migration_id)
            with pytest.raises(MigrationError, match="is under way"):
                run(store)
            pair[0].kill(pid)
            assert settled(store, migration_id).status == "dead"
            verb = ("resume", "rollback")[number]
            for nursery in pair:
                nursery.tell(Order(disk_url, verb, migration_id))
            answers = [nursery.hear("over").split(" ")[1] for nursery in pair]
            for nursery in pair:
                nursery.reap()
            assert {"completed" if verb == "resume" else "rolled_back", "refused"} == set(answers)
            assert set(written_by(store, migration_id)["migrate"].values()) == {1}
            if verb == "resume":
                assert_at(store, NEW)
                store.migrations.rollback(migration_id)
            assert values == store.items(HOME)
            assert_at(store, OLD)


def test_a_run_waits_for_the_rollback_of_another_one(store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restoring, "_PAGE", BATCH)
    with opened("blocking", store_url) as store:
        declare(store)
        values = fill(store, 3 * BATCH)
        done = run(store)

        def try_it() -> None:
            with pytest.raises(MigrationError, match="is under way"):
                run(store)

        store.migrations.rollback(done.migration_id, progress=at_batch(1, try_it))
        assert values == store.items(HOME)
        assert_at(store, OLD)
        run(store)
        assert_at(store, NEW)


def test_who_was_taken_for_dead_writes_no_more_for_a_run_that_was_taken_back(disk_url: str) -> None:
    with opened("blocking", disk_url) as store:
        declare(store)
        values = fill(store, 4 * BATCH)
        others: list[Any] = []

        def take_back() -> None:
            with opened("blocking", disk_url) as other:
                others.append(other)
                engine = other._core.engine
                living = engine.living_writers
                # A server that lost sight of a process takes it for dead.
                engine.living_writers = _nobody
                report = other.migrations.rollback(other.migrations.status()[-1].migration_id)
                engine.living_writers = living
                assert report.status == "rolled_back"

        with pytest.raises(MigrationError, match="taken up by somebody else"):
            run(store, batch_size=BATCH, progress=at_batch(2, take_back))
        assert values == store.items(HOME)
        assert_at(store, OLD)


def _nobody() -> Any:
    yield from ()
    return set()


def test_who_lacks_a_transformer_writes_nothing_mixed(pair: list[Nursery], disk_url: str) -> None:
    if "only_here" not in _MADE:
        _MADE.add("only_here")
        transforms.transformer("only_here")(lambda values, _: values[0])
    with opened("blocking", disk_url) as store:
        declare(store, migration=way(transforms.compute("copied", "only_here", "tag")))
        fill(store, 3 * BATCH)
        said = []

        def elsewhere() -> None:
            for what in ("write old", "write new"):
                pair[0].tell(Order(disk_url, what))
                said.append(pair[0].hear("over"))
                pair[0].reap()

        run(store, batch_size=BATCH, progress=at_batch(1, elsewhere))
        assert "MigrationError" in said[0]
        assert "only_here" in said[0]
        assert said[1] == "over written"
        assert store.get(HOME, "doc/elsewhere") == new(5)
        assert_at(store, NEW)
        with pytest.raises(SchemaError):
            store.set(HOME, "doc/elsewhere", old(1))


_MADE: Final[set[str]] = set()
