"""Writers of documents that do not know of any migration: in threads, in tasks, and `python -m` in other processes.

What each was told it notes in a ledger, by which the store is held to account afterwards.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import threading
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import backstory
from backstory import ConflictError, SchemaError
from tests.support.awaited import awaited, run_blocking
from tests.support.crash_writer import say
from tests.support.migrating import HOME, fill, key, new, old, plus_one
from tests.support.processes import ENDS_WITHIN_S, Lines, children, told

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SHARED: Final = 12
OWN: Final = 3
STILL: Final = 4
CREW: Final = 8
PROCESSES: Final = 2


@dataclass
class Ledger:
    """What writers were told: how often a shared document was raised, what is left of own ones, and where.

    `accepted` holds positions of what was written in a form, `refused` the head before and after a refusal.
    """

    raised: Counter[str] = field(default_factory=Counter)
    own: dict[str, Any] = field(default_factory=dict)
    accepted: dict[str, list[int]] = field(default_factory=lambda: {"old": [], "new": []})
    refused: dict[str, list[tuple[int, int]]] = field(
        default_factory=lambda: {"old": [], "new": [], "neither": [], "raise": []}
    )
    done: int = 0

    def add(self, other: Ledger) -> None:
        """Take in what another one holds."""
        self.raised.update(other.raised)
        self.own.update(other.own)
        for kind, positions in other.accepted.items():
            self.accepted[kind] += positions
        for kind, heads in other.refused.items():
            self.refused[kind] += heads
        self.done += other.done


def stock(store: Any) -> dict[str, Any]:
    """Store the documents that writers share, those that each has of its own, and some that nobody writes to."""
    values = fill(store, SHARED)
    own = {own_key(writer, number): old(0) for writer in range(CREW) for number in range(OWN)}
    still = {f"doc/y{number}": old(number) for number in range(STILL)}
    store.set_many(HOME, own | still)
    return values | own | still


def own_key(writer: int, number: int) -> str:
    """Return the key of a writer's own document."""
    return f"doc/w{writer}-{number}"


async def write_one(store: Any, ledger: Ledger, writer: int, lots: random.Random) -> None:
    """Do one thing, and note what comes of it."""
    kind = lots.choice(("raise", "raise", "pair", "old", "old", "new", "new", "neither", "delete"))
    before = await store.position()
    try:
        if kind == "raise":
            at = key(lots.randrange(SHARED))
            await store.update(HOME, at, plus_one)
            ledger.raised[at] += 1
        elif kind == "pair":
            await _raise_pair(store, ledger, lots.sample(range(SHARED), 2))
        elif kind == "delete":
            at = own_key(writer, lots.randrange(OWN))
            await store.delete(HOME, at)
            ledger.own[at] = None
        else:
            at, number = own_key(writer, lots.randrange(OWN)), lots.randrange(1000)
            value = {"old": old(number), "new": new(number), "neither": {"x": number}}[kind]
            event = await store.set(HOME, at, value)
            ledger.accepted[kind].append(event.position)
            ledger.own[at] = number
    except SchemaError:
        ledger.refused["raise" if kind == "pair" else kind].append((before, await store.position()))
    ledger.done += 1


async def _raise_pair(store: Any, ledger: Ledger, numbers: list[int]) -> None:
    places = [key(number) for number in numbers]
    try:
        async with store.transaction() as tx:
            for at in places:
                await tx.set(HOME, at, plus_one(await tx.get(HOME, at)))
    except ConflictError:
        return
    ledger.raised.update(places)


