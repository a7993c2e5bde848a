"""A log taken over into a new store: the same rows, hashes and answers, all of it or nothing."""

from __future__ import annotations

import errno
import os
import signal
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import apsw
import psycopg
import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

import backstory
from backstory import BackstoryError, BackupError, IntegrityError, StoreUnavailableError
from backstory.domain.branches import FOREVER, lineage_of
from backstory.domain.ports import LogQuery
from backstory.infrastructure.configuration import Settings
from backstory.infrastructure.postgres import adopting as postgres_adopting
from backstory.infrastructure.sqlite import adopting as sqlite_adopting
from backstory.infrastructure.sqlite import numbered_names
from backstory.infrastructure.sqlite.numbered_names import NumberedNames
from backstory.infrastructure.sqlite.overflow import made
from backstory.state_check import state_rows
from backstory.testing.clock import ManualClock
from backstory.testing.contract import SETTLED
from backstory.testing.histories import HookedHistories
from tests.support.faulty_vfs import Fault, faulty_vfs
from tests.support.processes import children

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from backstory import StateStore
    from backstory.domain.events import StoredEvent

    Pages = Iterable[Sequence[StoredEvent]]

CONSUMERS = {"reader": 3, "é*": 1}
CATALOGUE = """
    SELECT 'column', table_name || '.' || column_name, data_type || is_nullable || coalesce(column_default, '')
        || is_identity || coalesce(identity_start, '') || coalesce(collation_name, '')
    FROM information_schema.columns WHERE table_schema = current_schema()
    UNION SELECT 'index', indexname, replace(indexdef, current_schema(), '') FROM pg_indexes
    WHERE schemaname = current_schema()
    UNION SELECT 'constraint', conname, replace(pg_get_constraintdef(c.oid), current_schema(), '')
    FROM pg_constraint c WHERE connamespace = current_schema()::regnamespace
    UNION SELECT 'options', relname, coalesce(reloptions::text, '') FROM pg_class
    WHERE relnamespace = current_schema()::regnamespace ORDER BY 1, 2
"""


@dataclass
class Target:
    """A place for new stores of one engine."""

    root: str
    numbers: Iterator[int]
    namespace: str = ""

    @property
    def sqlite(self) -> bool:
        return self.root.startswith("sqlite")

    def move(self) -> Target:
        """Go to a place where nothing is yet."""
        number = next(self.numbers)
        return Target(self.root, self.numbers, f"at_{number}")

    @property
    def path(self) -> Path:
        return Path(self.root.removeprefix("sqlite:///")).with_name(f"{self.namespace}.db")

    def adopt(self, log_id: bytes, pages: Pages, *, consumers: Callable[[], Any] = dict, **more: Any) -> int:
        if self.sqlite:
            return sqlite_adopting.adopt(self.path, log_id, pages, consumers=consumers, settings=Settings(), **more)
        given = Settings(namespace=self.namespace)
        return postgres_adopting.adopt(self.root, log_id, pages, consumers=consumers, settings=given, **more)

    def open(self, **more: Any) -> StateStore:
        if self.sqlite:
            return backstory.open(f"sqlite:///{self.path}", **more)
        return backstory.open(self.root, namespace=self.namespace, **more)

    def catalogue(self) -> list[Any]:
        """Return all that the database knows of the tables."""
        if self.sqlite:
            connection = apsw.Connection(str(self.path), flags=apsw.SQLITE_OPEN_READONLY)
            try:
                found: list[Any] = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema").fetchall()
                pragmas = ("application_id", "user_version", "journal_mode", "page_size", "auto_vacuum", "encoding")
                return [*sorted(found, key=str), *((name, connection.pragma(name)) for name in pragmas)]
            finally:
                connection.close()
        with psycopg.connect(self.root, options=f"-c search_path={self.namespace}") as session:
            return session.execute(CATALOGUE).fetchall()

    def left(self) -> list[Any]:
        """Return what stands at the place, or beside it."""
        if self.sqlite:
            return sorted(one.name for one in self.path.parent.iterdir() if self.namespace in one.name)
        with psycopg.connect(self.root) as session:
            there = "SELECT nspname FROM pg_namespace WHERE nspname = %s"
            return session.execute(there, [self.namespace]).fetchall()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def target(request: pytest.FixtureRequest) -> Target:
    return Target(request.getfixturevalue(f"{request.param}_url"), count()).move()


