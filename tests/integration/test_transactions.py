"""Transactions: what they promise where time passes, events repeat, and copies are made of their own writes."""

from __future__ import annotations

from uuid import UUID

import pytest

import backstory
from backstory import EMPTY, EXISTS, ConflictError, Event, NotFoundError, RecordedEvent, StoreClosedError
from backstory.testing.clock import ManualClock

ONCE = Event("thing.done", event_id=UUID(int=1))


def test_a_copy_of_an_own_write_names_the_position_where_that_comes_to_lie(store_url: str) -> None:
    with backstory.open(store_url) as store:
        store.append("agent:c", [ONCE])
        with store.transaction() as tx:
            tx.append("agent:a", [ONCE])
            written = tx.set("agent:a", "k", 1)
            store.set("agent:other", "k", 1)
            tx.copy("agent:a", "agent:b")
            tx.move("agent:b", "agent:c")

        copied, moved = [event for event in store.log(types="state.set") if event.data["op"] != "set"]
        assert written.position == copied.data["source"]["position"] == 3
        assert copied.position == moved.data["source"]["position"] == 4


def test_an_event_that_is_known_does_not_count_as_an_own_one(store_url: str) -> None:
    with backstory.open(store_url) as store:
        store.append("agent:a", [ONCE])
        with store.transaction() as tx:
            assert len(tx.append("agent:a", [ONCE, ONCE])) == 2
            tx.append("agent:a", [ONCE], expected_version=1)
            assert tx.keys("agent:a") == []
            tx.set("agent:a", "k", 1, expected_version=1)

        assert [1, 2] == [event.position for event in store.log()]


def test_what_was_decided_on_a_value_holds_no_longer_than_the_value(store_url: str) -> None:
    clock = ManualClock()
    with backstory.open(store_url, clock=clock) as store:
        event = store.set("agent:a", "lease", "mine", ttl=10)

        for read in ("get", "clear"):
            tx = store.transaction()
            tx.__enter__()
            _ = tx.get("agent:a", "lease") if read == "get" else tx.clear("agent:a")
            tx.set("agent:b", read, True)
            clock.advance(10)
            with pytest.raises(ConflictError) as caught:
                tx.__exit__(None, None, None)
            clock.set_back(10)

            assert (EXISTS, EMPTY, "agent:a", "lease") == (
                caught.value.expected,
                caught.value.actual,
                caught.value.stream,
                caught.value.key,
            )
        assert store.position() == event.position


def test_a_transaction_is_recorded_no_earlier_than_it_read(store_url: str) -> None:
    clock = ManualClock()
    with backstory.open(store_url, clock=clock) as store:
        store.set("agent:a", "short", 1, ttl=10)
        clock.advance(10)
        with store.transaction() as tx:
            assert tx.set_if_absent("agent:a", "short", 2)
            clock.set_back(5)
        (event,) = store.log(since=1)

        assert clock.advance(5) == event.recorded_at
        assert [(backstory.MISSING, 1), (backstory.MISSING, 2)] == [
            (change.before, change.after) for change in store.history("agent:a", "short")
        ]


def test_a_clear_leaves_what_had_expired_and_the_projection_can_be_built_again(store_url: str) -> None:
    clock = ManualClock()
    with backstory.open(store_url, clock=clock) as store:
        store.set("agent:a", "short", 1, ttl=1)
        store.set("agent:a", "long", 1)
        clock.advance(1)

        assert store.clear("agent:a") == 1
        assert store.verify().ok
        store.rebuild()
        assert store.verify().ok
        assert store.fork("side").sweep() == 0
        assert store.sweep() == 1
        assert store.set("agent:a", "short", 2, expected_key_version=1).version == 5


def test_blame_of_a_path_goes_no_further_back_than_the_value_was_gone(store_url: str) -> None:
    clock = ManualClock()
    with backstory.open(store_url, clock=clock) as store:
        value = {"status": "open"}
        first = store.set("agent:a", "order", value, ttl=1)
        clock.advance(1)

        assert store.blame("agent:a", "order", path="status") == first
        second = store.set("agent:a", "order", value)
        assert store.blame("agent:a", "order", path="status") == second


def test_a_refused_operation_leaves_the_transaction_as_it_was(store_url: str) -> None:
    with backstory.open(store_url) as store, store.transaction() as tx:
        tx.set("agent:a", "k", 1)
        with pytest.raises(ConflictError):
            tx.set("agent:a", "k", 2, expected_key_version=EMPTY)
        with pytest.raises(NotFoundError):
            tx.set("agent:a", "k", 2, cause=UUID(int=9))

        assert tx.get("agent:a", "k") == 1


def test_an_event_is_caused_by_one_of_the_same_transaction(store_url: str) -> None:
    with backstory.open(store_url) as store:
        with store.transaction() as tx:
            first = tx.set("agent:a", "k", 1)
            second = tx.set("agent:a", "k", 2, cause=first)

        assert isinstance(first, RecordedEvent)
        assert second.causation_ids == (first.event_id,)
        assert second.correlation_id == first.correlation_id
        assert [first, second] == list(store.log())


def test_a_transaction_that_has_ended_takes_nothing_more(store_url: str) -> None:
    with backstory.open(store_url) as store:
        with store.transaction() as tx:
            tx.set("agent:a", "k", 1)
        with pytest.raises(StoreClosedError):
            tx.set("agent:a", "k", 2)

        assert store.position() == 1
