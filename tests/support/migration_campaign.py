"""A campaign of kills amid migrations: each is taken up, or taken back, by somebody else, and all must be whole."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pytest

import backstory
from backstory import Event, MigrationError
from tests.support.migrating import (
    HOME,
    LAST,
    NEW,
    OLD,
    POISON,
    assert_at,
    carried,
    declare,
    fill,
    old,
    run,
    written_by,
)
from tests.support.migration_runner import Order
from tests.support.on_a_loop import FACES, opened
from tests.support.processes import ENDS_WITHIN_S, Lines, children, told

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backstory import MigrationReport
    from tests.support.processes import Child

DOCUMENTS: Final = 24
_BATCHES: Final = 7
_LONGEST_PAUSE_S: Final = 0.006
#: What is killed: a run, one whose last document fails, and a rollback.
KINDS: Final = ("run", "failing", "rollback")


class Nursery:
    """Forks processes that do what an order, a dataclass, tells them, and kills them."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self._lines = Lines(child)

    def start(self, order: Any) -> int:
        """Start a process and return its id, once it has opened the store."""
        self.tell(order)
        pid = int(self.hear("started ").removeprefix("started "))
        self.hear("open")
        return pid

    def tell(self, order: Any) -> None:
        """Start a process without waiting for it."""
        told(self._child, json.dumps(asdict(order)))

    def hear(self, word: str) -> str:
        """Return the first line that begins with a word."""
        while not (line := self._lines.next() or "").startswith(word):
            pass
        return line

    def heard_within(self, word: str, timeout_s: float) -> str:
        """Return the line that begins with a word if it came within so many seconds, else nothing."""
        until = time.monotonic() + timeout_s
        while (left := until - time.monotonic()) > 0:
            line = self._lines.next(left)
            if line is None or line.startswith(word):
                return line or ""
        return ""

    def let_work(self, batches: int, pause_s: float) -> None:
        """Hear so many batches, then whatever comes within a moment."""
        while batches:
            line = self._lines.next() or ""
            if line.startswith("over"):
                return
            batches -= line.startswith("batch")
        until = time.monotonic() + pause_s
        while (left := until - time.monotonic()) > 0 and self._lines.next(left) is not None:
            pass

    def kill(self, pid: int) -> None:
        """Kill a process and wait for its end."""
        os.kill(pid, signal.SIGKILL)
        self.reap()

    def reap(self) -> None:
        """Wait for a process's end."""
        told(self._child, "reap")
        self.hear("ended ")


@contextmanager
def nurseries(count: int = 1, *, runner: str = "tests.support.migration_runner") -> Iterator[list[Nursery]]:
    """Give nurseries; one has one process at a time."""
    with children() as started:
        yield [Nursery(each) for each in [started.start(runner) for _ in range(count)]]


@dataclass
class Figures:
    """What a campaign did: what was killed amid its work, and how that was ended."""

    kills: int = 0
    amid: Counter[str] = field(default_factory=Counter)
    resumed: int = 0
    taken_back: int = 0
    left_undone: int = 0


