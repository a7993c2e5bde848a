"""Versions that a writer chooses are stored once each, in whatever order they come."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from eventsourcing.persistence import DataError, IntegrityError, StoredEvent
from eventsourcing.sqlite import SQLiteApplicationRecorder, SQLiteDatastore
from hypothesis import given, settings
from hypothesis import strategies as st

import backstory
from backstory.domain.branches import MAIN_LINEAGE
from backstory.domain.commits import Commit, Draft
from backstory.domain.decisions import foreign_draft
from backstory.domain.events import StoredEvent as StoredRow
from backstory.domain.ports import LogQuery
from backstory.infrastructure.clock import SystemClock, new_id
from backstory.infrastructure.configuration import Settings
from backstory.infrastructure.memory.engine import MemoryEngine
from backstory.infrastructure.recording.log import Log
from backstory.infrastructure.recording.recorders import LogApplicationRecorder
from backstory.infrastructure.sqlite.engine import SqliteEngine

Groups = list[list[list[tuple[str, int]]]]

streams = st.sampled_from("ab")
places = st.tuples(streams, st.integers(0, 6))
groups = st.lists(st.lists(st.lists(places, max_size=3), min_size=1, max_size=3), max_size=6)
bounds = st.none() | st.integers(0, 7)


@contextmanager
def stock() -> Iterator[SQLiteApplicationRecorder]:
    """The recorder that eventsourcing brings: what ours should do."""
    datastore = SQLiteDatastore("file:stock?mode=memory&cache=shared", originator_id_type="text")
    try:
        recorder = SQLiteApplicationRecorder(datastore)
        recorder.create_table()
        yield recorder
    finally:
        datastore.close()


@contextmanager
def memory_log() -> Iterator[Log]:
    yield Log(MemoryEngine(SystemClock()), max_value_bytes=1000)


@contextmanager
def sqlite_log() -> Iterator[Log]:
    with TemporaryDirectory() as folder:
        path = str(Path(folder) / "log.db")
        log = Log(SqliteEngine(path, SystemClock(), Settings(), create=True, read_only=False), max_value_bytes=1000)
        try:
            yield log
        finally:
            log.close()


def stored(place: tuple[str, int], number: int) -> StoredEvent:
    return StoredEvent(place[0], place[1], f"topic{number % 2}", f"{number}".encode())


def insert(recorder: LogApplicationRecorder | SQLiteApplicationRecorder, events: list[StoredEvent]) -> bool:
    try:
        recorder.insert_events(events)
    except IntegrityError:
        return False
    return True


def insert_group(log: Log, group: list[list[StoredEvent]]) -> list[bool]:
    """Insert several writers' events in one transaction, each for itself."""
    commits = [
        Commit(
            drafts=[
                foreign_draft(
                    str(event.originator_id), event.originator_version, event.topic, event.state, event_id=new_id()
                )
                for event in events
            ]
        )
        for events in group
    ]
    return [outcome.error is None for outcome in log.engine.commit(commits)]


@pytest.mark.parametrize("opened", [memory_log, sqlite_log])
@settings(max_examples=60, deadline=None)
@given(given_groups=groups, gt=bounds, lte=bounds, desc=st.booleans(), limit=bounds, one_by_one=st.booleans())
def test_ours_and_the_stock_recorder_take_refuse_and_find_the_same(  # noqa: PLR0917 - what is drawn
    opened: Callable[[], Iterator[Log]],
    given_groups: Groups,
    gt: int | None,
    lte: int | None,
    desc: bool,
    limit: int | None,
    one_by_one: bool,
) -> None:
    with ExitStack() as stack:
        expected = stack.enter_context(stock())
        log: Log = stack.enter_context(opened())  # type: ignore[arg-type]
        recorder = LogApplicationRecorder(log)
        number = 0
        for group in given_groups:
            numbered = []
            for places_ in group:
                numbered.append([stored(place, number + index) for index, place in enumerate(places_)])
                number += len(places_)
            taken = [insert(expected, events) for events in numbered]
            assert taken == ([insert(recorder, e) for e in numbered] if one_by_one else insert_group(log, numbered))
        for stream in "ab":
            assert list(expected.select_events(stream, gt=gt, lte=lte, desc=desc, limit=limit)) == list(
                recorder.select_events(stream, gt=gt, lte=lte, desc=desc, limit=limit)
            )
        for topics in ((), ("topic0",)):
            assert list(expected.select_notifications(gt, 100, stop=lte, topics=topics)) == list(
                recorder.select_notifications(gt, 100, stop=lte, topics=topics)
            )
        assert expected.max_notification_id() == recorder.max_notification_id()


@pytest.mark.parametrize("opened", [memory_log, sqlite_log])
@settings(max_examples=40, deadline=None)
@given(steps=st.lists(st.tuples(streams, st.none() | st.integers(0, 3)), max_size=10), until=st.integers(0, 10))
def test_a_stream_with_gaps_is_read_whole_from_every_position(
    opened: Callable[[], Iterator[Log]], steps: list[tuple[str, int | None]], until: int
) -> None:
    with ExitStack() as stack:
        log: Log = stack.enter_context(opened())  # type: ignore[arg-type]
        last = {"a": -1, "b": -1}
        rows: list[StoredRow] = []
        for stream, gap in steps:
            version = None if gap is None else last[stream] + 1 + gap
            draft = Draft(new_id(), stream, "thing.done", b"{}", version=version)
            rows.extend(log.submit(Commit(drafts=[draft])).events)
            last[stream] = rows[-1].version
        for stream, after, reverse in product("ab", range(len(rows) + 1), (False, True)):
            query = LogQuery(MAIN_LINEAGE, after, until, stream, reverse=reverse)
            expected = [row for row in rows[after:until] if row.stream == stream]
            assert (expected[::-1] if reverse else expected) == log.ask(log.engine.page(query))
            version_there = max((row.version for row in rows[:after] if row.stream == stream), default=0)
            assert version_there == log.ask(log.engine.stream_version(MAIN_LINEAGE, stream, after))


@pytest.mark.parametrize(
    "event",
    [
        StoredEvent("", 1, "topic", b""),
        StoredEvent("a\0b", 1, "topic", b""),
        StoredEvent("a\ud800", 1, "topic", b""),
        StoredEvent("aside/snapshots/a", 1, "topic", b""),
        StoredEvent("a", 1, "", b""),
        StoredEvent("a", 1, "state.set", b""),
        StoredEvent("a", -1, "topic", b""),
        StoredEvent("a", 2**63, "topic", b""),
        StoredEvent("a", 1, "topic", "text"),  # type: ignore[arg-type]
    ],
)
def test_what_the_log_cannot_hold_is_refused_before_anybody_else_s_commit_hears_of_it(event: StoredEvent) -> None:
    with memory_log() as log:
        recorder = LogApplicationRecorder(log)
        with pytest.raises(DataError):
            recorder.insert_events([StoredEvent("a", 1, "topic", b""), event])
        assert recorder.max_notification_id() is None


def test_backstory_s_own_events_go_on_behind_the_last_chosen_version() -> None:
    with sqlite_log() as log:
        LogApplicationRecorder(log).insert_events(
            [StoredEvent("custom:a", version, "topic", b"") for version in (0, 7, 3)]
        )
        with backstory.open(f"sqlite:///{log.engine._path}") as store:  # type: ignore[attr-defined]
            assert 8 == store.set("custom:a", "k", 1).version
            assert store.verify().ok