class Threads:
    """Writers in threads, from when they are made until `end`."""

    def __init__(self, store: Any) -> None:
        self.ledgers = [Ledger() for _ in range(CREW)]
        self._moved = threading.Condition()
        self._over = False
        self._errors: list[BaseException] = []
        self._threads = [threading.Thread(target=self._write, args=(store, number)) for number in range(CREW)]
        for thread in self._threads:
            thread.start()

    def _write(self, store: Any, number: int) -> None:
        lots = random.Random(number)  # noqa: S311 - a repeatable choice, no secret
        try:
            while not self._over:
                run_blocking(write_one(awaited(store), self.ledgers[number], number, lots))
                with self._moved:
                    self._moved.notify_all()
        except BaseException as error:
            self._errors.append(error)
            raise

    def await_more(self, *_: object) -> None:
        """Wait until each writer has done something more."""
        before = [ledger.done for ledger in self.ledgers]

        def moved() -> bool:
            return bool(self._errors) or all(
                ledger.done > done for ledger, done in zip(self.ledgers, before, strict=True)
            )

        with self._moved:
            assert self._moved.wait_for(moved, ENDS_WITHIN_S)

    def end(self) -> Ledger:
        """Let them end; return what they were told."""
        self._over = True
        for thread in self._threads:
            thread.join()
        assert self._errors == []
        return total(self.ledgers)


class Processes:
    """Writers in other processes."""

    def __init__(self, url: str, start: Callable[..., Any]) -> None:
        self._children = [start("tests.support.document_writers", url, number) for number in range(PROCESSES)]
        self._lines = [Lines(child) for child in self._children]

    def await_more(self, *_: object) -> None:
        """Wait until each writer has done something more since it was last asked."""
        for child, lines in zip(self._children, self._lines, strict=True):
            told(child, "more")
            assert lines.next() == "done"

    def end(self) -> Ledger:
        """Let them end; return what they were told."""
        found = []
        for child, lines in zip(self._children, self._lines, strict=True):
            told(child, "end")
            said = json.loads(lines.next() or "")
            found.append(Ledger(**{**said, "raised": Counter(said["raised"])}))
        return total(found)


def total(ledgers: list[Ledger]) -> Ledger:
    """Return all that ledgers hold."""
    found = Ledger()
    for ledger in ledgers:
        found.add(ledger)
    return found


@contextmanager
def crew(kind: str, store: Any, url: str) -> Iterator[Threads | Processes]:
    """Give writers that are at work; on the way out they are ended."""
    if kind == "threads":
        working = Threads(store)
        try:
            yield working
        finally:
            working.end()
        return
    with children() as started:
        yield Processes(url, started.start)


async def tasks(store: Any, work: Any) -> tuple[Any, Ledger]:
    """Do work on a loop among writers in tasks; return what came of it, and what they were told."""
    ledgers = [Ledger() for _ in range(CREW)]
    over = asyncio.Event()

    async def write(number: int) -> None:
        lots = random.Random(number)  # noqa: S311 - a repeatable choice, no secret
        while not over.is_set():
            await write_one(_Positioned(store), ledgers[number], number, lots)

    writing = [asyncio.create_task(write(number)) for number in range(CREW)]
    try:
        found = await work
    finally:
        over.set()
        await asyncio.gather(*writing)
    return found, total(ledgers)


class _Positioned:
    """An asyncio store, but that every call yields to the loop, whatever the engine."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def position(self) -> int:
        await asyncio.sleep(0)
        found: int = await self._store.position()
        return found


def main(url: str, number: str) -> None:
    """Write until told to end; say `done` for each `more`, after something more was done."""
    ledger, asked, over = Ledger(), threading.Semaphore(0), threading.Event()
    threading.Thread(target=_listen, args=(asked, over), daemon=True).start()
    lots = random.Random(int(number))  # noqa: S311 - a repeatable choice, no secret
    with backstory.open(url) as store:
        while not over.is_set():
            wanted = asked.acquire(blocking=False)
            run_blocking(write_one(awaited(store), ledger, int(number), lots))
            if wanted:
                say("done")
    say(json.dumps(vars(ledger)))


def _listen(asked: threading.Semaphore, over: threading.Event) -> None:
    for line in sys.stdin:
        if line == "end\n":
            over.set()
        else:
            asked.release()


if __name__ == "__main__":
    main(*sys.argv[1:])
