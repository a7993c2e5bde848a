"""A PostgreSQL server that is lost amid commits: every answer is true, and nothing is written twice."""

from __future__ import annotations

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import psycopg
import pytest

import backstory
from backstory.testing.postgres import PostgresServer, postgres
from tests.support.cutting_proxy import cutting_proxy
from tests.support.fault_ledger import WRITES, FaultLedger, write_pair

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from backstory import StateStore
    from backstory.testing.postgres import Cluster
    from tests.support.cutting_proxy import Cut, Proxy

pytestmark = pytest.mark.postgres

THREADS = 4
PATIENT: Final[dict[str, Any]] = {"reconnect_timeout_s": 60.0}
IMPATIENT: Final[dict[str, Any]] = {"reconnect_timeout_s": 0.05}


@pytest.fixture(scope="module")
def own_server() -> Iterator[PostgresServer]:
    """A server of this module's own, that may be killed."""
    with postgres(source="any") as server:
        if server.cluster is None:
            with postgres(source="wheel") as ours:
                yield ours
        else:
            yield server


@pytest.fixture
def url(own_server: PostgresServer) -> Iterator[str]:
    with own_server.database() as url:
        yield url


def cluster_of(server: PostgresServer) -> Cluster:
    assert server.cluster is not None
    return server.cluster


def disturb(store: StateStore, disturbance: Callable[[], object], *, times: int) -> FaultLedger:
    """Write from threads while the server is disturbed again and again, each time after some more writes."""
    ledgers = [FaultLedger() for _ in range(THREADS)]
    progress = threading.Semaphore(0)
    done = threading.Event()

    def work(ledger: FaultLedger) -> None:
        while not done.is_set():
            for write in WRITES:
                with suppress(backstory.ConflictError):
                    ledger.write(store, write)
                progress.release()

    with ThreadPoolExecutor(THREADS) as pool:
        working = [pool.submit(work, ledger) for ledger in ledgers]
        try:
            for number in range(times):
                for _ in range(5 + 3 * number):
                    progress.acquire()
                disturbance()
        finally:
            done.set()
        for one in working:
            one.result()
    whole = FaultLedger()
    for ledger in ledgers:
        whole.add(ledger)
    return whole


def others(url: str) -> list[int]:
    """Return the ids of the server's processes that serve others in this database, once it takes connections."""
    while True:
        with suppress(psycopg.OperationalError), psycopg.connect(url, autocommit=True) as connection:
            rows = connection.execute(
                "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            return [pid for (pid,) in rows]


def terminate_all(url: str) -> None:
    """Cut everybody else off, as an administrator does."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
            "AND pid <> pg_backend_pid()"
        )


def test_writers_go_on_when_their_connections_are_terminated(url: str) -> None:
    with backstory.open(url, **PATIENT) as store:
        ledger = disturb(store, lambda: terminate_all(url), times=12)
        assert ledger.failed == 0
        ledger.assert_true(store)


def test_writers_go_on_when_the_server_crashes_and_comes_back(url: str, own_server: PostgresServer) -> None:
    def crash() -> None:
        cluster = cluster_of(own_server)
        cluster.crash()
        cluster.start()

    with backstory.open(url, **PATIENT) as store:
        ledger = disturb(store, crash, times=4)
        assert ledger.failed == 0
        ledger.assert_true(store)


def test_writers_go_on_when_a_server_process_is_killed(url: str) -> None:
    def kill_one() -> None:
        for pid in others(url)[:1]:
            os.kill(pid, signal.SIGKILL)

    with backstory.open(url, **PATIENT) as store:
        ledger = disturb(store, kill_one, times=4)
        assert ledger.failed == 0
        ledger.assert_true(store)


@pytest.fixture(scope="module")
def proxy(own_server: PostgresServer) -> Iterator[Proxy]:
    with cutting_proxy("127.0.0.1", cluster_of(own_server).port) as proxy:
        yield proxy


@pytest.fixture(autouse=True)
def healed(proxy: Proxy) -> None:
    """Let no test meet another's cut."""
    proxy.heal()


def proxied(own_server: PostgresServer, url: str, proxy: Proxy) -> str:
    """Return the way to a database that leads through the proxy."""
    parts = urlsplit(own_server.url_of(urlsplit(url).path[1:], loopback=True))
    return parts._replace(
        netloc=parts.netloc.replace(f":{parts.port}", f":{proxy.port}"), query="sslmode=disable&gssencmode=disable"
    ).geturl()


@pytest.mark.parametrize("what", ["request", "answer"])
def test_a_connection_cut_at_any_round_is_made_anew_and_nothing_is_written_twice(
    own_server: PostgresServer, url: str, proxy: Proxy, what: Cut
) -> None:
    way = proxied(own_server, url, proxy)
    ledger = FaultLedger()
    for number in count(1):
        before = proxy.cuts
        with backstory.open(way, **PATIENT) as store:
            proxy.cut_at(number, what)
            for write in WRITES:
                assert ledger.write(store, write) is None
        if proxy.cuts == before:
            break
    assert number > len(WRITES)
    with backstory.open(url) as store:
        ledger.assert_true(store)


async def test_the_asynchronous_face_makes_a_cut_connection_anew_too(
    own_server: PostgresServer, url: str, proxy: Proxy
) -> None:
    way = proxied(own_server, url, proxy)
    ledger = FaultLedger()
    for what in cuts():
        for number in count(1):
            proxy.heal()
            before = proxy.cuts
            async with backstory.open_async(way, **PATIENT) as store:
                proxy.cut_at(number, what)
                for write in WRITES:
                    assert await ledger.write_async(store, write) is None
            if proxy.cuts == before:
                break
    with backstory.open(url) as store:
        ledger.assert_true(store)


def cuts() -> tuple[Cut, Cut]:
    return "request", "answer"


@pytest.mark.parametrize("what", ["request", "answer"])
def test_a_server_that_stays_away_is_answered_with_the_truth(
    own_server: PostgresServer, url: str, proxy: Proxy, what: Cut, pytestconfig: pytest.Config
) -> None:
    way = proxied(own_server, url, proxy)
    ledger = FaultLedger()
    wanted: set[str] = {"not_written", "unknown"}
    outcomes: set[str] = set()
    number, sparse = 0, 1 if pytestconfig.getoption("--long") else 4
    while True:
        number += sparse if outcomes >= wanted else 1  # every round, until each answer was heard
        before = proxy.cuts
        with backstory.open(way, **IMPATIENT) as store:
            proxy.cut_at(number, what, stay_away=True)
            for write in WRITES:
                error = ledger.write(store, write)
                if error is not None:
                    outcomes.add(error.outcome)
                    error = ledger.write(store, write)
                    assert error is not None
                    assert error.outcome != "unknown"
                    proxy.heal()
            proxy.heal()
            while ledger.write(store, write_pair) is not None:
                pass  # impatient as it is, it may ask before its connections are made anew
            for write in WRITES:
                assert ledger.write(store, write) is None
        if proxy.cuts == before:
            break
    assert outcomes >= wanted
    with backstory.open(url) as store:
        ledger.assert_true(store)
