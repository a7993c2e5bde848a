"""The causality graph: what a log says of what caused what, as a graph without cycles, and links that keep it so."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any
from uuid import UUID

import networkx as nx
import pytest
from hypothesis import strategies as st

import backstory
from backstory import InvalidValueError, NotFoundError
from tests.support.causal import KINDS, Engine, edges_of, histories, linked_histories, reachable
from tests.support.on_a_loop import FACES, opened

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from backstory import RecordedEvent
    from tests.support.causal import History, Op

S, K = "agent:x", "k"


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    return Engine(request.param, tmp_path, request)


@pytest.fixture(params=FACES)
def store(request: pytest.FixtureRequest, store_url: str) -> Iterator[Any]:
    with opened(request.param, store_url) as opened_store:
        yield opened_store


def drawn(graph: nx.DiGraph[UUID]) -> tuple[set[int], set[tuple[int, int]]]:
    """Return the nodes and ways of a graph by position."""
    at = {node: graph.nodes[node]["event"].position for node in graph}
    return set(at.values()), {(at[cause], at[effect]) for cause, effect in graph.edges}


def told(
    log: list[RecordedEvent], until: int, since: int = 0, correlation: str | None = None
) -> tuple[set[int], set[tuple[int, int, str]]]:
    """Return the events within bounds, and the ways among them."""
    log = [event for event in log if event.position <= until]
    shown = {
        event.position
        for event in log
        if event.position > since
        and event.type != "link.added"
        and (correlation is None or event.correlation_id == correlation)
    }
    return shown, {edge for edge in edges_of(log) if {edge[0], edge[1]} <= shown}


def questioned(  # noqa: PLR0917 - what is drawn
    history: History, steps: list[tuple[int, Op]], which: int, depth: int | None, since: int, until: int
) -> None:
    history.do(steps)
    for store in history.branches:
        log = list(store.log())
        if not log:
            continue
        head = store.position()
        low, high = sorted((since % (head + 1), until % (head + 1)))
        correlation = log[which % len(log)].correlation_id
        questions: list[dict[str, Any]] = [
            {},
            {"since": low, "until": high},
            {"correlation_id": correlation},
            {"correlation_id": correlation, "since": low},
        ]
        for bounds in questions:
            shown, edges = told(log, bounds.get("until", head), bounds.get("since", 0), bounds.get("correlation_id"))
            assert (shown, {edge[:2] for edge in edges}) == drawn(store.causality(**bounds))
            for event in log:
                if event.type == "link.added":
                    continue
                at = event.position
                causes = reachable(edges, at, back=True, depth=10**9 if depth is None else depth)
                effects = reachable(edges, at, depth=10**9 if depth is None else depth)
                for direction, expected in (("causes", causes), ("effects", effects), ("both", causes | effects)):
                    graph = store.causality(event=event, direction=direction, depth=depth, **bounds)
                    nodes, ways = drawn(graph)
                    wanted = expected | {at} if at in shown else set()
                    assert wanted == nodes
                    assert {edge[:2] for edge in edges if {edge[0], edge[1]} <= wanted} == ways
                    assert nx.is_directed_acyclic_graph(graph)


def test_the_graph_holds_what_the_log_tells_and_nothing_else(engine: Engine) -> None:
    some = st.integers(0, 40)
    depths = st.none() | st.integers(0, 3)
    engine.holds(questioned, linked_histories, some, depths, some, some, share=0.6)
    engine.holds(questioned, histories, some, depths, some, some, share=0.2)


def test_what_is_shared_is_in_the_graph_as_if_it_were_said(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backstory.resting.FEW", 0)
    some = st.integers(0, 40)
    engine.holds(questioned, linked_histories, some, st.none() | st.integers(0, 3), some, some, share=0.3)


def test_nodes_carry_their_events_and_ways_their_kind_and_strength(store: Any) -> None:
    first = store.set(S, K, 1)
    second = store.set(S, K, 2, cause=first)
    store.link(first, second, "related_to", strength=0.25)
    third = store.set(S, K, 3)
    store.link(second, third, "response_to", strength=0.25)
    graph = store.causality()
    assert [first, second, third] == [graph.nodes[node]["event"] for node in graph]
    assert {"kind": "caused_by", "strength": 1.0} == graph.edges[first.event_id, second.event_id]
    assert {"kind": "response_to", "strength": 0.25} == graph.edges[second.event_id, third.event_id]


@pytest.mark.parametrize("kind", KINDS)
def test_links_of_every_kind_are_recorded_and_close_no_cycle(store: Any, kind: str) -> None:
    first, second, third = (store.set(S, key, 1) for key in "abc")
    link = store.link(first, second.event_id, kind)
    assert ("link.added", "custom:links") == (link.type, link.stream)
    assert (first.event_id, second.event_id) == link.causation_ids
    assert {
        "cause": str(first.event_id),
        "effect": str(second.event_id),
        "kind": kind,
        "strength": 1.0,
    } == link.data
    store.link(second.position, str(third.event_id), kind)
    for cause, effect in ((second, first), (third, first), (first, first), (third, second)):
        with pytest.raises(InvalidValueError) as caught:
            store.link(cause, effect, kind)
        assert "effect" == caught.value.path
    assert 5 == store.position()
    strong = kind in {"caused_by", "read"}
    assert ([2, 3] if strong else []) == [event.position for event in store.impact(first).events]


def test_a_link_may_lead_back_in_the_log_but_never_round(store: Any) -> None:
    first, second, third, fourth = (store.set(S, key, 1) for key in "abcd")
    store.link(third, first, "related_to")
    store.link(first, second)
    for cause, effect in ((second, third), (first, third)):
        with pytest.raises(InvalidValueError):
            store.link(cause, effect)
    store.link(fourth, third)
    with pytest.raises(InvalidValueError):
        store.link(second, fourth)
    assert {(3, 1), (1, 2), (4, 3)} == drawn(store.causality())[1]


def test_reads_and_causes_close_a_cycle_as_links_do(store: Any) -> None:
    first = store.set(S, "a", 1)
    with store.transaction() as tx:
        tx.get(S, "a")
        second = tx.set(S, "b", 1)
    third = store.set(S, "c", 1, cause=second)
    with pytest.raises(InvalidValueError):
        store.link(third, first)


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"kind": "caused"}, InvalidValueError),
        ({"kind": None}, InvalidValueError),
        ({"strength": 0}, InvalidValueError),
        ({"strength": 1.5}, InvalidValueError),
        ({"strength": True}, InvalidValueError),
        ({"strength": float("nan")}, InvalidValueError),
        ({"strength": "1"}, InvalidValueError),
        ({"effect": 99}, NotFoundError),
        ({"cause": UUID(int=1)}, NotFoundError),
        ({"cause": None}, InvalidValueError),
        ({"effect": "no id"}, NotFoundError),
    ],
)
def test_what_is_no_link_is_refused(store: Any, given: dict[str, Any], error: type[Exception]) -> None:
    store.set(S, "a", 1)
    store.set(S, "b", 1)
    with pytest.raises(error):
        store.link(**{"cause": 1, "effect": 2, **given})
    assert 2 == store.position()


def test_two_links_at_once_do_not_close_a_cycle_together(store_url: str) -> None:
    with backstory.open(store_url) as store:
        for _ in range(5):
            with store.transaction() as tx:
                events = [tx.set(S, key, 1) for key in "ab"]
            barrier = threading.Barrier(2)
            outcomes: list[str] = []

            def link(
                cause: Any, effect: Any, barrier: threading.Barrier = barrier, outcomes: list[str] = outcomes
            ) -> None:
                barrier.wait()
                try:
                    store.link(cause, effect)
                    outcomes.append("linked")
                except InvalidValueError:
                    outcomes.append("refused")

            threads = [threading.Thread(target=link, args=pair) for pair in (events, events[::-1])]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert ["linked", "refused"] == sorted(outcomes)
            assert nx.is_directed_acyclic_graph(store.causality())


async def test_many_links_at_once_on_the_asyncio_face_leave_no_cycle(store_url: str) -> None:
    async with backstory.open_async(store_url) as store:
        events = [await store.set(S, str(number), 1) for number in range(4)]
        pairs = [(events[number], events[(number + 1) % 4]) for number in range(4)]
        done = await asyncio.gather(*(store.link(*pair) for pair in pairs), return_exceptions=True)
        assert 1 == sum(isinstance(each, InvalidValueError) for each in done)
        assert nx.is_directed_acyclic_graph(await store.causality())


def test_a_link_never_lies_between_its_check_and_its_commit(store_url: str) -> None:
    """Another store's link comes in just before the commit: it is seen, and both together are refused."""
    with backstory.open(store_url) as store:
        first, second = store.set(S, "a", 1), store.set(S, "b", 1)
        from backstory import tracing  # noqa: PLC0415 - to look behind

        checked = tracing._refuse_cycle
        meddled: list[int] = []

        def meddling(*given: Any) -> Any:
            yield from checked(*given)
            if not meddled:
                meddled.append(1)
                store.link(first, second)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tracing, "_refuse_cycle", meddling)
            with pytest.raises(InvalidValueError):
                store.link(second, first)
        assert 3 == store.position()