class Campaign:
    """Kills on one store of a few documents that goes back and forth between its versions."""

    def __init__(self, nursery: Nursery, url: str, seed: int) -> None:
        self._nursery = nursery
        self._url = url
        self._lots = random.Random(seed)  # noqa: S311 - a repeatable choice, no secret
        self._endings: list[str] = []
        self.figures = Figures()
        with backstory.open(url) as store:
            declare(store)
            self._before = {**fill(store, DOCUMENTS), LAST: old(0)}
            store.set(HOME, LAST, self._before[LAST])

    def run(self, kills: int) -> Figures:
        """Kill so many processes amid their work."""
        for number in range(10 * kills):
            if self.figures.kills == kills:
                break
            self._trial(KINDS[number % len(KINDS)], FACES[number % len(FACES)])
        return self.figures

    def _trial(self, kind: str, face: str) -> None:
        """Have one process work, kill it, and have another end what it began."""
        order = self._prepared(kind)
        pid = self._nursery.start(order)
        batches = self._lots.choice((0, self._lots.randrange(_BATCHES), _BATCHES if kind == "failing" else 1))
        self._nursery.let_work(batches, self._lots.uniform(0, _LONGEST_PAUSE_S))
        self._nursery.kill(pid)
        with opened(face, self._url) as store:
            # A server may still be at the last commit: who writes next has waited for it.
            store.append("custom:afterwards", Event("runner.killed"))
            last = _last(store)
            if last is not None:
                last = settled(store, last.migration_id)
            if last is not None and last.status == "dead":
                self.figures.kills += 1
                self._end(store, kind, last)
            self._check(store)

    def _prepared(self, kind: str) -> Order:
        """Bring the store to where something of a kind can be done."""
        with opened("blocking", self._url) as store:
            last = _last(store)
            if last is not None and last.status == "completed":
                if kind == "rollback":
                    return Order(self._url, "rollback", last.migration_id)
                store.migrations.rollback(last.migration_id)
            self._before[LAST] = POISON if kind == "failing" else old(0)
            store.set(HOME, LAST, self._before[LAST])
            if kind == "rollback":
                return Order(self._url, "rollback", run(store).migration_id)
            return Order(self._url, "run", concurrency=self._lots.choice((1, 3)))

    def _end(self, store: Any, kind: str, last: MigrationReport) -> None:
        """Resume what a process left, or take it back."""
        began = store.log(types=["migration.*"], correlation_id=last.correlation_id)
        self.figures.amid[list(began)[-1].type.removeprefix("migration.")] += 1
        if self._ending() == "take back":
            self.figures.taken_back += 1
            assert store.migrations.rollback(last.migration_id).status in {"rolled_back", "failed"}
        elif kind == "failing" and not _on_its_way_back(store, last):
            self.figures.resumed += 1
            with pytest.raises(MigrationError, match="what was is back"):
                store.migrations.resume(last.migration_id)
        else:
            self.figures.resumed += 1
            report = store.migrations.resume(last.migration_id)
            assert report.status == {"run": "completed", "failing": "failed", "rollback": "rolled_back"}[kind]
            if kind == "run":
                assert (len(self._before),) * 2 == (report.items_total, report.items_migrated)

    def _ending(self) -> str:
        """Draw what is done about a killed process: of each two of them, one is resumed and one taken back."""
        if not self._endings:
            self._endings = self._lots.sample(("resume", "take back"), 2)
        return self._endings.pop()

    def _check(self, store: Any) -> None:
        """Assert that all is at one version, and was brought there once."""
        last = _last(store)
        if last is None or last.status != "completed":
            assert self._before == store.items(HOME)
            assert_at(store, OLD)
        else:
            assert {at: carried(value) for at, value in self._before.items()} == store.items(HOME)
            assert_at(store, NEW)
        if last is not None:
            assert last.status in {"completed", "failed", "rolled_back"}
            done = written_by(store, last.migration_id)
            assert set(done["migrate"].values()) <= {1}, "something was migrated twice"
            assert done["restore"] == (Counter() if last.status == "completed" else done["migrate"])
            assert last.status != "completed" or set(self._before) == set(done["migrate"])


def _last(store: Any) -> MigrationReport | None:
    found: list[MigrationReport] = store.migrations.status()
    return found[-1] if found else None


def _on_its_way_back(store: Any, report: MigrationReport) -> bool:
    told = store.log(types=["migration.rollback_started"], correlation_id=report.correlation_id)
    return bool(list(told))


def settled(store: Any, migration_id: str) -> MigrationReport:
    """Return a run's report once nobody takes a killed process for a living one."""
    deadline = time.monotonic() + ENDS_WITHIN_S
    while True:
        report: MigrationReport = store.migrations.status(migration_id)
        if report.status not in {"running", "rolling_back"}:
            return report
        assert time.monotonic() < deadline
