"""Measuring hooks: values are as long as they say, nobody's turn is left out, and every run is counted."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

import backstory
from backstory.measuring.hooking import Seen, Values, Writer, fresh, in_turns, known, secret, with_after, with_before
from backstory.store import StateStore
from benchmarks.hooks import by_hook, doubts


@pytest.fixture
def store() -> Iterator[StateStore]:
    with backstory.open("memory://") as opened:
        yield opened


@pytest.mark.parametrize("size", [200, 2_000, 20_000])
def test_a_value_is_about_as_long_as_it_says(size: int) -> None:
    (value,) = fresh(size)(1)
    assert size == pytest.approx(len(json.dumps(value, separators=(",", ":"))), rel=0.05)


@pytest.mark.parametrize(("make", "distinct"), [(fresh, 40), (secret, 40), (known, 16)])
def test_values_come_again_only_where_they_are_known(make: Callable[[], Values], distinct: int) -> None:
    values = make()
    assert distinct == len({json.dumps(value) for value in (*values(20), *values(20))})


def test_the_field_that_is_not_to_be_recorded_is_redacted(store: StateStore) -> None:
    in_turns({"ours": Writer(with_before(store), secret())}, turns=1, each=3)
    (run, *_) = store.hooks.history()
    assert run.event.data["input"]["after"]["password"].startswith("[redacted:")


@pytest.mark.parametrize(
    ("arm", "hooks"), [(with_before, 1), (with_after, 1), (lambda store: with_before(store, 5), 5)]
)
def test_every_run_of_a_hook_is_counted_once(
    store: StateStore, arm: Callable[[StateStore], StateStore], hooks: int
) -> None:
    seen = in_turns({"ours": Writer(arm(store), fresh())}, turns=2, each=10)
    assert 20 * (1 + hooks) == seen["ours"].recorded
    assert 20 == len(seen["ours"].calls_ns)


def test_a_run_that_nobody_recorded_is_no_measurement(store: StateStore) -> None:
    store.hooks.register("before_state_write", lambda _: None, key="another")
    with pytest.raises(RuntimeError, match="was not recorded"):
        in_turns({"ours": Writer(store, fresh())}, turns=1, each=1)


def test_what_was_seen_is_told_in_microseconds_and_with_the_background() -> None:
    seen = Seen([1_000, 2_000, 6_000], flushed_s=0.000_012, recorded=6)
    assert {"p50 us": 2.0, "mean us": 3.0, "p99 us": 6.0, "flushed us": 4.0, "events/s": 500_000.0} == pytest.approx(
        seen.figures()
    )


def test_what_a_hook_adds_is_told_by_hook() -> None:
    found = by_hook("ours", {0: 10.0, 1: 14.0, 5: 30.0})
    assert [4.0, 4.0] == [found[f"ours, {hooks} hooks"]["us a hook"] for hooks in (1, 5)]
    assert {"p50 us": 10.0} == found["ours, 0 hooks"]


@pytest.mark.parametrize(("rates", "notes"), [((9_000, 20_000), 0), ((9_000, 300), 1)])
def test_a_slow_disk_is_told_for_no_ratio_tells_of_hooks_then(rates: tuple[float, ...], notes: int) -> None:
    assert notes == len(doubts(rates))
