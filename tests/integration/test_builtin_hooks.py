"""The built-in hooks in a store: on every engine and either face they do what they say, and can be run again."""

from __future__ import annotations

import asyncio
import contextlib
import doctest
import inspect
import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import structlog

import backstory
from backstory import HookCancelledError, HookError, RecordedEvent
from backstory.domain.events import MISSING
from backstory.hooks import builtin
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
    install,
)
from backstory.infrastructure import codec
from tests.support.hook_runs import again, subject

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "hooks-built-in.md"
PRICES = {"gpt-*": {"input": "2.50", "output": 10}}
ANSWER = {"model": "gpt-4o", "usage": {"prompt_tokens": 1000, "completion_tokens": 100}}
COST = Decimal("0.0035")


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Lines of structlog go nowhere."""
    structlog.configure(processors=[structlog.testing.LogCapture()])
    yield
    structlog.reset_defaults()


def teller(told: list[Any]) -> Callable[..., bool]:
    """Return a function that notes what it is told."""

    def tell(*given: Any) -> bool:
        told.append(given)
        return True

    return tell


def teller_later(told: list[Any]) -> Callable[..., Awaitable[bool]]:
    """Return an async function that notes what it is told."""

    async def tell(*given: Any) -> bool:
        await asyncio.sleep(0)
        told.append(given)
        return True

    return tell


def all_hooks(folder: Path, tell: Callable[..., Any], add: Callable[..., Any], fire: Callable[..., Any]) -> list[Any]:
    """Return one of each hook, some of them as async as the functions are."""
    return [
        Validation(lambda value, context: value != "bad" or f"{context.key} is bad"),
        Security(mode="redact"),
        RateLimit(100, 3600, by="actor"),
        Retry(tell),
        Caching(3600),
        Audit(folder / "audit.jsonl"),
        ChangeLog(keep=3),
        Metrics(),
        CacheInvalidation(tell),
        BackupOnCriticalChange(fire, critical="*/critical"),
        CostTracking(add, PRICES, scope="custom:costs", tokens=True),
        AgentPersistence(),
        Debugging(),
    ]


def repeated(event: RecordedEvent, hooks: list[Any]) -> Any:
    """Return what a hook answers when it is run from the record alone."""
    data = event.data
    given = data["input"]
    about = subject(
        data["point"],
        scope=given.get("scope"),
        key=given.get("key"),
        before=given.get("before", MISSING),
        after=given.get("after", MISSING),
        operation=given["operation"],
        operation_id=UUID(data["operation"]),
        actor=event.actor,
        correlation_id=event.correlation_id,
        metadata=codec.encode_value(given["metadata"]) if "metadata" in given else None,
        tags=tuple(given.get("tags", ())),
        as_of=given.get("as_of"),
        attempt=data.get("attempt", 1),
        redelivered=data.get("redelivered", False),
    )
    (hook,) = (hook for hook in hooks if hook.name == data["hook"])
    return again(hook, about, data["steps"])


def assert_repeatable(runs: list[RecordedEvent], hooks: list[Any]) -> None:
    assert {hook.name for hook in hooks} == {run.data["hook"] for run in runs}
    for run in runs:
        assert run.data["error"] is None
        recorded = {name: part for name, part in run.data["result"].items() if name != "hit"}
        result = repeated(run, hooks)
        assert recorded == ({"kind": "continue"} if result is None else result.as_data())


def test_every_run_in_the_log_can_be_repeated_from_it_alone(store_url: str, tmp_path: Path) -> None:
    folder = tmp_path / "live"
    folder.mkdir()
    with backstory.open(store_url) as store:
        told: list[Any] = []
        for hook in all_hooks(folder, teller(told), store.increment, store.hooks.fire):
            install(store, hook)
        store.set("agent:a", "plan", {"password": "x", "n": 1}, actor="ann")
        with pytest.raises(HookCancelledError, match="plan is bad"):
            store.set("agent:a", "plan", "bad", actor="ann")
        store.set("agent:a", "critical", 1, actor="ann", tags=["t"], metadata={"m": 1})
        store.set_many("agent:b", {"x": 1, "y": ANSWER}, actor="ann")
        store.update("agent:b", "x", lambda value: value + 1, actor="bob")
        store.delete("agent:b", "x", actor="ann")
        store.clear("agent:b", actor="ann")
        assert store.get("agent:a", "plan") == {"password": "[redacted:password]", "n": 1}
        assert store.get("agent:a", "plan", as_of=store.position()) is not None
        store.hooks.fire("before_agent_save", {"agent_id": "c", "state": {"goal": 1}})
        store.hooks.flush()

        runs = list(store.log(types=["hook.executed", "hook.failed"]))
        head, told_again = store.position(), list[Any]()
        assert_repeatable(runs, all_hooks(tmp_path, teller(told_again), store.increment, store.hooks.fire))
        assert told
        assert told_again == []
        assert not (tmp_path / "audit.jsonl").exists()
        assert head == store.position()


async def test_every_run_of_the_asyncio_face_can_be_repeated_too(store_url: str, tmp_path: Path) -> None:
    async with backstory.open_async(store_url) as store:
        for hook in all_hooks(tmp_path, teller_later([]), store.increment, store.hooks.fire):
            install(store, hook)
        await store.set("agent:a", "plan", {"password": "x", "n": 1}, actor="ann")
        with pytest.raises(HookCancelledError, match="plan is bad"):
            await store.set("agent:a", "plan", "bad", actor="ann")
        await store.set("agent:a", "critical", 1, actor="ann")
        await asyncio.gather(*[store.set("agent:b", f"answers/{number}", ANSWER, actor="bob") for number in range(5)])
        await store.clear("agent:b", actor="ann")
        assert await store.get("agent:a", "critical") == 1
        await store.hooks.fire("before_agent_save", {"agent_id": "c", "state": {"goal": 1}})
        await store.hooks.flush()
        assert await store.get("custom:costs", "usage/cost") == 5 * COST
        assert await store.get("agent:c", "state/goal") == 1
        runs = [run async for run in store.log(types=["hook.executed", "hook.failed"])]
        head, told_again = await store.position(), list[Any]()
        fresh = all_hooks(tmp_path, teller_later(told_again), store.increment, store.hooks.fire)
        assert_repeatable(runs, fresh)
        assert told_again == []
        assert head == await store.position()


def test_costs_of_many_writers_add_up_exactly(store_url: str) -> None:
    with backstory.open(store_url) as store:
        install(store, CostTracking(store.increment, PRICES, tokens=True), key="answers/*")

        def write(writer: int) -> None:
            for number in range(10):
                store.set("agent:a", f"answers/{writer}/{number}", ANSWER)

        threads = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        store.hooks.flush()
        assert store.get("agent:a", "usage/cost") == 40 * COST
        assert store.get("agent:a", "usage/input_tokens") == 40_000
        why = store.history("agent:a", "usage/cost")
        assert len(why) == 40
        causes = Counter(
            store.event(cause).key for change in why for cause in store.event(change.event_id).causation_ids
        )
        assert {f"answers/{writer}/{number}" for writer in range(4) for number in range(10)} <= set(causes)


def test_no_more_writes_than_the_limit_get_into_the_log(store_url: str) -> None:
    with backstory.open(store_url) as store:
        install(store, RateLimit(7, 3600, by="scope"), required=True)
        refused = []

        def write(writer: int) -> None:
            for number in range(5):
                try:
                    store.set("agent:a", f"{writer}/{number}", number)
                except HookCancelledError as error:
                    refused.append(error)

        threads = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(store.keys("agent:a")) == 7
        assert len(refused) == 13
        assert all("try again in" in error.reason for error in refused)
        store.set("agent:b", "other", 1)


def test_a_write_that_may_wait_gets_in_when_there_is_room() -> None:
    with backstory.open("memory://") as store:
        install(store, RateLimit(1, 0.05, wait=True, max_attempts=100))
        for number in range(3):
            store.set("agent:a", "n", number)
        assert [change.after for change in store.history("agent:a", "n")] == [0, 1, 2]


def test_a_write_that_waits_for_something_else_counts_once_in_the_limit() -> None:
    answers = [False, False, True]
    with backstory.open("memory://") as store:
        install(store, RateLimit(2, 3600))
        install(store, Retry(lambda *_: answers.pop(0) if answers else True, delay_s=0))
        store.set("agent:a", "n", 1)
        store.set("agent:a", "n", 2)
        with pytest.raises(HookCancelledError):
            store.set("agent:a", "n", 3)


def test_a_write_that_is_never_ready_is_given_up_and_nothing_is_written() -> None:
    with backstory.open("memory://") as store:
        install(store, Retry(lambda *_: False, delay_s=0, max_attempts=3))
        with pytest.raises(HookError, match="3 attempts"):
            store.set("agent:a", "n", 1)
        assert store.get("agent:a", "n", MISSING) is MISSING
        assert [execution.event.data.get("attempt", 1) for execution in store.hooks.history()] == [1, 2, 3]


def test_no_secret_gets_into_the_log_where_security_stands(store_url: str) -> None:
    with backstory.open(store_url) as store:
        install(store, Security(), required=True, scope="agent:*")
        install(store, Security(mode="redact"), required=True, scope="user:*")
        with pytest.raises(HookCancelledError, match=r"n\.password \(password\)"):
            store.set("agent:a", "n", {"password": "hunter2"})
        store.set("user:u", "n", {"password": "hunter2"})
        store.hooks.flush()
        log = json.dumps([event.as_dict() for event in store.log()], default=str)
        assert "hunter2" not in log
        assert "[redacted:password]" in log


def test_a_ring_of_changes_goes_on_after_the_store_was_opened_anew(sqlite_url: str) -> None:
    entries: dict[str, Any] = {}
    for opening in range(3):
        with backstory.open(sqlite_url) as store:
            install(store, ChangeLog(keep=4), scope="agent:*")
            for number in range(3):
                store.set("agent:a", "n", opening * 3 + number)
            store.hooks.flush()
            entries = store.items("custom:changes")
    assert entries.pop("next") == 9
    assert sorted(entry["after"] for entry in entries.values()) == [5, 6, 7, 8]


def test_a_change_and_its_entry_name_each_other(store_url: str) -> None:
    with backstory.open(store_url) as store:
        install(store, ChangeLog())
        event = store.set("agent:a", "n", {"x": 1}, actor="ann")
        store.hooks.flush()
        entry = store.get("custom:changes", str(event.event_id))
        assert (entry["scope"], entry["key"], entry["after"], entry["actor"]) == ("agent:a", "n", {"x": 1}, "ann")
        assert len(store.keys("custom:changes")) == 1


def test_a_backup_is_asked_for_as_soon_as_something_critical_changed(store_url: str) -> None:
    with backstory.open(store_url) as store:
        asked: list[Any] = []
        store.hooks.register("custom:backup", lambda context: asked.append(context.after))
        install(store, BackupOnCriticalChange(store.hooks.fire, critical="agent:*/config"))
        store.set("agent:a", "mood", 1)
        event = store.set("agent:a", "config", 1)
        store.clear("agent:a")
        store.hooks.flush()
        assert [(data["key"], data["operation"]) for data in asked] == [("config", "set"), (None, "clear")]
        assert asked[0]["operation_id"] == str(event.event_id)


def test_an_agents_parts_are_saved_and_deleted_in_one_commit(store_url: str) -> None:
    with backstory.open(store_url) as store:
        install(store, AgentPersistence())
        for state in ({"a": 1, "b": 2}, {"b": 3, "c": 4}):
            store.hooks.fire("before_agent_save", {"agent_id": "x", "state": state})
        assert store.items("agent:x") == {"state": ["b", "c"], "state/b": 3, "state/c": 4}
        store.hooks.fire("before_agent_delete", {"agent_id": "x"})
        assert store.items("agent:x") == {}


def test_metrics_and_debugging_see_what_the_log_holds(store_url: str) -> None:
    with backstory.open(store_url) as store:
        metrics, debugging = Metrics(), Debugging()
        install(store, metrics)
        install(store, debugging, background=False)
        store.set("agent:a", "n", "xyz")
        store.increment("global", "count")
        store.copy("agent:a", "agent:b")
        store.delete("agent:a", "n")
        store.clear("agent:b")
        store.hooks.flush()
        events = list(store.log(types=["state.*", "scope.*"]))
        snapshot = metrics.snapshot()
        assert snapshot["total"] == len(events) == 5
        assert snapshot["operations"] == {"clear": 1, "copy": 1, "delete": 1, "increment": 1, "set": 1}
        assert snapshot["bytes_written"] == len('"xyz"') * 2 + len("1")
        after = [trace.operation_id for trace in debugging.traces() if trace.point.startswith("after_")]
        assert after == [event.event_id for event in events]


def test_a_cached_answer_stands_until_its_time_is_up() -> None:
    with backstory.open("memory://") as store:
        install(store, Caching(3600), key="slow")
        store.set("tool:t", "slow", 1)
        store.set("tool:t", "fast", 1)
        store.get("tool:t", "slow")
        store.get("tool:t", "fast")
        store.set("tool:t", "slow", 2)
        store.set("tool:t", "fast", 2)
        assert (store.get("tool:t", "slow"), store.get("tool:t", "fast")) == (1, 2)


def test_a_hook_is_installed_at_all_its_points_or_at_none() -> None:
    with backstory.open("memory://") as store:
        assert [handle.name for handle in install(store, Metrics(), tags=["x"])] == ["metrics"] * 3
        store.hooks.unregister("metrics")
        store.hooks.register("after_state_clear", Metrics())
        with pytest.raises(backstory.InvalidValueError):
            install(store, Metrics(), name="metrics")
        assert [info.point for info in store.hooks.list()] == ["after_state_clear"]


def test_each_hook_is_as_async_as_the_function_that_it_calls() -> None:
    for sync, later in zip(
        all_hooks(Path(), *[teller([])] * 3),
        all_hooks(Path(), *[teller_later([])] * 3),
        strict=True,
    ):
        asks = type(sync) is not type(later)
        assert asks is isinstance(sync, CacheInvalidation | Retry | BackupOnCriticalChange | CostTracking)
        assert not inspect.iscoroutinefunction(sync.__call__)
        assert asks is inspect.iscoroutinefunction(later.__call__)
        assert isinstance(later, type(sync))
        assert type(later).__name__ == type(sync).__name__


def test_importing_backstory_imports_no_built_in_hook() -> None:
    script = "import sys, backstory; print([name for name in sys.modules if 'hooks.builtin' in name])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_examples_of_the_document_give_what_they_show(tmp_path: Path) -> None:
    with contextlib.chdir(tmp_path):
        options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
        failed, attempted = doctest.testfile(str(DOCUMENT), module_relative=False, optionflags=options)
    assert 0 == failed
    assert attempted > 50


def test_the_document_shows_every_hook() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    hooks = set(builtin.__all__) - {"Trace", "install"}
    assert len(hooks) == 13
    for hook in hooks:
        assert f"\n## {hook}\n" in text
        assert f"(#{hook.lower()})" in text
