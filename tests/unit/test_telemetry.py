"""The log of the store itself: off by default, structured, with correlation ids."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

import backstory
from backstory.domain.errors import StoreUnavailableError
from backstory.domain.ports import Recovery
from backstory.infrastructure.clock import SystemClock
from backstory.infrastructure.configuration import Settings
from backstory.infrastructure.memory.engine import MemoryEngine
from backstory.infrastructure.telemetry import observed


@pytest.fixture(autouse=True)
def _unconfigured() -> Iterator[None]:
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()


def lines(captured: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in captured.readouterr().err.splitlines()]


def test_nothing_is_logged_unless_a_setting_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    engine = MemoryEngine(SystemClock())
    assert engine is observed(engine, Settings())
    with backstory.open("memory://") as store:
        store.set("global", "k", 1)
    assert ("", "") == capsys.readouterr()


def test_a_commit_is_logged_with_its_correlation_ids_and_no_value(capsys: pytest.CaptureFixture[str]) -> None:
    with backstory.open("memory://", log_level="debug", log_format="json") as store:
        store.set("global", "k", "confidential", correlation_id="c-1")
        own = store.set("global", "k", "confidential").correlation_id

    told = lines(capsys)
    assert ["store.opened", "store.closed"] == [told[0]["event"], told[-1]["event"]]
    commits = [line for line in told if line["event"] == "commit.done"]
    assert [["c-1"], [own]] == [line["correlation_ids"] for line in commits]
    assert [(1, 1), (1, 2)] == [(line["events"], line["position"]) for line in commits]
    assert 1 == len({line["log_id"] for line in told})
    assert all({"timestamp", "level"} < line.keys() for line in told)
    assert "confidential" not in str(told)


async def test_the_asyncio_face_is_logged_as_well(sqlite_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    async with backstory.open_async(sqlite_url, log_level="debug", log_format="json") as store:
        await store.set("global", "k", 1, correlation_id="c-1")
        await store.get("global", "k")

    told = [line["event"] for line in lines(capsys)]
    assert {"store.opened", "commit.done", "read.done", "store.closed"} == set(told)


def test_a_refused_write_is_told_apart_from_a_store_that_fails(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with backstory.open("memory://", log_level="info", log_format="json") as store:
        with pytest.raises(backstory.ConflictError):
            store.set("global", "k", 1, expected_version=7)

        def fail(*_: object) -> None:
            raise StoreUnavailableError("the disk is gone")

        monkeypatch.setattr(MemoryEngine, "commit", fail)
        with pytest.raises(StoreUnavailableError):
            store.set("global", "k", 1)

    told = {line["event"]: line for line in lines(capsys)}
    assert ("info", "ConflictError") == (told["commit.refused"]["level"], told["commit.refused"]["error"])
    assert ("error", "StoreUnavailableError") == (told["commit.failed"]["level"], told["commit.failed"]["error"])


def test_what_takes_as_long_as_the_setting_says_is_slow(sqlite_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    with backstory.open(sqlite_url, log_level="warning", log_format="json", slow_s=1e-9) as store:
        store.set("global", "k", 1)
        store.get("global", "k")

    told = lines(capsys)
    assert {"commit.slow", "read.slow"} == {line["event"] for line in told}
    assert all(line["duration_s"] >= 0 and line["level"] == "warning" for line in told)


def test_a_recovery_is_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    engine = MemoryEngine(SystemClock())
    engine.recovery = Recovery(1, 3, 7, "1 writer ended without closing the store")
    observed(engine, Settings(log_level="warning", log_format="json"))

    (line,) = lines(capsys)
    assert ("store.recovered", 1, 3, 7) == (line["event"], line["writers"], line["since"], line["head"])


def test_lines_go_the_way_that_the_program_configured() -> None:
    with structlog.testing.capture_logs() as told, backstory.open("memory://", log_level="info"):
        pass
    assert ["store.opened", "store.closed"] == [line["event"] for line in told]


def test_text_is_one_line_an_entry(capsys: pytest.CaptureFixture[str]) -> None:
    with backstory.open("memory://", log_level="info"):
        pass
    assert ["store.opened", "store.closed"] == [line.split()[3] for line in capsys.readouterr().err.splitlines()]
