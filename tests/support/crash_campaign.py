"""A campaign of kills: a writer works on a store, is killed at a random moment, and the store must be whole.

`python -m tests.support.crash_campaign KILLS [postgres]` runs one and prints its figures.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Final

import backstory
from backstory import Event, Scope
from backstory.testing.postgres import postgres
from tests.support.crash_writer import LEFT, PAIRS, RIGHT, TOTALS, Order
from tests.support.folding import assert_whole
from tests.support.processes import Lines, children, told

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from backstory import RecordedEvent, StateStore
    from tests.support.processes import Child

AFTERWARDS: Final = Scope.custom("afterwards")
PAIR_EVENTS: Final = 3
KILLS_A_STORE: Final = 25
_MOST_ACKS: Final = 60
_LONGEST_PAUSE_S: Final = 0.004
_LONGEST_OPENING_S: Final = 0.03
_MOST_WRITES: Final = 40


@dataclass
class Figures:
    """What a campaign did."""

    kills: int = 0
    acknowledged: int = 0
    recoveries: int = 0
    closed_in_time: int = 0
    unacknowledged: int = 0
    events: int = 0


@dataclass
class Told:
    """What one writer said before it was killed."""

    ids: list[str] = field(default_factory=list)
    pair: int = 0
    total: int = 0
    acks: int = 0
    closing: bool = False
    closed: bool = False

    def take(self, line: str) -> None:
        """Note one line."""
        word, *rest = line.split(" ")
        if word == "ack":
            kind, number, ids = rest
            self.acks += 1
            self.ids.extend(filter(None, ids.split(",")))
            if kind == "pair":
                self.pair = max(self.pair, int(number))
            elif kind == "total":
                self.total = max(self.total, int(number))
        self.closing |= word == "closing"
        self.closed |= word == "closed"


class Campaign:
    """Kills on one store after another, with writers from one nursery (`tests.support.crash_writer`)."""

    def __init__(self, nursery: Child, seed: int, *, hasty: bool = False) -> None:
        self._nursery = nursery
        self._lines = Lines(nursery)
        self._lots = random.Random(seed)  # noqa: S311 - a repeatable choice, no secret
        self._hasty = hasty
        self.figures = Figures()

    def run(self, url: str, kills: int, *, recovers: bool) -> Figures:
        """Kill writers of one store, and check it after each; `recovers`: the engine says what a kill left."""
        acknowledged: set[str] = set()
        head = 0
        for _ in range(kills):
            told_us = self._kill(url)
            acknowledged.update(told_us.ids)
            with backstory.open(url) as store:
                if recovers:
                    self._assert_recovery(store, told_us, head)
                else:
                    # The server may still be at the last commit: who writes next has waited for it.
                    store.append(AFTERWARDS, Event("writer.killed"))
                log = assert_whole(store)
                assert_kept(store, log, acknowledged, told_us)
            with backstory.open(url) as store:
                assert store.recovery is None
            self._count(told_us, len(log) - head)
            head = len(log)
        return self.figures

    def _kill(self, url: str) -> Told:
        """Start a writer, let it work for a while, kill it, and return what it said."""
        order = Order(url, self._lots.getrandbits(32), self._writes(), hasty=self._hasty)
        told(self._nursery, json.dumps(asdict(order)))
        started = self._lines.next()
        assert started is not None
        assert started.startswith("started ")
        said = Told()
        self._listen(said)
        os.kill(int(started.split(" ")[1]), signal.SIGKILL)
        told(self._nursery, "reap")
        while (line := self._lines.next()) is not None and not line.startswith("ended "):
            said.take(line)
        assert line in {f"ended {signal.SIGKILL.value}", "ended 0"}, line
        return said

    def _writes(self) -> int:
        """Return how much a writer does before it closes: often it is killed before, sometimes while it closes."""
        return self._lots.choice((self._lots.randrange(_MOST_WRITES), 10**9, 10**9))

    def _listen(self, said: Told) -> None:
        """Hear a random number of acknowledgements, then whatever comes within a random moment."""
        wanted = self._lots.choice((0, *(self._lots.randrange(_MOST_ACKS) for _ in range(4))))
        while said.acks < wanted and not said.closed:
            line = self._lines.next()
            assert line is not None
            said.take(line)
        pause = self._lots.uniform(0, _LONGEST_PAUSE_S if wanted else _LONGEST_OPENING_S)
        until = time.monotonic() + pause
        while (left := until - time.monotonic()) > 0 and (line := self._lines.next(left)) is not None:
            said.take(line)

    def _assert_recovery(self, store: StateStore, said: Told, head: int) -> None:
        recovery = store.recovery
        if said.closed:
            assert recovery is None
        if recovery is None:
            assert said.closing or not said.acks
            return
        self.figures.recoveries += 1
        assert (1, head, store.position()) == (recovery.writers, recovery.since, recovery.head)
        assert "ended without closing the store" in recovery.message
        assert f"the {recovery.head - head} events since position {head} were checked" in recovery.message

    def _count(self, said: Told, events: int) -> None:
        self.figures.kills += not said.closed
        self.figures.acknowledged += said.acks
        self.figures.closed_in_time += said.closed
        self.figures.events += events
        self.figures.unacknowledged += not said.acks


def assert_kept(store: StateStore, log: list[RecordedEvent], acknowledged: set[str], said: Told) -> None:
    """Assert that a log holds all that was acknowledged, and no transaction in part."""
    assert acknowledged - {event.event_id.hex for event in log} == set()
    left, right, total = store.get(LEFT, "n", 0), store.get(RIGHT, "n", 0), store.get(TOTALS, "sum", 0)
    assert left == right
    assert said.pair <= left
    assert said.total <= total
    assert total == sum(event.stream == str(TOTALS) for event in log)
    pairs = [index for index, event in enumerate(log) if event.type == "pair.written"]
    assert list(range(1, left + 1)) == [log[index].data for index in pairs]
    for index in pairs:
        group = log[index - PAIR_EVENTS + 1 : index + 1]
        assert [str(LEFT), str(RIGHT), str(PAIRS)] == [event.stream for event in group]
        assert {log[index].data} == {event.data["value"] for event in group[:-1]}


def campaign(
    urls: Iterator[str], kills: int, *, seed: int, progress: Callable[[Figures], None] | None = None
) -> Figures:
    """Kill so many writers, 25 on each store, and return what was seen; `progress` is told after each store."""
    with children() as started:
        running = Campaign(started.start("tests.support.crash_writer"), seed)
        while running.figures.kills < kills:
            url = next(urls)
            part = min(KILLS_A_STORE, kills - running.figures.kills)
            running.run(url, part, recovers=url.startswith("sqlite"))
            if progress is not None:
                progress(running.figures)
    return running.figures


def _files() -> Generator[str, None, None]:
    while True:
        with tempfile.TemporaryDirectory() as folder:
            yield f"sqlite:///{folder}/store.db"


def _databases() -> Generator[str, None, None]:
    with postgres() as server:
        while True:
            with server.database() as url:
                yield url


def main(kills: str, engine: str = "sqlite") -> None:
    """Run a campaign and print its figures."""
    urls = _databases() if engine == "postgres" else _files()
    with ExitStack() as stack:
        stack.callback(urls.close)
        seed = random.SystemRandom().getrandbits(32)
        began = time.monotonic()
        figures = campaign(urls, int(kills), seed=seed, progress=lambda so_far: _say(f"{so_far.kills} kills"))
        _say(f"{engine}, seed {seed}, {time.monotonic() - began:.0f} s: {figures}")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
