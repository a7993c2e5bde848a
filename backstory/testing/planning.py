"""The model of hooked operations: what they write once their hooks have had their say, by the table of results."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Any

from backstory.domain.errors import BackstoryError, HookCancelledError, HookError
from backstory.domain.events import MISSING
from backstory.domain.hooks import RULES, HookResult
from backstory.testing.hooking import VERBS, Hooked, Seen, fits, run
from backstory.testing.model import Fact, Model, same
from backstory.testing.wishes import Eye, addable, deleted, written

__all__ = ["Plan", "Refused", "join", "place_write", "read"]


class Refused(Exception):  # noqa: N818 - carries the error that it becomes
    """What an operation comes to that a hook refuses; `again`: how many attempts it may have."""

    def __init__(self, error: BackstoryError, *, again: int = 0) -> None:
        """Take the error that the caller gets in the end."""
        self.error = error
        self.again = again


@dataclass
class Plan:
    """What an operation writes, as hooks have it: `eye` sees it done so far, `start` as it was before."""

    eye: Eye
    hooked: Hooked
    attempt: int = 1
    inside: bool = False
    tokens: dict[Any, object] = field(default_factory=dict)
    facts: list[Fact] = field(default_factory=list)
    runs: list[Fact] = field(default_factory=list)
    primary: list[int] = field(default_factory=list)
    dropped: int = 0
    start: Eye = field(init=False)

    def __post_init__(self) -> None:
        """Plan on a copy; what is looked at there is looked at by the operation."""
        self.start = self.eye
        self.eye = copy(self.eye)
        self.eye.model = Model(list(self.start.model.facts), self.start.model.forks)

    def kept(self, key: str | None) -> Any:
        """Return an answer that was kept and is still good, or MISSING; a transaction takes and leaves none."""
        until_us, value = self.hooked.kept.get((self.eye.branch, key or ""), (0, MISSING))
        return value if until_us > self.hooked.clock.now_us() and not self.inside else MISSING

    def put(self, *facts: Fact) -> None:
        """Write these."""
        self.facts += facts
        self.eye.model.place(self.eye.branch, list(facts), self.eye.now_us)

    def record(self, *runs: Fact) -> None:
        """Write these runs, which stay where the operation is refused."""
        self.runs += runs
        self.put(*runs)


@dataclass
class Ended:
    """What a chain came to."""

    seen: Seen
    changed: list[Fact] = field(default_factory=list)
    forks: list[tuple[Fact, HookResult]] = field(default_factory=list)
    caches: list[HookResult] = field(default_factory=list)
    revalued: bool = False
    answered: bool = False


def chain(plan: Plan, stage: str, seen: Seen) -> Ended:
    """Run the hooks of a point in order, each where the operation goes by then; raises `Refused`."""
    ended = Ended(seen)
    for hook in plan.hooked.at(seen.point, seen.about.past):
        if not fits(hook, ended.seen.scope, ended.seen.key):
            continue
        fact, result = run(hook, ended.seen, stage, cause=seen.about.cause)
        effect = None if result is None else RULES[result.kind][stage]  # type: ignore[index]
        if result is not None and effect == "target" and not _redirect(plan, ended, fact, result):
            # What an increment adds to is no number there: an answer that cannot be heeded is a failure.
            fact, result = replace(fact, type="hook.failed", data={**fact.data, "result": None, "error": True}), None
        plan.record(fact)
        if result is None:
            if hook.required:
                raise Refused(HookError("failed", hook=hook.name, point=seen.point))
            continue
        if effect == "cancel":
            raise Refused(HookCancelledError(result.reason or "", hook=hook.name))
        if effect == "again":
            raise Refused(HookError("given up", hook=hook.name, point=seen.point), again=result.max_attempts or 0)
        if _heed(plan, ended, fact, result, effect):
            break
    return ended


def _heed(plan: Plan, ended: Ended, fact: Fact, result: HookResult, effect: Any) -> bool:
    """Take what a hook answered into what the operation is; return whether no more hooks run."""
    if effect in {"value", "final"}:
        if not same(ended.seen.after, result.value):
            ended.changed.append(fact)
            ended.revalued = True
        ended.seen, ended.answered = replace(ended.seen, after=result.value), True
    elif effect == "join":
        ended.forks.append((fact, result))
    elif effect == "cache":
        value = plan.kept(result.key)
        hit = fact.data["result"]["hit"] = value is not MISSING
        if not hit:
            ended.caches.append(result)
        else:
            ended.seen, ended.answered = replace(ended.seen, after=value), True
        return hit
    return bool(effect == "final")


def _redirect(plan: Plan, ended: Ended, fact: Fact, result: HookResult) -> bool:
    """Go on elsewhere; False where that cannot be."""
    seen = ended.seen
    place = str(result.scope), result.key or seen.key
    if place == (seen.scope, seen.key):
        return True
    before: Any = MISSING
    after = seen.after
    if not seen.point.endswith("read"):
        before = sorted(plan.eye.items(place[0])) if place[1] is None else plan.eye.value(place[0], place[1])
    if seen.operation == "increment" and not ended.revalued:
        there, by = 0 if before is MISSING else before, seen.about.data["by"]
        if not addable(there, by):
            return False
        after = there + by
    ended.seen = replace(seen, scope=place[0], key=place[1], before=before, after=after)
    ended.changed.append(fact)
    return True


def place_write(plan: Plan, fact: Fact, *, primary: bool = True) -> None:
    """Plan one write behind the runs of its hooks, and what they want done beside behind it; raises `Refused`."""
    verb = VERBS.get(fact.type, "")
    hooks = plan.hooked.at(f"before_state_{verb}", fact.past)
    changed: Fact | None = fact
    forks: list[tuple[Fact, HookResult]] = []
    if any(fits(hook, fact.stream, fact.key) for hook in hooks):
        before = fact.data["keys"] if fact.key is None else plan.eye.value(fact.stream, fact.key)
        seen = Seen(
            f"before_state_{verb}", fact.data.get("op", "clear"), fact, fact.stream, fact.key, before,
            fact.data.get("value", MISSING), attempt=plan.attempt, eye=plan.start,
        )  # fmt: skip
        ended = chain(plan, verb, seen)
        changed, forks = _changed(fact, ended), ended.forks
    if changed is None:
        plan.dropped += 1
    else:
        if primary:
            plan.primary.append(len(plan.facts))
        plan.put(changed)
    join(plan, fact, forks)


def join(plan: Plan, fact: Fact, forks: Sequence[tuple[Fact, HookResult]]) -> None:
    """Plan what hooks want done beside an operation: caused by their runs, and past them."""
    for by, result in forks:
        for number, (verb, scope, key, *rest) in enumerate(result.operations):
            if verb == "delete" and plan.eye.value(str(scope), key) is MISSING:
                continue
            wish = written(str(scope), key, rest[0], "set") if verb == "set" else deleted(str(scope), key)
            token = plan.tokens.setdefault((fact.token, by.data["hook"], number), object())
            past = (*fact.past, by.data["hook"])
            wish = replace(wish, cause=by, root=fact, actor=fact.actor, past=past, token=token)
            place_write(plan, wish, primary=False)


def _changed(fact: Fact, ended: Ended) -> Fact | None:
    """Return a write as its hooks have it; None where nothing is left to do."""
    if not ended.changed:
        return fact
    seen, data = ended.seen, fact.data
    if fact.type == "state.deleted" and seen.before is MISSING:
        return None
    if fact.type == "scope.cleared":
        data = {"keys": seen.before}
        if not seen.before:
            return None
    if fact.type == "state.set":
        data = {**data, "value": seen.after}
        if data["op"] in {"increment", "copy", "move"} and ended.revalued:
            # It did not come about by that any more.
            data = {"value": seen.after, "op": "set"} | {n: data[n] for n in ("expires_at",) if n in data}
    return replace(fact, stream=seen.scope, key=seen.key, data=data, causes=tuple(ended.changed))


def read(plan: Plan, seen: Seen, find: Any) -> tuple[Any, Seen]:
    """Read a value past its hooks: return the answer, and what hooks behind it see; raises `Refused`."""
    ended = chain(plan, "read", seen)
    join(plan, seen.about, ended.forks)
    found = ended.seen
    if not ended.answered:
        found = replace(found, after=find(found.scope, found.key))
    found = replace(found, point="after_state_read")
    answer = chain(plan, "answer", found)
    join(plan, seen.about, answer.forks)
    for cache in ended.caches:
        if found.after is not MISSING and not plan.inside:
            until_us = plan.hooked.clock.now_us() + int((cache.ttl_s or 0) * 1_000_000)
            plan.hooked.kept[plan.eye.branch, cache.key or ""] = until_us, found.after
    return answer.seen.after, found
