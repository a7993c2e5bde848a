"""Import of runs: what is recorded, that importing again adds nothing, and that what is broken is told."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

import backstory
from backstory import (
    BackstoryError,
    ConflictError,
    Event,
    ImportReport,
    InvalidValueError,
    NotFoundError,
    ReadOnlyError,
    Scope,
    StateStore,
    import_work,
)
from tests.support.processes import children, heard, last_words, told
from tests.support.runs import assistant, call, lines, replayed, result, steps_of, user

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from uuid import UUID

TRIP: list[dict[str, Any]] = [
    {"role": "system", "content": "be kind"},
    user("cancel R1"),
    assistant(None, call("a", "get_user", '{"user_id": "mia"}'), call("b", "get_trip", '{"trip_id": "R1"}')),
    result("a", '{"name": "Mia"}'),
    result("b", '{"trip_id": "R1", "state": "booked"}'),
    assistant("Shall I?"),
    user("yes"),
    assistant(None, call("a", "cancel", '{"trip_id": "R1"}')),
    result("a", "Error: too late"),
    assistant(None, call("a", "cancel", '{"trip_id": "R1"}')),
    result("a", '{"trip_id": "R1", "state": "cancelled"}'),
    assistant("Done."),
]


@pytest.fixture
def store(store_url: str) -> Iterator[StateStore]:
    with backstory.open(store_url) as opened:
        yield opened


@pytest.fixture
def memory() -> Iterator[StateStore]:
    with backstory.open("memory://") as opened:
        yield opened


def run(name: str, messages: list[Any] | None = None, **extra: object) -> dict[str, object]:
    return {"run_id": name, "messages": TRIP if messages is None else messages, **extra}


def state_of(store: StateStore, name: str) -> dict[str, Any]:
    return store.items(Scope.session(name))


def shape_of(store: StateStore, name: str) -> list[tuple[str, str | None, Any]]:
    return [(event.type, event.key, event.data) for event in store.log(scope=Scope.session(name))]


def assert_imported(store: StateStore, name: str, messages: list[Any], extra: dict[str, Any] | None = None) -> None:
    """Assert that the session's state after each message is that of a plain replay."""
    wanted = replayed(messages, extra)
    steps = steps_of(store, f"session:{name}")

    assert len(messages) == len(steps)
    for step, state in zip(steps, wanted, strict=True):
        assert state == store.items(f"session:{name}", as_of=step[-1].event_id)


def test_a_run_becomes_events_and_state(store: StateStore, tmp_path: Path) -> None:
    report = store.import_runs(str(lines(tmp_path / "runs.jsonl", run("r1", reward=1.0))))

    assert report == ImportReport(runs=1, events=store.position(), skipped=0, errors=[])
    assert type(report) is ImportReport
    assert_imported(store, "r1", TRIP, {"reward": 1.0})
    assert {
        "status": "completed",
        "turns": 2,
        "messages": 12,
        "last_role": "assistant",
        "run": {"reward": 1.0},
        "user/mia": {"name": "Mia"},
        "trip/R1": {"trip_id": "R1", "state": "cancelled"},
        "tools/get_user": {"calls": 1, "errors": 0},
        "tools/get_trip": {"calls": 1, "errors": 0},
        "tools/cancel": {"calls": 2, "errors": 1},
    } == state_of(store, "r1")
    assert store.verify().ok


def test_the_log_says_what_was_said_called_and_returned(store: StateStore, tmp_path: Path) -> None:
    store.import_runs(str(lines(tmp_path / "runs.jsonl", run("r1"))))

    own = [(type_, data) for type_, key, data in shape_of(store, "r1") if key is None]

    assert own[:3] == [("message.system", TRIP[0]), ("message.user", TRIP[1]), ("message.assistant", TRIP[2])]
    assert own[3:7] == [
        ("tool.called", {"id": "a", "name": "get_user", "arguments": {"user_id": "mia"}}),
        ("tool.called", {"id": "b", "name": "get_trip", "arguments": {"trip_id": "R1"}}),
        ("tool.returned", {"id": "a", "name": "get_user", "content": {"name": "Mia"}, "error": False}),
        (
            "tool.returned",
            {"id": "b", "name": "get_trip", "content": {"trip_id": "R1", "state": "booked"}, "error": False},
        ),
    ]
    assert ("tool.returned", {"id": "a", "name": "cancel", "content": "Error: too late", "error": True}) in own


