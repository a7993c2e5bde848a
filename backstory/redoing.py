"""Redoing: the hooks of a recorded write once more, on what would have been: what the write comes to then.

Those that are registered run again from their records, with the other input; nothing is taken from the world. The
others, and those that ask for something that is not recorded, are taken as they are recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from backstory.core import Core
from backstory.domain.commits import split_causes
from backstory.domain.decisions import add
from backstory.domain.errors import InvalidValueError
from backstory.domain.events import MISSING, StoredEvent
from backstory.domain.hooks import HOOK_FAILED, HookResult
from backstory.domain.ports import Program
from backstory.domain.sequencer import STATE_SET
from backstory.hooks.path import Path
from backstory.hooks.registry import Registry
from backstory.hooks.replaying import Question, replay_run
from backstory.infrastructure import codec
from backstory.replay.what_if import Redone

_VALUES: Final = frozenset({"modified", "replace"})
#: What is decided elsewhere, at another place or another time: it is not worked out again.
_ELSEWHERE: Final = frozenset({"redirect", "retry"})
_HIDDEN: Final = (b'"[redacted:', b'"[hashed:')
_TIMEOUT_S: Final = 30
Run = tuple[StoredEvent, dict[str, Any], HookResult | None]


def redoing(core: Core) -> Callable[[StoredEvent, Sequence[StoredEvent], Any, Any], Program[Redone]]:
    """Return what runs the hooks of a write of this store again."""
    path = core.gate.path
    registry = path.registry if isinstance(path, Path) else None
    question = Question.of("exact", None, _TIMEOUT_S)

    def redo(row: StoredEvent, rows: Sequence[StoredEvent], before: Any, value: Any) -> Program[Redone]:
        runs = _last_attempt(rows)
        if not _is_plain(row, runs):
            return Redone(value, [run[0] for run in runs])
        work = _Work(core, registry, question, before, _given(row, runs, before, value))
        return (yield from work.through(runs))

    return redo


def _last_attempt(rows: Sequence[StoredEvent]) -> list[Run]:
    """Return the runs that the write came of; those of attempts before it came to nothing."""
    runs: list[Run] = []
    for row in rows:
        data = codec.decode_value(row.data)
        runs.append((row, data, None if row.type == HOOK_FAILED else HookResult.from_data(data["result"])))
    last = max((data.get("attempt", 1) for _, data, _ in runs), default=1)
    return [run for run in runs if run[1].get("attempt", 1) == last]


def _is_plain(row: StoredEvent, runs: Sequence[Run]) -> bool:
    """Return whether all that the runs were given and answered is known, and about the place of the write."""
    for run, data, result in runs:
        given = data["input"]
        if any(mark in run.data for mark in _HIDDEN) or (result is not None and result.kind in _ELSEWHERE):
            return False
        if given.get("scope") != row.stream or given.get("key") != row.key:
            return False
    return True


def _given(row: StoredEvent, runs: Sequence[Run], before: Any, value: Any) -> Any:
    """Return what the first hook is given: what is to be written, before any hook changed it."""
    changing = set(split_causes(row.causes))
    if row.type != STATE_SET or not any(run.event_id in changing for run, _, _ in runs):
        return value
    first = runs[0][1]["input"]
    if first["operation"] != "increment":
        return first["after"]
    try:
        by = first["after"] - first.get("before", 0)
        return add(0 if before is MISSING else before, by, "by")
    except (TypeError, ArithmeticError, InvalidValueError):
        return MISSING


class _Work:
    """A chain, gone through again."""

    def __init__(self, core: Core, registry: Registry | None, question: Question, before: Any, value: Any) -> None:
        self._core = core
        self._registry = registry
        self._question = question
        self._before = before
        self._value = value
        self._assumed: list[StoredEvent] = []

    def through(self, runs: Sequence[Run]) -> Program[Redone]:
        """Return what the write comes to."""
        for run in runs:
            if self._value is MISSING:
                break
            result = yield from self._again(run)
            kind = None if result is None else result.kind
            if kind == "cancel":
                self._value = MISSING
            elif result is not None and kind in _VALUES:
                self._value = result.value
            if kind == "replace":
                break
        return Redone(self._value, self._assumed)

    def _again(self, run: Run) -> Program[HookResult | None]:
        """Return what a hook answers to what it is given now; None where it fails."""
        row, data, recorded = run
        parts = {"before": self._before, "after": MISSING if "after" not in data["input"] else self._value}
        given = {name: part for name, part in data["input"].items() if name not in parts}
        given |= {name: part for name, part in parts.items() if part is not MISSING}
        if codec.canonical(given) == codec.canonical(data["input"]):
            return recorded
        other = row._replace(data=codec.encode_value({**data, "input": given}))
        replayed = yield from replay_run(self._core, self._registry, other, self._question)
        if not replayed.ok or not _alike(replayed.result, recorded):
            self._assumed.append(row)
            return recorded
        return replayed.result


def _alike(result: HookResult | None, recorded: HookResult | None) -> bool:
    """Return whether an answer differs in its value alone, or in stopping the write: all else would lead elsewhere."""
    one = "continue" if result is None else result.kind
    other = "continue" if recorded is None else recorded.kind
    if one == "cancel":
        return True
    if {one, other} & {"fork", "cache", *_ELSEWHERE}:
        return result == recorded
    # Where a chain no longer ends, hooks would follow of which nothing is recorded.
    return one == other or other != "replace"
