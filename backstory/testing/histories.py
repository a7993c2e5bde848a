"""Random histories: a hypothesis state machine that does the same to a store and to the model.

Every operation, conflicts of every kind, transactions that are given up or overtaken, forks of forks, a clock that
goes back, stores that are closed and opened again. After each step what was written and what is there now are
compared; at the end the state at every position of every branch, histories, differences and blame.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import ParamSpec

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from backstory.testing.blocking import drop_projection
from backstory.testing.drawing import SCOPES, Call, DrawnPoint, calls, points, spans
from backstory.testing.hook_drawing import DrawnHook, hooks, suites
from backstory.testing.pair import Open, Pair, Step

__all__ = ["Histories", "HookedHistories"]

P = ParamSpec("P")

_branches = st.integers(0, 9)
_steps = st.builds(Step, st.sampled_from("ooooxc"), calls, spans)


def _compared(step: Callable[P, None]) -> Callable[P, None]:
    """Compare after a step; a pair that disagreed once is not looked at again."""

    @wraps(step)
    def compared(*args: P.args, **kwargs: P.kwargs) -> None:
        pair: Pair = args[0].pair  # type: ignore[attr-defined]
        pair.sound = False
        step(*args, **kwargs)
        pair.compare()
        pair.sound = True

    return compared


class Histories(RuleBasedStateMachine):
    """The machine. `open_store` opens the same store each time; `durable`: what was written is there again."""

    def __init__(self, open_store: Open, *, durable: bool) -> None:
        """Begin with an empty store."""
        super().__init__()
        self.pair = Pair(open_store)
        self.durable = durable
        self.dropped = False

    @rule(branch=_branches, some=st.lists(calls, min_size=1, max_size=12))
    @_compared
    def write_and_read(self, branch: int, some: list[Call]) -> None:
        """Do some operations on one branch."""
        for call in some:
            self.pair.perform(self._living(branch), call)

    @rule(branch=_branches, steps=st.lists(_steps, max_size=6), give_up=st.sampled_from((False, False, False, True)))
    @_compared
    def transact(self, branch: int, steps: list[Step], give_up: bool) -> None:  # noqa: FBT001 - given by name
        """Run a transaction, with others' writes and moves of the clock between; perhaps give it up."""
        self.pair.transact(self._living(branch), steps, give_up=give_up)

    @rule(branch=_branches, name=st.sampled_from(("one", "two", "three", "")), point=st.none() | points)
    @_compared
    def fork(self, branch: int, name: str, point: DrawnPoint | None) -> None:
        """Make a branch."""
        self.pair.fork(self._living(branch), name or f"b{len(self.pair.model.forks)}", point)

    @precondition(lambda self: len(self._alive()) > 1)
    @rule(branch=_branches)
    @_compared
    def drop(self, branch: int) -> None:
        """End a branch."""
        forks = self._alive()[1:]
        if self.pair.model_side.hooked.due:
            self.pair.flush()  # nothing more can be recorded there
        self.pair.drop(forks[branch % len(forks)])

    @rule(span=spans)
    @_compared
    def move_clock(self, span: timedelta) -> None:
        """Let time pass, or the machine's clock be set back."""
        self.pair.clock.advance(span)

    @precondition(lambda self: not self.dropped)
    @rule(branch=_branches)
    @_compared
    def sweep(self, branch: int) -> None:
        """Record what expired."""
        self.pair.sweep(self._living(branch))

    @rule()
    @_compared
    def drop_projection(self) -> None:
        """Throw the current-state projection away: no answer may depend on it."""
        drop_projection(self.pair.store)
        self.dropped = True

    @rule()
    @_compared
    def rebuild_projection(self) -> None:
        """Build the current-state projection again."""
        self.pair.store.rebuild()
        self.dropped = False

    @precondition(lambda self: self.durable)
    @rule()
    @_compared
    def reopen(self) -> None:
        """Close the store and open it again."""
        self.pair.reopen()

    @rule(branch=_branches, scope=st.sampled_from(SCOPES), point=points)
    @_compared
    def read_the_past(self, branch: int, scope: str, point: DrawnPoint) -> None:
        """Read at a point: a position, an instant, or an event."""
        self.pair.compare_past(self._living(branch), scope, point)

    def teardown(self) -> None:
        """Compare everything at every position, on every branch."""
        try:
            if self.pair.sound:
                self.pair.compare_everything()
        finally:
            self.pair.store.close()

    def _alive(self) -> list[int]:
        return [number for number, fork in enumerate(self.pair.model.forks) if fork.alive]

    def _living(self, branch: int) -> int:
        alive = self._alive()
        return alive[branch % len(alive)]


class HookedHistories(Histories):
    """The same with hooks in the path of operations and behind them: what they did is in the log, to the last part.

    The store must leave what is due in the background until it is flushed or closed: `SETTLED` in `contract`.
    """

    @initialize(some=suites)
    @_compared
    def begin(self, some: list[DrawnHook]) -> None:
        """Register some hooks before anything is done."""
        for hook in some:
            self.pair.register(hook)

    @rule(branch=_branches, some=st.lists(calls, min_size=4, max_size=12))
    @_compared
    def go_on(self, branch: int, some: list[Call]) -> None:
        """Do some more operations, for hooks to meet."""
        for call in some:
            self.pair.perform(self._living(branch), call)

    @rule(hook=hooks)
    @_compared
    def register(self, hook: DrawnHook) -> None:
        """Register a hook."""
        self.pair.register(hook)

    @precondition(lambda self: self.pair.handles)
    @rule(number=st.integers(0, 9))
    @_compared
    def unregister(self, number: int) -> None:
        """Take a hook away."""
        self.pair.unregister(number)

    @precondition(lambda self: self.pair.model_side.hooked.due)
    @rule()
    @_compared
    def flush(self) -> None:
        """Have done what is due in the background."""
        self.pair.flush()

    @precondition(lambda self: self.pair.handles)
    @rule(branch=_branches, scope=st.sampled_from(SCOPES), point=points)
    @_compared
    def read_the_past_past_hooks(self, branch: int, scope: str, point: DrawnPoint) -> None:
        """Read a scope at a point with hooks in the way."""
        self.pair.past_items(self._living(branch), scope, point)
