"""A disk that fails below SQLite: every answer is true, and the store works again when the disk does."""

from __future__ import annotations

import asyncio
import shutil
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

import backstory
from backstory import BackstoryError, StoreUnavailableError
from tests.support.fault_ledger import WRITES, FaultLedger, write_many, write_notes, write_value
from tests.support.faulty_vfs import FAULTS, Fault, FaultyVfs, faulty_vfs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


WRITERS = 6


@pytest.fixture
def vfs() -> Iterator[FaultyVfs]:
    with faulty_vfs() as vfs:
        yield vfs


def url_of(path: Path) -> str:
    return f"sqlite:///{path}"


def fresh(folder: Path) -> Path:
    """Return where a new store goes."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder / "store.db"


def work(vfs: FaultyVfs, path: Path, ledger: FaultLedger) -> BackstoryError | None:
    """Open a store, write, heal the disk, write again with the same store, close it; return what opening raised."""
    try:
        store = backstory.open(url_of(path), vfs=vfs.vfs_name)
    except BackstoryError as error:
        return error
    try:
        for write in WRITES:
            if ledger.write(store, write) is not None and ledger.failed == 1:
                assert_true_had_it_died_now(path, ledger)
        vfs.heal()
        for write in WRITES:
            assert ledger.write(store, write) is None
        assert store.verify().ok
    finally:
        store.close()
    return None


def assert_true_had_it_died_now(path: Path, ledger: FaultLedger) -> None:
    """Assert that the answers are true of what the files hold, without what the living process knows."""
    copies = fresh(path.parent.parent / "died").parent
    for file in path.parent.iterdir():
        if not file.name.endswith("-shm"):
            shutil.copy(file, copies)
    with backstory.open(url_of(copies / path.name)) as store:
        ledger.assert_true(store)


def faults() -> list[tuple[str, str]]:
    return [(operation, kind) for operation, kinds in FAULTS.items() for kind in kinds]


@pytest.mark.parametrize("lasting", [False, True], ids=["once", "lasting"])
@pytest.mark.parametrize(("operation", "kind"), faults())
def test_a_disk_that_fails_while_writing_is_answered_with_the_truth(  # noqa: PLR0917 - pytest passes by name
    vfs: FaultyVfs, tmp_path: Path, operation: str, kind: str, lasting: bool, pytestconfig: pytest.Config
) -> None:
    step = 1 if pytestconfig.getoption("--long") or not lasting else 5
    for number in count(1, step):
        path = fresh(tmp_path / "store")
        ledger = FaultLedger()
        vfs.arm(Fault(operation, kind, number, lasting))
        error = work(vfs, path, ledger)
        vfs.heal()
        assert isinstance(error, StoreUnavailableError | None), error
        with backstory.open(url_of(path)) as store:
            ledger.assert_true(store)
        if not vfs.happened:
            break


@pytest.mark.parametrize(("operation", "kind"), faults())
def test_a_disk_that_fails_while_closing_loses_nothing(
    vfs: FaultyVfs, tmp_path: Path, operation: str, kind: str
) -> None:
    for number in count(1):
        path = fresh(tmp_path / "store")
        ledger = FaultLedger()
        with backstory.open(url_of(path), vfs=vfs.vfs_name) as store:
            for write in WRITES:
                assert ledger.write(store, write) is None
            vfs.arm(Fault(operation, kind, number, lasting=True))
        vfs.heal()
        with backstory.open(url_of(path)) as store:
            ledger.assert_true(store)
        if not vfs.happened:
            break


def raised(read: Callable[[], object]) -> StoreUnavailableError | None:
    """Return what a read raised, if it did."""
    try:
        read()
    except StoreUnavailableError as error:
        return error
    return None


@pytest.mark.parametrize("operation", ["read", "open"])
def test_a_disk_that_fails_while_reading_is_an_error_and_then_works_again(
    vfs: FaultyVfs, tmp_path: Path, operation: str
) -> None:
    path = fresh(tmp_path / "store")
    ledger = FaultLedger()
    with backstory.open(url_of(path)) as store:
        for write in WRITES:
            ledger.write(store, write)
    for number in count(1):
        with backstory.open(url_of(path), vfs=vfs.vfs_name) as store:
            vfs.arm(Fault(operation, "error", number, lasting=True))
            error = raised(store.snapshot)
            assert (error is not None) is (vfs.happened > 0)
            assert error is None or error.outcome == "unavailable"
            vfs.heal()
            ledger.assert_true(store)
        if not vfs.happened:
            break


def test_writers_that_share_a_failed_commit_each_hear_of_it(vfs: FaultyVfs, tmp_path: Path) -> None:
    path = fresh(tmp_path / "store")
    with backstory.open(url_of(path), vfs=vfs.vfs_name) as store, ThreadPoolExecutor(WRITERS) as pool:
        ledgers = [FaultLedger() for _ in range(WRITERS)]

        def write(ledger: FaultLedger) -> None:
            for one in (write_value, write_many, write_notes) * 5:
                ledger.write(store, one)

        vfs.arm(Fault("sync", "error", 3, lasting=True))
        list(pool.map(write, ledgers))
        assert all(ledger.failed for ledger in ledgers)
        vfs.heal()
        list(pool.map(write, ledgers))
        whole = FaultLedger()
        for ledger in ledgers:
            whole.add(ledger)
        whole.assert_true(store)
    with backstory.open(url_of(path)) as store:
        whole.assert_true(store)


async def test_tasks_that_share_a_failed_commit_each_hear_of_it(vfs: FaultyVfs, tmp_path: Path) -> None:
    path = fresh(tmp_path / "store")
    ledger = FaultLedger()
    async with backstory.open_async(url_of(path), vfs=vfs.vfs_name) as store:
        vfs.arm(Fault("sync", "error", 1))
        answers = await asyncio.gather(*(ledger.write_async(store, write_value) for _ in range(WRITERS)))
        assert any(answers)
        vfs.heal()
        assert await ledger.write_async(store, write_value) is None
    with backstory.open(url_of(path)) as again:
        ledger.assert_true(again)


def test_a_writing_connection_that_cannot_even_roll_back_is_made_anew(vfs: FaultyVfs, tmp_path: Path) -> None:
    path = fresh(tmp_path / "store")
    ledger = FaultLedger()
    with backstory.open(url_of(path), vfs=vfs.vfs_name) as store:
        assert ledger.write(store, write_value) is None
        engine: Any = store._core.engine
        engine._write.close()
        assert ledger.write(store, write_value) is not None
        vfs.arm(Fault("open", "error", lasting=True))
        assert ledger.write(store, write_value) is not None
        assert not ledger.unknown
        vfs.heal()
        assert ledger.write(store, write_value) is None
        ledger.assert_true(store)


def test_a_full_disk_is_named_and_told_apart_from_a_broken_one(vfs: FaultyVfs, tmp_path: Path) -> None:
    with backstory.open(url_of(fresh(tmp_path / "store")), vfs=vfs.vfs_name) as store:
        for kind, outcome, words in (("full", "not_written", "is full"), ("error", "unknown", "cannot write")):
            vfs.arm(Fault("write", kind, lasting=True))
            with pytest.raises(StoreUnavailableError, match=words) as caught:
                store.set("agent:a", "key", 1)
            assert outcome == caught.value.outcome
            vfs.heal()
        assert store.set("agent:a", "key", 2).position == 1