def test_every_event_but_the_first_is_caused_by_what_brought_it(store: StateStore, tmp_path: Path) -> None:
    store.import_runs(str(lines(tmp_path / "runs.jsonl", run("r1", reward=1))))
    steps = steps_of(store, "session:r1")
    own = [step[0] for step in steps]
    called = {
        event.data["id"] + str(number): event
        for number, step in enumerate(steps)
        for event in step
        if event.type == "tool.called"
    }
    causes: list[UUID | None] = [None, *(event.event_id for event in own[:-1])]
    for number, name in ((3, "a2"), (4, "b2"), (8, "a7"), (10, "a9")):
        causes[number] = called[name].event_id

    assert causes == [next(iter(event.causation_ids), None) for event in own]
    for step in steps:
        brought = {event.event_id for event in step if event.type != "state.set"}
        for event in step[1:]:
            assert len(event.causation_ids) == 1
            assert set(event.causation_ids) <= brought
    assert {event.correlation_id for step in steps for event in step} == {str(own[0].event_id)}


def test_a_message_and_its_state_are_one_transaction(
    store: StateStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, Any]] = []
    monkeypatch.setattr(import_work, "_MOST_COMMITS", 1)
    store.import_runs(
        str(lines(tmp_path / "runs.jsonl", run("r1"))), progress=lambda *_: seen.append(state_of(store, "r1"))
    )

    assert replayed(TRIP) == seen[: len(TRIP)]


def test_importing_again_adds_nothing(store: StateStore, tmp_path: Path) -> None:
    path = str(lines(tmp_path / "runs.jsonl", run("r1", reward=1), run("r2", TRIP[:5]), TRIP))
    first = store.import_runs(path)
    head = store.position()

    assert store.import_runs(path) == ImportReport(runs=0, events=0, skipped=3, errors=[])
    assert (first.runs, first.events, head) == (3, head, store.position())


def test_the_same_run_twice_in_a_file_is_recorded_once(store: StateStore, tmp_path: Path) -> None:
    report = store.import_runs(str(lines(tmp_path / "runs.jsonl", run("r1"), run("r1"), run("r1", TRIP[:3]))))

    assert (report.runs, report.skipped, report.errors) == (1, 2, [])
    assert_imported(store, "r1", TRIP)


@pytest.mark.parametrize("cut", range(1, len(TRIP)))
def test_a_longer_version_adds_what_is_new(memory: StateStore, tmp_path: Path, cut: int) -> None:
    memory.import_runs(str(lines(tmp_path / "short.jsonl", run("r1", TRIP[:cut]))))
    assert_imported(memory, "r1", TRIP[:cut])
    before = memory.position()
    report = memory.import_runs(str(lines(tmp_path / "long.jsonl", run("r1"))))

    assert (report.runs, report.skipped, report.errors) == (1, 0, [])
    assert report.events == memory.position() - before
    assert replayed(TRIP)[-1] == state_of(memory, "r1")
    steps = steps_of(memory, "session:r1")
    assert len(TRIP) == len(steps)
    for step, state in list(zip(steps, replayed(TRIP), strict=True))[cut:]:
        assert state == memory.items("session:r1", as_of=step[-1].event_id)
    status = [change.after for change in memory.history("session:r1", "status")]
    assert status == ["running", "completed", "running", "completed"]
    assert steps[cut][0].causation_ids[0] in {event.event_id for step in steps[:cut] for event in step}


def test_a_longer_version_adds_what_is_new_on_every_engine(store: StateStore, tmp_path: Path) -> None:
    for cut in (2, 3, 8, 12, 5):
        store.import_runs(str(lines(tmp_path / "runs.jsonl", run("r1", TRIP[:cut], reward=cut > 3))))

    assert {**replayed(TRIP)[-1], "run": {"reward": True}} == state_of(store, "r1")
    assert len(TRIP) == len(steps_of(store, "session:r1"))
    assert [change.after for change in store.history("session:r1", "run")] == [{"reward": False}, {"reward": True}]


