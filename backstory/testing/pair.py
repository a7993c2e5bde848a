"""A store and the model of it, side by side: what is done to one is done to the other, and both must answer alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

from backstory.domain.errors import BackstoryError, ConflictError
from backstory.domain.events import EMPTY, EXISTS, MISSING, RecordedEvent, from_micros
from backstory.state import Transaction
from backstory.store import StateStore
from backstory.testing.checking import check_branch, check_events, check_now, check_same
from backstory.testing.clock import ManualClock
from backstory.testing.drawing import Call, DrawnPoint
from backstory.testing.model import Fact, Fork, Model, Point
from backstory.testing.wishes import Eye, Op, answer

__all__ = ["Open", "Pair", "Step"]

Open = Callable[[ManualClock], StateStore]
Read = tuple[str, str | None]


class Step(NamedTuple):
    """A step of a transaction: its own operation (o), one of others beside it (x), or a move of the clock (c)."""

    kind: str
    call: Call
    span: timedelta


class _GivenUpError(Exception):
    """What gives a transaction up."""


class Pair:
    """One store with its forks, and its model. `sound` is false from the start of each step until both agree again."""

    def __init__(self, open_store: Open) -> None:
        """Begin with an empty store and an empty model; `open_store` opens the same store each time."""
        self.open_store = open_store
        self.clock = ManualClock()
        self.model = Model()
        self.store = open_store(self.clock)
        self.branches: dict[int, StateStore] = {0: self.store}
        self.sound = True
        self._seen = 0

    # What is done to both

    def perform(self, number: int, call: Call) -> None:
        """Do one operation on a branch."""
        wishes: list[Fact] = []
        result = self._both(self._eye(number), self.branches[number], call, wishes)
        placed = self.model.place(number, wishes, self.clock.now_us())
        self.compare_log()
        self._check_answered([(result, len(wishes))], placed)

    def transact(self, number: int, steps: Iterable[Step], *, give_up: bool) -> None:
        """Run a transaction. It must conflict just when something that it looked at has changed or expired."""
        shadow = _Shadow()
        try:
            with self.branches[number].transaction() as tx:
                for step in steps:
                    self._step(number, step, tx, shadow)
                shadow.conflicts = self._conflicts(shadow.eye)
                if give_up:
                    _give_up()
        except _GivenUpError:
            pass
        except ConflictError as error:
            seen = error.expected, error.actual
            check_same(shadow.conflicts.get((error.stream, error.key)), seen, "a conflict about", error)
        else:
            assert not (shadow.conflicts and shadow.wishes), f"no conflict, though changed: {shadow.conflicts}"
            placed = self._commit(number, shadow)
            self.compare_log()
            self._check_answered(shadow.results, placed)

    def fork(self, number: int, name: str, point: DrawnPoint | None) -> None:
        """Make a branch, unless one of this name lives."""
        as_of, at = self.point(point)
        parent = self.model.forks[number].name
        if any(fork.name == name and fork.alive for fork in self.model.forks):
            error = _refusal(self.branches[number].fork, name, as_of=as_of)
            assert isinstance(error, ConflictError), error
            return
        store = self.branches[number].fork(name, as_of=as_of)
        self.place(number, Fact("custom:branches", "branch.created", _forked(name, parent, at[0])))
        self.branches[len(self.model.forks)] = store
        self.model.forks.append(Fork(name, number, at[0]))

    def drop(self, number: int) -> None:
        """End a branch; who holds it can still read what it showed."""
        fork = self.model.forks[number]
        self.store.drop_branch(fork.name)
        self.place(0, Fact("custom:branches", "branch.dropped", {"name": fork.name}))
        self.model.forks[number] = replace(fork, alive=False)

    def sweep(self, number: int) -> None:
        """Record what expired on a branch."""
        wishes = self._expired(number)
        check_same(len(wishes), self.branches[number].sweep(), "swept")
        self.place(number, *wishes)

    def reopen(self) -> None:
        """Close the store and open it again."""
        self.store.close()
        self.store = self.open_store(self.clock)
        living = {number: fork for number, fork in enumerate(self.model.forks) if fork.alive}
        self.branches = {number: self.store.branch(fork.name) for number, fork in living.items()}

    def place(self, number: int, *wishes: Fact) -> None:
        """Do to the model what was done to the store."""
        self.model.place(number, list(wishes), self.clock.now_us())

    # What is compared

    def compare(self) -> None:
        """Compare what was written since the last look, and the state of every branch now."""
        self.compare_log()
        for number, store in self.branches.items():
            check_now(self.model, store, number, self.clock.now_us())

    def compare_log(self) -> None:
        """Compare what was written since the last look; the ids that the store chose are taken over."""
        check_same(len(self.model.facts), self.store.position(), "head")
        fresh = {event.position: event for store in self.branches.values() for event in store.log(since=self._seen)}
        events = [fresh[position] for position in sorted(fresh)]
        for event in events:
            fact = self.model.facts[event.position - 1]
            self.model.facts[event.position - 1] = replace(fact, event_id=fact.event_id or event.event_id.bytes)
        check_events(self.model.facts[self._seen :], events, "new events")
        self._seen = len(self.model.facts)

    def compare_past(self, number: int, scope: str, point: DrawnPoint) -> None:
        """Compare what a branch showed at one point."""
        as_of, at = self.point(point)
        state, store = self.model.state(number, at), self.branches[number]
        check_same(state.get(scope, {}), store.items(scope, as_of=as_of), "items of", scope, "at", as_of)
        check_same(sorted(state), list(map(str, store.at(as_of).scopes())), "scopes at", as_of)
        check_same(at[0], store.at(as_of).position, "position at", as_of)

    def compare_everything(self) -> None:
        """Compare every position of every branch; then verify the log, build the projection again and look again."""
        for number, store in self.branches.items():
            check_branch(self.model, store, number)
        for _ in range(2):
            report = self.store.verify()
            assert report.ok, report.problems
            self.store.rebuild()
            self.compare()

    def point(self, drawn: DrawnPoint | None) -> tuple[Any, Point]:
        """Return a drawn point as callers write it, and as the model knows it; none is now."""
        if drawn is None:
            return None, (len(self.model.facts), self._now_us())
        position = round(drawn.share * len(self.model.facts))
        at = self.model.at(position)
        if drawn.kind == "position" or not position:
            return position, at
        if drawn.kind == "event":
            return UUID(bytes=self.model.facts[position - 1].event_id), at
        return from_micros(at[1] + drawn.off_us), self.model.at_time(at[1] + drawn.off_us)

    # How it is done

    def _now_us(self) -> int:
        return max(self.clock.now_us(), self.model.head_us)

    def _eye(self, number: int) -> Eye:
        return Eye(self.model, number, self._now_us(), begin=len(self.model.facts))

    def _step(self, number: int, step: Step, tx: Transaction, shadow: _Shadow) -> None:
        if step.kind == "x":
            self.perform(number, step.call)
        elif step.kind == "c":
            self.clock.advance(step.span)
        else:
            if shadow.eye is None:
                now = self._eye(number)
                shadow.eye = replace(now, model=Model(list(self.model.facts), self.model.forks))
            result = self._both(shadow.eye, tx, step.call, shadow.wishes)
            shadow.results.append((result, len(shadow.wishes)))

    def _both(self, eye: Eye, target: StateStore | Transaction, call: Call, wishes: list[Fact]) -> Any:
        """Do an operation to both, compare the answers or refusals, note what it should write; return the answer."""
        op = call.op(eye)
        facts: list[Fact] = []
        expected: Any = None
        refusal: BackstoryError | None = None
        try:
            facts, expected = answer(eye, op)
        except BackstoryError as error:
            refusal = error
        if refusal is not None:
            _check_refusal(refusal, _refusal(getattr(target, op.name), *op.args, **_kwargs(op)), op)
            return None
        result = getattr(target, op.name)(*op.args, **_kwargs(op))
        if expected is not ...:
            check_same(expected, result, op)
        wishes.extend(facts)
        if eye.model is not self.model:
            eye.model.place(eye.branch, facts, eye.now_us)
        return result

    def _conflicts(self, eye: Eye | None) -> dict[Read, tuple[Any, Any]]:
        """Return what a transaction looked at and is no more so: the version it saw, and the one there is."""
        if eye is None:
            return {}
        now = self._eye(eye.branch)
        gone = ((stream, key) for expires_us, stream, key in eye.expires if expires_us <= now.now_us)
        found: dict[Read, tuple[Any, Any]] = dict.fromkeys(gone, (EXISTS, EMPTY))
        for (stream, key), version in eye.reads.items():
            actual = now.version(stream) if key is None else now.cell(stream, key).version
            if actual != version:
                found[stream, key] = version, actual
        return found

    def _commit(self, number: int, shadow: _Shadow) -> list[Fact]:
        """Place a transaction's facts; a copy of one of them names where that one came to lie."""
        if shadow.eye is None:
            return []
        clock_us = max(self.clock.now_us(), shadow.eye.now_us)
        shadows = iter(shadow.eye.model.facts[shadow.eye.begin :])
        moved: dict[int, int] = {}
        placed: list[Fact] = []
        for wish in shadow.wishes:
            before = len(self.model.facts)
            placed += self.model.place(number, [_moved(wish, moved)], clock_us)
            if len(self.model.facts) > before:
                moved[next(shadows).position] = before + 1
        return placed

    def _expired(self, number: int) -> list[Fact]:
        """Return what a sweep should write: for each own value that expired and was not swept."""
        own = [fact for fact in self.model.facts if fact.branch == number]
        swept = {(fact.stream, fact.key): fact.position for fact in own if fact.type == "state.expired"}
        cells = self.model.cells(number, len(self.model.facts))
        now_us = self._now_us()
        return [
            Fact(stream, "state.expired", {"expires_at": from_micros(cell.expires_us)}, key)
            for (stream, key), cell in sorted(cells.items())
            if cell.expires_us is not None
            and cell.seen(now_us) is MISSING
            and any(fact.position == cell.position for fact in own)
            and swept.get((stream, key), 0) < cell.position
        ]

    def _check_answered(self, results: Sequence[tuple[Any, int]], placed: Sequence[Fact]) -> None:
        """Compare the events that writes answered with, with the facts that they became."""
        for result, end in results:
            events = result if isinstance(result, list) else [result]
            if events and all(isinstance(event, RecordedEvent) for event in events):
                facts = [self.model.facts[fact.position - 1] for fact in placed[end - len(events) : end]]
                check_events(facts, events, "what a write answered with")