def test_forks_see_only_what_is_theirs(store: Any) -> None:
    first = store.set(S, "a", 1)
    second = store.set(S, "b", 1, cause=first)
    fork = store.fork("f", as_of=second.position)
    on_main = store.set(S, "c", 1, cause=second)
    on_fork = fork.set(S, "c", 2, cause=[second, on_main])
    store.link(first, on_main, "related_to")
    assert {(1, 2), (2, on_main.position), (1, on_main.position)} == drawn(store.causality())[1]
    assert {(1, 2), (2, on_fork.position)} == drawn(fork.causality())[1]
    assert [second, on_fork] == fork.impact(first).events
    assert [first, second] == fork.why(S, "c").causes
    with pytest.raises(NotFoundError):
        fork.link(first, on_main)
    with pytest.raises(NotFoundError):
        fork.causality(event=on_main)
    fork.link(first, on_fork)
    assert {(1, 2), (2, on_main.position), (1, on_main.position)} == drawn(store.causality())[1]


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"direction": "up"}, InvalidValueError),
        ({"depth": -1}, InvalidValueError),
        ({"depth": True}, InvalidValueError),
        ({"event": 77}, NotFoundError),
        ({"correlation_id": ""}, InvalidValueError),
        ({"since": -1}, backstory.InvalidPointError),
        ({"until": 77}, backstory.InvalidPointError),
    ],
)
def test_what_is_no_question_is_refused(store: Any, given: dict[str, Any], error: type[Exception]) -> None:
    store.set(S, "a", 1)
    with pytest.raises(error):
        store.causality(**given)


def test_a_link_is_no_event_of_the_graph_nor_is_it_led_to(store: Any) -> None:
    first, second = store.set(S, "a", 1), store.set(S, "b", 1)
    link = store.link(first, second, "related_to")
    third = store.set(S, "c", 1, cause=link)
    assert ({1, 2, 4}, {(1, 2)}) == drawn(store.causality())
    assert [] == store.impact(first).events
    assert [] == store.why(S, "c").causes
    assert [third] == store.why(S, "c").events