def test_what_is_said_of_a_run_later_is_recorded_without_new_messages(store: StateStore, tmp_path: Path) -> None:
    store.import_runs(str(lines(tmp_path / "runs.jsonl", run("r1"))))
    report = store.import_runs(str(lines(tmp_path / "runs.jsonl", run("r1", reward=0.5))))
    again = store.import_runs(str(lines(tmp_path / "runs.jsonl", run("r1"), run("r1", reward=0.5))))

    assert (report.runs, report.events) == (1, 1)
    assert store.get("session:r1", "run") == {"reward": 0.5}
    assert store.blame("session:r1", "run").causation_ids == (steps_of(store, "session:r1")[-1][0].event_id,)
    assert (again.events, again.skipped) == (0, 2)


def test_a_shorter_version_takes_nothing_back(store: StateStore, tmp_path: Path) -> None:
    store.import_runs(str(lines(tmp_path / "runs.jsonl", run("r1", reward=1))))
    head = store.position()

    for cut in (1, 5, 11):
        report = store.import_runs(str(lines(tmp_path / "runs.jsonl", run("r1", TRIP[:cut], reward=0))))
        assert (report.events, report.skipped, report.errors) == (0, 1, [])
    assert store.position() == head


@pytest.mark.parametrize("stop", [1, 2, 3, 7])
def test_an_import_that_was_cut_off_is_completed_by_the_next(
    store: StateStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int
) -> None:
    path = str(lines(tmp_path / "runs.jsonl", run("r1", reward=1), run("r2")))
    monkeypatch.setattr(import_work, "_MOST_COMMITS", 4)
    left = iter(range(stop - 1))

    def interrupt(_done: int, _size: int) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.import_runs(path, progress=interrupt)
    store.import_runs(path)

    assert_imported(store, "r1", TRIP, {"reward": 1})
    assert_imported(store, "r2", TRIP)