class _Shadow:
    """What a transaction has come to so far. `results` are answers, each with the number of wishes up to it."""

    def __init__(self) -> None:
        self.eye: Eye | None = None
        self.wishes: list[Fact] = []
        self.results: list[tuple[Any, int]] = []
        self.conflicts: dict[Read, tuple[Any, Any]] = {}


def _give_up() -> None:
    raise _GivenUpError


def _moved(wish: Fact, moved: dict[int, int]) -> Fact:
    """Return a wish whose source, if it lies in the same transaction, is where that was placed."""
    source = wish.data.get("source") if wish.type == "state.set" else None
    if source is None or source["position"] not in moved:
        return wish
    return replace(wish, data={**wish.data, "source": {**source, "position": moved[source["position"]]}})


def _refusal(method: Callable[..., Any], *args: Any, **kwargs: Any) -> BackstoryError:
    try:
        result = method(*args, **kwargs)
    except BackstoryError as error:
        return error
    raise AssertionError(f"{method.__name__}{args} {kwargs} should have been refused, and answered {result!r}")


def _check_refusal(expected: BackstoryError, actual: BackstoryError, op: Op) -> None:
    facts = ("expected", "actual", "stream", "key") if isinstance(expected, ConflictError) else ()
    shown = [[type(one).__name__, *(getattr(one, name) for name in facts)] for one in (expected, actual)]
    check_same(shown[0], shown[1], op, "was refused with", actual)


def _kwargs(op: Op) -> dict[str, Any]:
    cause = op.kwargs.get("cause")
    return op.kwargs if cause is None else {**op.kwargs, "cause": UUID(bytes=cause.event_id)}


def _forked(name: str, parent: str, position: int) -> dict[str, Any]:
    return {"name": name, "parent": parent, "position": position}
