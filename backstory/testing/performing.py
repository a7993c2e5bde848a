"""Performing: what an operation, by itself or in a transaction, does to the model, with its hooks around it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from backstory.domain.events import MISSING
from backstory.testing.clock import ManualClock
from backstory.testing.hooking import VERBS, Due, Hooked, Seen, behind, fits
from backstory.testing.model import Fact, Model
from backstory.testing.planning import Plan, Refused, join, place_write, read
from backstory.testing.wishes import Eye, Op, answer

__all__ = ["Find", "Inside", "Performer", "Place"]

T = TypeVar("T")
Find = Callable[[str, str], Any]


class Performer:
    """Does operations to a model with hooks."""

    def __init__(self, model: Model, clock: ManualClock) -> None:
        """Begin without any hook."""
        self.model = model
        self.clock = clock
        self.hooked = Hooked(clock=clock)

    def now_us(self) -> int:
        """Return the instant of readers."""
        return max(self.clock.now_us(), self.model.head_us)

    def eye(self, number: int) -> Eye:
        """Return the eyes of who looks at a branch now."""
        return Eye(self.model, number, self.now_us(), begin=len(self.model.facts))

    # Operations

    def perform(self, place: Place, op: Op) -> tuple[Any, Sequence[Fact]]:
        """Do an operation; return the answer, and the facts that are answered with; raises what refuses it."""
        eye = place.eye()
        if op.name in _READS and self._reading():
            return self._read(place, op), ()
        facts, expected = answer(eye, op)
        if not facts:
            return expected, ()

        def work(plan: Plan) -> Plan:
            for fact in facts:
                place_write(plan, fact)
            return plan

        plan, placed = self._attempts(place, work)
        own = [placed[len(placed) - len(plan.facts) + index] for index in plan.primary]
        return _expected(op, expected, own, plan.dropped), own

    def _attempts(self, place: Place, work: Callable[[Plan], T]) -> tuple[T, Sequence[Fact]]:
        """Plan, again as often as hooks ask for it, and write; what ran stays also where that is refused."""
        past: list[Fact] = []
        tokens: dict[Any, object] = {}
        attempt = 1
        while True:
            plan = Plan(place.eye(), self.hooked, attempt, inside=place.inside, tokens=tokens)
            try:
                result = work(plan)
            except Refused as refused:
                past += plan.runs
                if attempt >= refused.again:
                    place.outside(past)
                    raise refused.error from None
                attempt += 1
            else:
                return result, place.keep([*past, *plan.facts])

    def _reading(self) -> bool:
        return any(hook.point.endswith("_read") for hook in self.hooked.there)

    def _read(self, place: Place, op: Op) -> Any:
        stream, *rest = op.args
        if op.name == "get":
            value = self.read_one(place, (stream, rest[0]), "get")
            return rest[1] if value is MISSING else value
        if op.name == "exists":
            return self.read_one(place, (stream, rest[0]), "exists") is not MISSING
        if op.name == "items":
            keys: Iterable[str] = answer(place.eye(), op)[1]
        else:
            keys = dict.fromkeys(rest[0])
        found = {key: self.read_one(place, (stream, key), op.name) for key in keys}
        return {key: value for key, value in found.items() if value is not MISSING}

    def read_one(
        self, place: Place, at: tuple[str, str], operation: str, *, as_of: str | None = None, find: Find | None = None
    ) -> Any:
        """Read a key past its hooks; return the value or MISSING. `find` finds what was there at a point."""
        before, behind_ = (self.hooked.at(f"{when}_state_read", ()) for when in ("before", "after"))
        later = self.hooked.at("after_state_read", (), background=True)
        if not any(fits(hook, *at) for hook in (*before, *behind_, *later)):
            return (find or place.eye().value)(*at)
        about = Fact(at[0], "read", key=at[1])

        def work(plan: Plan) -> tuple[Any, Seen]:
            seen = Seen("before_state_read", operation, about, *at, as_of=as_of, attempt=plan.attempt, eye=plan.start)
            return read(plan, seen, find or plan.start.value)

        (value, found), _ = self._attempts(place, work)
        if late := [hook for hook in later if fits(hook, found.scope, found.key)]:
            self.hooked.due.append(Due(place.number, about, late, found))
        return value

    # Commits, and what runs behind them

    def commit(self, number: int, facts: Sequence[Fact], clock_us: int | None = None) -> list[Fact]:
        """Place facts, and run the hooks behind them; return them."""
        placed = self.model.place(number, list(facts), self.clock.now_us() if clock_us is None else clock_us)
        self.behind(number, placed)
        return placed

    def behind(self, number: int, placed: Sequence[Fact]) -> None:
        """See to the hooks behind facts that were placed: in the background later, the others now."""
        now: list[Due] = []
        for fact in placed:
            for background, dues in ((True, self.hooked.due), (False, now)):
                point = f"after_state_{VERBS.get(fact.type, '')}"
                there = self.hooked.at(point, fact.past, background=background)
                if fitting := [hook for hook in there if fits(hook, fact.stream, fact.key)]:
                    dues.append(Due(number, fact, fitting))
        for due in now:
            self._run([due])

    def flush(self) -> None:
        """Run what is due in the background."""
        while self.hooked.due:
            batch, self.hooked.due = self.hooked.due, []
            self._run(batch)

    def _run(self, batch: Sequence[Due]) -> None:
        """Run hooks, then record, in order: many at once, but what one wants done beside is one with its run."""
        plain: dict[int, list[Fact]] = {}

        def record() -> None:
            for number, facts in plain.items():
                self.commit(number, facts)
            plain.clear()

        for due, runs in [(due, list(behind(due, self.eye(due.branch)))) for due in batch]:
            forks = [(fact, result) for fact, result in runs if result is not None and result.kind == "fork"]
            facts = [fact for fact, _ in runs]
            if forks:
                record()
                self._fork(due, facts, forks)
            else:
                plain.setdefault(due.branch, []).extend(facts)
        record()

    def _fork(self, due: Due, facts: Sequence[Fact], forks: Any) -> None:
        def work(plan: Plan) -> None:
            if plan.attempt == 1:
                plan.record(*facts)
            join(plan, due.fact, forks)

        try:
            self._attempts(Place(self, due.branch), work)
        except Exception as error:  # noqa: BLE001 - what is done already cannot be refused
            assert type(error).__name__.startswith("Hook"), error  # noqa: PT017


class Place:
    """Where an operation is done: the log itself."""

    inside = False

    def __init__(self, performer: Performer, number: int) -> None:
        """Take the branch."""
        self.performer = performer
        self.number = number

    def eye(self) -> Eye:
        """Return the eyes that it is decided with."""
        return self.performer.eye(self.number)

    def keep(self, facts: Sequence[Fact]) -> Sequence[Fact]:
        """Write facts."""
        return self.performer.commit(self.number, facts) if facts else ()

    def outside(self, facts: Sequence[Fact]) -> None:
        """Write what stays where the operation is refused."""
        self.performer.commit(self.number, facts)


class Inside(Place):
    """A transaction: what it writes is placed in a shadow, and wished for."""

    inside = True

    def __init__(self, performer: Performer, number: int) -> None:
        """Begin now."""
        super().__init__(performer, number)
        now = performer.eye(number)
        self.own = Eye(Model(list(now.model.facts), now.model.forks), number, now.now_us, now.begin)
        self.wishes: list[Fact] = []

    def eye(self) -> Eye:
        """Return the one pair of eyes of the transaction."""
        return self.own

    def keep(self, facts: Sequence[Fact]) -> Sequence[Fact]:
        """Wish for facts."""
        self.wishes += facts
        self.own.model.place(self.number, list(facts), self.own.now_us)
        return facts


_READS = frozenset(("get", "exists", "get_many", "items"))


def _expected(op: Op, expected: Any, own: Sequence[Fact], dropped: int) -> Any:
    """Return what an operation answers whose hooks had their say."""
    if op.name in {"update", "increment"}:
        return own[0].data["value"]
    if op.name == "clear":
        return sum(len(fact.data["keys"]) for fact in own)
    if op.name == "delete":
        return bool(own)
    return expected - dropped if op.name in {"delete_many", "copy", "move"} else expected