def test_a_run_that_was_cut_off_just_there_is_completed_by_a_version_that_ends_there(
    store: StateStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_work, "_MOST_COMMITS", 4)

    def interrupt(_done: int, _size: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.import_runs(str(lines(tmp_path / "runs.jsonl", run("r1"))), progress=interrupt)
    assert store.get("session:r1", "status") == "running"
    store.set("session:r1", "status", "paused")
    assert store.import_runs(str(lines(tmp_path / "runs.jsonl", run("r1", TRIP[:4])))).events == 0
    store.set("session:r1", "status", "running")
    shorter = store.import_runs(str(lines(tmp_path / "runs.jsonl", run("r1", TRIP[:3]))))
    assert (shorter.events, store.get("session:r1", "status")) == (0, "running")
    report = store.import_runs(str(lines(tmp_path / "runs.jsonl", run("r1", TRIP[:4]))))

    assert (report.runs, report.events) == (1, 1)
    assert_imported(store, "r1", TRIP[:4])


def test_an_import_counts_what_it_wrote_where_another_finished_its_run(
    store: StateStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(lines(tmp_path / "runs.jsonl", run("r1")))
    monkeypatch.setattr(import_work, "_MOST_COMMITS", 3)
    others: list[ImportReport] = []

    def overtake(_done: int, _size: int) -> None:
        if not others:
            others.append(store.import_runs(path))

    report = store.import_runs(path, progress=overtake)

    assert (report.runs, report.skipped, others[0].runs) == (1, 0, 1)
    assert report.events + others[0].events == store.position()
    assert_imported(store, "r1", TRIP)


def test_what_a_file_says_of_a_run_last_is_what_stays(
    store: StateStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.import_runs(str(lines(tmp_path / "runs.jsonl", run("r1"))))
    monkeypatch.setattr(import_work, "_MOST_COMMITS", 3)
    path = lines(tmp_path / "runs.jsonl", run("r1", reward=0), run("r1", reward=1), run("r2"))

    assert store.import_runs(str(path)).errors == []
    assert store.get("session:r1", "run") == {"reward": 1}


# -- What differs from what is recorded


def test_another_run_under_a_known_id_is_told_and_leaves_no_trace(store: StateStore, tmp_path: Path) -> None:
    store.import_runs(str(lines(tmp_path / "runs.jsonl", run("r1", TRIP[:6]))))
    head = store.position()
    other = [*TRIP[:5], assistant("Another."), *TRIP[6:]]
    report = store.import_runs(str(lines(tmp_path / "runs.jsonl", run("r1", other), run("r2"))))

    assert [error.line for error in report.errors] == [1]
    assert "'r1': messages[5] is not what is recorded" in report.errors[0].message
    assert (report.runs, report.skipped) == (1, 0)
    assert shape_of(store, "r1") == [(e.type, e.key, e.data) for e in store.log(until=head, scope="session:r1")]
    assert_imported(store, "r2", TRIP)


def test_the_order_of_keys_makes_no_other_run(store: StateStore, tmp_path: Path) -> None:
    turned = [dict(reversed(message.items())) for message in TRIP]
    store.import_runs(str(lines(tmp_path / "runs.jsonl", run("r1", reward=1, task=2))))

    assert store.import_runs(str(lines(tmp_path / "runs.jsonl", run("r1", turned, task=2, reward=1)))) == ImportReport(
        0, 0, 1, []
    )


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ([*TRIP[:3], 5, *TRIP[3:6]], TRIP),  # mended since
        (TRIP[:6], [TRIP[0], 5, *TRIP[2:]]),  # broken since
        ([5, *TRIP[1:4]], TRIP),  # the first message was broken
    ],
)
def test_a_run_whose_broken_messages_are_others_is_another_one(
    store: StateStore, tmp_path: Path, first: list[Any], second: list[Any]
) -> None:
    store.import_runs(str(lines(tmp_path / "runs.jsonl", run("r1", first))))
    head = store.position()
    report = store.import_runs(str(lines(tmp_path / "runs.jsonl", run("r1", second))))

    assert store.position() == head
    assert any("is not what is recorded" in error.message for error in report.errors)


def test_a_session_that_others_write_to_as_well_can_be_imported(store: StateStore, tmp_path: Path) -> None:
    store.append("session:r1", Event("session.started"))
    store.set("session:r1", "note", "mine")
    store.import_runs(str(lines(tmp_path / "runs.jsonl", run("r1", TRIP[:4]))))
    store.set("session:r1", "note", "still mine")
    store.import_runs(str(lines(tmp_path / "runs.jsonl", run("r1"))))

    assert {**replayed(TRIP)[-1], "note": "still mine"} == state_of(store, "r1")


def test_what_a_caller_cleared_does_not_come_back(store: StateStore, tmp_path: Path) -> None:
    path = str(lines(tmp_path / "runs.jsonl", run("r1", reward=1)))
    store.import_runs(path)
    store.clear("session:r1")
    report = store.import_runs(path)

    assert (report.events, report.skipped, report.errors) == (0, 1, [])
    assert state_of(store, "r1") == {}


def test_a_status_that_a_caller_set_stays_until_the_run_goes_on(store: StateStore, tmp_path: Path) -> None:
    path = str(lines(tmp_path / "runs.jsonl", run("r1", TRIP[:4])))
    store.import_runs(path)
    for status in ("running", "archived"):
        store.set("session:r1", "status", status)
        assert store.import_runs(path).events == 0
    store.import_runs(str(lines(tmp_path / "runs.jsonl", run("r1"))))

    assert store.get("session:r1", "status") == "completed"


def test_what_a_caller_cleared_does_not_keep_a_run_from_going_on(store: StateStore, tmp_path: Path) -> None:
    store.import_runs(str(lines(tmp_path / "runs.jsonl", run("r1", TRIP[:6]))))
    store.clear("session:r1")
    store.import_runs(str(lines(tmp_path / "runs.jsonl", run("r1"))))

    assert len(TRIP) == len(steps_of(store, "session:r1"))
    assert state_of(store, "r1").items() <= replayed(TRIP)[-1].items()


# -- What is broken


def test_a_broken_call_is_told_and_the_rest_of_its_message_goes_on(store: StateStore, tmp_path: Path) -> None:
    messages = [user(), assistant(None, call("a"), {"id": "b"}), result("a", "1")]
    report = store.import_runs(str(lines(tmp_path / "runs.jsonl", run("r1", messages))))

    assert [error.line for error in report.errors] == [1]
    assert "messages[1].tool_calls[1]" in report.errors[0].message
    assert store.get("session:r1", "messages") == 3
    assert store.get("session:r1", "result/look") == 1


def test_a_result_without_its_call_is_told_and_the_rest_goes_on(store: StateStore, tmp_path: Path) -> None:
    messages = [user("a"), result("nobody", "x"), user("b"), assistant(None, call("c")), result("c")]
    report = store.import_runs(str(lines(tmp_path / "runs.jsonl", run("r1"), run("r2", messages))))

    assert [error.line for error in report.errors] == [2]
    assert "run 'r2': invalid value at messages[1].tool_call_id" in report.errors[0].message
    assert (report.runs, report.skipped) == (2, 0)
    assert_imported(store, "r2", [messages[0], *messages[2:]])


def test_broken_lines_are_told_with_their_numbers_and_the_rest_goes_on(store: StateStore, tmp_path: Path) -> None:
    path = lines(
        tmp_path / "runs.jsonl",
        "garbage",
        run("r1"),
        b"\xff\xfe\x00",
        {"run_id": "", "messages": TRIP},
        {"run_id": "x" * 300, "messages": TRIP},
        {"no": "run"},
        "",
        run("r2", [*TRIP, 5, {"role": "robot"}, {"role": "user", "content": 5}]),
        json.dumps(run("r3"))[:-20],
        run("r4", [user("\ud800"), user("fine")], odd="\ud800"),
        run("r5", [5]),
        run("r6", [user("x" * 2_000_000), user("fine")]),
    )
    report = store.import_runs(str(path))

    assert [error.line for error in report.errors] == [1, 3, 4, 5, 6, 8, 8, 8, 9, 10, 10, 11, 12]
    assert all(error.message.endswith(".") for error in report.errors)
    assert (report.runs, report.skipped) == (4, 0)
    assert [str(scope) for scope in store.scopes()] == ["session:r1", "session:r2", "session:r4", "session:r6"]
    assert_imported(store, "r2", TRIP)
    assert_imported(store, "r4", [user("fine")])
    again = store.import_runs(str(path))
    assert (again.runs, again.events, again.skipped) == (0, 0, 4)
    assert again.errors == report.errors


def test_a_file_that_is_not_there_or_no_file_is_an_error(memory: StateStore, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no file"):
        memory.import_runs(str(tmp_path / "none.jsonl"))
    with pytest.raises(BackstoryError, match="cannot read"):
        memory.import_runs(str(tmp_path))
    with pytest.raises(BackstoryError, match="cannot read"):
        memory.import_runs("a\0b")


def test_an_unknown_format_is_refused(memory: StateStore, tmp_path: Path) -> None:
    with pytest.raises(InvalidValueError, match="openai-chat"):
        memory.import_runs(str(lines(tmp_path / "runs.jsonl", run("r1"))), format="prose")


def test_a_read_only_store_imports_nothing(sqlite_url: str, tmp_path: Path) -> None:
    backstory.open(sqlite_url).close()
    with backstory.open(sqlite_url, read_only=True) as store, pytest.raises(ReadOnlyError):
        store.import_runs(str(lines(tmp_path / "runs.jsonl")))


# -- Names


def test_ids_of_runs_may_hold_anything(store: StateStore, tmp_path: Path) -> None:
    names = ["a/b", "50%", "é", "a\x00b", "trip 7"]
    report = store.import_runs(str(lines(tmp_path / "runs.jsonl", *(run(name) for name in [*names, "e\u0301"]))))

    assert (report.runs, report.skipped, report.errors) == (5, 1, [])
    assert sorted(map(str, map(Scope.session, names))) == sorted(map(str, store.scopes()))


def test_a_bare_list_is_named_by_file_and_line(store: StateStore, tmp_path: Path) -> None:
    store.import_runs(str(lines(tmp_path / "my runs.jsonl", run("r1"), TRIP)))
    store.import_runs(str(lines(tmp_path / "more.json", TRIP)))

    assert [str(scope) for scope in store.scopes()] == ["session:more-1", "session:my runs-2", "session:r1"]


def test_odd_tools_and_ids_make_keys_that_can_be_read(store: StateStore, tmp_path: Path) -> None:
    messages = [
        assistant(None, call("a", "../x\n", '{"user_id": "//"}'), call("b", "$$", "{")),
        result("a", "{}"),
        result("b", '{"__secret_id": "\\u0000", "z": 1}'),
    ]
    report = store.import_runs(str(lines(tmp_path / "runs.jsonl", run("r1", messages))))

    assert report.errors == []
    assert {"tools/.%2E/x%0A", "tools/$$", "user/%2F%2F", "%5F_secret/%00"} < state_of(store, "r1").keys()
    for key in store.keys("session:r1"):
        assert store.history("session:r1", key)


# -- Forks


def test_on_a_fork_only_what_it_shows_counts_as_known(store: StateStore, tmp_path: Path) -> None:
    short = str(lines(tmp_path / "short.jsonl", run("r1", TRIP[:4], reward=1)))
    whole = str(lines(tmp_path / "long.jsonl", run("r1", reward=1)))
    empty = store.fork("empty")
    store.import_runs(short)
    half = store.fork("half")
    store.import_runs(whole)

    for branch, added in ((empty, True), (half, True), (store, False)):
        assert (branch.import_runs(whole).events > 0) is added
        assert {**replayed(TRIP)[-1], "run": {"reward": 1}} == state_of(branch, "r1")
        assert len(TRIP) == len(steps_of(branch, "session:r1"))
        assert branch.import_runs(whole).events == branch.import_runs(short).events == 0
    late = half.fork("late")
    assert late.import_runs(whole).events == 0
    assert late.import_runs(str(lines(tmp_path / "longer.jsonl", run("r1", [*TRIP, user("!")], reward=1)))).events > 0
    assert late.get("session:r1", "messages") == 13
    assert store.verify().ok


def test_what_is_said_of_a_run_on_a_parent_after_the_fork_is_said_on_the_fork_too(
    store: StateStore, tmp_path: Path
) -> None:
    store.import_runs(str(lines(tmp_path / "runs.jsonl", run("r1"))))
    fork = store.fork("half")
    path = str(lines(tmp_path / "runs.jsonl", run("r1", reward=1)))

    assert [store.import_runs(path).events, fork.import_runs(path).events, fork.import_runs(path).events] == [1, 1, 0]
    assert fork.get("session:r1", "run") == {"reward": 1}


def test_a_run_that_was_cut_off_before_the_fork_is_completed_on_it(
    store: StateStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_work, "_MOST_COMMITS", 4)

    def interrupt(_done: int, _size: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.import_runs(str(lines(tmp_path / "runs.jsonl", run("r1"))), progress=interrupt)
    fork = store.fork("half")
    path = str(lines(tmp_path / "runs.jsonl", run("r1", TRIP[:4])))

    assert [fork.import_runs(path).events, store.import_runs(path).events, fork.import_runs(path).events] == [1, 1, 0]
    for branch in (fork, store):
        assert_imported(branch, "r1", TRIP[:4])


# -- Who writes


def test_an_import_carries_the_ambient_context(store: StateStore, tmp_path: Path) -> None:
    why = store.set("custom:why", "k", 1)
    with backstory.context(actor="importer", correlation_id="job-7", cause=why, tags=["old"]):
        store.import_runs(str(lines(tmp_path / "runs.jsonl", run("r1"))))
    events = list(store.log(scope="session:r1"))

    assert {(event.actor, event.correlation_id, event.tags) for event in events} == {("importer", "job-7", ("old",))}
    assert events[0].causation_ids == (why.event_id,)
    assert all(event.causation_ids != (why.event_id,) for event in events[1:])


def test_progress_counts_bytes_to_the_end(store: StateStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_work, "_MOST_COMMITS", 10)
    path = lines(tmp_path / "runs.jsonl", *(run(f"r{number}") for number in range(5)), "garbage")
    told: list[tuple[int, int]] = []
    store.import_runs(str(path), progress=lambda done, size: told.append((done, size)))
    size = path.stat().st_size

    assert told == sorted(told)
    assert told[-1] == (size, size)
    assert {total for _, total in told} == {size}
    assert len(told) >= 6
    path.write_bytes(b"")
    store.import_runs(str(path), progress=lambda done, size: told.append((done, size)))
    assert told[-1] == (0, 0)


# -- At once


async def test_the_asyncio_face_imports_the_same(store_url: str, memory: StateStore, tmp_path: Path) -> None:
    path = str(lines(tmp_path / "runs.jsonl", run("r1", reward=1), "garbage", run("r2", TRIP[:5])))
    async with backstory.open_async(store_url) as store:
        report = await store.import_runs(path)
        again = await store.import_runs(path)
        shape = [(event.type, event.key, event.data) async for event in store.log(scope="session:r1")]

    assert memory.import_runs(path) == report
    assert (again.events, again.skipped) == (0, 2)
    assert shape_of(memory, "r1") == shape


async def test_tasks_that_import_the_same_file_at_once_record_it_once(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_work, "_MOST_COMMITS", 3)
    path = str(lines(tmp_path / "runs.jsonl", *(run(f"r{number}", n=number) for number in range(6))))
    async with backstory.open_async(store_url) as store:
        reports = await asyncio.gather(*(store.import_runs(path) for _ in range(4)))
        head = await store.position()

    assert head == sum(report.events for report in reports)
    assert all(report.errors == [] for report in reports)
    with backstory.open("memory://") as single:
        single.import_runs(path)
        assert single.position() == head


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def shared_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty store that can be opened several times at once."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


def test_an_import_goes_on_while_others_write(shared_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(lines(tmp_path / "runs.jsonl", run("r1", n=1), run("r2")))
    short = str(lines(tmp_path / "short.jsonl", run("r1", TRIP[:4], n=0)))
    monkeypatch.setattr(import_work, "_MOST_COMMITS", 3)
    with backstory.open(shared_url) as store, backstory.open(shared_url) as other:
        why = other.set("custom:why", "k", 1)

        def disturb(done: int, _size: int) -> None:
            other.set("custom:other", "done", done)

        with backstory.context(cause=why):
            store.import_runs(short, progress=disturb)
            report = store.import_runs(path, progress=disturb)
        assert (report.runs, report.errors) == (2, [])
        assert {**replayed(TRIP)[-1], "run": {"n": 1}} == state_of(other, "r1")
        assert_imported(other, "r2", TRIP)
        other.set("session:r1", "status", "running")
        assert store.import_runs(path).events == 0
        assert store.verify().ok


def test_processes_that_import_the_same_file_at_once_record_it_once(shared_url: str, tmp_path: Path) -> None:
    url = shared_url
    path = lines(tmp_path / "runs.jsonl", *(run(f"r{number}", n=number) for number in range(30)))
    with children() as started:
        importers = [started.start("tests.support.importer", url, path) for _ in range(3)]
        for importer in importers:
            assert heard(importer) == "ready"
        for importer in importers:
            told(importer, "go")
        counts = [tuple(map(int, last_words(importer).split())) for importer in importers]

    with backstory.open(url) as store:
        assert store.position() == sum(events for events, _ in counts)
        assert [errors for _, errors in counts] == [0, 0, 0]
        for number in range(30):
            assert_imported(store, f"r{number}", TRIP, {"n": number})
        assert store.verify().ok


def test_a_commit_that_is_refused_leaves_the_others_of_its_group_alone(store: StateStore, tmp_path: Path) -> None:
    with pytest.raises(ConflictError):
        store.append("session:r1", Event("a.b"), expected_version=5)
    path = lines(tmp_path / "runs.jsonl", *(run(f"r{number}") for number in range(3)))
    store.append("session:r1", Event("a.b"))
    report = store.import_runs(str(path))

    assert (report.runs, report.errors) == (3, [])
    for number in range(3):
        assert state_of(store, f"r{number}") == replayed(TRIP)[-1]
