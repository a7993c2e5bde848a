"""A campaign of kills amid backups: made, restored, given up; whatever is there afterwards is whole."""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import psycopg
import pytest

import backstory
from backstory import BackupError, Event
from tests.support.backup_runner import POLICY, Order
from tests.support.damaged_backups import contents
from tests.support.processes import ENDS_WITHIN_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backstory import Backup, StateStore
    from tests.support.migration_campaign import Nursery

KEYS: Final = 40
_EVENTS: Final = 500
_TOGETHER: Final = 20
_SCHEMA: Final = "backstory"
_FIRST_GUESS_S: Final = 0.1
_LONGER: Final = 1.3
#: What is killed amid each kind of work.
WORKS: Final = ("restore", "into", "sow", "renew", "full", "incremental", "prune")


@dataclass
class Figures:
    """What a campaign did: how many of each work were killed amid it, and how many of these were found done."""

    killed: Counter[str] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)


class Campaign:
    """Kills on one store whose state changes before each, and on new stores at another place."""

    def __init__(self, nursery: Nursery, url: str, new: str, kept: Path, seed: int) -> None:
        self._nursery = nursery
        self._url = url
        self._new = new
        self._kept = kept
        self._lots = random.Random(seed)  # noqa: S311 - a repeatable choice, no secret
        self._lasts_s: dict[str, float] = {}
        self._writes = 0
        self.figures = Figures()
        with self._opened() as store:
            self._write(store, _EVENTS)

    def _opened(self) -> StateStore:
        return backstory.open(self._url, backups=str(self._kept))

    def run(self, work: str, kills: int) -> Figures:
        """Kill so many processes amid one kind of work."""
        for _ in range(10 * kills):
            if self.figures.killed[work] == kills:
                break
            self._trial(work)
        return self.figures

    def _write(self, store: StateStore, count: int) -> None:
        for start in range(0, count, _TOGETHER):
            with store.transaction() as tx:
                tx.set("user:u", "last", self._writes)
                for _ in range(start, min(start + _TOGETHER, count) - 1):
                    self._writes += 1
                    tx.set(f"agent:{self._writes % 3}", f"k{self._writes % KEYS}", self._writes)

    def _trial(self, work: str) -> None:
        """Prepare a store, kill a process at its work, and look at what there is."""
        with self._opened() as store:
            backup = self._prepared(store, work)
            before, head = contents(store), store.position()
        order = Order(self._url, str(self._kept), work, backup.path, self._new)
        over = self._interrupted(order)
        self.figures.killed[work] += not over
        if work in {"into", "sow", "renew"}:
            self._look_at_new(order, backup, over=over)
        with self._opened() as store:
            # A server may still be at the last commit: who writes next has waited for it.
            store.append("custom:afterwards", Event("runner.killed"))
            if work == "restore":
                self._look_at_restored(store, backup, before, head, over=over)
            else:
                assert before == {
                    scope: items for scope, items in contents(store).items() if scope != "custom:afterwards"
                }
            self._look_at_backups(store, order.what)
            assert store.verify(since=head).ok

    def _prepared(self, store: StateStore, work: str) -> Backup:
        backup = store.backups.create()
        if work == "prune":
            for _ in range(3):
                self._write(store, 5)
                backup = store.backups.create("incremental")
            backup = store.backups.create()
        self._write(store, 20)
        store.set("agent:later", "came", self._writes)
        return backup

    def _interrupted(self, order: Order) -> bool:
        """Have a process work and kill it at a random moment; return whether it was over by then."""
        began = time.monotonic()
        pid = self._nursery.start(order)
        longest_s = self._lasts_s.get(order.what, _FIRST_GUESS_S)
        said = self._nursery.heard_within("over", self._lots.uniform(0, longest_s))
        # So that some come to their end, and most do not.
        self._lasts_s[order.what] = time.monotonic() - began if said else longest_s * _LONGER
        self._nursery.kill(pid)
        assert said in {"", "over"}, said
        return bool(said)

    # What there is afterwards

    def _look_at_restored(
        self, store: StateStore, backup: Backup, before: dict[str, Any], head: int, *, over: bool
    ) -> None:
        told = list(store.log(since=head, types=["backup.restored"]))
        held, asked = contents(store), contents(store, backup.position)
        assert held == (asked if told else before)
        assert told or not over
        self.figures.done["restore"] += bool(told) and not over

    def _look_at_new(self, order: Order, backup: Backup, *, over: bool) -> None:
        self._settle()
        there = self._new_exists()
        assert there or not over
        if there:
            self._assert_whole(order, backup, may_be_empty=order.what == "sow" and not over)
            self.figures.done[order.what] += not over
        if not over:
            with self._opened() as store:
                if there and self._new_position():
                    with pytest.raises(BackupError):
                        self._again(store, order)
                else:
                    self._again(store, order)
            self._assert_whole(order, backup)
        self._remove_new()

    def _again(self, store: StateStore, order: Order) -> None:
        """Ask for the same new store once more."""
        if order.what == "renew":
            backstory.restore(order.backup, order.new)
        elif order.what == "sow":
            store.backups.restore(order.backup, scope="agent:*", into=order.new)
        else:
            store.backups.restore(order.backup, into=order.new)

    def _assert_whole(self, order: Order, backup: Backup, *, may_be_empty: bool = False) -> None:
        with self._opened() as store:
            asked = contents(store, backup.position)
            hashes = [event.hash for event in store.log(until=backup.position)] if order.what != "sow" else []
        with backstory.open(self._new) as new:
            assert new.verify().ok
            if may_be_empty and not new.position():
                return
            if order.what == "sow":
                asked = {scope: items for scope, items in asked.items() if scope.startswith("agent:")}
            else:
                assert hashes == [event.hash for event in new.log()]
            assert asked == contents(new)

    def _look_at_backups(self, store: StateStore, work: str) -> None:
        """Assert that all that is listed is whole, and that work of the same kind can be done now."""
        listed = store.backups.list()
        assert () == store.backups.usage().unreadable
        if work in {"full", "incremental", "prune"}:
            for each in listed:
                report = store.backups.validate(each.id, trial_restore=each is listed[0])
                assert report.is_valid, report
        if work in {"full", "incremental"}:
            made = {event.stream.rsplit(":", 1)[1] for event in store.log(types=["backup.created"])}
            assert made <= {each.id for each in listed} | self._given_up(store)
            again = store.backups.create("incremental")
            assert store.backups.validate(again.id, trial_restore=False).is_valid
        kept = {each.id for each in store.backups.prune(POLICY).kept}
        assert kept == {each.id for each in store.backups.list()}
        assert kept == set(_chain(store)), "the newest, and what it builds on"
        assert () == store.backups.usage().missing

    @staticmethod
    def _given_up(store: StateStore) -> set[str]:
        return {event.stream.rsplit(":", 1)[1] for event in store.log(types=["backup.pruned"])}

    # The place for new stores

    @property
    def _path(self) -> Path | None:
        return Path(self._new.removeprefix("sqlite:///")) if self._new.startswith("sqlite") else None

    def _settle(self) -> None:
        """Wait until a server has done with what a killed client asked for."""
        if self._path is not None:
            return
        deadline = time.monotonic() + ENDS_WITHIN_S
        others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        with psycopg.connect(self._new, autocommit=True) as session:
            while session.execute(others).fetchone() != (0,):
                assert time.monotonic() < deadline

    def _new_exists(self) -> bool:
        if self._path is not None:
            return self._path.exists()
        with psycopg.connect(self._new) as session:
            return session.execute("SELECT to_regclass(%s)", [f"{_SCHEMA}.events"]).fetchone() != (None,)

    def _new_position(self) -> int:
        with backstory.open(self._new) as new:
            return new.position()

    def _remove_new(self) -> None:
        if self._path is not None:
            for file in self._path.parent.glob(f"*{self._path.name}*"):
                assert file.name.startswith((self._path.name, f".{self._path.name}"))
                file.unlink()
            return
        with psycopg.connect(self._new) as session:
            session.execute(f"DROP SCHEMA IF EXISTS {_SCHEMA} CASCADE")


def _chain(store: StateStore) -> Iterator[str]:
    """Yield the ids of the newest backup, and of those that it builds on."""
    listed = {each.id: each for each in store.backups.list()}
    at: str | None = next(iter(listed))
    while at is not None:
        yield at
        at = listed[at].parent_id
