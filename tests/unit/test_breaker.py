"""The circuit breaker of hooks: its laws on any history, a model that reads the whole of it, and old mistakes."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import FrozenInstanceError
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backstory.domain.breaker import Admission, Breaker, Circuit, Transition
from backstory.domain.errors import InvalidValueError

S = 1_000_000
START = 1_700_000_000 * S
STEPS = (0, 0, 0, S // 3, S, S, 3 * S, 10 * S)
STEPS_BACK = (-1, -S // 3, -S, -S - 1, -10 * S, -1_000_000 * S)


class Move(NamedTuple):
    """One use of a circuit, `step` microseconds after the one before: a call asks, or an admitted one reports."""

    step: int
    report: int | None
    ok: bool = True
    duration_us: int = 0


class Seen(NamedTuple):
    """What came of a move: the instant, the admission it made or reported, and the circuit after it."""

    at: int
    move: Move
    allowed: bool
    admitted: int | None
    transition: Transition | None
    state: str


breakers = st.builds(
    Breaker,
    failures=st.integers(1, 3),
    window_s=st.sampled_from((0.5, 2, 5.0)),
    open_s=st.sampled_from((0.25, 2, 6.0)),
    trials=st.integers(1, 3),
    slow_s=st.none() | st.just(2.0),
    slow_calls=st.integers(1, 3),
)


def _moves(*steps: int) -> st.SearchStrategy[list[Move]]:
    """Return histories in which all states are common: bad calls in a row open, and a long wait ends in a trial."""
    step = st.sampled_from(steps)
    asks = st.builds(Move, step, st.none())
    # Mostly the newest of the calls that are still to report, and as often bad as good.
    which, durations = st.sampled_from((0, 0, 0, 1, 2, 5)), st.sampled_from((0, S, 2 * S, 9 * S))
    reports = st.builds(Move, step, which, st.booleans(), durations)
    failing = st.just((Move(0, None), Move(0, 0, ok=False)))
    slow = st.just((Move(0, None), Move(0, 0, duration_us=2 * S)))
    good = st.just((Move(0, None), Move(0, 0)))
    waiting = st.just((Move(6 * S, None),))
    blocks = st.one_of(asks.map(lambda ask: (ask,)), reports.map(lambda end: (end,)), failing, slow, good, waiting)
    return st.lists(blocks, min_size=20, max_size=40).map(lambda drawn: [move for block in drawn for move in block])


any_moves = _moves(*STEPS, *STEPS_BACK)
forward_moves = _moves(*STEPS)


def _played(circuit: Circuit, moves: Sequence[Move], *, start: int = START) -> Iterator[Seen]:
    """Play moves on a circuit. A report with nothing left to report is left out."""
    now, running, count = start, [], 0
    for move in moves:
        now += move.step
        if move.report is None:
            asked = circuit.admit(now)
            if asked.allowed:
                running.append((count, asked))
            count += asked.allowed
            yield Seen(now, move, asked.allowed, count - 1 if asked.allowed else None, asked.transition, circuit.state)
        elif move.report < len(running):
            number, admission = running.pop(-1 - move.report)
            transition = circuit.record(now, admission, ok=move.ok, duration_us=move.duration_us)
            yield Seen(now, move, True, number, transition, circuit.state)


# The model: everything is worked out again from all that has happened so far.


def _times(history: Sequence[Seen]) -> list[int]:
    """Return the instants as the circuit takes them: never back, and a clock that was set back goes on from there."""
    times = [history[0].at]
    lost = 0
    for seen in history[1:]:
        if seen.at + lost < times[-1] - S:
            lost = times[-1] - seen.at
        times.append(max(times[-1], seen.at + lost))
    return times


def _expected(breaker: Breaker, history: Sequence[Seen]) -> tuple[bool, str | None]:
    """Return whether the last of the moves is allowed, and the name of the transition it makes."""
    times = _times(history)
    now, last = times[-1], len(history) - 1
    turns = [i for i in range(last) if history[i].transition is not None]
    state = history[last - 1].state if last else "closed"
    # The spell's own asks and reports. The ask that made a circuit half-open is in its spell.
    born = turns[-1] if turns else 0
    asks = {s.admitted: i for i, s in enumerate(history) if s.move.report is None and s.allowed and i >= born}
    ends = [i for i, s in enumerate(history) if s.move.report is not None and s.admitted in asks]
    bad = [i for i in ends if not history[i].move.ok]
    slow = [i for i in ends if breaker.slow_s is not None and history[i].move.duration_us >= breaker.slow_s * S]
    if history[last].move.report is None:
        if state == "closed":
            return True, None
        if state == "open":
            waited = now - times[born] >= breaker.open_s * S
            return waited, "half_opened" if waited else None
        ended = {history[i].admitted for i in ends}
        places = [i for n, i in asks.items() if i < last and n not in ended and now - times[i] < breaker.open_s * S]
        return len(places) + len(ends) < breaker.trials, None
    if last not in ends:
        return True, None
    if state == "half_open":
        return True, "opened" if bad or slow else "closed" if len(ends) == breaker.trials else None
    bad, slow = ([i for i in them if now - times[i] < breaker.window_s * S] for them in (bad, slow))
    return True, "opened" if len(bad) >= breaker.failures or len(slow) >= breaker.slow_calls else None


@given(breakers, any_moves)
def test_a_circuit_does_what_follows_from_everything_that_has_happened(breaker: Breaker, moves: list[Move]) -> None:
    history: list[Seen] = []

    for seen in _played(Circuit(breaker), moves):
        history.append(seen)

        assert _expected(breaker, history) == (seen.allowed, seen.transition and seen.transition.name)


@given(breakers, any_moves)
def test_states_follow_one_another_by_transitions_alone(breaker: Breaker, moves: list[Move]) -> None:
    after = {"opened": "open", "half_opened": "half_open", "closed": "closed"}
    legal = {("closed", "opened"), ("open", "half_opened"), ("half_open", "opened"), ("half_open", "closed")}
    state = "closed"

    for seen in _played(Circuit(breaker), moves):
        if seen.transition is not None:
            assert (state, seen.transition.name) in legal
            state = after[seen.transition.name]
        assert state == seen.state


@given(breakers, any_moves, st.integers(-10 * S, 10 * S))
def test_no_history_locks_a_hook_out_for_longer_than_the_open_time(
    breaker: Breaker, moves: list[Move], jump: int
) -> None:
    circuit = Circuit(breaker)
    history = list(_played(circuit, moves))
    # The clock is perhaps set once more, and then it runs.
    now = (history[-1].at if history else START) + jump
    circuit.admit(now)

    assert circuit.admit(now + round(breaker.open_s * S) + S).allowed


@given(breakers, forward_moves)
def test_no_more_trials_begin_within_the_open_time_than_the_limit(breaker: Breaker, moves: list[Move]) -> None:
    spell: list[int] = []

    for seen in _played(Circuit(breaker), moves):
        if seen.transition is not None:
            spell.clear()
        if seen.state == "half_open" and seen.move.report is None and seen.allowed:
            spell.append(seen.at)
            assert sum(seen.at - at < breaker.open_s * S for at in spell) <= breaker.trials


@given(breakers, any_moves, st.integers(0, 10**16))
def test_only_differences_of_times_matter(breaker: Breaker, moves: list[Move], start: int) -> None:
    def told(seen: Seen) -> tuple[Any, ...]:
        data = None if seen.transition is None else dict(seen.transition.data)
        if data and "open_until" in data:
            data["open_until"] -= seen.at
        return seen.allowed, seen.state, data

    here = list(map(told, _played(Circuit(breaker), moves)))

    assert here == list(map(told, _played(Circuit(breaker), moves, start=start + 10**8 * S)))


@given(breakers, any_moves)
def test_the_facts_of_a_transition_are_json(breaker: Breaker, moves: list[Move]) -> None:
    for seen in _played(Circuit(breaker), moves):
        if seen.transition is not None:
            assert seen.transition.data == json.loads(json.dumps(seen.transition.data, allow_nan=False))


@given(breakers, any_moves)
def test_what_a_circuit_remembers_does_not_grow_with_its_calls(breaker: Breaker, moves: list[Move]) -> None:
    circuit = Circuit(breaker)

    for _ in _played(circuit, moves):
        assert len(circuit._failures) < breaker.failures
        assert len(circuit._slow) < breaker.slow_calls
        assert len(circuit._under_way) <= breaker.trials


# What the predecessor got wrong, each as it was seen.


def _call(circuit: Circuit, at: int, *, ok: bool = True, duration_us: int = 0) -> Transition | None:
    """Let a call run that ends when it begins, and return the transition its outcome made."""
    admission = circuit.admit(at)
    assert admission.allowed
    return circuit.record(at, admission, ok=ok, duration_us=duration_us)


def _opened(breaker: Breaker) -> Circuit:
    circuit = Circuit(breaker)
    for _ in range(breaker.failures):
        _call(circuit, START, ok=False)
    assert circuit.state == "open"
    return circuit


def test_failures_further_apart_than_the_window_never_open_a_circuit() -> None:
    circuit = Circuit(Breaker(failures=2, window_s=60))

    assert [None] * 50 == [_call(circuit, START + n * 60 * S, ok=False) for n in range(50)]


def test_the_last_failure_that_the_window_holds_opens_a_circuit_however_many_successes_came_between() -> None:
    circuit = Circuit(Breaker(failures=3, window_s=60, open_s=30))
    _call(circuit, START, ok=False)
    for n in range(50):
        _call(circuit, START + n * S)
    _call(circuit, START + 50 * S, ok=False)
    end = START + 60 * S - 1

    opened = _call(circuit, end, ok=False)

    facts = {"reason": "failures", "failures": 3, "slow_calls": 0, "window_s": 60, "open_until": end + 30 * S}
    assert Transition("opened", facts) == opened


def test_two_calls_of_50_ms_open_no_circuit_and_neither_do_slow_calls_further_apart_than_the_window() -> None:
    circuit = Circuit(Breaker())
    patient = Circuit(Breaker(slow_s=0.05, slow_calls=2, window_s=60))

    assert [None] * 50 == [_call(circuit, START, duration_us=50_000) for _ in range(50)]
    assert [None] * 50 == [_call(patient, START + n * 60 * S, duration_us=50_000) for n in range(50)]


def test_as_many_slow_calls_as_the_window_may_not_hold_open_a_circuit_good_and_bad_ones_alike() -> None:
    circuit = Circuit(Breaker(slow_s=0.05, slow_calls=3))
    _call(circuit, START, duration_us=49_999)
    _call(circuit, START, duration_us=50_000)
    _call(circuit, START, duration_us=60_000, ok=False)

    opened = _call(circuit, START, duration_us=50_000)

    assert opened is not None
    assert ("slow_calls", 1, 3) == tuple(opened.data[name] for name in ("reason", "failures", "slow_calls"))


def test_a_thousand_calls_that_ask_at_once_are_no_more_trials_than_the_limit() -> None:
    circuit = _opened(Breaker(trials=3, open_s=30))
    asked = [circuit.admit(START + 30 * S) for _ in range(1000)]

    trials = [each for each in asked if each.allowed]

    assert asked[:3] == trials
    assert [Transition("half_opened", {"trials": 3}), None, None] == [each.transition for each in trials]


def test_as_many_good_trials_as_the_limit_close_a_circuit_and_no_other_call_runs_before() -> None:
    circuit = _opened(Breaker(failures=1, trials=2, open_s=30))
    first, second = (circuit.admit(START + 30 * S) for _ in range(2))

    assert circuit.record(START + 31 * S, first, ok=True, duration_us=S) is None
    assert not circuit.admit(START + 31 * S).allowed
    assert Transition("closed", {"trials": 2}) == circuit.record(START + 32 * S, second, ok=True, duration_us=S)
    assert circuit.admit(START + 32 * S).allowed


@pytest.mark.parametrize(("ok", "duration_us"), [(False, 0), (True, 2 * S)])
def test_a_trial_that_fails_or_is_slow_opens_the_circuit_for_the_whole_open_time_again(
    ok: bool, duration_us: int
) -> None:
    circuit = _opened(Breaker(failures=3, trials=2, open_s=30, slow_s=2))
    trial = circuit.admit(START + 40 * S)

    opened = circuit.record(START + 42 * S, trial, ok=ok, duration_us=duration_us)

    assert opened is not None
    assert ("opened", "trial", START + 72 * S) == (opened.name, opened.data["reason"], opened.data["open_until"])
    assert not circuit.admit(START + 72 * S - 1).allowed
    assert circuit.admit(START + 72 * S).allowed


def test_a_trial_that_was_good_makes_room_for_the_next() -> None:
    circuit = _opened(Breaker(trials=2, open_s=30))

    assert _call(circuit, START + 30 * S) is None
    assert Transition("closed", {"trials": 2}) == _call(circuit, START + 30 * S)


def test_good_trials_count_for_the_spell_they_ran_in() -> None:
    circuit = _opened(Breaker(trials=2, open_s=30))
    _call(circuit, START + 30 * S)
    _call(circuit, START + 30 * S, ok=False)

    assert _call(circuit, START + 60 * S) is None
    assert circuit.state == "half_open"


def test_timeouts_open_a_circuit_as_other_failures_do() -> None:
    circuit = Circuit(Breaker(failures=2, slow_s=None))
    _call(circuit, START, ok=False, duration_us=30 * S)

    assert _call(circuit, START + 30 * S, ok=False, duration_us=30 * S) is not None
    assert not circuit.admit(START + 30 * S).allowed


# Calls that report late, or never, and clocks.


def test_a_trial_that_never_reports_gives_its_place_to_another_after_the_open_time() -> None:
    circuit = _opened(Breaker(open_s=30))
    circuit.admit(START + 30 * S)

    assert not circuit.admit(START + 60 * S - 1).allowed
    assert circuit.admit(START + 60 * S).allowed
    assert not circuit.admit(START + 60 * S).allowed


def test_a_good_trial_longer_than_the_open_time_closes_the_circuit_while_others_take_its_place() -> None:
    circuit = _opened(Breaker(open_s=1))
    trial = circuit.admit(START + S)
    circuit.admit(START + 2 * S)

    closed = circuit.record(START + 3 * S, trial, ok=True, duration_us=2 * S)

    assert closed is not None
    assert ("closed", "closed") == (closed.name, circuit.state)


def test_what_began_before_the_circuit_opened_says_nothing_about_its_recovery() -> None:
    circuit = Circuit(Breaker(failures=1, open_s=30))
    good, bad, late = (circuit.admit(START) for _ in range(3))
    _call(circuit, START, ok=False)
    trial = circuit.admit(START + 30 * S)

    assert circuit.record(START + 30 * S, good, ok=True, duration_us=30 * S) is None
    assert circuit.record(START + 30 * S, bad, ok=False, duration_us=30 * S) is None
    assert not circuit.admit(START + 30 * S).allowed
    assert Transition("closed", {"trials": 1}) == circuit.record(START + 31 * S, trial, ok=True, duration_us=S)
    assert circuit.record(START + 31 * S, late, ok=False, duration_us=31 * S) is None
    assert circuit.admit(START + 31 * S).allowed


def test_a_clock_set_back_by_years_makes_an_open_circuit_wait_no_longer_than_the_open_time() -> None:
    circuit = _opened(Breaker(open_s=30))
    years = 10**15

    assert not circuit.admit(START - years).allowed
    assert not circuit.admit(START - years + 30 * S - 1).allowed
    assert circuit.admit(START - years + 30 * S).allowed


def test_the_end_of_the_open_time_is_told_in_the_time_of_the_clock_as_it_is_set() -> None:
    circuit = Circuit(Breaker(failures=1, open_s=30))
    _call(circuit, START)

    opened = _call(circuit, START - 1000 * S, ok=False)

    assert opened is not None
    assert START - 970 * S == opened.data["open_until"]


def test_times_a_little_out_of_order_do_not_make_the_window_shorter() -> None:
    circuit = Circuit(Breaker(failures=2, window_s=60))
    _call(circuit, START, ok=False)
    for n in range(1000):
        _call(circuit, START + (n % 2) * S)

    assert _call(circuit, START + 59 * S, ok=False) is not None


def test_a_refused_call_has_no_outcome() -> None:
    circuit = _opened(Breaker())

    with pytest.raises(InvalidValueError, match=r"the call was refused.*Record the calls that ran\."):
        circuit.record(START, circuit.admit(START), ok=True, duration_us=0)


# Settings


@pytest.mark.parametrize("name", ["failures", "trials", "slow_calls"])
@pytest.mark.parametrize("value", [0, -1, True, 1.0, "5", None, math.nan])
def test_a_count_is_a_whole_number_from_1(name: str, value: object) -> None:
    with pytest.raises(InvalidValueError) as caught:
        Breaker(**{name: value})  # type: ignore[arg-type]

    assert name == caught.value.path


@pytest.mark.parametrize("name", ["window_s", "open_s", "slow_s"])
@pytest.mark.parametrize("value", [0, -1.0, True, 1e-7, 1e9 + 1, 10**400, math.inf, math.nan, "60", 1j])
def test_a_time_is_a_number_of_seconds_that_can_be_waited_for(name: str, value: object) -> None:
    with pytest.raises(InvalidValueError) as caught:
        Breaker(**{name: value})  # type: ignore[arg-type]

    assert name == caught.value.path


@pytest.mark.parametrize("name", ["window_s", "open_s"])
def test_only_slow_calls_can_be_left_out(name: str) -> None:
    with pytest.raises(InvalidValueError):
        Breaker(**{name: None})  # type: ignore[arg-type]

    assert Breaker().slow_s is None


@pytest.mark.parametrize("value", [0.000001, 1, 1_000_000_000])
def test_the_shortest_and_the_longest_time_are_taken(value: float) -> None:
    assert (value, value, value) == (
        (breaker := Breaker(window_s=value, open_s=value, slow_s=value)).window_s,
        breaker.open_s,
        breaker.slow_s,
    )


def test_settings_and_answers_cannot_be_changed() -> None:
    for thing, name in ((Breaker(), "trials"), (Admission(allowed=True, spell=0, at=0), "allowed")):
        with pytest.raises(FrozenInstanceError):
            setattr(thing, name, 7)
