"""Random histories with causes, reads, links and forks, and what follows from a log, found the slow way."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import backstory
from backstory import ConflictError, Event, InvalidValueError
from backstory.testing.clock import ManualClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    import pytest

    from backstory import RecordedEvent, StateStore

Op = tuple[Any, ...]
SCOPES: Final = ("agent:x", "agent:y", "session:s")
KEYS: Final = ("a", "b")
KINDS: Final = ("caused_by", "part_of", "related_to", "response_to", "follows_from", "concurrent_with", "read")
_NUMBERS: Final = (0, 1, 2, -1, 5, 0.0, 0.5, 1.5, -0.5, 1e-16, 1e16, Decimal(0), Decimal("1.10"), Decimal("0.00"))
_EXAMPLES: Final = {"memory": 120, "sqlite": 25, "postgres": 6}

numbers = st.sampled_from(_NUMBERS)
values = st.one_of(numbers, st.sampled_from(("x", None, True, [1], {"n": 1})))
_scopes = st.sampled_from(SCOPES)
_keys = st.sampled_from(KEYS)
#: Which of the events so far is named as the cause, counted back; None: none is.
_back = st.none() | st.integers(0, 8)
_which = st.integers(0, 30)

_simple = st.one_of(
    st.tuples(st.just("set"), _scopes, _keys, values, st.sampled_from((None, None, None, 3)), _back),
    st.tuples(st.just("increment"), _scopes, _keys, numbers, _back),
    st.tuples(st.just("increment"), _scopes, _keys, numbers, _back),
    st.tuples(st.just("update"), _scopes, _keys, _back),
    st.tuples(st.sampled_from(("copy", "move")), _scopes, _scopes, st.sampled_from(("*", "a")), _back),
    st.tuples(st.just("delete"), _scopes, _keys, _back),
    st.tuples(st.just("clear"), _scopes, _back),
    st.tuples(st.just("append"), _scopes, _back),
)
_read = st.tuples(st.just("get"), _scopes, _keys)
_transaction = st.tuples(st.just("transaction"), st.lists(st.one_of(_simple, _read, _read), min_size=2, max_size=6))
_elsewhere = st.one_of(
    st.tuples(st.just("advance"), st.sampled_from((1, 2, 5))),
    st.tuples(st.just("sweep")),
    st.tuples(st.just("fork"), _which),
)
_link = st.tuples(st.just("link"), _which, _which, st.sampled_from(KINDS))
_steps = st.tuples(st.integers(0, 3), st.one_of(_simple, _simple, _simple, _transaction, _elsewhere))
_linked_steps = st.tuples(st.integers(0, 3), st.one_of(_simple, _simple, _transaction, _elsewhere, _link, _link))
histories = st.lists(_steps, min_size=1, max_size=25)
linked_histories = st.lists(_linked_steps, min_size=1, max_size=25)


@dataclass
class History:
    """A store and its forks, to which steps are done; `events` are all that was recorded so far, on any branch."""

    store: StateStore
    clock: ManualClock
    branches: list[StateStore] = field(default_factory=list)
    closing_links: int = 0

    def __post_init__(self) -> None:
        self.branches.append(self.store)

    def do(self, steps: Iterable[tuple[int, Op]]) -> None:
        """Do all steps; those that the store refuses were none."""
        for branch, op in steps:
            store = self.branches[branch % len(self.branches)]
            with suppress(ConflictError):
                self._step(store, op)

    def _step(self, store: StateStore, op: Op) -> None:
        match op:
            case ("transaction", inner):
                with suppress(InvalidValueError), store.transaction(correlation_id="tx") as tx:
                    for each in inner:
                        self._perform(tx, each, store)
            case ("advance", seconds):
                self.clock.advance(seconds)
            case ("sweep",):
                store.sweep()
            case ("fork", back):
                if len(self.branches) < 4:
                    self.branches.append(store.fork(as_of=max(0, store.position() - back)))
            case ("link", first, second, kind):
                self._link(store, first, second, kind)
            case _:
                self._perform(store, op, store)

    def _link(self, store: StateStore, first: int, second: int, kind: str) -> None:
        log = [event for event in store.log() if event.type != "link.added"]
        if not log:
            return
        cause, effect = log[first % len(log)], log[second % len(log)]
        closing = cause.position in reachable(edges_of(store.log()), effect.position) or cause == effect
        try:
            store.link(cause, effect, kind, strength=0.5)
        except InvalidValueError:
            assert closing
            self.closing_links += 1
        else:
            assert not closing

    def _cause(self, store: StateStore, back: int | None) -> dict[str, Any]:
        if back is None:
            return {}
        log = list(store.log(reverse=True, limit=back + 1))
        causes = [event.event_id for event in log[-1:] + log[:1] if event.type != "link.added"]
        return {"cause": causes} if causes else {}

    def _perform(self, target: Any, op: Op, store: StateStore) -> None:
        verb, *args, back = op
        with suppress(InvalidValueError, backstory.InvalidScopeError):
            match verb, args:
                case "set", (scope, key, value, ttl):
                    target.set(scope, key, value, ttl=ttl, tags=["t"], **self._cause(store, back))
                case "increment", (scope, key, by):
                    target.increment(scope, key, by, actor="ann", **self._cause(store, back))
                case "update", (scope, key):
                    target.update(scope, key, lambda value: [value], **self._cause(store, back))
                case (("copy" | "move"), (source, goal, keys)):
                    getattr(target, verb)(source, goal, keys=keys, **self._cause(store, back))
                case "delete", (scope, key):
                    target.delete(scope, key, **self._cause(store, back))
                case "clear", (scope,):
                    target.clear(scope, **self._cause(store, back))
                case "append", (scope,):
                    event = Event("tool.called", {"name": "t"}, event_id=uuid4())
                    target.append(scope, [event], artifacts=["art"], **self._cause(store, back))
                case "get", (scope,):
                    target.get(scope, back)


class Engine:
    """Opens empty stores of one kind, and says how many examples that is good for."""

    def __init__(self, name: str, folder: Path, request: pytest.FixtureRequest) -> None:
        self.name = name
        self.examples = _EXAMPLES[name]
        self._folder = folder
        self._server = request.getfixturevalue("postgres_server") if name == "postgres" else None

    @contextmanager
    def opened(self) -> Iterator[History]:
        """Open an empty store with a clock that stands still."""
        with self._url() as url:
            clock = ManualClock()
            with backstory.open(url, clock=clock, durability="relaxed") as store:
                yield History(store, clock)

    @contextmanager
    def _url(self) -> Iterator[str]:
        if self._server is not None:
            with self._server.database() as url:
                yield url
        elif self.name == "memory":
            yield "memory://"
        else:
            yield f"sqlite:///{self._folder / uuid4().hex}.db"

    def holds(self, law: Callable[..., None], *drawn: Any, share: float = 1.0) -> None:
        """Check a law on what is drawn, each time on an empty store."""

        @settings(
            max_examples=max(4, int(self.examples * share)),
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(st.tuples(*drawn))
        def check(given: tuple[Any, ...]) -> None:
            with self.opened() as history:
                law(history, *given)

        check()


# What follows from a log


def reads_of(log: Iterable[RecordedEvent]) -> dict[int, set[int]]:
    """Return what each event had read, all that it shares included, by position."""
    whole: dict[Any, set[int]] = {}
    found: dict[int, set[int]] = {}
    for event in log:
        shared = set() if event.reads_with is None else whole[event.reads_with]
        whole[event.event_id] = found[event.position] = shared | set(event.reads)
    return found


def edges_of(log: Iterable[RecordedEvent], kinds: Iterable[str] = KINDS) -> set[tuple[int, int, str]]:
    """Return (cause, effect, kind) of all that a log tells."""
    log = list(log)
    places = {event.event_id: event.position for event in log if event.type != "link.added"}
    shown = set(places.values())
    found: set[tuple[int, int, str]] = set()
    reads = reads_of(log)
    for event in log:
        if event.type == "link.added":
            ends = [places.get(each) for each in event.causation_ids]
            if None not in ends:
                found.add((ends[0], ends[1], event.data["kind"]))  # type: ignore[arg-type]
            continue
        found |= {(places[each], event.position, "caused_by") for each in event.causation_ids if each in places}
        found |= {(at, event.position, "read") for at in reads[event.position] if at in shown}
    return {edge for edge in found if edge[2] in set(kinds)}


def reachable(edges: Iterable[tuple[int, int, str]], start: int, *, back: bool = False, depth: int = 10**9) -> set[int]:
    """Return what lies within so many steps of a position, without itself."""
    steps = [(effect, cause) if back else (cause, effect) for cause, effect, _ in edges]
    seen, front = {start}, {start}
    while front and depth > 0:
        front = {to for at, to in steps if at in front} - seen
        seen |= front
        depth -= 1
    return seen - {start}


def depths_of(log: Iterable[RecordedEvent]) -> dict[int, int]:
    """Return the longest way from a root to each event."""
    log = list(log)
    edges = {(cause, effect) for cause, effect, _ in edges_of(log)}
    found = {event.position: 0 for event in log if event.type != "link.added"}
    for _ in found:
        for cause, effect in edges:
            found[effect] = max(found[effect], found[cause] + 1)
    return found
