"""Each built-in hook runs again from its recorded steps alone: nothing else is taken, and the result is the same."""

from __future__ import annotations

import os
import random
import socket
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid1, uuid4

import pytest
import structlog

import backstory.hooks.builtin
from backstory.domain.events import MISSING
from backstory.domain.hooks import HookResult
from backstory.domain.redaction import Redaction
from backstory.hooks.builtin import (
    AgentPersistence,
    Audit,
    BackupOnCriticalChange,
    CacheInvalidation,
    Caching,
    ChangeLog,
    CostTracking,
    Debugging,
    Metrics,
    RateLimit,
    Retry,
    Security,
    Validation,
)
from backstory.hooks.builtin._places import redacted
from backstory.hooks.run_context import HookContext, Subject
from backstory.infrastructure import codec
from backstory.infrastructure.clock import new_id
from tests.support.hook_runs import FakeWorld, OutsideError, again, cut_off, run, subject

PRICES = {"gpt-*": {"input": "2.50", "output": 10}}
USAGE = {"model": "gpt-4o", "usage": {"prompt_tokens": 1000, "completion_tokens": 20}}


def _sync(*_: Any) -> Any:
    return {"at": time.time()}


async def _async(*_: Any) -> Any:
    return {"at": time.time()}


def _down(*_: Any) -> Any:
    raise OSError("no way there")


async def _down_later(*_: Any) -> Any:
    raise OSError("no way there")


def _odd(value: Any, context: HookContext) -> bool:
    return bool(value) and context.random() < 1 and context.call(_sync)["at"] > 0


class Case(NamedTuple):
    """A way to make a hook, and what it is run for, one after the other."""

    make: Callable[[Path], Any]
    subjects: list[Subject]


def _writes(point: str = "before_state_write") -> list[Subject]:
    return [subject(point, key=f"k{number}", before=number, after=number + 1) for number in range(3)]


def _agents() -> list[Subject]:
    states: list[dict[str, Any]] = [{"a": 1, "b": 2}, {"a": 1}, {}, {"c": 3}]
    saves = [
        subject("before_agent_save", scope=None, key=None, after={"agent_id": "a1", "state": state}) for state in states
    ]
    return [*saves, subject("before_agent_delete", scope=None, key=None, after={"agent_id": "a1"})]


AFTER = [*_writes("after_state_write"), subject("after_state_delete", before=1)]
AFTER.append(subject("after_state_clear", key=None, before=["a", "b"], redelivered=True))
SECRET = subject("before_state_write", key="password", after="hunter2")
COSTS = [subject(after=USAGE), subject(after=USAGE, redelivered=True), subject(after=5)]
COSTS += [COSTS[0]._replace(attempt=2), subject(after={**USAGE, "model": "o9"})]

