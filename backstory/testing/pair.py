"""A store and the model of it, side by side: what is done to one is done to the other, and both must answer alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from backstory.domain.errors import BackstoryError, ConflictError, HookCancelledError, HookError
from backstory.domain.events import EMPTY, EXISTS, MISSING, RecordedEvent, from_micros
from backstory.hooks.handle import HookHandle
from backstory.state import Transaction
from backstory.store import StateStore
from backstory.testing.checking import check_branch, check_events, check_now, check_same
from backstory.testing.clock import ManualClock
from backstory.testing.drawing import Call, DrawnPoint
from backstory.testing.hook_drawing import DrawnHook
from backstory.testing.model import Fact, Fork, Model, Point
from backstory.testing.performing import Find, Inside, Performer, Place
from backstory.testing.wishes import Op

__all__ = ["Open", "Pair", "Step"]

Open = Callable[[ManualClock], StateStore]
Read = tuple[str, str | None]
_PATIENCE_S = 60.0


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
        self.model_side = Performer(self.model, self.clock)
        self.store = open_store(self.clock)
        self.handles: list[HookHandle] = []
        self.branches: dict[int, StateStore] = {0: self.store}
        self.sound = True
        self._seen = 0
        self._tokens: dict[bytes, object] = {}

    # What is done to both

    def perform(self, number: int, call: Call) -> None:
        """Do one operation on a branch."""
        result, own = self._both(Place(self.model_side, number), self.branches[number], call)
        self.compare_log()
        self._check_answered(result, own)

    def transact(self, number: int, steps: Iterable[Step], *, give_up: bool) -> None:
        """Run a transaction. It must conflict just when something that it looked at has changed or expired."""
        shadow = _Shadow()
        try:
            with self.branches[number].transaction() as tx:
                for step in steps:
                    self._step(number, step, tx, shadow)
                shadow.conflicts = self._conflicts(shadow.place)
                if give_up:
                    _give_up()
        except _GivenUpError:
            pass
        except ConflictError as error:
            seen = error.expected, error.actual
            check_same(shadow.conflicts.get((error.stream, error.key)), seen, "a conflict about", error)
        else:
            if shadow.place is None:
                return
            assert not (shadow.conflicts and shadow.place.wishes), f"no conflict, though changed: {shadow.conflicts}"
            placed = self._commit(shadow.place)
            self.compare_log()
            for result, own in shadow.results:
                self._check_answered(result, [placed[fact.token] for fact in own])

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

    def register(self, hook: DrawnHook) -> None:
        """Register a hook, unless one of this name hangs there: which is said in the log, where that is new."""
        hooked = self.model_side.hooked
        if any((one.name, one.point) == (hook.name, hook.point) for one in hooked.there):
            _refusal(self._register, hook)
            return
        self.handles.append(self._register(hook))
        hooked.there.append(hook)
        said = hook.said()
        facts = self.model.log(0, len(self.model.facts))
        before = [fact.data for fact in facts if fact.type == "hook.registered"]
        if said not in [data for data in before if (data["hook"], data["point"]) == (hook.name, hook.point)][-1:]:
            self.place(0, Fact(f"hook:{hook.name}", "hook.registered", said))

    def _register(self, hook: DrawnHook) -> HookHandle:
        given = {name: part for name, part in hook.said().items() if name not in {"hook", "point"}}
        return self.store.hooks.register(hook.point, hook, name=hook.name, breaker=False, **given)

    def unregister(self, number: int) -> None:
        """Take a hook away; what is due to it is still done."""
        at = number % len(self.handles)
        assert self.store.hooks.unregister(self.handles.pop(at))
        self.model_side.hooked.there.pop(at)

    def flush(self) -> None:
        """Have done what is due in the background."""
        self.store.hooks.flush(_PATIENCE_S)
        self.model_side.flush()

    def past_items(self, number: int, scope: str, point: DrawnPoint) -> None:
        """Read a scope at a point, past the hooks of reads."""
        as_of, at = self.point(point)
        state = self.model.state(number, at)
        said = as_of.isoformat() if isinstance(as_of, datetime) else str(as_of)
        find: Find = lambda stream, key: state.get(stream, {}).get(key, MISSING)  # noqa: E731 - said like its type
        place, refusal = Place(self.model_side, number), None
        expected: dict[str, Any] = {}
        try:
            for key in state.get(scope, {}):
                value = self.model_side.read_one(place, (scope, key), "items", as_of=said, find=find)
                expected |= {} if value is MISSING else {key: value}
        except BackstoryError as error:
            refusal = error
        read = self.branches[number].items
        if refusal is None:
            check_same(expected, read(scope, as_of=as_of), "items of", scope, "at", as_of, "past hooks")
        else:
            _check_refusal(refusal, _refusal(read, scope, as_of=as_of), Op("items", (scope,)))

    @contextmanager
    def unhooked(self) -> Iterator[None]:
        """Look without any hook at it."""
        reading = [handle for handle in self.handles if handle.point.endswith("_read")]
        for handle in reading:
            handle.disable()
        yield
        for handle in reading:
            handle.enable()

    def reopen(self) -> None:
        """Close the store, which does what is due, and open it again; hooks are registered anew."""
        self.store.close()
        self.model_side.flush()
        self.model_side.hooked.kept.clear()
        self.store = self.open_store(self.clock)
        living = {number: fork for number, fork in enumerate(self.model.forks) if fork.alive}
        self.branches = {number: self.store.branch(fork.name) for number, fork in living.items()}
        self.handles = [self._register(hook) for hook in self.model_side.hooked.there]

    def place(self, number: int, *wishes: Fact) -> None:
        """Do to the model what was done to the store."""
        self.model.place(number, list(wishes), self.clock.now_us())

    # What is compared

    def compare(self) -> None:
        """Compare what was written since the last look, and the state of every branch now."""
        self.compare_log()
        with self.unhooked():
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
            if fact.about is not None and "operation" in (event.data or ()):
                self._learn(fact.about, UUID(event.data["operation"]).bytes)
            self._learn(fact, event.event_id.bytes)
        check_events(self.model, self.model.facts[self._seen :], events, "new events")
        self._seen = len(self.model.facts)

    def _learn(self, fact: Fact, event_id: bytes) -> None:
        """Take over an id that the store chose; no two facts have one together."""
        known = self.model.ids.setdefault(fact.token, event_id)
        other = self._tokens.setdefault(known, fact.token)
        assert other is fact.token, f"two events of one id: {fact}"

    def compare_past(self, number: int, scope: str, point: DrawnPoint) -> None:
        """Compare what a branch showed at one point."""
        as_of, at = self.point(point)
        state, store = self.model.state(number, at), self.branches[number]
        with self.unhooked():
            check_same(state.get(scope, {}), store.items(scope, as_of=as_of), "items of", scope, "at", as_of)
        check_same(sorted(state), list(map(str, store.at(as_of).scopes())), "scopes at", as_of)
        check_same(at[0], store.at(as_of).position, "position at", as_of)

    def compare_everything(self) -> None:
        """Compare every position of every branch; then verify the log, build the projection again and look again."""
        with self.unhooked():
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
            return None, (len(self.model.facts), self.model_side.now_us())
        position = round(drawn.share * len(self.model.facts))
        at = self.model.at(position)
        if drawn.kind == "position" or not position:
            return position, at
        if drawn.kind == "event":
            return UUID(bytes=self.model.facts[position - 1].event_id), at
        return from_micros(at[1] + drawn.off_us), self.model.at_time(at[1] + drawn.off_us)

    # How it is done

    def _step(self, number: int, step: Step, tx: Transaction, shadow: _Shadow) -> None:
        if step.kind == "x":
            self.perform(number, step.call)
        elif step.kind == "c":
            self.clock.advance(step.span)
        else:
            shadow.place = shadow.place or Inside(self.model_side, number)
            shadow.results.append(self._both(shadow.place, tx, step.call))

    def _both(self, place: Place, target: StateStore | Transaction, call: Call) -> tuple[Any, Sequence[Fact]]:
        """Do an operation to both, compare the answers or refusals; return the answer and the facts it is of."""
        op = call.op(place.eye())
        try:
            expected, own = self.model_side.perform(place, op)
        except BackstoryError as refusal:
            _check_refusal(refusal, _refusal(getattr(target, op.name), *op.args, **_kwargs(op)), op)
            self.compare_log()  # what ran is there, also where a transaction goes on
            return None, ()
        result = getattr(target, op.name)(*op.args, **_kwargs(op))
        if expected is not ...:
            check_same(expected, result, op)
        return result, own

    def _conflicts(self, place: Inside | None) -> dict[Read, tuple[Any, Any]]:
        """Return what a transaction looked at and is no more so: the version it saw, and the one there is."""
        if place is None:
            return {}
        eye, now = place.own, self.model_side.eye(place.number)
        gone = ((stream, key) for expires_us, stream, key in eye.expires if expires_us <= now.now_us)
        found: dict[Read, tuple[Any, Any]] = dict.fromkeys(gone, (EXISTS, EMPTY))
        for (stream, key), version in eye.reads.items():
            actual = now.version(stream) if key is None else now.cell(stream, key).version
            if actual != version:
                found[stream, key] = version, actual
        return found

    def _commit(self, place: Inside) -> dict[object, Fact]:
        """Place a transaction's facts, by token; a copy of one of them names where that one came to lie."""
        clock_us = max(self.clock.now_us(), place.own.now_us)
        shadows = iter(place.own.model.facts[place.own.begin :])
        moved: dict[int, int] = {}
        placed: dict[object, Fact] = {}
        for wish in place.wishes:
            before = len(self.model.facts)
            placed[wish.token] = self.model.place(place.number, [_moved(wish, moved)], clock_us)[0]
            if len(self.model.facts) > before:
                moved[next(shadows).position] = before + 1
        self.model_side.behind(place.number, list(placed.values()))
        return placed

    def _expired(self, number: int) -> list[Fact]:
        """Return what a sweep should write: for each own value that expired and was not swept."""
        own = [fact for fact in self.model.facts if fact.branch == number]
        swept = {(fact.stream, fact.key): fact.position for fact in own if fact.type == "state.expired"}
        cells = self.model.cells(number, len(self.model.facts))
        now_us = self.model_side.now_us()
        return [
            Fact(stream, "state.expired", {"expires_at": from_micros(cell.expires_us)}, key)
            for (stream, key), cell in sorted(cells.items())
            if cell.expires_us is not None
            and cell.seen(now_us) is MISSING
            and any(fact.position == cell.position for fact in own)
            and swept.get((stream, key), 0) < cell.position
        ]

    def _check_answered(self, result: Any, own: Sequence[Fact]) -> None:
        """Compare the events that a write answered with, with the facts that they became."""
        events = result if isinstance(result, list) else [result]
        if events and all(isinstance(event, RecordedEvent) for event in events):
            facts = [self.model.facts[fact.position - 1] for fact in own]
            check_events(self.model, facts, events, "what a write answered with")


class _Shadow:
    """What a transaction has come to so far. `results` are answers, with the facts that they are of."""

    def __init__(self) -> None:
        self.place: Inside | None = None
        self.results: list[tuple[Any, Sequence[Fact]]] = []
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
    facts: tuple[str, ...] = ()
    if isinstance(expected, ConflictError):
        facts = ("expected", "actual", "stream", "key")
    elif isinstance(expected, HookCancelledError):
        facts = ("reason", "hook")
    elif isinstance(expected, HookError):
        facts = ("hook", "point")
    shown = [[type(one).__name__, *(getattr(one, name) for name in facts)] for one in (expected, actual)]
    check_same(shown[0], shown[1], op, "was refused with", actual)


def _kwargs(op: Op) -> dict[str, Any]:
    cause = op.kwargs.get("cause")
    return op.kwargs if cause is None else {**op.kwargs, "cause": UUID(bytes=cause.event_id)}


def _forked(name: str, parent: str, position: int) -> dict[str, Any]:
    return {"name": name, "parent": parent, "position": position}
