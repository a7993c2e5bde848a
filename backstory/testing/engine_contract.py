"""The contract of the engine port: commits, the chain, reads, causes, projections, waiting, closing.

Inherit from `EngineContract`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import count, product
from typing import Any, ClassVar, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backstory.context import with_reads
from backstory.domain.branches import FOREVER, MAIN, MAIN_LINEAGE, lineage_of
from backstory.domain.chain import genesis, link_of
from backstory.domain.commits import Commit, Decision, Draft, NewBranch, Outcome, Read, Tracking, split_causes
from backstory.domain.context import Author
from backstory.domain.decisions import Decisions
from backstory.domain.errors import BackstoryError, ConflictError, NotFoundError, StoreClosedError
from backstory.domain.events import StoredEvent
from backstory.domain.packed_events import PackedPage, packed_page
from backstory.domain.patterns import any_match
from backstory.domain.ports import Clock, Engine, LogQuery, Program
from backstory.infrastructure import codec
from backstory.infrastructure.clock import new_id
from backstory.projections.state import fold
from backstory.runners import Runner
from backstory.state_check import state_rows
from backstory.testing.clock import ManualClock

__all__ = ["EngineContract"]

T = TypeVar("T")
NewEngine = Callable[[Clock], Engine]
_NOBODY = Author()
_DECISIONS = Decisions(codec, new_id, max_bytes=1024)

#: Groups of commits: each a branch, then for every event the number of its given id, if any, which events before it
#: are its causes, which were read for it, and whether it shares what the event before it in its commit had read.
#: `_UNKNOWN` stands for a cause that is not there, which refuses the commit.
_UNKNOWN = 14
_GROUPS = st.lists(
    st.lists(
        st.tuples(
            st.integers(0, 3),
            st.lists(
                st.tuples(
                    st.none() | st.integers(0, 3),
                    st.lists(st.integers(0, _UNKNOWN), max_size=3),
                    st.lists(st.integers(0, 20), max_size=3),
                    st.booleans(),
                ),
                max_size=3,
            ),
        ),
        min_size=1,
        max_size=4,
    ),
    max_size=5,
)

_TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8)
_BYTES = st.none() | st.binary(min_size=1, max_size=20)
#: Events that hold and lack what they may, in a stream that is named after nothing else.
_DRAFTS = st.tuples(
    _TEXTS,
    st.sampled_from(("a.b", "ä")),
    st.binary(max_size=40),
    st.none() | _TEXTS,
    st.none() | st.integers(0, 2**62),
    _BYTES,
    st.none(),
    _BYTES,
    st.none() | st.just(b"{}"),
    st.sampled_from((0, 2)),
).map(lambda parts: Draft(b"", *parts))


class EngineContract:
    """What the port `Engine` promises. Inherit, and give the fixture `new_engine`: a new, empty one at each call."""

    examples: ClassVar[int] = 40
    """How many random logs a law is tried on."""

    @pytest.fixture
    def new_engine(self) -> NewEngine:
        """Return what makes engines."""
        raise NotImplementedError

    @pytest.fixture
    def clock(self) -> ManualClock:
        """Return the engine's clock."""
        return ManualClock()

    @pytest.fixture
    def engine(self, new_engine: NewEngine, clock: ManualClock) -> Any:
        """Give a new engine, closed afterwards."""
        engine = new_engine(clock)
        yield engine
        engine.close()

    # Commits

    def test_an_empty_log_ends_at_position_0_with_the_hash_of_its_id(self, engine: Engine) -> None:
        """Two logs never share a prefix."""
        head = ask(engine, engine.head())
        assert (0, 0, genesis(engine.log_id)) == tuple(head)

    def test_positions_are_dense_and_versions_count_within_a_stream(self, engine: Engine) -> None:
        """The order of a log is the order of its commits."""
        outcomes = engine.commit([writing("s", "a"), writing("t", "a", "b"), writing("s", "c")])

        rows = [row for outcome in outcomes for row in outcome.events]
        assert [(r.position, r.stream, r.version) for r in rows] == [(1, "s", 1), (2, "t", 1), (3, "t", 2), (4, "s", 2)]
        assert rows == ask(engine, engine.page(LogQuery(MAIN_LINEAGE)))

    def test_a_refused_commit_leaves_no_trace_and_the_others_alone(self, engine: Engine) -> None:
        """Of a group, each commit has an outcome of its own."""
        refused = (
            Commit(MAIN, writing("s", "x").drafts, reads=[Read("s", None, 7)]),
            Commit(MAIN, [draft("s", "x"), draft("s", "y", causes=new_id())]),
            Commit(99, [draft("s", "x")]),
            Commit(MAIN, decide=_refuse),
            Commit(MAIN, [draft("s", "x", version=1), draft("s", "y", version=1)]),
        )
        commits = [writing("s", "a"), *refused, writing("s", "b")]

        outcomes = engine.commit(commits)

        kinds = [ConflictError, NotFoundError, NotFoundError, BackstoryError, ConflictError]
        assert [type(None), *kinds, type(None)] == [type(outcome.error) for outcome in outcomes]
        assert [row.key for row in rows_of(engine)] == ["a", "b"]
        assert_whole(engine)

    def test_each_commit_of_a_group_sees_what_those_before_it_did(self, engine: Engine) -> None:
        """A decision is made on the log as it is under the lock."""
        commits = [_increment("s", "n") for _ in range(5)]

        outcomes = engine.commit(commits)

        assert [outcome.result for outcome in outcomes] == [1, 2, 3, 4, 5]

    def test_an_event_id_is_stored_once_within_a_group_and_later(self, engine: Engine) -> None:
        """Asking again answers with the first recording."""
        once = draft("s", "a")._replace(given_id=True)

        first, second = engine.commit([Commit(MAIN, [once]), Commit(MAIN, [once._replace(stream="t")])])
        (third,) = engine.commit([Commit(MAIN, [once])])

        assert first.events == second.events == third.events
        assert len(rows_of(engine)) == 1

    def test_times_never_go_back_along_the_log(self, engine: Engine, clock: ManualClock) -> None:
        """They may stand still, while the machine's clock is behind."""
        for span in (1, -5, 1, 10, -20):
            clock.advance(span)
            engine.commit([writing("s", "a")])

        times = [row.recorded_us for row in rows_of(engine)]
        assert sorted(times) == times
        assert_whole(engine)

    def test_a_consumers_position_is_kept_and_only_grows(self, engine: Engine) -> None:
        """It is stored in the same commit as what the consumer made of it."""
        assert ask(engine, engine.tracking("up")) is None

        outcomes = [engine.commit([_tracking(position)])[0] for position in (5, 5, 3, 6)]

        assert [outcome.error is None for outcome in outcomes] == [True, False, False, True]
        assert ask(engine, engine.tracking("up")) == 6  # noqa: PLR2004 - the last of those above
        assert [row.position for row in rows_of(engine)] == [1, 2]

    def test_a_consumer_is_forgotten_in_the_commit_that_says_so(self, engine: Engine) -> None:
        """Whatever its position was; it may begin again anywhere, even in the same group."""
        engine.commit([_tracking(5), _tracking(7, "other")])
        before, _, again = engine.commit([_tracking(6), _tracking(None), _tracking(2)])
        refused = Commit(MAIN, decide=_refuse, tracking=Tracking("other", None))
        engine.commit([_tracking(None), _tracking(None, "nobody"), refused])

        assert before.error is again.error is None
        assert ask(engine, engine.tracking("up")) is None
        assert ask(engine, engine.trackings("")) == {"other": 7}
        assert [outcome.error for outcome in engine.commit([_tracking(1)])] == [None]
        assert ask(engine, engine.tracking("up")) == 1

    def test_consumers_are_found_by_how_their_names_begin(self, engine: Engine) -> None:
        """No sign of a name stands for others."""
        names = ("hooks:a", "hooks:b", "hooks", "Hooks:c", "hook*", "h%", "h_", "h[a]", "a\u00e9", "a\U0010ffff")
        engine.commit([_tracking(at, name) for at, name in enumerate(names)])

        for prefix in ("", "hooks:", "hook", "h", "h*", "h%", "h_", "h[", "hook*", "x", "a", "a\U0010ffff", "H"):
            expected = {name: at for at, name in enumerate(names) if name.startswith(prefix)}
            assert expected == ask(engine, engine.trackings(prefix)), prefix

    # Writers

    def test_a_writer_lives_from_its_first_commit_to_its_close(self, engine: Engine, new_engine: NewEngine) -> None:
        """Each engine is a writer of its own."""
        other = new_engine(ManualClock())
        engine.commit([writing("s", "a")])

        assert engine.writer_id != other.writer_id
        assert {engine.writer_id} == ask(engine, engine.living_writers())
        other.close()

    # Reads

    def test_points_in_time_are_what_a_walk_along_the_log_finds(self, engine: Engine, clock: ManualClock) -> None:
        """`position_at`, `instant_of`, `streams` and `stream_version` equal plain counts."""
        for span, stream in ((1, "s"), (0, "t"), (2, "s"), (-9, "u"), (20, "s")):
            clock.advance(span)
            engine.commit([writing(stream, "a")])
        rows = rows_of(engine)

        assert [0, *(row.recorded_us for row in rows)] == [ask(engine, engine.instant_of(at)) for at in range(6)]
        for instant in {row.recorded_us + off for row, off in product(rows, (-1, 0, 1))}:
            assert sum(row.recorded_us <= instant for row in rows) == ask(engine, engine.position_at(instant))
        for position in range(6):
            before = [row.stream for row in rows[:position]]
            assert sorted(set(before)) == ask(engine, engine.streams(MAIN_LINEAGE, position))
            for stream in ("s", "t", "none"):
                version = ask(engine, engine.stream_version(MAIN_LINEAGE, stream, position))
                assert before.count(stream) == version

    def test_a_query_gives_what_a_filter_over_the_whole_log_gives(self, engine: Engine) -> None:
        """Whatever is combined, in both directions, page by page."""
        _fill(engine)
        rows = rows_of(engine)
        asked = product((0, 3), (5, FOREVER), (None, "s"), (None, ("a.*",), ("a.b", "c")), (None, "k"), (None, b"ann"))
        for after, until, stream, types, key, actor in asked:
            for correlation, reverse, limit in product((None, b"trun"), (False, True), (2, 1000)):
                query = LogQuery(MAIN_LINEAGE, after, until, stream, types, key, correlation, actor, limit, reverse)
                expected = [row for row in rows if _matches(row, query)]
                expected = (expected[::-1] if reverse else expected)[:limit]
                assert expected == ask(engine, engine.page(query)), query
                assert _told(packed_page(expected)) == _told(ask(engine, engine.packed(query))), query
                assert sum(len(row.data) for row in expected) == ask(engine, engine.weight(query)), query

    def test_a_packed_event_is_the_record_that_its_hash_covers(self, new_engine: NewEngine) -> None:
        """Whatever it holds and lacks."""

        @settings(max_examples=self.examples, deadline=None, suppress_health_check=list(HealthCheck))
        @given(st.lists(_DRAFTS, max_size=6))
        def law(drafts: list[Draft]) -> None:
            engine = new_engine(ManualClock())
            try:
                (outcome,) = engine.commit([Commit(MAIN, [each._replace(event_id=new_id()) for each in drafts])])
                assert outcome.error is None
                assert _told(packed_page(rows_of(engine))) == _told(ask(engine, engine.packed(LogQuery(MAIN_LINEAGE))))
            finally:
                engine.close()

        law()

    def test_a_query_sees_a_fork_with_its_parents_events_up_to_the_fork(self, engine: Engine) -> None:
        """And no others, in the order of the one log."""
        engine.commit([writing("s", "a")])
        engine.commit([Commit(MAIN, [draft("forks", "x")], fork=NewBranch("side", MAIN, 1))])
        engine.commit([writing("s", "b"), writing("s", "c", branch=1), writing("s", "d")])

        lineage = lineage_of(ask(engine, engine.branches()), 1)

        assert [row.key for row in ask(engine, engine.page(LogQuery(lineage, stream="s")))] == ["a", "c"]
        assert [row.key for row in ask(engine, engine.page(LogQuery(lineage, stream="s", reverse=True)))] == ["c", "a"]
        assert [key for key, _ in ask(engine, engine.listing(lineage, "s", None, ""))] == ["a", "c"]

    def test_an_unknown_event_is_none(self, engine: Engine) -> None:
        """A known one is its row."""
        (row,) = engine.commit([writing("s", "a")])[0].events
        assert ask(engine, engine.event(new_id())) is None
        assert row == ask(engine, engine.event(row.event_id))

    def test_many_events_come_in_the_order_asked_or_by_their_places(self, engine: Engine) -> None:
        """None stands for an id that is unknown; a position without an event is left out."""
        engine.commit(
            [Commit(MAIN, [draft("s", "a"), draft("t", "b")._replace(key=None, type="a.b"), draft("s", "c")])]
        )
        first, second, third = rows_of(engine)
        unknown = new_id()
        ids = [third.event_id, unknown, first.event_id, third.event_id]

        assert [third, None, first, third] == ask(engine, engine.events(ids))
        assert [second, third] == ask(engine, engine.events_at([3, 0, 9, 2, 3, -1]))
        assert ask(engine, engine.events([])) == ask(engine, engine.events_at([])) == []

    # Causes

    def test_the_index_of_causes_says_what_the_events_say(self, new_engine: NewEngine) -> None:
        """On every lineage, at every position, whatever was refused; and so it does when it is built again."""

        @settings(max_examples=self.examples, deadline=None, suppress_health_check=list(HealthCheck))
        @given(_GROUPS)
        def law(groups: Sequence[Any]) -> None:
            engine = new_engine(ManualClock())
            try:
                _cause(engine, groups)
                pairs = _assert_causes(engine)
                info = ask(engine, engine.rebuild_causes())
                assert info == ("causes", len(rows_of(engine)), len(pairs))
                assert info in ask(engine, engine.projections())
                assert pairs == _assert_causes(engine)
                everything = b"".join(row.event_id for row in rows_of(engine))
                (outcome,) = engine.commit([Commit(MAIN, [draft("s", "a", causes=everything or None)])])
                assert outcome.error is None
                _assert_causes(engine)
            finally:
                engine.close()

        law()

    # Projections

    def test_the_projection_equals_the_fold_and_can_be_dropped_and_built_again(self, engine: Engine) -> None:
        """No answer depends on it."""
        _fill(engine)
        engine.commit([Commit(MAIN, **vars_of(_DECISIONS.clear("t", author=_NOBODY)))])
        state = fold(rows_of(engine), codec.decode_value)
        expected = sorted((MAIN, stream, key, row.position) for (stream, key), row in state.items())
        listed = ask(engine, engine.listing(MAIN_LINEAGE, "s", None, ""))

        assert expected == sorted(ask(engine, state_rows(engine)))
        ask(engine, engine.drop_state())
        assert ask(engine, state_rows(engine)) == []
        assert listed == ask(engine, engine.listing(MAIN_LINEAGE, "s", None, ""))
        engine.commit([writing("s", "late")])
        ask(engine, engine.rebuild_state())
        rows = ask(engine, state_rows(engine))
        assert expected == sorted(row for row in rows if row[2] != "late")
        assert len(expected) + 1 == len(rows)

    # Waiting and closing

    def test_who_waits_for_a_position_that_is_there_does_not_wait(self, engine: Engine) -> None:
        """And who has no time is told at once that it is not."""
        engine.commit([writing("s", "a")])
        assert engine.wait(0, 60)
        assert not engine.wait(1, 0)

    def test_a_commit_lets_those_who_wait_go(self, engine: Engine) -> None:
        """At once, not at the end of their time."""
        found: list[bool] = []
        waiting = [threading.Thread(target=lambda: found.append(engine.wait(0, 60))) for _ in range(3)]
        for thread in waiting:
            thread.start()
        engine.commit([writing("s", "a")])
        for thread in waiting:
            thread.join(30)

        assert found == [True] * 3

    def test_a_closed_engine_answers_no_more_and_may_be_closed_again(self, new_engine: NewEngine) -> None:
        """Closing is idempotent."""
        engine = new_engine(ManualClock())
        engine.close()
        engine.close()

        with pytest.raises(StoreClosedError):
            engine.commit([writing("s", "a")])
        with pytest.raises(StoreClosedError):
            ask(engine, engine.head())


