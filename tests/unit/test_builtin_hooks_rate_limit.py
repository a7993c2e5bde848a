"""The rate limit: never more than the limit in any window, and never less than it allows."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backstory.domain.errors import InvalidValueError
from backstory.domain.hooks import HookResult
from backstory.hooks.builtin import RateLimit
from backstory.hooks.builtin.rate_limit import Windows
from tests.support.hook_runs import START_US, FakeWorld, run, subject

S = 1_000_000
WINDOW = 3 * S
limits = st.integers(1, 4)
# Often at a window's very edge, and on either side of it.
steps = st.lists(
    st.tuples(
        st.sampled_from("aaab"), st.sampled_from((0, 1, WINDOW // 3, WINDOW // 2, WINDOW // 2, WINDOW - 1, WINDOW))
    ),
    max_size=40,
)


@given(limits, steps)
@example(2, [("a", 0), ("a", WINDOW // 2), ("a", WINDOW // 2), ("a", 0)])
def test_no_window_ever_holds_more_than_the_limit(limit: int, moves: list[tuple[str, int]]) -> None:
    windows, now = Windows(limit, WINDOW), START_US
    admitted: dict[str, list[int]] = {"a": [], "b": []}
    for whose, step in moves:
        now += step
        wait = windows.admit(whose, str(uuid4()), now)
        inside = [at for at in admitted[whose] if at > now - WINDOW]
        # By brute force: it is refused if, and only if, the window that ends now is full.
        assert (wait > 0) is (len(inside) >= limit)
        if not wait:
            admitted[whose].append(now)
    for times in admitted.values():
        assert all(sum(start <= at < start + WINDOW for at in times) <= limit for start in times)


@given(limits, steps)
def test_whoever_comes_back_when_told_is_admitted_and_a_moment_before_is_not(
    limit: int, moves: list[tuple[str, int]]
) -> None:
    windows, now = Windows(limit, WINDOW), START_US
    for whose, step in moves:
        now += step
        wait = windows.admit(whose, str(uuid4()), now)
        if wait:
            assert windows.admit(whose, "again", now + wait - 1) == 1
            assert windows.admit(whose, "again", now + wait) == 0
            return


@given(limits, st.lists(st.sampled_from((0, S, WINDOW, -2 * S, -10 * WINDOW)), max_size=40))
def test_a_clock_that_is_set_back_counts_as_standing_still(limit: int, moves: list[int]) -> None:
    windows, calm = Windows(limit, WINDOW), Windows(limit, WINDOW)
    now = calm_now = START_US
    for step in moves:
        now += step
        calm_now += max(step, 0)
        assert calm.admit("a", str(uuid4()), calm_now) == windows.admit("a", str(uuid4()), now)


def test_times_that_threads_bring_out_of_order_are_no_clock_that_was_set_back() -> None:
    windows = Windows(1, WINDOW)
    assert windows.admit("a", str(uuid4()), START_US) == 0
    assert windows.admit("a", str(uuid4()), START_US - S) == WINDOW
    assert windows.admit("a", str(uuid4()), START_US + WINDOW - 1) == 1
    assert windows.admit("a", str(uuid4()), START_US + WINDOW) == 0


def test_only_those_who_were_there_within_the_window_are_remembered() -> None:
    windows = Windows(2, WINDOW)
    for number in range(1000):
        windows.admit("always there", str(uuid4()), START_US + number * S)
        windows.admit(f"actor {number}", str(uuid4()), START_US + number * S)
    assert len(windows._times) <= WINDOW // S + 2


def test_threads_together_get_no_more_than_the_limit() -> None:
    limit = RateLimit(50, 60, by="store")
    results: list[Any] = []

    def change() -> None:
        results.extend(run(limit, subject("before_state_write"), FakeWorld())[0] for _ in range(20))

    threads = [threading.Thread(target=change) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results.count(None) == 50


@pytest.mark.parametrize(
    ("by", "other", "shares"),
    [
        ("actor", {"actor": "bob"}, False),
        ("actor", {"actor": "ann", "scope": "agent:a2"}, True),
        ("scope", {"scope": "agent:a2", "actor": "ann"}, False),
        ("scope", {"key": "other", "actor": "bob"}, True),
        ("key", {"key": "other", "actor": "ann"}, False),
        ("key", {"scope": "agent:a2", "actor": "ann"}, False),
        ("key", {"actor": "bob"}, True),
        ("store", {"scope": "agent:a2", "key": "other", "actor": "bob"}, True),
    ],
)
def test_those_are_counted_together_that_the_option_says(by: Any, other: dict[str, Any], shares: bool) -> None:
    limit, world = RateLimit(1, 60, by=by), FakeWorld()
    assert run(limit, subject("before_state_write", actor="ann"), world)[0] is None
    refused = run(limit, subject("before_state_write", **other), world)[0] is not None
    assert shares == refused


def test_operations_without_an_actor_count_as_one_and_with_none_else() -> None:
    limit, world = RateLimit(1, 60), FakeWorld()
    assert run(limit, subject("before_state_write"), world)[0] is None
    assert run(limit, subject("before_state_delete", actor="ann"), world)[0] is None
    result = run(limit, subject("before_state_clear", key=None), world)[0]
    assert (
        HookResult.cancel("the limit of 1 in 60 s for operations without actor is reached: try again in 60 s") == result
    )


def test_the_reason_says_when_to_try_again_and_it_is_true() -> None:
    limit, world = RateLimit(2, 2.5, by="scope"), FakeWorld()
    run(limit, subject("before_state_write"), world)
    world.now_us += S
    run(limit, subject("before_state_write"), world)
    result = run(limit, subject("before_state_write"), world)[0]
    assert result is not None
    assert result.reason == "the limit of 2 in 2.5 s for scope agent:a1 is reached: try again in 1.5 s"

    world.now_us += S * 3 // 2
    assert run(limit, subject("before_state_write"), world)[0] is None


def test_with_wait_the_operation_waits_for_the_moment_there_is_room() -> None:
    limit, world = RateLimit(1, 2, wait=True, max_attempts=3), FakeWorld()
    run(limit, subject("before_state_write"), world)
    world.now_us += S // 2
    assert run(limit, subject("before_state_write"), world)[0] == HookResult.retry(1.5, 3)


@pytest.mark.parametrize(
    ("make", "path"),
    [
        (lambda: RateLimit(0, 1), "limit"),
        (lambda: RateLimit(True, 1), "limit"),
        (lambda: RateLimit(1, 0), "window_s"),
        (lambda: RateLimit(1, float("nan")), "window_s"),
        (lambda: RateLimit(1, 1e12), "window_s"),
        (lambda: RateLimit(1, 1, by="key "), "by"),  # type: ignore[arg-type]
        (lambda: RateLimit(1, 1, wait=1), "wait"),  # type: ignore[arg-type]
        (lambda: RateLimit(1, 1, max_attempts=0), "max_attempts"),
        (lambda: RateLimit(1, 1, name=""), "name"),
        (lambda: RateLimit(1, 1, name="a\nb"), "name"),
        (lambda: RateLimit(1, 1, name="x" * 300), "name"),
    ],
)
def test_options_without_sense_are_refused_by_name(make: Callable[[], object], path: str) -> None:
    with pytest.raises(InvalidValueError, match=re.escape(path)) as caught:
        make()
    assert path == caught.value.path


def test_an_operation_that_is_begun_anew_counts_once() -> None:
    limit, world, about = RateLimit(2, 60), FakeWorld(), subject("before_state_write")
    for attempt in range(1, 5):
        assert run(limit, about._replace(attempt=attempt), world)[0] is None
    assert run(limit, subject("before_state_write"), world)[0] is None
    assert run(limit, subject("before_state_write"), world)[0] is not None
    assert run(limit, about, world)[0] is None
