"""Import of a hundred recorded runs of an airline's agent."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

import backstory
from tests.support.runs import REAL_RUNS, real_runs, replayed, steps_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from backstory import StateStore

SAMPLED = range(0, 100, 9)


@pytest.fixture
def store(store_url: str) -> Iterator[StateStore]:
    with backstory.open(store_url) as opened:
        yield opened


def test_every_message_is_recorded_and_every_step_of_the_state_can_be_read(store: StateStore) -> None:
    runs = real_runs()
    report = store.import_runs(str(REAL_RUNS))

    assert (report.runs, report.skipped, report.errors) == (100, 0, [])
    assert report.events == store.position()
    steps = {run["run_id"]: steps_of(store, f"session:{run['run_id']}") for run in runs}
    assert sum(len(run["messages"]) for run in runs) == sum(map(len, steps.values()))
    for run in [runs[number] for number in SAMPLED]:
        extra = {name: run[name] for name in ("task_id", "trial", "reward")}
        states = replayed(run["messages"], extra)
        for step, state in zip(steps[run["run_id"]], states, strict=True):
            assert state == store.items(f"session:{run['run_id']}", as_of=step[-1].event_id)
    assert store.import_runs(str(REAL_RUNS)).events == 0
    assert store.verify().ok


def test_every_result_is_caused_by_its_call(store: StateStore) -> None:
    runs = real_runs()
    store.import_runs(str(REAL_RUNS))
    events = {event.event_id: event for event in store.log()}
    returned = [event for event in events.values() if event.type == "tool.returned"]

    assert sum(message["role"] == "tool" for run in runs for message in run["messages"]) == len(returned)
    for event in returned:
        (cause,) = (events[each] for each in event.causation_ids)
        assert (cause.type, cause.stream) == ("tool.called", event.stream)
        assert (cause.data["id"], cause.data["name"]) == (event.data["id"], event.data["name"])
        assert cause.position < event.position
        between = [
            other
            for other in events.values()
            if cause.position < other.position < event.position
            and (other.type, other.stream) == ("tool.called", event.stream)
        ]
        assert event.data["id"] not in {other.data["id"] for other in between}


def test_a_reservation_has_its_history(store: StateStore) -> None:
    runs = real_runs()
    store.import_runs(str(REAL_RUNS))
    told = 0
    for run in runs:
        wanted: dict[str, list[object]] = {}
        for message in run["messages"]:
            try:
                content = json.loads(message["content"]) if message["role"] == "tool" else None
            except ValueError:
                continue
            if isinstance(content, dict) and "reservation_id" in content:
                wanted.setdefault(content["reservation_id"], []).append(content)
        for name, values in wanted.items():
            changes = store.history(f"session:{run['run_id']}", f"reservation/{name}")
            assert values == [change.after for change in changes]
            blamed = store.blame(f"session:{run['run_id']}", f"reservation/{name}")
            assert store.event(blamed.causation_ids[0]).data["content"] == values[-1]
            told += len(values)
    assert told > 200


def test_runs_that_were_cut_short_end_as_if_they_had_come_whole(store: StateStore, tmp_path: Path) -> None:
    runs = real_runs()
    short = tmp_path / "short.jsonl"
    short.write_text(
        "\n".join(
            json.dumps({**run, "messages": run["messages"][: 1 + number % len(run["messages"])]})
            for number, run in enumerate(runs)
        )
    )
    store.import_runs(str(short))
    store.import_runs(str(REAL_RUNS))
    with backstory.open("memory://") as whole:
        whole.import_runs(str(REAL_RUNS))

        assert whole.snapshot() == store.snapshot()
    assert store.import_runs(str(REAL_RUNS)).events == store.import_runs(str(short)).events == 0