def ask(engine: Engine, program: Program[T]) -> T:
    """Return an engine's answer."""
    return Runner(engine).run(program)


def draft(stream: str, key: str, **more: Any) -> Draft:
    """Return the draft of a set."""
    at = (stream, key)
    return _DECISIONS.set_draft(at, b"1", author=_NOBODY)._replace(**more)


def _told(page: PackedPage) -> Any:
    return (*page[:-1], list(map(tuple, page.touches())))


def writing(stream: str, *keys: str, branch: int = MAIN) -> Commit:
    """Return a commit that sets keys."""
    return Commit(branch, [draft(stream, key) for key in keys])


def vars_of(intent: Any) -> dict[str, Any]:
    """Return an intent as a commit's arguments."""
    return {"drafts": intent.drafts, "needs": intent.needs, "decide": intent.decide}


def rows_of(engine: Engine) -> list[StoredEvent]:
    """Return the whole log."""
    rows = ask(engine, engine.branches())
    return ask(engine, engine.page(LogQuery(tuple((row.id, FOREVER) for row in rows), limit=10_000)))


def assert_whole(engine: Engine) -> None:
    """Fail unless positions are dense and every hash follows from the one before it."""
    previous = genesis(engine.log_id)
    for position, row in enumerate(rows_of(engine), 1):
        assert position == row.position
        previous = link_of(previous, row)
        assert previous == row.hash, row


