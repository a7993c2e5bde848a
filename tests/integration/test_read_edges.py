"""What was read for a write: said where it was read, by the log's order and never by clocks, however much it was."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import backstory
from backstory import ConflictError, Event, NotFoundError
from backstory.domain.branches import FOREVER, MAIN_LINEAGE
from backstory.resting import FEW
from backstory.testing.clock import ManualClock
from tests.support.hooked import FACES, opened

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from backstory import RecordedEvent

A, B, C, GONE, NEVER = "a", "b", "c", "gone", "never"
SCOPE, OTHER = "agent:x", "agent:y"


@pytest.fixture(params=FACES)
def store(request: pytest.FixtureRequest, store_url: str) -> Iterator[Any]:
    """A store on each engine and face, with the keys a, b and c, written at 1, 2 and 3, and one deleted at 5."""
    with opened(request.param, store_url) as opened_store:
        yield filled(opened_store)


def filled(store: Any) -> Any:
    for key in (A, B, C, GONE):
        store.set(SCOPE, key, 1)
    store.delete(SCOPE, GONE)
    assert 5 == store.position()
    return store


def written(store: Any, *, since: int = 5) -> list[tuple[int, ...]]:
    """Return what the events since then say that they read."""
    return [event.reads for event in store.log(since=since)]


def said_by(store: Any) -> set[tuple[int, int]]:
    """Return what all events say that they rest on, all that they share included: (read, effect)."""
    whole: dict[UUID, set[int]] = {}
    for event in store.log():
        shared: set[int] = set() if event.reads_with is None else whole[event.reads_with]
        whole[event.event_id] = shared | set(event.reads)
    places = {event.event_id: event.position for event in store.log()}
    return {(read, places[event_id]) for event_id, reads in whole.items() for read in reads}


def healthy(store: Any) -> bool:
    """Whether the index of causes is what the events say, and stays so when it is built again."""
    return bool(store.verify().ok and store.rebuild("causes") and store.verify().ok)


# What is a read


@pytest.mark.parametrize(
    ("read", "expected"),
    [
        (lambda tx: tx.get(SCOPE, A), (1,)),
        (lambda tx: tx.get_many(SCOPE, [C, A, NEVER]), (1, 3)),
        (lambda tx: tx.items(SCOPE), (1, 2, 3)),
        (lambda tx: tx.items(SCOPE, prefix="b"), (2,)),
        (lambda tx: tx.exists(SCOPE, B), (2,)),
        (lambda tx: tx.get(SCOPE, GONE), (5,)),
        (lambda tx: tx.exists(SCOPE, GONE), (5,)),
        (lambda tx: tx.get(SCOPE, GONE, as_of=4), (4,)),
        (lambda tx: tx.items(SCOPE, as_of=2), (1, 2)),
        (lambda tx: tx.get_many(SCOPE, [A, C], as_of=2), (1,)),
        (lambda tx: tx.get(SCOPE, A, as_of=datetime(2100, 1, 1, tzinfo=UTC)), (1,)),
        (lambda tx: (tx.get(SCOPE, C), tx.get(SCOPE, A), tx.get(SCOPE, C)), (1, 3)),
        # What shows no value, and what the store looks at to do what it is told, is no read.
        (lambda tx: tx.get(SCOPE, NEVER), ()),
        (lambda tx: tx.get(SCOPE, A, as_of=0), ()),
        (lambda tx: tx.keys(SCOPE), ()),
        (lambda tx: tx.keys(SCOPE, as_of=3), ()),
    ],
)
def test_every_write_after_a_read_in_its_transaction_says_where_the_value_came_from(
    store: Any, read: Callable[[Any], Any], expected: tuple[int, ...]
) -> None:
    with store.transaction() as tx:
        tx.set(OTHER, "before", 1)
        read(tx)
        tx.set(OTHER, "first", 1)
        tx.set(OTHER, "second", 2)

    assert [(), expected, expected] == written(store)
    assert {(at, effect) for at in expected for effect in (7, 8)} == said_by(store)
    assert healthy(store)


@pytest.mark.parametrize(
    "write",
    [
        lambda tx: tx.set(OTHER, "k", 1),
        lambda tx: tx.set(SCOPE, B, 2, tags=["t"], metadata={"reads": [2]}, cause=None),
        lambda tx: tx.delete(SCOPE, B),
        lambda tx: tx.delete_many(SCOPE, [B]),
        lambda tx: tx.clear(SCOPE),
        lambda tx: tx.increment(SCOPE, B),
        lambda tx: tx.set_if_absent(OTHER, "k", 1),
        lambda tx: tx.compare_and_swap(SCOPE, B, 1, 2),
        lambda tx: tx.set_many(OTHER, {"k": 1}),
        lambda tx: tx.append(OTHER, [Event("a.b", 1)]),
    ],
)
def test_whatever_is_written_after_a_read_rests_on_it(store: Any, write: Callable[[Any], Any]) -> None:
    with store.transaction() as tx:
        tx.get(SCOPE, A)
        write(tx)

    assert [(1,)] == written(store)
    assert healthy(store)


def test_a_copy_rests_on_what_it_copies_and_what_was_read_before_it(store: Any) -> None:
    store.copy(SCOPE, OTHER, keys=B)
    with store.transaction() as tx:
        tx.get(SCOPE, A)
        own = tx.set(SCOPE, C, 2)
        tx.copy(SCOPE, OTHER)

    assert [(2,), (1,), (1,), (1, 2), (1, own.position)] == written(store)
    assert healthy(store)


def test_what_causes_an_event_and_was_read_for_it_is_both(store: Any) -> None:
    cause = store.event(next(iter(store.log())).event_id)
    with store.transaction() as tx:
        tx.get(SCOPE, A)
        event = tx.set(OTHER, "k", 1, cause=cause)

    assert ((1,), (cause.event_id,)) == (event.reads, event.causation_ids)
    assert healthy(store)


def test_an_update_says_what_its_function_was_given(store: Any) -> None:
    store.update(SCOPE, A, lambda value: value + 1)
    store.update(SCOPE, A, lambda value: value + 1)
    store.update(SCOPE, GONE, lambda value: value, default=1)
    store.update(SCOPE, NEVER, lambda value: value, default=1)

    assert [(1,), (6,), (5,), ()] == written(store)
    assert healthy(store)


def test_an_update_that_is_run_again_says_what_it_was_given_last(store_url: str) -> None:
    """Another write falls between what the function is given first and its answer."""
    calls: list[int] = []

    def change(value: int) -> int:
        if not calls:
            meddled.set(SCOPE, A, 10)
        calls.append(value)
        return value + 1

    with backstory.open(store_url) as meddled:
        filled(meddled)
        meddled.update(SCOPE, A, change)

        assert ([1, 10], [(), (6,)]) == (calls, written(meddled))


def test_updates_in_a_transaction_are_reads_of_it_and_its_own_writes_are_none(store: Any) -> None:
    with store.transaction() as tx:
        tx.update(SCOPE, A, lambda value: value + 1)
        tx.update(SCOPE, A, lambda value: value + 1)
        tx.update(SCOPE, B, lambda value: value + 1)
        tx.get(SCOPE, B)
        tx.items(SCOPE)
        tx.set(OTHER, "k", 1)

    assert [(1,), (1,), (1, 2), (1, 2, 3)] == written(store)
    assert healthy(store)


def test_what_an_operation_looks_at_by_itself_was_not_read_by_anybody(store: Any) -> None:
    with store.transaction() as tx:
        tx.increment(SCOPE, A)
        tx.set_if_absent(SCOPE, B, 1)
        tx.compare_and_swap(SCOPE, B, 1, 2)
        tx.delete(SCOPE, B, expected_key_version=backstory.EXISTS)
        tx.set(SCOPE, C, 1, expected_version=8)

    assert [()] * 4 == written(store)


def test_nothing_is_inferred_from_clocks_or_from_who_reads_outside(store_url: str) -> None:
    clock = ManualClock()
    with backstory.open(store_url, clock=clock) as store:
        first = store.set(SCOPE, A, 1)
        assert 1 == store.get(SCOPE, A)
        assert {A: 1} == store.items(SCOPE)
        second = store.set(SCOPE, B, 2)
        with store.transaction() as tx:
            store.get(SCOPE, A)
            third = tx.set(SCOPE, C, 3)

        assert first.recorded_at == second.recorded_at == third.recorded_at
        assert [(), (), ()] == written(store, since=0)
        assert [None] * 3 == [event.stored.extra for event in store.log()]


def test_a_value_that_was_absent_because_it_had_expired_or_was_cleared_was_read(store_url: str) -> None:
    clock = ManualClock()
    with backstory.open(store_url, clock=clock) as store:
        store.set(SCOPE, A, 1, ttl=5)
        store.set(OTHER, B, 1)
        store.clear(OTHER)
        clock.advance(6)
        store.sweep()
        with store.transaction() as tx:
            assert not tx.exists(SCOPE, A)
            assert not tx.exists(OTHER, B)
            event = tx.set(OTHER, "k", 1)

        assert (1, 3) == event.reads
        assert healthy(store)


def test_what_was_committed_while_a_transaction_was_under_way_may_be_read_at_its_point(store: Any) -> None:
    """Positions after the beginning of a transaction are those of its own writes, in its own eyes."""
    with store.transaction() as tx:
        tx.get(SCOPE, A)
        tx.set(OTHER, "own", 1)
        later = store.set(OTHER, "k", 5)
        assert 5 == tx.get(OTHER, "k", as_of=later.position)
        assert {"k": 5} == tx.items(OTHER, as_of=later.position)
        event = tx.set(OTHER, "l", 1)

    assert (6, (1, 6)) == (later.position, event.reads)
    assert healthy(store)


def test_a_fork_names_where_its_parent_wrote(store: Any) -> None:
    fork = store.fork("f")
    with fork.transaction() as tx:
        tx.items(SCOPE)
        tx.get(SCOPE, GONE)
        event = tx.set(SCOPE, A, 2)
    fork.update(SCOPE, A, lambda value: value + 1)
    fork.update(SCOPE, B, lambda value: value + 1)

    assert (1, 2, 3, 5) == event.reads
    assert [(1, 2, 3, 5), (event.position,), (2,)] == written(fork, since=event.position - 1)
    assert healthy(store)


def test_with_the_setting_off_nothing_is_said(store_url: str) -> None:
    with backstory.open(store_url, track_reads=False) as store:
        filled(store)
        with store.transaction() as tx:
            tx.items(SCOPE)
            tx.set(OTHER, "k", 1)
        store.update(SCOPE, A, lambda value: value + 1)
        store.hooks.register("before_state_write", lambda context: context.read(SCOPE, B) and None, name="reader")
        store.set(SCOPE, C, 1)

        assert {()} == set(written(store, since=0))
        assert set() == said_by(store)
        assert not any(b"reads" in (event.stored.extra or b"") for event in store.log())
        assert healthy(store)


def test_an_event_that_is_appended_again_keeps_what_was_read_for_it_first(store: Any) -> None:
    again = Event("a.b", 1, event_id=UUID(int=7))
    with store.transaction() as tx:
        tx.get(SCOPE, A)
        tx.append(OTHER, [again])
    with store.transaction() as tx:
        tx.get(SCOPE, B)
        tx.append(OTHER, [again])
        tx.append(OTHER, [Event("a.c", 1)])

    assert [(1,), (2,)] == written(store)
    assert healthy(store)


def test_what_an_event_carries_besides_cannot_be_taken_for_reads(store: Any) -> None:
    odd: dict[str, Any] = {"reads": [1, 2], "reads_with": "00" * 16, "nul": "\0", "slashes": "\\u0000"}
    store.set(OTHER, "k", 1, metadata=odd, tags=['"reads":[1]', '"reads_with":"00"', "\0"])
    with store.transaction() as tx:
        tx.get(SCOPE, A)
        event = tx.set(OTHER, "k", 1, metadata=odd, tags=["\0"])

    assert [(), (1,)] == written(store)
    assert (odd, ("\0",)) == (event.metadata, event.tags)
    assert healthy(store)


# Hooks, and imports


def test_the_run_of_a_hook_says_what_the_hook_read_and_the_write_does_not(store: Any) -> None:
    store.hooks.register("before_state_write", lambda context: context.read(SCOPE, B) and None, name="reader")
    store.set(SCOPE, C, 1)

    registered, run, write = store.log(since=5)
    assert ("hook.registered", "hook.executed", "state.set") == (registered.type, run.type, write.type)
    assert ((), (2,), ()) == (registered.reads, run.reads, write.reads)
    assert healthy(store)


def test_in_a_transaction_runs_of_hooks_say_their_own_reads_and_writes_the_transactions(store: Any) -> None:
    store.hooks.register("before_state_write", lambda context: context.read(SCOPE, B) and None, name="reader")
    with store.transaction() as tx:
        tx.get(SCOPE, A)
        tx.set(SCOPE, B, 1)
        tx.set(SCOPE, C, 1)

    events = list(store.log(since=6))
    assert ["hook.executed", "state.set"] * 2 == [event.type for event in events]
    # The second run reads what the transaction has written itself: that has no position yet.
    assert [(2,), (1,), (), (1,)] == [event.reads for event in events]
    assert healthy(store)


def test_a_read_that_hooks_answer_is_none_and_one_that_they_let_through_is(store: Any) -> None:
    def answer(context: Any) -> Any:
        return backstory.HookResult.replace(7) if context.key == B else None

    store.hooks.register("before_state_read", answer, name="answer")
    with store.transaction() as tx:
        assert (1, 7) == (tx.get(SCOPE, A), tx.get(SCOPE, B))
        tx.set(OTHER, "k", 1)

    assert (1,) == list(store.log())[-1].reads
    assert healthy(store)


def test_an_update_whose_value_a_hook_changes_still_says_what_it_was_given(store: Any) -> None:
    store.hooks.register(
        "before_state_write", lambda context: backstory.HookResult.modified(context.after + 1), name="one_more"
    )
    assert 3 == store.update(SCOPE, A, lambda value: value + 1)

    assert (1,) == list(store.log())[-1].reads
    assert healthy(store)


# However much was read


def test_many_reads_are_said_once_and_every_write_rests_on_them(store: Any) -> None:
    many = 5 * FEW
    store.set_many(OTHER, {f"k{number:03}": number for number in range(many)})
    start = store.position()
    with store.transaction() as tx:
        tx.items(OTHER)
        tx.set_many("agent:z", {f"k{number}": number for number in range(many)})

    read, effects = range(6, 6 + many), range(start + 1, start + 1 + many)
    assert {(at, effect) for at in read for effect in effects} == said_by(store)
    assert many == sum(len(event.reads) for event in store.log())
    assert healthy(store)


def test_reads_and_writes_by_turns_say_little_each_and_rest_on_all_before(store: Any) -> None:
    many = 3 * FEW
    store.set_many(OTHER, {f"k{number:03}": number for number in range(many)})
    start = store.position()
    with store.transaction() as tx:
        for number in range(many):
            tx.update(OTHER, f"k{number:03}", lambda value: value + 1)

    expected = {(6 + at, start + 1 + effect) for effect in range(many) for at in range(effect + 1)}
    assert expected == said_by(store)
    assert FEW + 1 >= max(len(event.reads) for event in store.log())
    assert healthy(store)


def test_no_write_shares_what_another_would_have_said_that_was_refused_or_recorded_before(store: Any) -> None:
    store.set_many(OTHER, {f"k{number:03}": number for number in range(2 * FEW)})
    again = Event("a.b", 1, event_id=UUID(int=7))
    store.append(OTHER, [again])
    start = store.position()
    with store.transaction() as tx:
        tx.items(OTHER)
        with pytest.raises(ConflictError):
            tx.set(SCOPE, A, 1, expected_version=99)
        with pytest.raises(NotFoundError):
            tx.set(SCOPE, A, 1, cause=UUID(int=9))
        tx.append(OTHER, [again])
        tx.append(SCOPE, [Event("a.c", 1)])
        tx.append(SCOPE, [Event("a.c", 2)])

    first, second = store.log(since=start)
    assert tuple(range(6, 6 + 2 * FEW)) == first.reads
    assert ((), first.event_id) == (second.reads, second.reads_with)
    assert healthy(store)


def test_nothing_shares_what_a_copy_alone_rests_on(store: Any) -> None:
    """Its source, which may be a write of the same transaction."""
    store.set_many(OTHER, {f"k{number:03}": number for number in range(2 * FEW)})
    with store.transaction() as tx:
        own = tx.set("agent:z", "own", 1)
        tx.items(OTHER)
        copies = [tx.copy(SCOPE, "agent:z", keys=A), tx.copy("agent:z", "agent:q", keys="own")]
        event = tx.set("agent:z", "k", 1)
        copies.append(tx.copy("agent:z", "agent:r", keys="own"))

    seen = set(range(6, 6 + 2 * FEW))
    assert [1, 1, 1] == copies
    assert event.event_id == list(store.log())[-1].reads_with
    assert seen == {read for read, effect in said_by(store) if effect == event.position}
    assert {1, own.position} == {read for read, _ in said_by(store)} - seen
    assert healthy(store)


# Random histories

KEYS = [A, B, C, "d"]
ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["get", "exists", "set", "delete", "update", "increment"]), st.sampled_from(KEYS)),
        st.tuples(st.sampled_from(["items", "keys", "clear"]), st.none()),
    ),
    max_size=8,
)
HISTORIES = st.lists(st.tuples(st.booleans(), ACTIONS, st.booleans()), max_size=6)


def act(place: Any, action: str, key: str | None) -> None:
    """Do one thing to a store or in a transaction."""
    match action:
        case "items" | "keys" | "clear":
            getattr(place, action)(SCOPE)
        case "set":
            place.set(SCOPE, key, 1)
        case "update":
            place.update(SCOPE, key, lambda value: (value or 0) + 1)
        case _:
            getattr(place, action)(SCOPE, key)


def give_up(store: Any, actions: list[tuple[str, str | None]]) -> None:
    """Do things in a transaction that comes to nothing."""
    with suppress(ZeroDivisionError), store.transaction() as tx:
        for action in actions:
            act(tx, *action)
        raise ZeroDivisionError


class Expected:
    """Who wrote each key last, and what the events say: a plain reckoning of the same history."""

    def __init__(self) -> None:
        self.last: dict[str, tuple[int, bool]] = {}
        self.reads: list[set[int]] = []
        self.seen: set[int] = set()
        self.began = 0

    def begin(self) -> None:
        self.began, self.seen = len(self.reads), set()

    def write(self, key: str, reads: set[int], *, live: bool = True) -> None:
        self.reads.append(set(reads))
        self.last[key] = (len(self.reads), live)

    def act(self, action: str, key: str | None, *, inside: bool) -> None:
        live = {name: at for name, (at, alive) in self.last.items() if alive}
        shown = set(live.values()) if action == "items" else {self.last.get(key or "", (0, False))[0]}
        if action in {"get", "exists", "items", "update"} and (inside or action == "update"):
            seen = {at for at in shown if 0 < at <= (self.began if inside else FOREVER)}
            self.seen = self.seen | seen if inside else seen
        reads = self.seen if inside or action == "update" else set()
        if action in {"set", "update", "increment"}:
            self.write(key or "", reads)
        elif action == "delete" and key in live:
            self.write(key, reads, live=False)
        elif action == "clear" and live:
            self.reads.append(set(reads))
            self.last.update(dict.fromkeys(live, (len(self.reads), False)))


@pytest.mark.parametrize("face", FACES)
def test_after_any_history_the_edges_are_those_of_a_plain_reckoning(face: str, store_url: str) -> None:
    """Each history begins where those before it ended: one store for all of them."""

    @settings(
        max_examples=40 if store_url == "memory://" else 12, deadline=None, suppress_health_check=list(HealthCheck)
    )
    @given(HISTORIES)
    def law(history: list[tuple[bool, list[tuple[str, str | None]], bool]]) -> None:
        for transactional, actions, gives_up in history:
            if not transactional:
                for action in actions:
                    act(store, *action)
                    expected.act(*action, inside=False)
                continue
            if gives_up:
                give_up(store, actions)
                continue
            expected.begin()
            with store.transaction() as tx:
                for action in actions:
                    act(tx, *action)
                    expected.act(*action, inside=True)
        wanted = {(read, at) for at, reads in enumerate(expected.reads, 1) for read in reads}
        assert wanted == said_by(store)
        assert healthy(store)

    expected = Expected()
    with opened(face, store_url) as store:
        law()
        ask = store._runner.run(store._core.engine.effects(MAIN_LINEAGE, list(range(1, store.position() + 1)), FOREVER))
        pairs = store.wait(ask) if face == "asyncio" else ask
        assert said_by(store) <= set(pairs)


def test_an_import_says_what_causes_what_and_reads_nothing(store_url: str, tmp_path: Any) -> None:
    runs = tmp_path / "runs.jsonl"
    runs.write_text(
        '{"run_id": "r", "messages": [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "hi"}]}\n'
    )
    with backstory.open(store_url) as store:
        store.import_runs(runs)
        events: list[RecordedEvent] = list(store.log())
        assert events
        assert {()} == {event.reads for event in events}
        assert healthy(store)


def test_every_write_that_rests_on_a_read_is_found_from_it_and_no_other(store_url: str) -> None:
    many = 2 * FEW
    with backstory.open(store_url) as store:
        store.set_many(OTHER, {f"k{number:03}": number for number in range(many)})
        extra = store.set(SCOPE, "extra", 1)
        with store.transaction() as tx:
            tx.items(OTHER)
            writes = [tx.set("agent:z", "first", 1), tx.set("agent:z", "second", 2)]
            tx.get(SCOPE, "extra")
            writes += [tx.set("agent:z", "third", 3), tx.set("agent:z", "fourth", 4)]

        ids = [event.event_id for event in writes]
        assert ids == [event.event_id for event in store.impact(many // 2).events]
        assert ids[2:] == [event.event_id for event in store.impact(extra).events]
        assert [] == list(store.impact(writes[0]).events)
        read = {event.position for event in store.why("agent:z", "fourth").causes}
        assert set(range(1, many + 2)) == read
        assert set(range(1, many + 1)) == {event.position for event in store.why("agent:z", "second").causes}

        assert ids == [event.event_id for event in store.what_if(replace={1: 99}).stale]
        assert ids[2:] == [event.event_id for event in store.what_if(replace={extra: 2}).stale]
        assert ids[1:] == [event.event_id for event in store.what_if(without=[writes[0]], replace={1: 99}).stale]
        assert [] == list(store.what_if(without=[writes[0]]).stale)

        effect = store.append(SCOPE, [Event("a.b")], cause=writes[0])[0]
        graph = store.causality(event=extra, direction="effects")
        assert {extra.event_id, *ids[2:]} == set(graph)
        start = next(iter(store.log()))
        graph = store.causality(event=start, direction="effects")
        assert set(ids) == set(graph.successors(start.event_id))
        assert [effect.event_id] == list(graph.successors(ids[0]))
