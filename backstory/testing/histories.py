"""Random histories: a hypothesis state machine that does the same to a store and to the model.

Every operation, conflicts of every kind, transactions that are given up or overtaken, forks of forks, a clock that
goes back, stores that are closed and opened again. After each step what was written and what is there now are
compared; at the end the state at every position of every branch, histories, differences and blame.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from backstory.domain.errors import BackstoryError, ConflictError
from backstory.domain.events import EXISTS, MISSING, RecordedEvent, from_micros
from backstory.store import StateStore
from backstory.testing.checking import check_branch, check_events, check_now, check_same
from backstory.testing.clock import ManualClock
from backstory.testing.drawing import Call, calls, points, spans
from backstory.testing.model import Fact, Fork, Model
from backstory.testing.wishes import Eye, Op, answer

__all__ = ["Histories"]

Open = Callable[[ManualClock], StateStore]
Script = list[tuple[str, Any]]


class _GivenUp(Exception):  # noqa: N818 - no error: what the caller of a transaction changed his mind with
    """Raised inside a transaction to give it up."""


class Histories(RuleBasedStateMachine):
    """The machine. `open_store` opens the same store each time; `durable`: what was written is there again."""

    def __init__(self, open_store: Open, *, durable: bool) -> None:
        """Begin with an empty store and an empty model."""
        super().__init__()
        self.open_store = open_store
        self.durable = durable
        self.clock = ManualClock()
        self.model = Model()
        self.store = open_store(self.clock)
        self.branches: dict[int, StateStore] = {0: self.store}
        self.failed = False

    # What is done, to both

    @rule(branch=st.integers(0, 9), call=calls)
    def write_or_read(self, branch: int, call: Call) -> None:
        """Do one operation on one branch."""
        self.perform(self._living(branch), call)
        self.compare()

    @rule(
        branch=st.integers(0, 9),
        script=st.lists(st.tuples(st.sampled_from("ooooxc"), calls, spans), max_size=6),
        end=st.sampled_from("ccca"),
    )
    def transact(self, branch: int, script: list[tuple[str, Call, timedelta]], end: str) -> None:
        """Run a transaction of own operations (o), others' (x) and the clock's moves (c); perhaps give it up."""
        number = self._living(branch)
        eye: Eye | None = None
        wishes: list[Fact] = []
        results: list[tuple[Any, int]] = []
        try:
            with self.branches[number].transaction() as tx:
                for kind, call, span in script:
                    if kind == "x":
                        self.perform(number, call)
                    elif kind == "c":
                        self._move_clock(span)
                    else:
                        eye = eye or self._eye(number, shadow=True)
                        results.append((self._both(eye, tx, call, wishes), len(wishes)))
                expected = None if eye is None else self._conflict(eye)
                if end == "a":
                    raise _GivenUp
        except _GivenUp:
            wishes = []
        except ConflictError as error:
            wishes = []
            assert eye is not None
            assert self._conflict(eye) is not None, f"a conflict that the model does not see: {error}"
            assert error.actual == self._conflicts(eye)[error.stream, error.key], error
            assert error.expected in {eye.reads.get((error.stream, error.key)), EXISTS}, error
        else:
            assert expected is None or not wishes, f"no conflict, but something read has changed: {expected}"
            placed = self._commit(number, wishes, eye)
            self.compare()
            self._check_settled(results, placed)
        self.compare()

    @rule(branch=st.integers(0, 9), name=st.sampled_from(("one", "two", "three", None)), point=st.none() | points)
    def fork(self, branch: int, name: str | None, point: Any) -> None:
        """Make a branch, unless one of this name lives."""
        number = self._living(branch)
        name = name or f"b{len(self.model.forks)}"
        taken = any(fork.name == name and fork.alive for fork in self.model.forks)
        as_of, at = self._point(point)
        self.failed = True
        try:
            store = self.branches[number].fork(name, as_of=as_of)
        except ConflictError:
            assert taken
        else:
            assert not taken
            data = {"name": name, "parent": self.model.forks[number].name, "position": at[0]}
            self._place(number, [Fact("custom:branches", "branch.created", data)])
            self.branches[len(self.model.forks)] = store
            self.model.forks.append(Fork(name, number, at[0]))
        self.compare()

    @precondition(lambda self: any(fork.alive for fork in self.model.forks[1:]))
    @rule(branch=st.integers(0, 9))
    def drop(self, branch: int) -> None:
        """End a branch; what it showed can still be read by who holds it."""
        alive = [number for number, fork in enumerate(self.model.forks) if number and fork.alive]
        number = alive[branch % len(alive)]
        fork = self.model.forks[number]
        self.failed = True
        self.store.drop_branch(fork.name)
        self._place(0, [Fact("custom:branches", "branch.dropped", {"name": fork.name})])
        self.model.forks[number] = replace(fork, alive=False)
        self.compare()

    @rule(span=spans)
    def move_clock(self, span: timedelta) -> None:
        """Let time pass, or let the machine's clock be set back."""
        self._move_clock(span)

    @rule(branch=st.integers(0, 9))
    def sweep(self, branch: int) -> None:
        """Record what expired on a branch."""
        number = self._living(branch)
        eye = self._eye(number)
        swept = {
            (fact.stream, fact.key): fact.position
            for fact in self.model.facts
            if fact.type == "state.expired" and fact.branch == number
        }
        expired = [
            Fact(*at, data={"expires_at": from_micros(cell.expires_us)})
            for at, cell in sorted(self.model.cells(number, len(self.model.facts)).items())
            if cell.expires_us is not None
            and cell.seen(eye.now_us) is MISSING
            and self.model.facts[cell.position - 1].branch == number
            and swept.get(at, 0) < cell.position
        ]
        wishes = [Fact(fact.stream, "state.expired", fact.data, fact.type) for fact in expired]
        self.failed = True
        check_same(len(wishes), self.branches[number].sweep(), "swept")
        self._place(number, wishes)
        self.compare()

    @rule(drop=st.booleans())
    def rebuild(self, drop: bool) -> None:  # noqa: FBT001 - hypothesis gives it by name
        """Throw the current-state projection away, and perhaps build it again."""
        engine = self.store._core.engine  # noqa: SLF001 - no user ever needs to drop it without building it again
        if drop:
            self.store._runner.run(engine.drop_state())  # noqa: SLF001
        else:
            self.store.rebuild()
        self.compare()

    @precondition(lambda self: self.durable)
    @rule()
    def reopen(self) -> None:
        """Close the store and open it again."""
        self.store.close()
        self.store = self.open_store(self.clock)
        names = {number: fork.name for number, fork in enumerate(self.model.forks) if fork.alive}
        self.branches = {number: self.store.branch(name) if number else self.store for number, name in names.items()}
        self.compare()

    @rule(branch=st.integers(0, 9), call=calls, point=points)
    def read_the_past(self, branch: int, call: Call, point: Any) -> None:
        """Read a scope at a point: a position, an instant, or an event."""
        number = self._living(branch)
        as_of, at = self._point(point)
        self.failed = True
        expected = self.model.state(number, at)
        stream, store = call.scope, self.branches[number]
        check_same(expected.get(stream, {}), store.items(stream, as_of=as_of), "items of", stream, "at", as_of)
        check_same(sorted(expected), list(map(str, store.at(as_of).scopes())), "scopes at", as_of)
        check_same(at[0], store.at(as_of).position, "position at", as_of)
        self.failed = False

    def teardown(self) -> None:
        """Compare everything at every position, on every branch."""
        try:
            if not self.failed:
                for number, store in self.branches.items():
                    check_branch(self.model, store, number)
                report = self.store.verify()
                assert report.ok, report.problems
                self.store.rebuild()
                for number, store in self.branches.items():
                    check_now(self.model, store, number, self.clock.now_us())
        finally:
            self.store.close()

    # How it is done

    def perform(self, number: int, call: Call) -> None:
        """Do one operation directly."""
        wishes: list[Fact] = []
        result = self._both(self._eye(number), self.branches[number], call, wishes)
        placed = self._place(number, wishes)
        self.compare(only_log=True)
        self._check_settled([(result, len(wishes))], placed)

    def _both(self, eye: Eye, target: Any, call: Call, wishes: list[Fact]) -> Any:
        """Decide an operation on the model, do it to a store or a transaction, compare, return the store's answer."""
        op = call.op(eye)
        self.failed = True
        refusal: Any = None
        try:
            facts, expected = answer(eye, op)
        except BackstoryError as error:
            refusal, facts, expected = error, [], None
        try:
            result = getattr(target, op.name)(*op.args, **self._for_store(op))
        except BackstoryError as error:
            assert type(refusal) is type(error), f"{op}: the model says {refusal!r}, the store {error!r}"
            if isinstance(error, ConflictError):
                assert isinstance(refusal, ConflictError)
                assert (error.expected, error.actual, error.stream, error.key) == (
                    refusal.expected,
                    refusal.actual,
                    refusal.stream,
                    refusal.key,
                ), (op, refusal, error)
            return None
        assert refusal is None, f"{op}: the model says {refusal!r}, the store {result!r}"
        if expected is not ...:
            check_same(expected, result, op)
        wishes.extend(facts)
        if eye.begin >= 0 and eye.model is not self.model:
            eye.model.place(eye.branch, facts, eye.now_us)
        return result

    @staticmethod
    def _for_store(op: Op) -> dict[str, Any]:
        kwargs = dict(op.kwargs)
        if kwargs.get("cause") is not None:
            kwargs["cause"] = UUID(bytes=kwargs["cause"].event_id)
        return kwargs

    def _eye(self, number: int, *, shadow: bool = False) -> Eye:
        now_us = max(self.clock.now_us(), self.model.head_us)
        if not shadow:
            return Eye(self.model, number, now_us, begin=len(self.model.facts))
        return Eye(Model(list(self.model.facts), self.model.forks), number, now_us, begin=len(self.model.facts))

    def _conflicts(self, eye: Eye) -> dict[tuple[str, str | None], int]:
        """Return what a transaction read that has changed since, with the version it has now."""
        now = self._eye(eye.branch)
        versions = {at: now.version(at[0]) if at[1] is None else now.cell(at[0], at[1]).version for at in eye.reads}
        found = {at: version for at, version in versions.items() if version != eye.reads[at]}
        lapsed = [at for at, expires_us in eye.lapses.items() if expires_us <= now.now_us and at not in found]
        return found | {at: now.cell(at[0], at[1] or "").version for at in lapsed}

    def _conflict(self, eye: Eye) -> object:
        return self._conflicts(eye) or None

    def _commit(self, number: int, wishes: list[Fact], eye: Eye | None) -> list[Fact]:
        """Place a transaction's facts; what one of them copied from another is where that one came to lie."""
        if eye is None:
            return []
        moved: dict[int, int] = {}
        placed: list[Fact] = []
        shadows = iter(eye.model.facts[eye.begin :])
        for wish in wishes:
            source = wish.data.get("source") if isinstance(wish.data, dict) else None
            if wish.type == "state.set" and source is not None and source["position"] > eye.begin:
                wish = replace(wish, data={**wish.data, "source": {**source, "position": moved[source["position"]]}})
            before = len(self.model.facts)
            placed += self._place(number, [wish])
            if len(self.model.facts) > before:
                moved[next(shadows).position] = before + 1
        return placed

    def _place(self, number: int, wishes: list[Fact]) -> list[Fact]:
        return self.model.place(number, wishes, self.clock.now_us())

    def _check_settled(self, results: list[tuple[Any, int]], placed: list[Fact]) -> None:
        """Compare the events that writes returned with the facts they became."""
        for result, end in results:
            events = [result] if isinstance(result, RecordedEvent) else result if isinstance(result, list) else []
            if events and all(isinstance(event, RecordedEvent) for event in events):
                facts = [self.model.facts[fact.position - 1] for fact in placed[end - len(events) : end]]
                check_events(facts, events, "what a write returned")

    def compare(self, *, only_log: bool = False) -> None:
        """Compare the head, the events since the last look, and the state now."""
        self.failed = True
        known = next(
            (at for at, fact in enumerate(self.model.facts) if fact.event_id is None or fact.position > self._seen),
            len(self.model.facts),
        )
        check_same(len(self.model.facts), self.store.position(), "head")
        fresh = {event.position: event for store in self.branches.values() for event in store.log(since=known)}
        for event in (fresh[position] for position in sorted(fresh)):
            fact = self.model.facts[event.position - 1]
            self.model.facts[event.position - 1] = replace(fact, event_id=event.event_id.bytes)
        check_events(self.model.facts[known:], [fresh[position] for position in sorted(fresh)], "new events")
        self._seen = len(self.model.facts)
        if not only_log:
            for number, store in self.branches.items():
                check_now(self.model, store, number, self.clock.now_us())
        self.failed = False

    _seen = 0

    def _move_clock(self, span: timedelta) -> None:
        self.clock.advance(span)

    def _living(self, branch: int) -> int:
        alive = [number for number, fork in enumerate(self.model.forks) if fork.alive]
        return alive[branch % len(alive)]

    def _point(self, drawn: Any) -> tuple[Any, tuple[int, int]]:
        """Return a point as callers write it, and as the model knows it; none is now."""
        head = len(self.model.facts)
        if drawn is None:
            return None, (head, max(self.clock.now_us(), self.model.head_us))
        kind, share, off_us = drawn
        position = round(share * head)
        at = self.model.at(position)
        if kind == "position" or not position:
            return position, at
        if kind == "event":
            event_id = self.model.facts[position - 1].event_id
            assert event_id is not None
            return UUID(bytes=event_id), at
        return from_micros(at[1] + off_us), self.model.at_time(at[1] + off_us)
