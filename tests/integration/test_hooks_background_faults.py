"""The store is away while hooks run behind commits: recording is tried again, once and in order, and nobody lies."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import pytest

import backstory
from backstory import StoreUnavailableError
from backstory.domain.errors import HookError, InvalidValueError
from backstory.domain.hooks import HookResult
from backstory.testing.postgres import PostgresServer, postgres
from tests.support.background import HOME, PATIENCE_S, WRITES, Gate, after_of, engine_of, executions, marks_of
from tests.support.cutting_proxy import cutting_proxy
from tests.support.faulty_vfs import Fault, faulty_vfs
from tests.support.on_a_loop import FACES, opened

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

COUNT: Final = 6


@pytest.fixture(params=FACES)
def face(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def store(face: str, store_url: str) -> Iterator[Any]:
    with opened(face, store_url) as store:
        yield store


class Trouble:
    """Makes commits that record runs fail, so many times: before they are made, or told of after.

    `not_written`: not made, and known to be so. `unknown`: not made, and nobody knows. `made`: made, and nobody
    knows.
    """

    def __init__(self, store: Any, how: str, times: int, *, types: str = "hook.e") -> None:
        self.how = how
        self.types = types
        self.left = times
        self.struck = 0
        engine = engine_of(store)
        self._commit, self._commit_async = engine.commit, engine.commit_async
        engine.commit, engine.commit_async = self.commit, self.commit_async

    def _strikes(self, commits: Sequence[Any]) -> bool:
        if not self.left or not any(draft.type.startswith(self.types) for each in commits for draft in each.drafts):
            return False
        self.left -= 1
        self.struck += 1
        return True

    def _error(self) -> StoreUnavailableError:
        return StoreUnavailableError(
            "away, as the test wants it", outcome="not_written" if self.how == "not_written" else "unknown"
        )

    def commit(self, commits: Sequence[Any]) -> Any:
        """Commit as a blocking engine does, or fail."""
        if not self._strikes(commits):
            return self._commit(commits)
        if self.how == "made":
            self._commit(commits)
        raise self._error()

    async def commit_async(self, commits: Sequence[Any]) -> Any:
        """Commit as an asyncio engine does, or fail."""
        if not self._strikes(commits):
            return await self._commit_async(commits)
        if self.how == "made":
            await self._commit_async(commits)
        raise self._error()


HOWS: Final = ("not_written", "unknown", "made")


@pytest.mark.parametrize("how", HOWS)
def test_what_cannot_be_recorded_is_tried_again_and_is_there_once_and_in_order(store: Any, how: str) -> None:
    gate = Gate()
    store.hooks.register(WRITES, gate, name="gate")
    trial = store.fork("trial")
    ids = []
    for number in range(COUNT):
        ids.append(store.set(HOME, f"k{number}", number).event_id)
        trial.set(HOME, f"k{number}", number)
    trouble = Trouble(store, how, 3)
    gate.open.set()
    store.hooks.flush(PATIENCE_S)
    assert trouble.struck > 1 if how == "made" else trouble.struck == 3
    assert ids == [run.operation_id for run in executions(store)]
    assert COUNT == len(list(trial.log(scope="hook:gate", types="hook.executed")))
    assert len(gate.keys) == 2 * COUNT, "a hook ran again"
    (mark,) = marks_of(store).values()
    assert mark >= next(iter(store.log(scope=HOME, reverse=True))).position
    assert after_of(store).outstanding.count == 0


@pytest.mark.parametrize("how", HOWS)
def test_what_hooks_want_done_beside_is_done_once_whatever_was_told(store: Any, how: str) -> None:
    gate = Gate()

    def forks(run: Any) -> HookResult:
        gate(run)
        return HookResult.fork([("set", "custom:beside", run.key, run.after)])

    store.hooks.register(WRITES, forks, name="forks", scope=HOME)
    for number in range(COUNT):
        store.set(HOME, f"k{number}", number)
    trouble = Trouble(store, how, 3)
    gate.open.set()
    store.hooks.flush(PATIENCE_S)
    assert trouble.struck == 3
    assert list(range(COUNT)) == [run.event.data["input"]["after"] for run in executions(store)]
    assert [f"k{number}" for number in range(COUNT)] == [event.key for event in store.log(scope="custom:beside")]


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("forks", [False, True])
def test_a_foreground_hook_whose_run_cannot_be_recorded_does_not_make_the_write_look_failed(
    store: Any, how: str, forks: bool
) -> None:
    ran: list[str] = []

    def hook(run: Any) -> HookResult | None:
        ran.append(run.key)
        return HookResult.fork([("set", "custom:beside", run.key, 1)]) if forks else None

    store.hooks.register(WRITES, hook, name="now", background=False, scope=HOME)
    trouble = Trouble(store, how, 2)
    written = [store.set(HOME, f"k{number}", number).event_id for number in range(3)]
    store.hooks.flush(PATIENCE_S)
    assert trouble.struck == 2
    assert ran == ["k0", "k1", "k2"]
    assert set(written) == {run.operation_id for run in executions(store)}
    assert len(executions(store)) == 3
    assert len(list(store.log(scope="custom:beside"))) == 3 * forks


@pytest.mark.parametrize("background", [True, False])
def test_a_write_that_cannot_be_read_back_for_its_hooks_has_them_run_later(store: Any, background: bool) -> None:
    ran: list[Any] = []
    store.hooks.register(WRITES, lambda run: ran.append((run.key, run.before)), name="note", background=background)
    store.set(HOME, "k", 1)
    store.hooks.flush(PATIENCE_S)
    engine = engine_of(store)
    key_head, left = engine.key_head, [2]

    def away(*args: Any) -> Any:
        if left[0]:
            left[0] -= 1
            raise StoreUnavailableError("away, as the test wants it")
        return key_head(*args)

    engine.key_head = away
    store.set(HOME, "k", 2)
    store.hooks.flush(PATIENCE_S)
    assert left == [0]
    assert [("k", backstory.MISSING), ("k", 1)] == ran
    assert after_of(store).outstanding.count == 0


def test_what_can_never_be_done_is_told_to_who_flushes_and_holds_nobody_up(store: Any) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise InvalidValueError("value", rule="is refused, as the test wants it")

    gate = Gate()

    def forks(run: Any) -> HookResult | None:
        gate(run)
        return HookResult.fork([("set", "custom:beside", "k", 1)]) if run.key == "k" else None

    store.hooks.register(WRITES, forks, name="forks", scope=HOME)
    store.set(HOME, "k", 1)
    store.set(HOME, "m", 1)
    planner = after_of(store).planner
    planner.join = refuse
    gate.open.set()
    with pytest.raises(HookError, match="is refused"):
        store.hooks.flush(PATIENCE_S)
    store.hooks.flush(PATIENCE_S)
    assert ["k", "m"] == [run.event.data["input"]["key"] for run in executions(store)]
    assert store.hooks.pending() == 0


@pytest.mark.parametrize("engine", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_a_store_that_cannot_record_closes_all_the_same_and_what_was_due_stays_so(
    face: str, engine: str, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue(f"{engine}_url")
    with opened(face, url, hook_batch_size=2) as store:
        gate = Gate()
        store.hooks.register(WRITES, gate, name="note")
        for number in range(COUNT):
            store.set(HOME, f"k{number}", number)
        trouble = Trouble(store, "not_written", 10**9)
        gate.open.set()
    assert trouble.struck
    ran: list[Any] = []
    with opened(face, url) as store:
        assert COUNT == store.hooks.pending()
        store.hooks.register(WRITES, lambda run: ran.append((run.key, run.redelivered)), name="note")
        store.hooks.flush(PATIENCE_S)
    assert [(f"k{number}", True) for number in range(COUNT)] == ran


def test_a_store_that_can_neither_read_closes_all_the_same(face: str, sqlite_url: str) -> None:
    with opened(face, sqlite_url) as store:
        gate = Gate()
        store.hooks.register(WRITES, gate, name="gate")
        store.set(HOME, "a", 1)
        assert gate.reached.wait(PATIENCE_S)
        store.set(HOME, "b", 1)

        def away(*_: Any) -> Any:
            raise StoreUnavailableError("away, as the test wants it")

        engine_of(store).key_head = away
        gate.open.set()
    with opened(face, sqlite_url) as store:
        assert store.hooks.pending() == 1


# Commits of which their caller heard nothing


@pytest.mark.parametrize("how", ["unknown", "made"])
def test_a_commit_that_may_have_been_made_has_its_hooks_run_if_it_was(store: Any, how: str) -> None:
    ran: list[str] = []
    store.hooks.register(WRITES, lambda run: ran.append(run.key), name="note")
    store.set(HOME, "a", 1)
    store.hooks.flush(PATIENCE_S)
    trouble = Trouble(store, how, 1, types="state.")
    with pytest.raises(StoreUnavailableError) as error:
        store.set(HOME, "b", 1)
    assert error.value.outcome == "unknown"
    assert trouble.struck == 1
    store.set(HOME, "c", 1)
    store.hooks.flush(PATIENCE_S)
    store.hooks.flush(PATIENCE_S)
    assert sorted(ran) == (["a", "b", "c"] if how == "made" else ["a", "c"])
    assert after_of(store).outstanding.idle
    (mark,) = marks_of(store).values()
    assert mark == next(iter(store.log(scope=HOME, reverse=True))).position


def test_a_write_whose_task_is_cancelled_has_its_hooks_run_all_the_same(store_url: str) -> None:
    ran: list[str] = []

    async def work() -> None:
        async with backstory.open_async(store_url) as store:
            store.hooks.register(WRITES, lambda run: ran.append(run.key), name="note")
            await store.set(HOME, "a", 1)
            committing = asyncio.Event()
            engine = engine_of(store)
            commit = engine.commit_async

            async def watched(commits: Any) -> Any:
                committing.set()
                return await commit(commits)

            engine.commit_async = watched
            writing = asyncio.create_task(store.set(HOME, "b", 1))
            await committing.wait()
            writing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await writing
            await store.hooks.flush(PATIENCE_S)
            assert await store.get(HOME, "b") == 1
            assert ran == ["a", "b"]
            assert after_of(store).outstanding.idle

    asyncio.run(work())


def test_a_doubt_is_not_cleared_up_before_those_have_come_back_who_will_see_to_their_writes(store: Any) -> None:
    ran: list[str] = []
    store.hooks.register(WRITES, lambda run: ran.append(run.key), name="note")
    store.set(HOME, "a", 1)
    store.hooks.flush(PATIENCE_S)
    outstanding = after_of(store).outstanding
    with pytest.raises(KeyboardInterrupt), outstanding.underway():
        raise KeyboardInterrupt
    with outstanding.underway():
        store.hooks.flush(PATIENCE_S)
        assert len(outstanding.doubts) == 1
    store.hooks.flush(PATIENCE_S)
    assert outstanding.idle
    assert ran == ["a"]


# Real ones


@pytest.mark.parametrize("kind", ["full", "error"])
def test_a_full_disk_holds_runs_back_until_there_is_room(face: str, tmp_path: Path, kind: str) -> None:
    gate, hit = Gate(), threading.Event()
    with faulty_vfs() as vfs, opened(face, f"sqlite:///{tmp_path / 'store.db'}", vfs=vfs.vfs_name) as store:
        store.hooks.register(WRITES, gate, name="gate")
        ids = [store.set(HOME, "k", number).event_id for number in range(COUNT)]
        assert gate.reached.wait(PATIENCE_S)
        vfs.arm(Fault("write", kind, lasting=True))
        due = vfs.due

        def watched(operation: str) -> str | None:
            found = due(operation)
            if found is not None:
                hit.set()
            return found

        vfs.due = watched  # type: ignore[method-assign]
        gate.open.set()
        assert hit.wait(PATIENCE_S)
        assert [] == executions(store)
        assert COUNT == store.hooks.pending()
        with pytest.raises(StoreUnavailableError):
            store.set(HOME, "k", "refused")
        vfs.heal()
        store.hooks.flush(PATIENCE_S)
        assert ids == [run.operation_id for run in executions(store)]
        assert store.verify().ok


@pytest.fixture(scope="module")
def own_server() -> Iterator[PostgresServer]:
    """A server that listens on loopback, so that a proxy can stand before it."""
    with postgres(source="any") as server:
        if server.cluster is None:
            with postgres(source="wheel") as ours:
                yield ours
        else:
            yield server


@contextmanager
def proxied(server: PostgresServer) -> Iterator[tuple[Any, str]]:
    """Give a proxy and the way through it to a new database."""
    assert server.cluster is not None
    with server.database() as url, cutting_proxy("127.0.0.1", server.cluster.port) as proxy:
        parts = urlsplit(server.url_of(urlsplit(url).path[1:], loopback=True))
        netloc = parts.netloc.replace(f":{parts.port}", f":{proxy.port}")
        yield proxy, parts._replace(netloc=netloc, query="sslmode=disable&gssencmode=disable").geturl()


@pytest.mark.postgres
@pytest.mark.parametrize("what", ["request", "answer"])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_server_that_is_lost_while_runs_are_recorded_has_them_once_and_in_order(
    face: str, own_server: PostgresServer, what: Any, number: int
) -> None:
    gate = Gate()
    with proxied(own_server) as (proxy, url), opened(face, url, reconnect_timeout_s=0.05) as store:
        store.hooks.register(WRITES, gate, name="gate")
        ids = [store.set(HOME, "k", value).event_id for value in range(COUNT)]
        assert gate.reached.wait(PATIENCE_S)
        proxy.cut_at(number, what, stay_away=True)
        gate.open.set()
        with suppress(StoreUnavailableError):
            while True:
                store.get(HOME, "k")
        proxy.heal()
        store.hooks.flush(PATIENCE_S)
        assert ids == [run.operation_id for run in executions(store)]
        assert list(range(COUNT)) == [run.event.data["input"]["after"] for run in executions(store)]
        assert after_of(store).outstanding.count == 0
