"""Several commits of one writer in one group: stored in order, each refused or kept by itself."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import backstory
from backstory.domain.commits import Commit, Decision, Draft, Needs, Outcome, View
from backstory.domain.errors import ConflictError
from backstory.import_work import append_all
from backstory.infrastructure.clock import new_id

if TYPE_CHECKING:
    from collections.abc import Sequence

STREAM = "custom:together"


def event(name: str) -> Draft:
    return Draft(new_id(), STREAM, name, b"1")


def commits() -> list[Commit]:
    """Return four commits, of which the second is refused and the last sees what those before it wrote."""

    def refuse(view: View) -> Decision:
        raise ConflictError(expected=7, actual=view.version(STREAM), stream=STREAM)

    def count(view: View) -> Decision:
        return Decision((event("counted"),), view.version(STREAM))

    needs = Needs(streams=(STREAM,))
    return [
        Commit(drafts=[event("one"), event("two")]),
        Commit(decide=refuse, needs=needs),
        Commit(drafts=[event("three")]),
        Commit(decide=count, needs=needs),
    ]


def assert_each_by_itself(outcomes: Sequence[Outcome]) -> None:
    first, refused, third, counted = outcomes

    assert [["one", "two"], [], ["three"], ["counted"]] == [[row.type for row in each.events] for each in outcomes]
    assert [None, None, None] == [each.error for each in (first, third, counted)]
    assert isinstance(refused.error, ConflictError)
    assert isinstance(refused.error.actual, int)
    assert refused.error.actual + 1 == counted.result
    positions = [row.position for each in outcomes for row in each.events]
    assert list(range(positions[0], positions[0] + 4)) == positions


def test_commits_put_in_together_are_stored_in_order_and_refused_one_by_one(store_url: str) -> None:
    with backstory.open(store_url) as store:
        assert_each_by_itself(store._runner.run(append_all(store._core, commits())))
        assert ["one", "two", "three", "counted"] == [each.type for each in store.log(scope=STREAM)]
        assert store.verify().ok


async def test_the_asyncio_face_puts_commits_in_together_as_well(store_url: str) -> None:
    async with backstory.open_async(store_url) as store:
        assert_each_by_itself(await store._runner.run(append_all(store._core, commits())))


def test_each_of_many_writers_hears_of_its_own_commits(store_url: str) -> None:
    heard: list[Sequence[Outcome]] = []
    with backstory.open(store_url) as store:

        def work() -> None:
            for _ in range(20):
                heard.append(store._runner.run(append_all(store._core, commits())))
                store.set("custom:alone", "k", 1)

        threads = [threading.Thread(target=work) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert len(heard) == 120
        for outcomes in heard:
            assert_each_by_itself(outcomes)
        assert store.position() == 120 * 5
        assert store.verify().ok


def test_no_commits_are_no_work(memory_url: str) -> None:
    with backstory.open(memory_url) as store:
        assert tuple(store._runner.run(append_all(store._core, []))) == ()
        assert store.position() == 0
