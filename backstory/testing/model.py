"""The model that stores are held to: a list of facts and plain folds over it.

It has no index, no projection and no cache, and is written apart from the product's own code. A fact is an event as
the log should hold it. Points are pairs of a position and the reader's instant in microseconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from backstory.domain.events import MISSING

__all__ = ["Cell", "Fact", "Fork", "Model", "differences", "part_of", "same"]

Point = tuple[int, int]
State = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Fact:
    """An event; position, version, time and branch are given when it is placed.

    Facts that a hook brings about know others by themselves, before anybody knows an id: `causes` are the runs that
    had a part in it, beside `cause`; `root` is what it shares its correlation with; a run is `about` an operation.
    `token` stays the same wherever a fact is placed; `past` names the hooks inside whose run it was asked for.
    """

    stream: str
    type: str
    data: Any = None
    key: str | None = None
    expires_us: int | None = None
    event_id: bytes | None = None
    cause: Fact | None = None
    correlation: str | None = None
    actor: str | None = None
    causes: tuple[Fact, ...] = ()
    root: Fact | None = None
    about: Fact | None = None
    past: tuple[str, ...] = ()
    token: object = field(default_factory=object, repr=False, compare=False)
    position: int = 0
    version: int = 0
    recorded_us: int = 0
    branch: int = 0


@dataclass(frozen=True)
class Fork:
    """A branch: it shows its parent's facts up to `position`."""

    name: str
    parent: int | None = None
    position: int = 0
    alive: bool = True


@dataclass(frozen=True)
class Cell:
    """What last happened to a key: `value` is MISSING where it was removed."""

    version: int
    position: int
    value: Any
    expires_us: int | None = None

    def seen(self, now_us: int) -> Any:
        """Return what a reader sees at an instant."""
        return MISSING if self.expires_us is not None and self.expires_us <= now_us else self.value


@dataclass
class Model:
    """The facts in order, and the branches by number; 0 is `main`. `ids` are those that the store chose, by token."""

    facts: list[Fact] = field(default_factory=list)
    forks: list[Fork] = field(default_factory=lambda: [Fork("main")])
    ids: dict[object, bytes] = field(default_factory=dict)

    def place(self, branch: int, wishes: list[Fact], clock_us: int) -> list[Fact]:
        """Append facts and return them; one whose id is known is answered with the first recording."""
        return [self._known(wish.event_id) or self._placed(branch, wish, clock_us) for wish in wishes]

    def _known(self, event_id: bytes | None) -> Fact | None:
        return next((fact for fact in self.facts if event_id is not None and fact.event_id == event_id), None)

    def _placed(self, branch: int, wish: Fact, clock_us: int) -> Fact:
        fact = replace(
            wish,
            position=len(self.facts) + 1,
            version=self.version(branch, wish.stream) + 1,
            recorded_us=max(clock_us, self.head_us),
            branch=branch,
        )
        self.facts.append(fact)
        return fact

    @property
    def head_us(self) -> int:
        """When the last fact was recorded."""
        return self.facts[-1].recorded_us if self.facts else 0

    def at(self, position: int) -> Point:
        """Return a position as readers see it: at the time it was recorded."""
        return position, self.facts[position - 1].recorded_us if position else 0

    def at_time(self, instant_us: int) -> Point:
        """Return an instant: all that was recorded up to it."""
        return sum(fact.recorded_us <= instant_us for fact in self.facts), instant_us

    def log(self, branch: int, until: int) -> list[Fact]:
        """Return what a branch shows: its own facts, and its ancestors' up to the forks."""
        limits = {branch: until}
        fork = self.forks[branch]
        while fork.parent is not None:
            until = min(until, fork.position)
            limits[fork.parent] = until
            fork = self.forks[fork.parent]
        return [fact for fact in self.facts if fact.position <= limits.get(fact.branch, 0)]

    def version(self, branch: int, stream: str) -> int:
        """Return how many facts a stream has."""
        return sum(fact.stream == stream for fact in self.log(branch, len(self.facts)))

    def cells(self, branch: int, position: int) -> dict[tuple[str, str], Cell]:
        """Return what last happened to each key: the fold."""
        cells: dict[tuple[str, str], Cell] = {}
        for fact in self.log(branch, position):
            for key in _keys(fact):
                value = fact.data["value"] if fact.type == "state.set" else MISSING
                cells[fact.stream, key] = Cell(fact.version, fact.position, value, fact.expires_us)
        return cells

    def state(self, branch: int, point: Point) -> State:
        """Return the values that a reader sees, by stream and key, sorted."""
        state: State = {}
        for (stream, key), cell in sorted(self.cells(branch, point[0]).items()):
            if (value := cell.seen(point[1])) is not MISSING:
                state.setdefault(stream, {})[key] = value
        return state

    def history(self, branch: int, stream: str, key: str, position: int) -> Iterator[tuple[Fact, Any, Any]]:
        """Give each fact that touched a key, with the value before and after it."""
        cell = Cell(0, 0, MISSING)
        for fact in self.log(branch, position):
            if fact.stream == stream and key in _keys(fact):
                after = fact.data["value"] if fact.type == "state.set" else MISSING
                yield fact, cell.seen(fact.recorded_us), after
                cell = Cell(fact.version, fact.position, after, fact.expires_us)

    def blame(self, branch: int, stream: str, key: str, steps: tuple[str | int, ...], position: int) -> Fact | None:
        """Return the last fact that changed a part of a key's value; of a whole value, that touched it."""
        guilty = None
        for fact, before, after in self.history(branch, stream, key, position):
            was, is_ = part_of(before, steps), part_of(after, steps)
            if (not steps and not (was is is_ is MISSING)) or not same(was, is_):
                guilty = fact
        return guilty


def _keys(fact: Fact) -> list[str]:
    """Return the keys whose state a fact changes."""
    if fact.type == "scope.cleared":
        return list(fact.data["keys"])
    return [fact.key] if fact.type in {"state.set", "state.deleted"} and fact.key is not None else []


def differences(one: State, other: State) -> list[tuple[str, str, Any, Any]]:
    """Return what differs between two states: the places in order, each with both values."""
    places = sorted({(stream, key) for state in (one, other) for stream in state for key in state[stream]})
    pairs = ((*at, one.get(at[0], {}).get(at[1], MISSING), other.get(at[0], {}).get(at[1], MISSING)) for at in places)
    return [pair for pair in pairs if not same(pair[2], pair[3])]


def part_of(value: Any, steps: tuple[str | int, ...]) -> Any:
    """Return what lies at a path inside a value, or MISSING."""
    for step in steps:
        if isinstance(value, dict):
            there = step in value
        else:
            there = isinstance(value, list) and isinstance(step, int) and step < len(value)
        if not there:
            return MISSING
        value = value[step]
    return value


def same(one: Any, other: Any) -> bool:
    """Return whether two values are the same to the last bit and type."""
    return repr(one) == repr(other)
