"""Work of many kinds on few keys, so that writers conflict; each worker keeps a ledger of what it was told.

`python -m tests.support.mixed_work URL NAME THREADS ROUNDS` says `ready`, waits for a line, works,
and prints the ledger as JSON.
"""

from __future__ import annotations

import json
import random
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid5

import backstory
from backstory import MISSING, ConflictError, Event, Scope
from tests.support.awaited import awaited, run_blocking

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from backstory import RecordedEvent, StateStore

COUNTERS: Final = Scope.custom("counters")
SCRATCH: Final = Scope.custom("scratch")
ORDERS: Final = Scope.workflow("orders")
SHARED: Final = Scope.session("shared")
TRANSFERS: Final = Scope.session("transfers")
LOCK: Final = Scope.tool("lock")
ACCOUNTS: Final = tuple(Scope.agent(f"account-{number}") for number in range(4))
PLAIN: Final = tuple(Scope.user(f"user-{number}") for number in range(3))
KEYS: Final = ("a", "b", "c")
IDS: Final = UUID("6ba7b814-9dad-11d1-80b4-00c04fd430c8")
SHARED_IDS: Final = 60
TRANSFER_EVENTS: Final = 3


@dataclass
class Ledger:
    """What a worker was told. A marker is a text that one write alone carries."""

    written: dict[str, list[tuple[str, int, str, int]]] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    increments: list[tuple[int, int]] = field(default_factory=list)
    updates: int = 0
    deleted: int = 0
    cleared: int = 0
    swapped: list[str] = field(default_factory=list)
    firsts: list[str] = field(default_factory=list)
    shared: list[tuple[str, int, str]] = field(default_factory=list)

    def keep(self, marker: str, events: Iterable[RecordedEvent]) -> None:
        """Note an acknowledged write."""
        self.written[marker] = [(event.event_id.hex, event.position, event.stream, event.version) for event in events]

    def add(self, other: Ledger) -> None:
        """Take another worker's notes in."""
        self.written.update(other.written)
        for name in ("refused", "increments", "swapped", "firsts", "shared"):
            getattr(self, name).extend(getattr(other, name))
        self.updates += other.updates
        self.deleted += other.deleted
        self.cleared += other.cleared


def loaded(text: str) -> Ledger:
    """Return a ledger from its JSON."""
    return Ledger(**json.loads(text))


class Worker:
    """One thread or task at work on a store (in the asynchronous face's shape)."""

    def __init__(self, store: Any, name: str) -> None:
        self._store = store
        self._name = name
        self._random = random.Random(name)  # noqa: S311 - a repeatable choice, no secret
        self._count = 0
        self._orders = 0
        self.ledger = Ledger()

    async def work(self, rounds: int) -> Ledger:
        """Do so many writes of all kinds."""
        kinds: list[Callable[[str], Awaitable[None]]] = [
            self._set,
            self._set_expecting,
            self._increment,
            self._update,
            self._swap,
            self._first,
            self._delete,
            self._transfer,
            self._transfer,
            self._append_expecting,
            self._append_shared,
            self._clear,
        ]
        for _ in range(rounds):
            self._count += 1
            await self._random.choice(kinds)(f"{self._name}.{self._count}")
        return self.ledger

    async def _set(self, marker: str) -> None:
        event = await self._store.set(self._random.choice(PLAIN), self._random.choice(KEYS), {"by": marker})
        self.ledger.keep(marker, [event])

    async def _set_expecting(self, marker: str) -> None:
        scope, key = self._random.choice(PLAIN), self._random.choice(KEYS)
        history = await self._store.history(scope, key)
        version = history[-1].version if history else backstory.EMPTY
        try:
            event = await self._store.set(scope, key, {"by": marker}, expected_key_version=version)
        except ConflictError:
            self.ledger.refused.append(marker)
        else:
            self.ledger.keep(marker, [event])

    async def _increment(self, marker: str) -> None:
        del marker
        by = self._random.randint(1, 9)
        self.ledger.increments.append((by, await self._store.increment(COUNTERS, "sum", by)))

    async def _update(self, marker: str) -> None:
        del marker
        await self._store.update(COUNTERS, "updates", lambda count: count + 1, default=0)
        self.ledger.updates += 1

    async def _swap(self, marker: str) -> None:
        held = await self._store.get(LOCK, "holder", MISSING)
        if await self._store.compare_and_swap(LOCK, "holder", held, {"by": marker}):
            self.ledger.swapped.append(marker)
        else:
            self.ledger.refused.append(marker)

    async def _first(self, marker: str) -> None:
        if await self._store.set_if_absent(LOCK, f"first/{self._count}", {"by": marker}):
            self.ledger.firsts.append(marker)
        else:
            self.ledger.refused.append(marker)

    async def _delete(self, marker: str) -> None:
        del marker
        self.ledger.deleted += await self._store.delete(self._random.choice(PLAIN), self._random.choice(KEYS))

    async def _transfer(self, marker: str) -> None:
        source, target = self._random.sample(ACCOUNTS, 2)
        try:
            async with self._store.transaction() as tx:
                had, has = await tx.get(source, "balance", {"units": 0}), await tx.get(target, "balance", {"units": 0})
                taken = await tx.set(source, "balance", {"units": had["units"] - 1, "by": marker})
                given = await tx.set(target, "balance", {"units": has["units"] + 1, "by": marker})
                noted = await tx.append(TRANSFERS, Event("transfer.made", {"by": marker}))
        except ConflictError:
            self.ledger.refused.append(marker)
        else:
            self.ledger.keep(marker, [taken, given, *noted])

    async def _append_expecting(self, marker: str) -> None:
        events = [Event("order.placed", {"by": marker}), Event("order.paid", {"by": marker})]
        try:
            recorded = await self._store.append(ORDERS, events, expected_version=self._orders)
        except ConflictError as error:
            assert type(error.actual) is int  # noqa: PT017 - a conflict may come or not
            self._orders = error.actual
            self.ledger.refused.append(marker)
        else:
            self._orders = recorded[-1].version
            self.ledger.keep(marker, recorded)

    async def _append_shared(self, marker: str) -> None:
        wanted = uuid5(IDS, str(self._random.randrange(SHARED_IDS)))
        [event] = await self._store.append(SHARED, Event("shared.noted", {"by": marker}, event_id=wanted))
        self.ledger.shared.append((event.event_id.hex, event.position, event.data["by"]))

    async def _clear(self, marker: str) -> None:
        events = await self._store.set_many(SCRATCH, {key: {"by": f"{marker}.{key}"} for key in KEYS})
        for key, event in zip(KEYS, events, strict=True):
            self.ledger.keep(f"{marker}.{key}", [event])
        self.ledger.cleared += await self._store.clear(SCRATCH)


def work_in_threads(store: StateStore, name: str, *, threads: int, rounds: int) -> Ledger:
    """Let so many threads work on one store, and return what all of them were told."""
    ledger = Ledger()
    with ThreadPoolExecutor(threads) as pool:
        workers = [Worker(awaited(store), f"{name}.{number}") for number in range(threads)]
        for done in pool.map(lambda worker: run_blocking(worker.work(rounds)), workers):
            ledger.add(done)
    return ledger


def main(url: str, name: str, threads: str, rounds: str) -> None:
    """Work as one of several processes."""
    with backstory.open(url) as store:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()
        ledger = work_in_threads(store, name, threads=int(threads), rounds=int(rounds))
    json.dump(asdict(ledger), sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
