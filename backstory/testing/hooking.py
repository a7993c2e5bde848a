"""The model of hooks: which are there, what they see and answer, and the fact of each run.

Written from what is promised: hooks run by priority, each sees what the one before it changed, every run is a fact.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any

from backstory.domain.events import MISSING
from backstory.domain.hooks import RULES, HookResult
from backstory.testing.clock import ManualClock
from backstory.testing.hook_drawing import DrawnHook
from backstory.testing.model import Fact, Model
from backstory.testing.wishes import Eye

__all__ = ["VERBS", "Due", "Hooked", "Seen", "behind", "fits", "run"]

VERBS = {"state.set": "write", "state.deleted": "delete", "scope.cleared": "clear"}
Cache = dict[tuple[int, str], tuple[int, Any]]


@dataclass
class Seen:
    """What a hook gets: the model's context."""

    point: str
    operation: str
    about: Fact
    scope: str
    key: str | None
    before: Any = MISSING
    after: Any = MISSING
    as_of: str | None = None
    attempt: int = 1
    eye: Eye | None = None
    steps: list[dict[str, Any]] = field(default_factory=list)

    def read(self, scope: str, key: str, default: Any) -> Any:
        """Look at a value, as the operation does."""
        assert self.eye is not None
        cell = self.eye.cell(scope, key)
        value = cell.seen(self.eye.now_us)
        step: dict[str, Any] = {"kind": "read", "scope": scope, "key": key}
        # What the transaction itself wrote has no position yet.
        step |= {"position": cell.position} if 0 < cell.position <= self.eye.begin else {}
        self.steps.append(step | ({} if value is MISSING else {"value": value}))
        return default if value is MISSING else value

    def said(self) -> dict[str, Any]:
        """Return what a run's event says of it."""
        parts = {"before": self.before, "after": self.after}
        said = {"operation": self.operation, "scope": self.scope, "key": self.key, "as_of": self.as_of}
        return {name: part for name, part in said.items() if part is not None} | {
            name: part for name, part in parts.items() if part is not MISSING
        }


@dataclass
class Hooked:
    """The hooks that are there, in order, what they keep, and what is due in the background."""

    there: list[DrawnHook] = field(default_factory=list)
    kept: Cache = field(default_factory=dict)
    due: list[Due] = field(default_factory=list)
    clock: ManualClock = field(default_factory=ManualClock)

    def at(self, point: str, past: Sequence[str], *, background: bool = False) -> list[DrawnHook]:
        """Return the hooks of a point, without those inside whose run we are."""
        found = [hook for hook in self.there if hook.point == point and hook.background == background]
        return sorted((hook for hook in found if hook.name not in past), key=lambda hook: hook.priority)


@dataclass
class Due:
    """A run that is due in the background: for a write, or a read's `seen`."""

    branch: int
    fact: Fact
    hooks: list[DrawnHook]
    seen: Seen | None = None


def fits(hook: DrawnHook, scope: str, key: str | None) -> bool:
    """Return whether a hook is limited to something else."""
    if hook.key is not None and (key is None or not fnmatchcase(key, hook.key)):
        return False
    return hook.scope is None or fnmatchcase(scope, hook.scope)


def run(hook: DrawnHook, seen: Seen, stage: str, **more: Any) -> tuple[Fact, HookResult | None]:
    """Run a hook; return the fact of it, and the answer unless it failed."""
    seen = replace(seen, steps=[])
    result: Any = None
    try:
        result = hook.answer.to(seen)
        result = HookResult.CONTINUE if result is None else result
        failed = not isinstance(result, HookResult) or stage not in RULES[result.kind]
        # A scope that is cleared elsewhere has no key.
        failed = failed or (stage == "clear" and result.kind == "redirect" and result.key is not None)
    except RuntimeError:
        failed = True
    data = {
        "hook": hook.name, "point": seen.point, "priority": hook.priority, "input": seen.said(),
        "result": None if failed else _said(result), "error": failed, "steps": seen.steps,
    } | ({"attempt": seen.attempt} if seen.attempt > 1 else {})  # fmt: skip
    kind = "hook.failed" if failed else "hook.executed"
    fact = Fact(f"hook:{hook.name}", kind, data, about=seen.about, root=seen.about, actor=seen.about.actor, **more)
    return fact, None if failed else result


def _said(result: HookResult) -> dict[str, Any]:
    said = {name: getattr(result, name) for name in ("reason", "key", "delay_s", "max_attempts", "ttl_s")}
    said |= {"scope": None if result.scope is None else str(result.scope)}
    said = {"kind": result.kind} | {name: part for name, part in said.items() if part is not None}
    if result.value is not MISSING:
        said["value"] = result.value
    if result.kind == "fork":
        said["operations"] = [[verb, str(scope), *rest] for verb, scope, *rest in result.operations]
    return said


def behind(due: Due, eye: Eye) -> Iterator[tuple[Fact, HookResult | None]]:
    """Run the hooks behind a write, each again as often as it asks for it; what they take is what is there now."""
    fact = due.fact
    seen = due.seen
    if seen is None:
        before = fact.data["keys"] if fact.key is None else _before(eye.model, due)
        operation, point = fact.data.get("op", "clear"), f"after_state_{VERBS[fact.type]}"
        seen = Seen(point, operation, fact, fact.stream, fact.key, before, fact.data.get("value", MISSING))
    causes = {"cause": fact} if due.seen is None else {"cause": fact.cause}
    for hook in due.hooks:
        about, again = replace(seen, eye=eye, attempt=1), True
        while again:
            ran, result = run(hook, about, "after", **causes)
            again = result is not None and result.kind == "retry" and about.attempt < (result.max_attempts or 0)
            about = replace(about, attempt=about.attempt + 1)
            yield ran, result


def _before(model: Model, due: Due) -> Any:
    history = model.history(due.branch, due.fact.stream, due.fact.key or "", due.fact.position)
    return next((before for fact, before, _ in history if fact.position == due.fact.position), MISSING)
