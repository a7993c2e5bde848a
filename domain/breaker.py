"""The circuit breaker of a hook: when it is left alone for a while, and when it is tried again. Pure: times come in.

    closed     every call runs       -> open       too many failures, or slow calls, within the window
    open       no call runs          -> half_open  at the first call after the open time; that call is a trial
    half_open  a few trials run      -> closed     enough of them were good: no failure, not slow
                                     -> open       one of them was not

- A call counts when it ends, and only in the spell it was admitted in: what began before the circuit opened says
  nothing about whether the hook has recovered.
- A trial that never reports keeps its place for the open time, then another may run; nobody is locked out for ever.
  It is not held to have failed: a trial that takes longer than the open time would never close the circuit. Its late
  report still counts while the circuit is half-open.
- Times may be of any clock. One that is set back counts as standing still, and goes on from there.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, fields
from typing import Any, Final, Literal, final

from backstory.domain.durations import seconds
from backstory.domain.errors import InvalidValueError, shown

__all__ = ["Admission", "Breaker", "Circuit", "State", "Transition", "TransitionName"]

State = Literal["closed", "open", "half_open"]
TransitionName = Literal["opened", "half_opened", "closed"]

_SECOND_US: Final = 1_000_000
# Threads read the clock before they get the lock: times this little out of order are no clock that was set back.
_UNORDERED_US: Final = _SECOND_US


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """When the circuit of a hook opens and closes. Raises `InvalidValueError` that names the setting.

    Counts are whole numbers from 1, times are seconds from a microsecond to 1,000,000,000 (30 years).
    """

    #: This many failures within the window open the circuit.
    failures: int = 5
    #: How long a failure or a slow call is remembered. A success in between forgets nothing.
    window_s: float = 60.0
    #: How long an open circuit refuses every call, and how long an unfinished trial keeps its place.
    open_s: float = 30.0
    #: How many calls run in a half-open circuit, and must be good for it to close.
    trials: int = 1
    #: From how long on a call is slow, whatever came of it; None: none is.
    slow_s: float | None = None
    #: This many slow calls within the window open the circuit.
    slow_calls: int = 5

    def __post_init__(self) -> None:
        """Check every setting."""
        for field in fields(self):
            value = getattr(self, field.name)
            if not field.name.endswith("_s"):
                _check_count(field.name, value)
            elif field.name != "slow_s" or value is not None:
                seconds(field.name, value, least=1 / _SECOND_US)


@final
@dataclass(frozen=True, slots=True)
class Transition:
    """A change of a circuit's state: what the event `circuit.<name>` says. `data` is JSON, times in it microseconds."""

    name: TransitionName
    data: dict[str, Any]


@final
@dataclass(frozen=True, slots=True)
class Admission:
    """The answer to a call: whether it may run, and the transition that asking made. Given back with its outcome."""

    allowed: bool
    spell: int
    at: int
    transition: Transition | None = None


@final
class Circuit:
    """The state of one hook's breaker.

    Its methods are short and not atomic: the caller holds one lock for each circuit around every use of it, never
    while the hook runs. Times are microseconds of one clock, durations best those of a monotonic one.
    """

    def __init__(self, breaker: Breaker) -> None:
        self._breaker = breaker
        self._window_us = _micros(breaker.window_s)
        self._open_us = _micros(breaker.open_s)
        self._slow_us = None if breaker.slow_s is None else _micros(breaker.slow_s)
        self._state: State = "closed"
        self._spell = 0
        # Times on the circuit's own clock, oldest first. None grows past the count that ends its spell.
        self._failures: deque[int] = deque()
        self._slow: deque[int] = deque()
        self._under_way: deque[int] = deque()
        self._good = 0
        self._open_until = 0
        # The circuit's clock: the caller's plus an offset, never going back.
        self._now = 0
        self._offset = 0

    @property
    def state(self) -> State:
        """What the circuit is since its last transition. Open stays open until a call is admitted."""
        return self._state

    def admit(self, now_us: int) -> Admission:
        """Say whether a call may run now. One that may is to be recorded once, when it has ended."""
        now = self._tick(now_us)
        transition = None
        if self._state == "open":
            if now < self._open_until:
                return Admission(allowed=False, spell=self._spell, at=now)
            transition = self._turn("half_open", "half_opened", {"trials": self._breaker.trials})
        if self._state == "half_open":
            _forget(self._under_way, now - self._open_us)
            if self._good + len(self._under_way) >= self._breaker.trials:
                return Admission(allowed=False, spell=self._spell, at=now)
            self._under_way.append(now)
        return Admission(allowed=True, spell=self._spell, at=now, transition=transition)

    def record(self, now_us: int, admission: Admission, *, ok: bool, duration_us: int) -> Transition | None:
        """Take the outcome of an admitted call and return the transition it made.

        A timeout is a failure like any other. Raises `InvalidValueError` for a call that was refused.
        """
        now = self._tick(now_us)
        if not admission.allowed:
            raise InvalidValueError(
                "admission", rule="the call was refused, so it has no outcome", hint="Record the calls that ran."
            )
        if admission.spell != self._spell:
            return None
        if not ok:
            self._failures.append(now)
        if self._slow_us is not None and duration_us >= self._slow_us:
            self._slow.append(now)
        return self._after_trial(admission) if self._state == "half_open" else self._after_call(now)

    def _after_call(self, now: int) -> Transition | None:
        """Open the closed circuit if the window now holds too much."""
        _forget(self._failures, now - self._window_us)
        _forget(self._slow, now - self._window_us)
        if len(self._failures) >= self._breaker.failures:
            return self._open("failures")
        return self._open("slow_calls") if len(self._slow) >= self._breaker.slow_calls else None

    def _after_trial(self, admission: Admission) -> Transition | None:
        """Open the half-open circuit after a bad trial, close it after the last of the good ones."""
        if self._failures or self._slow:
            return self._open("trial")
        if admission.at in self._under_way:
            self._under_way.remove(admission.at)
        self._good += 1
        if self._good < self._breaker.trials:
            return None
        return self._turn("closed", "closed", {"trials": self._good})

    def _open(self, reason: Literal["failures", "slow_calls", "trial"]) -> Transition:
        """Open the circuit from now on, with the facts that led to it."""
        self._open_until = self._now + self._open_us
        facts = {
            "reason": reason,
            "failures": len(self._failures),
            "slow_calls": len(self._slow),
            "window_s": self._breaker.window_s,
            "open_until": self._open_until - self._offset,
        }
        return self._turn("open", "opened", facts)

    def _turn(self, state: State, name: TransitionName, data: dict[str, Any]) -> Transition:
        """Begin a new spell, which knows nothing of the last one."""
        self._state = state
        self._spell += 1
        self._good = 0
        for times in (self._failures, self._slow, self._under_way):
            times.clear()
        return Transition(name, data)

    def _tick(self, now_us: int) -> int:
        """Return the time on the circuit's own clock, which stands still while the caller's goes back."""
        behind = self._now - (now_us + self._offset)
        if behind > _UNORDERED_US:
            self._offset += behind
        self._now = max(self._now, now_us + self._offset)
        return self._now


def _forget(times: deque[int], until: int) -> None:
    """Drop the times up to an instant, itself among them."""
    while times and times[0] <= until:
        times.popleft()


def _micros(span_s: float) -> int:
    return round(span_s * _SECOND_US)


def _check_count(name: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InvalidValueError(name, rule=f"is no count: {shown(value)}", hint="Give a whole number from 1.")