def rows_of(store: StateStore) -> list[StoredEvent]:
    engine, run = store._core.engine, store._runner.run
    everything = tuple((row.id, FOREVER) for row in run(engine.branches()))
    rows: list[StoredEvent] = run(engine.page(LogQuery(everything, limit=10**6)))
    return rows


def paged(rows: Sequence[StoredEvent], size: int = 7) -> list[Sequence[StoredEvent]]:
    return [rows[at : at + size] for at in range(0, len(rows), size)]


def answers(store: StateStore) -> dict[str, Any]:
    """Return what a store answers about itself, its branches now and at some positions."""
    engine, run = store._core.engine, store._runner.run
    head = run(engine.head())
    branches = run(engine.branches())
    numbers = run(engine.numbers())
    found: dict[str, Any] = {
        "id": engine.log_id,
        "head": head,
        "branches": branches,
        "rows": rows_of(store),
        "state": run(state_rows(engine)),
        "numbers": {name: numbers[name] for name in ("events", "streams", "branches")},
        "expired": [run(engine.expired(row.id, 2**60)) for row in branches],
    }
    everything = list(range(1, head.position + 1))
    for row in branches:
        lineage = lineage_of(branches, row.id)
        found[f"effects {row.id}"] = run(engine.effects(lineage, everything, head.position))
        for at in {head.position * share // 5 for share in range(6)}:
            streams = run(engine.streams(lineage, at))
            found[f"at {at} of {row.id}"] = (
                {stream: keys for stream, keys in run(engine.whole(lineage, at)).items() if keys},
                [(stream, run(engine.stream_version(lineage, stream, at))) for stream in streams],
            )
    return found


def assert_taken_over(source: StateStore, target: Target, clock: ManualClock) -> None:
    """Adopt a store's log, and assert that nobody could tell the two apart."""
    rows = rows_of(source)
    source.rebuild()
    heard: list[int] = []
    taken = target.adopt(source._core.engine.log_id, paged(rows), consumers=lambda: CONSUMERS, progress=heard.append)
    assert len(rows) == taken
    assert [min(at + 7, len(rows)) for at in range(0, len(rows), 7)] == heard
    with target.open(clock=clock, **SETTLED) as store:
        report = store.verify()
        assert report.ok, report
        assert source.verify().head_hash == report.head_hash
        assert answers(source) == answers(store)
        assert store._runner.run(store._core.engine.trackings("")) == CONSUMERS
        head = len(rows)
        go_on(store)
        assert [*range(1, head + 1)] == [row.position for row in rows_of(store)[:head]]
        assert store.verify().ok


def go_on(*stores: StateStore) -> None:
    """Write something to known and new names, on each branch."""
    for store in stores:
        for branch in store.branches():
            with store.branch(branch.name) as own:
                own.set("agent:a", "a", 1)
                own.set("agent:new", "new", 1)
                own.append("agent:a", [backstory.Event("new.happened", 1, key="k")])
        fork = store.fork("after all")
        fork.set("agent:a", "a", 2)
        fork.clear("agent:a")


def test_what_is_taken_over_cannot_be_told_from_where_it_came_from(target: Target) -> None:
    class Taken(HookedHistories):
        def __init__(self) -> None:
            super().__init__(lambda clock: backstory.open("memory://", clock=clock, **SETTLED), durable=False)

        def teardown(self) -> None:
            try:
                if self.pair.sound:
                    assert_taken_over(self.pair.store, target.move(), self.pair.clock)
            finally:
                self.pair.store.close()

    run_state_machine_as_test(
        Taken, settings=settings(max_examples=8, stateful_step_count=10, deadline=None, phases=[Phase.generate])
    )


def written(store: StateStore, clock: ManualClock) -> None:
    """Write of everything something: causes, reads, clears, expiries, branches that end and come again."""
    first = store.set("agent:a", "a", 1)
    store.set("agent:a", "b", 2, ttl=5, cause=first)
    with store.transaction() as tx:
        tx.set("global", "sum", tx.get("agent:a", "a") + tx.get("agent:a", "b"))
    side = store.fork("side")
    side.clear("agent:a")
    side.fork("deep", as_of=2).set("agent:a", "b", 3, ttl=1)
    clock.advance(60)
    store.sweep()
    store.drop_branch("side")
    store.drop_branch("deep")
    store.fork("side").delete("agent:a", "a")
    store.append("agent:a", [backstory.Event("thing.happened", {"n": n}, key="a") for n in range(9)], cause=first)
    store.clear("agent:a")
    store.set("agent:a", "a", "again")


def test_a_store_of_every_engine_is_taken_over(store_url: str, target: Target) -> None:
    clock = ManualClock()
    with backstory.open(store_url, clock=clock, **SETTLED) as source:
        written(source, clock)
        assert_taken_over(source, target, clock)
        go_on(source)
        with target.open(clock=clock) as store:
            assert [row[:4] for row in rows_of(source)] == [row[:4] for row in rows_of(store)]


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no more than three streams and three keys be in memory."""
    monkeypatch.setattr(NumberedNames.__init__, "__kwdefaults__", {"most": 3})


@pytest.mark.usefixtures("little_memory")
def test_a_log_of_more_names_than_memory_should_hold_is_taken_over(target: Target) -> None:
    clock = ManualClock()
    with backstory.open("memory://", clock=clock, **SETTLED) as source:
        for number in range(40):
            source.set(f"agent:{number % 7}", f"k{number % 11}", number)
        written(source, clock)
        assert_taken_over(source, target, clock)


@pytest.mark.usefixtures("little_memory")
def test_names_that_have_room_nowhere_leave_nothing(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    def tiny(schema: str) -> apsw.Connection:
        connection = made(schema)
        connection.execute("PRAGMA max_page_count = 4")
        return connection

    monkeypatch.setattr(numbered_names, "made", tiny)
    with backstory.open("memory://") as store:
        for number in range(40):
            store.set("agent:a", f"{number:0250}", number)
        with pytest.raises(BackupError, match="temporary file"):
            target.adopt(bytes(16), paged(rows_of(store)), consumers=dict)
    assert [] == target.left()


def test_the_tables_are_those_of_a_store_that_was_filled_by_writing(target: Target) -> None:
    clock = ManualClock()
    other = target.move()
    with other.open(clock=clock) as source:
        written(source, clock)
        rows, log_id = rows_of(source), source._core.engine.log_id
        target.adopt(log_id, paged(rows))
        made = target.catalogue()
        with target.open() as store:
            numbers = [one._runner.run(one._core.engine.numbers()) for one in (source, store)]
            assert numbers[0]["keys"] == numbers[1]["keys"]
    assert other.catalogue() == made


def test_a_log_without_events_is_taken_over(target: Target) -> None:
    assert 0 == target.adopt(bytes(16), [])
    with target.open() as store:
        assert bytes(16) == store._core.engine.log_id
        assert 1 == store.set("global", "a", 1).position
        assert store.verify().ok


@pytest.fixture
def rows() -> list[StoredEvent]:
    with backstory.open("memory://") as store:
        for number in range(40):
            store.set("agent:a", f"k{number % 3}", number)
        return rows_of(store)


class GivenUpError(Exception):
    """What the rows' source raises."""


def broken(rows: Sequence[StoredEvent], error: BaseException) -> Pages:
    yield rows[:20]
    raise error


@pytest.mark.parametrize("error", [GivenUpError(), psycopg.OperationalError(), apsw.FullError(), KeyboardInterrupt()])
def test_what_the_source_raises_goes_through_and_leaves_nothing(
    target: Target, rows: list[StoredEvent], error: BaseException
) -> None:
    with pytest.raises(type(error)) as caught:
        target.adopt(bytes(16), broken(rows, error))
    assert error is caught.value
    assert [] == target.left()


def test_what_the_consumers_raise_goes_through_and_leaves_nothing(target: Target, rows: list[StoredEvent]) -> None:
    def consumers() -> Any:
        raise GivenUpError

    with pytest.raises(GivenUpError):
        target.adopt(bytes(16), [rows], consumers=consumers)
    assert [] == target.left()


def test_rows_that_make_no_log_are_refused(target: Target, rows: list[StoredEvent]) -> None:
    for wrong, kind in (([rows[:3], rows[4:]], "gap"), ([rows[1:]], "gap"), ([[rows[0]._replace(branch=1)]], "branch")):
        with pytest.raises(IntegrityError) as caught:
            target.adopt(bytes(16), wrong)
        assert kind == caught.value.kind
        assert [] == target.left()


def untouched() -> Pages:
    pytest.fail("the rows were asked for")
    yield []


def test_a_place_that_holds_a_store_is_refused_and_stays_as_it_was(target: Target) -> None:
    with target.open() as store:
        store.set("global", "a", 1)
    with pytest.raises(BackupError):
        target.adopt(bytes(16), untouched())
    with target.open() as store:
        assert 1 == store.get("global", "a")


@pytest.mark.parametrize("ending", ["", "-wal", "-journal"])
def test_a_place_where_any_file_stands_is_refused(tmp_path: Path, ending: str) -> None:
    there = tmp_path / f"new.db{ending}"
    there.touch()
    with pytest.raises(BackupError) as caught:
        adopt_file(tmp_path / "new.db", untouched())
    assert str(there) == caught.value.path
    assert [there] == list(tmp_path.iterdir())


def adopt_file(path: Path, pages: Pages, **given: Any) -> int:
    return sqlite_adopting.adopt(path, bytes(16), pages, consumers=dict, settings=Settings(**given))


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BackupError):
        adopt_file(tmp_path / "none" / "new.db", untouched())
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("ending", ["", "-wal"])
def test_a_file_that_came_meanwhile_is_kept(tmp_path: Path, rows: list[StoredEvent], ending: str) -> None:
    place = tmp_path / f"new.db{ending}"

    def meanwhile() -> Pages:
        yield rows
        place.write_text("somebody's")

    with pytest.raises(BackupError):
        adopt_file(tmp_path / "new.db", meanwhile())
    assert "somebody's" == place.read_text()
    assert [place] == list(tmp_path.iterdir())