CASES: dict[str, Case] = {
    "Validation of values": Case(lambda _: Validation(bool, types=int, max_bytes=5), _writes()),
    "Validation that asks": Case(lambda _: Validation(_odd), _writes()),
    "Audit to structlog": Case(lambda _: Audit(), AFTER),
    "Audit to a file": Case(lambda folder: Audit(folder / "audit.jsonl", fsync=True), AFTER),
    "ChangeLog": Case(lambda _: ChangeLog(), AFTER),
    "ChangeLog in a ring": Case(lambda _: ChangeLog(keep=2), AFTER),
    "Metrics": Case(lambda _: Metrics(), AFTER),
    "CacheInvalidation": Case(lambda _: CacheInvalidation(_sync), AFTER),
    "CacheInvalidation, async": Case(lambda _: CacheInvalidation(_async), AFTER),
    "BackupOnCriticalChange": Case(lambda _: BackupOnCriticalChange(_sync, critical="*/k1"), AFTER),
    "BackupOnCriticalChange, async": Case(lambda _: BackupOnCriticalChange(_async, critical=lambda _: True), AFTER),
    "AgentPersistence": Case(lambda _: AgentPersistence(), _agents()),
    "RateLimit": Case(lambda _: RateLimit(1, 60), _writes()),
    "RateLimit that waits": Case(lambda _: RateLimit(2, 60, by="store", wait=True), _writes()),
    "Security": Case(lambda _: Security(deny="*/k1"), [*_writes(), SECRET]),
    "Security that redacts": Case(lambda _: Security(mode="redact"), [*_writes(), SECRET]),
    "Caching": Case(lambda _: Caching(60), [subject("before_state_read"), subject("before_state_read", as_of="7")]),
    "Retry": Case(lambda _: Retry(_sync), _writes()),
    "Retry of what is down": Case(lambda _: Retry(_down), _writes()),
    "Retry, async": Case(lambda _: Retry(_async), _writes()),
    "Retry, async, of what is down": Case(lambda _: Retry(_down_later), _writes()),
    "CostTracking": Case(lambda _: CostTracking(_sync, PRICES, tokens=True), COSTS),
    "CostTracking, async": Case(lambda _: CostTracking(_async, PRICES), COSTS),
    "Debugging": Case(lambda _: Debugging(), AFTER),
}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Lines of structlog go nowhere."""
    structlog.configure(processors=[structlog.testing.LogCapture()])
    yield
    structlog.reset_defaults()


def test_no_built_in_hook_is_left_out() -> None:
    assert set(backstory.hooks.builtin.__all__) - {"Trace", "install"} == {name.split()[0].strip(",") for name in CASES}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_run_is_repeated_from_its_steps_alone(case: Case, tmp_path: Path) -> None:
    hook, world = case.make(tmp_path), FakeWorld()
    recorded = []
    for about in case.subjects:
        result, steps = run(hook, about, world)
        world.apply(result)
        world.now_us += 1_000_000
        recorded.append((about, result, steps))
    before = _trace_of(hook, tmp_path)

    fresh = case.make(tmp_path)
    for about, result, steps in recorded:
        assert result == again(hook, about, steps)
        assert result == again(fresh, about, steps)
    assert _trace_of(hook, tmp_path) == before


def _trace_of(hook: Any, folder: Path) -> Any:
    """Return what a hook left behind in the world."""
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    return files, getattr(hook, "snapshot", dict)(), getattr(hook, "traces", list)()


SECRETS: list[tuple[str, Any, Any]] = [
    ("password", MISSING, "hunter2"),
    ("db/password", "hunter2", "hunter3"),
    ("plan", {"user": {"password": "a", "n": 1}}, {"user": {"password": "b", "n": 1}}),
    ("card 4111111111111111", MISSING, 1),
    ("plan", MISSING, ["5", 4111111111111111]),
]


@pytest.mark.parametrize(("key", "before", "after"), SECRETS)
@pytest.mark.parametrize(
    "make",
    [
        Security,
        lambda: Security(mode="redact"),
        lambda: Security(mode="redact", redaction=Redaction(mode="hash", key=b"k" * 16)),
        ChangeLog,
        Debugging,
    ],
)
def test_a_run_about_secrets_is_repeated_from_a_record_that_holds_none(
    make: Callable[[], Any], key: str, before: Any, after: Any
) -> None:
    clean = Redaction()
    point = "before_state_write" if make().name == "security" else "after_state_write"
    about = subject(point, key=key, before=before, after=after)
    result, steps = run(make(), about, FakeWorld())
    data = {} if result is None else result.as_data()
    assert steps == clean.redact(steps)
    assert b"hunter" not in codec.encode_value([data, steps])

    values = {"before": redacted(clean, key, before), "after": redacted(clean, key, after)}
    kept: dict[str, Any] = {part: codec.encode_value(value) for part, value in values.items() if value is not MISSING}
    repeated = again(make(), about._replace(key=clean.redact(key), **kept), steps)
    assert clean.redact(data) == ({} if repeated is None else clean.redact(repeated.as_data()))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_result_is_one_that_the_record_holds(case: Case, tmp_path: Path) -> None:
    hook, world = case.make(tmp_path), FakeWorld()
    for about in case.subjects:
        result, _ = run(hook, about, world)
        world.apply(result)
        if result is not None:
            assert result == HookResult.from_data(result.as_data())


@pytest.mark.parametrize("name", sorted(set(backstory.hooks.builtin.__all__) - {"Trace", "install"}))
def test_a_hook_has_a_name_points_and_a_call_for_the_registry(name: str, tmp_path: Path) -> None:
    case = next(case for label, case in CASES.items() if label.split()[0].strip(",") == name)
    hook = case.make(tmp_path)
    assert hook.name
    assert hook.points
    assert callable(hook)


@pytest.mark.parametrize(
    "take",
    [
        time.time,
        time.time_ns,
        time.monotonic,
        lambda: datetime.now(UTC),
        random.random,
        random.Random(1).random,  # noqa: S311 - no secret
        uuid1,
        uuid4,
        new_id,
        lambda: os.urandom(1),
        socket.socket,
        lambda: Path(__file__).read_text(encoding="utf-8"),
        lambda: Path(__file__).exists(),
    ],
)
def test_whoever_takes_from_outside_is_caught(take: Callable[[], Any]) -> None:
    with pytest.raises(OutsideError), cut_off():
        _close(take())


def _close(found: Any) -> None:
    if isinstance(found, socket.socket):
        found.close()


def test_decimals_are_no_clock() -> None:
    with cut_off():
        assert Decimal(2) == Decimal(1) + 1