def _refuse(view: object) -> Decision:
    del view
    raise BackstoryError("no", hint="Do not.")


def _increment(stream: str, key: str) -> Commit:
    return Commit(MAIN, **vars_of(_DECISIONS.increment((stream, key), 1, author=_NOBODY)))


def _tracking(position: int | None, name: str = "up") -> Commit:
    return Commit(MAIN, [draft("s", "a")], tracking=Tracking(name, position))


def _cause(engine: Engine, groups: Sequence[Any]) -> None:
    """Commit groups as drawn, and a fork of some branch after each of them."""
    numbers = count(4)
    for made, group in enumerate(groups, 1):
        known = [row.event_id for row in rows_of(engine)]
        commits: list[Commit] = []
        for branch, events in group:
            drafts = _rested(_caused(events, known, numbers), events, ask(engine, engine.head()).position)
            commits.append(Commit(branch % made, drafts))
            if not _names_unknown(events):
                known.extend(event.event_id for event in drafts)
        refused = [_names_unknown(events) for _, events in group]
        assert refused == [outcome.error is not None for outcome in engine.commit(commits)]
        head = ask(engine, engine.head()).position
        fork = NewBranch(f"fork {made}", made // 2, head // 2)
        assert engine.commit([Commit(MAIN, [draft("forks", "x")], fork=fork)])[0].error is None


def _caused(events: Sequence[Any], known: Sequence[bytes], numbers: Iterator[int]) -> list[Draft]:
    """Return a commit's drafts as drawn, after the events whose ids are known."""
    drafts: list[Draft] = []
    for number, causes, *_ in events:
        before = [*known, *(event.event_id for event in drafts)]
        named = [before[cause % len(before)] for cause in causes if before and cause != _UNKNOWN]
        named.extend(new_id() for cause in causes if cause == _UNKNOWN)
        event_id = (next(numbers) if number is None else number).to_bytes(16)
        more = {"event_id": event_id, "given_id": number is not None, "causes": b"".join(named) or None}
        drafts.append(draft("s", "a", **more))
    return drafts


def _names_unknown(events: Sequence[Any]) -> bool:
    return any(_UNKNOWN in causes for _, causes, *_ in events)


def _rested(drafts: Sequence[Draft], events: Sequence[Any], head: int) -> list[Draft]:
    """Return drafts that say what was read for them: events of the log, and as much as the draft before them."""
    rested: list[Draft] = []
    for plain, (_, _, reads, shares) in zip(drafts, events, strict=True):
        # One with a given id may be in the log already: nobody can rely on what it says.
        shared = rested[-1].event_id if shares and rested and not rested[-1].given_id else None
        rested.append(with_reads(plain, [read % head + 1 for read in reads if head], shared=shared))
    return rested


def _assert_causes(engine: Engine) -> set[tuple[int, int]]:
    """Return the log's causes and effects; fail unless the engine's answers are those of a walk along the log.

    What was read counts as a cause here, and so does the event with which another shares what it had read.
    """
    rows = rows_of(engine)
    places = {row.event_id: row.position for row in rows}
    pairs = {(places[cause], row.position) for row in rows for cause in split_causes(row.causes)}
    for row in rows:
        said = {} if row.extra is None else codec.decode_value(row.extra)
        pairs.update((read, row.position) for read in said.get("reads", ()))
        if "reads_with" in said:
            pairs.add((places[bytes.fromhex(said["reads_with"])], row.position))
    everywhere = range(-1, len(rows) + 2)
    branches = ask(engine, engine.branches())

    assert {cause for cause, _ in pairs} == ask(engine, engine.named_as_cause(everywhere))
    assert ask(engine, engine.causes_amiss()) == []
    for branch, until, some in product(branches, (len(rows) // 2, FOREVER), (everywhere, [3, 1, 3, 5], [])):
        lineage = lineage_of(branches, branch.id)
        seen = [row for row in rows if row.position <= min(until, dict(lineage).get(row.branch, 0))]
        effects = {row.position for row in seen}
        expected = sorted((cause, effect) for cause, effect in pairs if cause in some and effect in effects)
        assert expected == ask(engine, engine.effects(lineage, some, until))
    return pairs


def _fill(engine: Engine) -> None:
    """Write events of several types, streams, keys, actors and correlations; some keys are deleted again."""
    kinds = ("a.b", "a.c", "c", "state.set")
    events: Sequence[Draft] = [
        draft(stream, key, type=kind, actor=actor, correlation=correlation)
        for stream, key, kind, (actor, correlation) in product(
            ("s", "t"), ("k", "l"), kinds, ((None, None), (b"ann", b"trun"))
        )
    ]
    outcomes: Sequence[Outcome] = engine.commit([Commit(MAIN, [event]) for event in events])
    assert all(outcome.error is None for outcome in outcomes)
    deletion = _DECISIONS.delete(("s", "l"), author=_NOBODY)
    assert engine.commit([Commit(MAIN, **vars_of(deletion))])[0].error is None


def _matches(row: StoredEvent, query: LogQuery) -> bool:
    return (
        query.after < row.position <= query.until
        and query.stream in {None, row.stream}
        and (query.types is None or any_match(query.types, row.type))
        and query.key in {None, row.key}
        and query.correlation in {None, row.correlation}
        and query.actor in {None, row.actor}
    )