@pytest.mark.parametrize("operation", ["open", "write"])
def test_a_disk_that_fails_leaves_nothing(tmp_path: Path, rows: list[StoredEvent], operation: str) -> None:
    with faulty_vfs() as vfs:
        for number in count(1):
            place = tmp_path / f"{number}.db"
            vfs.arm(Fault(operation, "full" if operation == "write" else "error", number, lasting=True))
            try:
                adopt_file(place, [rows], vfs=vfs.vfs_name)
            except StoreUnavailableError:
                assert vfs.happened
                assert [] == list(tmp_path.iterdir())
            else:
                assert not vfs.happened
                break
            finally:
                vfs.heal()
        assert number > 1


@pytest.mark.parametrize("call", ["fsync", "link"])
def test_a_disk_that_cannot_keep_the_file_leaves_nothing(
    tmp_path: Path, rows: list[StoredEvent], monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "as the test wants it")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(BackupError):
        adopt_file(tmp_path / "new.db", [rows])
    assert [] == list(tmp_path.iterdir())


def test_who_is_killed_half_way_leaves_no_store(target: Target, rows: list[StoredEvent]) -> None:
    place = [target.path] if target.sqlite else [target.root, target.namespace]
    with children() as started:
        assert -signal.SIGKILL == started.start("tests.support.adopter", *place).wait()
    left = target.left()
    if target.sqlite:
        assert [(True, True)] == [
            (name.startswith(f".{target.path.name}."), name.endswith(".partial")) for name in left
        ]
    else:
        assert [] == left
    assert len(rows) == target.adopt(bytes(16), [rows])


@pytest.mark.postgres
def test_a_server_that_hangs_up_leaves_nothing(postgres_url: str, rows: list[StoredEvent]) -> None:
    target = Target(postgres_url, count()).move()

    def cut_off() -> Pages:
        yield rows[:20]
        with psycopg.connect(postgres_url, autocommit=True) as session:
            session.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        for row in rows[20:]:
            yield [row]

    with pytest.raises(BackstoryError) as caught:
        target.adopt(bytes(16), cut_off())
    assert isinstance(caught.value, StoreUnavailableError)
    assert "not_written" == caught.value.outcome
    assert [] == target.left()


@pytest.mark.postgres
def test_a_server_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(StoreUnavailableError):
        Target("postgresql://nobody@127.0.0.1:1/none", count()).move().adopt(bytes(16), untouched())
