"""Derivations: enough to compute a value from, and nothing more."""

from __future__ import annotations

from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import backstory
from backstory import MISSING, NotFoundError, derive
from backstory.infrastructure import codec
from backstory.testing.clock import ManualClock
from tests.support.causal import numbers

S, T, K = "agent:x", "agent:y", "k"


def positions(store: Any, scope: str = S, key: str = K, **point: Any) -> list[int]:
    return [event.position for event in store.why(scope, key, **point).events]


@pytest.fixture
def store() -> Any:
    with backstory.open("memory://") as opened:
        yield opened


def test_a_plain_value_is_its_own_event(store: Any) -> None:
    store.set(S, K, 1)
    store.set(S, K, 2)
    assert [2] == positions(store)
    assert [1] == positions(store, as_of=1)


def test_increments_need_what_lies_back_to_the_last_absolute_value(store: Any) -> None:
    store.set(S, K, 100)
    store.set(S, K, 5)
    store.increment(S, K, 2)
    store.set(S, "other", 1)
    store.increment(S, K, 3)
    assert [2, 3, 5] == positions(store)
    assert 10 == derive(store.why(S, K).events, S, K)


def test_copies_and_moves_need_the_derivation_of_their_source_and_not_what_became_of_it(store: Any) -> None:
    store.increment(S, K, 2)
    store.increment(S, K, 3)
    store.copy(S, T)
    store.set(S, K, 0)
    store.increment(T, K, 1)
    assert [1, 2, 3, 5] == positions(store, T)
    store.move(T, "agent:z")
    assert [1, 2, 3, 5, 6] == positions(store, "agent:z")
    assert [7] == positions(store, T)


@pytest.mark.parametrize(
    ("first", "by", "needed"),
    [
        (5, [0, 3], [1, 3]),
        (5, [3, 0], [1, 2]),
        (0, [0], [1]),
        (0, [3], [2]),
        (None, [0, 3], [3]),
        (None, [0], [2]),
        (5, [0.0], [1, 2]),
        (5, [0.0, 1.5], [1, 3]),
        (5, [0.0, 1], [1, 2, 3]),
        (0.0, [0.5], [2]),
        (1.0, [1e-17, 1], [1, 3]),
        (1.0, [1.5e-16, 1e10], [1, 3]),
        (1e-20, [1e-20, 1.0], [4 - 1]),
        (0.1, [0.2, 0.3], [1, 2, 3]),
        (Decimal("1.00"), [Decimal(0), Decimal(1)], [1, 3]),
        (Decimal(1), [Decimal("0.0")], [1, 2]),
        (Decimal(1), [Decimal("0.0"), Decimal("0.00")], [1, 3]),
        (Decimal(0), [3], [1, 2]),
        (10**400, [0, 1], [1, 3]),
    ],
)
def test_what_added_nothing_is_left_out(store: Any, first: Any, by: list[Any], needed: list[int]) -> None:
    store.set(S, K if first is not None else "other", 1 if first is None else first)
    for each in by:
        store.increment(S, K, each)
    assert needed == positions(store)


def test_an_increment_by_nothing_that_kept_a_value_from_expiring_is_needed() -> None:
    clock = ManualClock()
    with backstory.open("memory://", clock=clock) as store:
        store.set(S, K, 5, ttl=10)
        store.increment(S, K, 0)
        clock.advance(20)
        store.increment(S, K, 3)
        assert (8, [1, 2, 3]) == (store.get(S, K), positions(store))


@given(st.lists(numbers, min_size=1, max_size=8), st.integers(0, 7))
def test_all_that_is_needed_is_and_nothing_else(by: list[Any], start: int) -> None:
    with backstory.open("memory://") as store:
        for number, each in enumerate(by):
            try:
                if number == start:
                    store.set(S, K, each)
                else:
                    store.increment(S, K, each)
            except backstory.InvalidValueError:
                continue
        explanation = store.why(S, K)
        whole = codec.canonical
        assert whole(explanation.value) == whole(derive(explanation.events, S, K))
        for event in explanation.events:
            rest = [each for each in explanation.events if each != event]
            with suppress(NotFoundError):
                assert whole(explanation.value) != whole(derive(rest, S, K))


# Deriving


def test_a_whole_log_derives_what_it_leaves(store: Any) -> None:
    store.set(S, K, 5)
    store.increment(S, K)
    store.copy(S, T)
    store.delete(S, K)
    store.increment(S, K, 2)
    store.set(S, "gone", 1)
    store.clear(T)
    log = list(store.log())
    assert (2, 1, MISSING) == (derive(log, S, K), derive(log, S, "gone"), derive(log, T, K))
    assert 6 == derive(log[:3], T, K)
    assert derive(log, S, K) == derive([*reversed(log), *log], S, K)


@pytest.mark.parametrize("left_out", [0, 1, 2])
def test_deriving_without_what_a_copy_needs_is_an_error_or_another_value(store: Any, left_out: int) -> None:
    store.set(S, K, 5)
    store.increment(S, K)
    store.copy(S, T)
    events = store.why(T, K).events
    rest = [event for at, event in enumerate(events) if at != left_out]
    if left_out == 0:
        assert 1 == derive(rest, T, K)
    else:
        with pytest.raises(NotFoundError) as caught:
            derive(rest, T, K)
        assert "value" == caught.value.what


def test_what_cannot_be_added_to_says_that_something_lay_between(store: Any) -> None:
    store.set(S, K, "text")
    store.set(S, K, 5)
    store.increment(S, K)
    first, _, last = store.log()
    with pytest.raises(NotFoundError):
        derive([first, last], S, K)


def test_deriving_from_nothing_is_an_error(store: Any) -> None:
    with pytest.raises(NotFoundError):
        derive([], S, K)
    store.set(S, "other", 1)
    with pytest.raises(NotFoundError):
        derive(store.log(), S, K)


def test_long_chains_are_derived_without_recursion_and_in_linear_time(store: Any) -> None:
    with store.transaction() as tx:
        for number in range(3000):
            tx.increment(S, K, 0.25 if number % 2 else 1)
    explanation = store.why(S, K)
    assert (3000, 1875.0) == (len(explanation.events), derive(explanation.events, S, K))
