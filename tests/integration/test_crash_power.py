"""The power is cut at any moment: what was acknowledged is on the disk, and nothing there is torn."""

from __future__ import annotations

import random
import shutil
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

import backstory
from backstory import BackstoryError
from tests.support.fault_ledger import WRITES, FaultLedger, ForgivingLedger
from tests.support.power_vfs import PowerVfs, power_vfs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

L = TypeVar("L", bound=FaultLedger)
LOOKS = 4
PAST_A_CHECKPOINT = 25


@pytest.fixture
def vfs() -> Iterator[PowerVfs]:
    with power_vfs() as vfs:
        yield vfs


def work(vfs: PowerVfs, folder: Path, ledger: FaultLedger, *, times: int = 1, **settings: Any) -> None:
    """Make a store on an empty disk, write, and close it: as far as the power lasts."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        store = backstory.open(f"sqlite:///{folder}/store.db", vfs=vfs.vfs_name, **settings)
    except BackstoryError:
        return
    try:
        for _ in range(times):
            for write in WRITES:
                ledger.write(store, write)
                if vfs.off:
                    return
    finally:
        store.close()


def look(vfs: PowerVfs, folder: Path, ledger: FaultLedger, lots: random.Random) -> None:
    """Open what is on the disk on another day, and compare it with what was acknowledged."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    vfs.after_power_cut(folder, lots)
    with backstory.open(f"sqlite:///{folder}/store.db") as store:
        ledger.assert_true(store)


def sweep(vfs: PowerVfs, folder: Path, ledger_of: Callable[[], L], **settings: Any) -> Iterator[L]:
    """Cut the power at every change of a file in turn, and look at the disk some times after each."""
    lots = random.Random(0)  # noqa: S311 - a repeatable choice, no secret
    for number in count(1):
        ledger = ledger_of()
        vfs.cut_at(number)
        work(vfs, folder / "before", ledger, **settings)
        for _ in range(LOOKS):
            look(vfs, folder / "after", ledger, lots)
        yield ledger
        if not vfs.off:
            return


def test_a_power_cut_at_any_change_of_a_file_loses_nothing_acknowledged(vfs: PowerVfs, tmp_path: Path) -> None:
    *_, last = sweep(vfs, tmp_path, FaultLedger)
    assert len(last.acknowledged) == len(WRITES)


def test_a_power_cut_loses_acknowledged_writes_of_a_relaxed_store_but_tears_nothing(
    vfs: PowerVfs, tmp_path: Path
) -> None:
    lost = [ledger.lost for ledger in sweep(vfs, tmp_path, ForgivingLedger, durability="relaxed")]
    assert any(lost), "the model of a power cut loses nothing: the test of `full` proves nothing"


def test_a_sync_that_fails_before_a_power_cut_is_no_acknowledgement(vfs: PowerVfs, tmp_path: Path) -> None:
    lots = random.Random(1)  # noqa: S311 - a repeatable choice, no secret
    vfs.cut_at(None)
    work(vfs, tmp_path / "before", FaultLedger())
    everything = vfs.operations
    failed = 0
    for vain_at in range(1, everything):
        for cut_at in {lots.randrange(vain_at + 1, everything + 1), everything}:
            ledger = FaultLedger()
            vfs.cut_at(cut_at, vain_at=vain_at)
            work(vfs, tmp_path / "before", ledger)
            failed += ledger.failed
            look(vfs, tmp_path / "after", ledger, lots)
    assert failed


def test_a_power_cut_around_checkpoints_loses_nothing_acknowledged(
    vfs: PowerVfs, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    lots = random.Random(2)  # noqa: S311 - a repeatable choice, no secret
    vfs.cut_at(None)
    work(vfs, tmp_path / "before", FaultLedger(), times=PAST_A_CHECKPOINT)
    # Ids decide which pages split, so that one time takes some operations more than another.
    surely = vfs.operations * 19 // 20
    for _ in range(500 if pytestconfig.getoption("--long") else 15):
        ledger = FaultLedger()
        vfs.cut_at(lots.randrange(surely // 2, surely))
        work(vfs, tmp_path / "before", ledger, times=PAST_A_CHECKPOINT)
        assert vfs.off
        look(vfs, tmp_path / "after", ledger, lots)
