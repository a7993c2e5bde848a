"""Runs of hooks put into a log without any hook: as many as a test needs, with the durations it wants."""

from __future__ import annotations

from typing import Any, NamedTuple
from uuid import uuid4

from backstory.committing import append
from backstory.context import packed_correlation
from backstory.domain.commits import Commit, Draft
from backstory.domain.hooks import HOOK_EXECUTED, HOOK_FAILED, HookResult
from backstory.hooks.recording import stream_of
from backstory.infrastructure import codec
from backstory.infrastructure.clock import new_id


class Run(NamedTuple):
    """A run that is to be in the log; it failed where `result` is None."""

    hook: str = "check"
    point: str = "before_state_write"
    duration_us: int = 100
    result: HookResult | None = HookResult.CONTINUE
    correlation_id: str = "work"


def record(store: Any, *runs: Run) -> list[Any]:
    """Put runs into a blocking store's log, in one commit, and return their events."""
    drafts = [_draft(run) for run in runs]
    outcome = store._runner.run(append(Commit(store._core.branch.id, drafts)))
    return list(outcome.events)


def _draft(run: Run) -> Draft:
    failed = run.result is None
    data = {
        "hook": run.hook,
        "point": run.point,
        "priority": 0,
        "operation": str(uuid4()),
        "input": {"operation": "set"},
        "result": None if run.result is None else run.result.as_data(),
        "duration_us": run.duration_us,
        "error": "ValueError: no" if failed else None,
        "steps": [],
    }
    return Draft(
        new_id(),
        stream_of(run.hook),
        HOOK_FAILED if failed else HOOK_EXECUTED,
        codec.encode_value(data),
        correlation=packed_correlation(run.correlation_id),
    )
