"""The sequencer's three rules, on random groups of commits."""

from __future__ import annotations

import copy
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backstory.domain.branches import MAIN, MAIN_NAME, BranchRow
from backstory.domain.chain import genesis, link_of
from backstory.domain.commits import (
    NEVER,
    Commit,
    Decision,
    Draft,
    Expiry,
    NewBranch,
    Read,
    Tracking,
    View,
    split_causes,
)
from backstory.domain.errors import BackstoryError, ConflictError, NotFoundError
from backstory.domain.events import EMPTY, EXISTS
from backstory.domain.ports import LogHead
from backstory.domain.sequencer import STATE_DELETED, STATE_SET, Facts, sequence

STREAMS = ("s", "t")
KEYS = ("a", "b")
LOG = genesis(b"log")


class Wish(NamedTuple):
    """A commit as drawn: ids are given by its place in the group, so that it can be made twice."""

    drafts: list[tuple[str, str, str, int | None, int | None]]
    read: tuple[str, str | None, int] | None
    branch: int
    refuse: bool


wishes = st.builds(
    Wish,
    st.lists(
        st.tuples(
            st.sampled_from(STREAMS),
            st.sampled_from(KEYS),
            st.sampled_from((STATE_SET, STATE_DELETED, "a.b")),
            st.none() | st.integers(0, 9),  # given ids, few
            st.none() | st.integers(0, 20),  # the cause: an event of the group, perhaps one that is not there
        ),
        max_size=3,
    ),
    st.none() | st.tuples(st.sampled_from(STREAMS), st.none() | st.sampled_from(KEYS), st.integers(0, 4)),
    st.sampled_from((MAIN, MAIN, MAIN, 1, 2)),
    st.sampled_from((False, False, False, True)),
)


def _facts() -> Facts:
    branches = [BranchRow(MAIN, MAIN_NAME, None, 0, 0, 0), BranchRow(1, "side", MAIN, 0, 0, 0)]
    ended = BranchRow(2, "ended", MAIN, 0, 0, 5)
    return Facts(
        LogHead(0, 0, LOG),
        [*branches, ended],
        versions={(branch, stream): 0 for branch in (0, 1, 2) for stream in STREAMS},
        keys={(branch, stream, key): NEVER for branch in (0, 1, 2) for stream in STREAMS for key in KEYS},
        listings={(branch, stream): {} for branch in (0, 1, 2) for stream in STREAMS},
    )


def _commit(number: int, wish: Wish) -> Commit:
    drafts = [
        Draft(
            _id(given) if given is not None else _id(100 + 10 * number + index),
            stream,
            kind,
            b'{"value":1,"op":"set"}',
            key,
            causes=None if cause is None else _id(cause),
            given_id=given is not None,
        )
        for index, (stream, key, kind, given, cause) in enumerate(wish.drafts)
    ]
    reads = () if wish.read is None else (Read(*wish.read),)
    if not wish.refuse:
        return Commit(wish.branch, drafts, reads=reads)

    def decide(view: View) -> Decision:
        del view
        raise BackstoryError("no", hint="Do not.")

    return Commit(wish.branch, decide=decide, reads=reads)


def _id(number: int) -> bytes:
    return number.to_bytes(16)


@given(st.lists(wishes, max_size=8))
def test_a_refused_commit_leaves_no_trace(group: list[Wish]) -> None:
    commits = [_commit(number, wish) for number, wish in enumerate(group)]
    facts, others = _facts(), _facts()

    batch = sequence(commits, facts, 7)
    accepted = [commit for commit, outcome in zip(commits, batch.outcomes, strict=True) if outcome.error is None]
    without = sequence(accepted, others, 7)

    assert batch.rows == without.rows
    assert facts == others
    assert [outcome.events for outcome in batch.outcomes if outcome.error is None] == [
        outcome.events for outcome in without.outcomes
    ]


@given(st.lists(wishes, max_size=8), st.integers(0, 8))
def test_a_group_comes_to_the_same_as_its_commits_one_after_another(group: list[Wish], cut: int) -> None:
    commits = [_commit(number, wish) for number, wish in enumerate(group)]
    facts, parted = _facts(), _facts()

    whole = sequence(commits, facts, 7)
    rows = []
    outcomes = []
    for part in (commits[:cut], commits[cut:]):
        batch = sequence(part, parted, 7)
        rows += batch.rows
        outcomes += batch.outcomes
        if rows:
            parted.head = LogHead(rows[-1].position, rows[-1].recorded_us, rows[-1].hash)

    assert whole.rows == rows
    assert [(one.events, type(one.error)) for one in whole.outcomes] == [
        (one.events, type(one.error)) for one in outcomes
    ]


@given(st.lists(wishes, max_size=8), st.integers(0, 9))
def test_positions_are_dense_versions_count_and_the_chain_holds(group: list[Wish], clock_us: int) -> None:
    facts = _facts()
    facts.head = LogHead(4, 5, LOG)
    rows = sequence([_commit(number, wish) for number, wish in enumerate(group)], facts, clock_us).rows

    assert list(range(5, 5 + len(rows))) == [row.position for row in rows]
    assert {max(clock_us, 5)} >= {row.recorded_us for row in rows}
    for stream in STREAMS:
        for branch in (0, 1):
            own = [row.version for row in rows if (row.branch, row.stream) == (branch, stream)]
            assert list(range(1, len(own) + 1)) == own
    previous = LOG
    for row in rows:
        previous = link_of(previous, row)
        assert previous == row.hash


@given(st.lists(wishes, max_size=8))
def test_the_facts_stay_true_to_the_rows(group: list[Wish]) -> None:
    facts = _facts()
    rows = sequence([_commit(number, wish) for number, wish in enumerate(group)], facts, 7).rows

    for (branch, stream, key), head in facts.keys.items():
        own = [
            row
            for row in rows
            if (row.branch, row.stream, row.key) == (branch, stream, key) and row.type in {STATE_SET, STATE_DELETED}
        ]
        expected = (own[-1].version, own[-1].position, own[-1].type == STATE_SET) if own else (0, 0, False)
        assert expected == head[:3]
        assert (key in facts.listings[branch, stream]) == head.live


@given(st.lists(wishes, max_size=8))
def test_an_id_is_stored_once_and_answered_with_its_first_recording(group: list[Wish]) -> None:
    commits = [_commit(number, wish) for number, wish in enumerate(group)]
    batch = sequence(commits, _facts(), 7)

    ids = [row.event_id for row in batch.rows]
    assert len(set(ids)) == len(ids)
    for commit, outcome in zip(commits, batch.outcomes, strict=True):
        if outcome.error is None:
            assert [draft.event_id for draft in commit.drafts] == [event.event_id for event in outcome.events]


@given(st.lists(wishes, max_size=8))
def test_the_way_from_causes_to_effects_is_what_the_rows_say(group: list[Wish]) -> None:
    batch = sequence([_commit(number, wish) for number, wish in enumerate(group)], _facts(), 7)

    places = {row.event_id: row.position for row in batch.rows}
    said = [(places[cause], row.position) for row in batch.rows for cause in split_causes(row.causes)]
    assert said == batch.causes


def test_causes_lead_to_their_effects_once_each_and_the_first_gives_the_correlation() -> None:
    facts = _facts()
    known = sequence([Commit(MAIN, [_draft(1), _draft(2)])], facts, 7).rows
    effect = Draft(_id(3), "s", "a.b", b"1", causes=_id(2) + _id(1) + _id(2))
    other = effect._replace(event_id=_id(4), correlation=b"tmine")

    facts.head = LogHead(2, 7, known[1].hash)
    batch = sequence([Commit(MAIN, [effect]), Commit(MAIN, [other])], facts, 7)

    assert [(1, 3), (2, 3), (1, 4), (2, 4)] == batch.causes
    assert [b"u" + known[1].event_id, b"tmine"] == [row.correlation for row in batch.rows]


def test_a_cause_must_be_known_and_may_lie_earlier_in_the_same_commit() -> None:
    first, second = (Draft(_id(number), "s", "a.b", b"1") for number in (1, 2))

    backwards = Commit(MAIN, [first._replace(causes=_id(2)), second])
    forwards = Commit(MAIN, [first, second._replace(causes=_id(1))])
    itself = Commit(MAIN, [first._replace(causes=_id(1))])
    outcomes = sequence([backwards, itself, forwards], _facts(), 7).outcomes

    assert [NotFoundError, NotFoundError, type(None)] == [type(outcome.error) for outcome in outcomes]
    assert b"u" + _id(1) == outcomes[2].events[1].correlation


def test_time_does_not_go_back_behind_what_a_transaction_read() -> None:
    commits = [Commit(MAIN, [_draft(1)], since_us=20), Commit(MAIN, [_draft(2)], since_us=9), Commit(MAIN, [_draft(3)])]

    assert [20, 20, 20] == [row.recorded_us for row in sequence(commits, _facts(), 7).rows]


@pytest.mark.parametrize(("expires_us", "refused"), [(6, True), (7, True), (8, False)])
def test_what_was_decided_on_a_value_is_refused_once_that_has_expired(expires_us: int, refused: bool) -> None:
    commit = Commit(MAIN, [_draft(1)], expiry=Expiry(expires_us, "s", "a"), since_us=5)
    error = sequence([commit], _facts(), 7).outcomes[0].error

    assert refused == (error is not None)
    if isinstance(error, ConflictError):
        assert (EXISTS, EMPTY, "s", "a") == (error.expected, error.actual, error.stream, error.key)


def test_a_fork_of_a_name_that_lives_is_refused_and_one_that_ended_frees_its_name() -> None:
    facts = _facts()
    again = Commit(MAIN, [_draft(1)], fork=NewBranch("side", MAIN, 0))
    drop = Commit(MAIN, [_draft(2)], drop=1)
    write = Commit(1, [_draft(3)])

    batch = sequence([again, drop, copy.copy(again), write], facts, 7)

    assert [ConflictError, type(None), type(None), NotFoundError] == [type(one.error) for one in batch.outcomes]
    assert [("side", 3)] == [(row.name, row.id) for row in batch.forks]
    assert [(1, 1)] == batch.drops


def test_a_consumers_position_only_grows() -> None:
    facts = _facts()
    facts.tracking["up"] = None
    commits = [Commit(MAIN, [_draft(number)], tracking=Tracking("up", at)) for number, at in enumerate((4, 4, 3, 5))]

    batch = sequence(commits, facts, 7)

    assert [False, True, True, False] == [outcome.error is not None for outcome in batch.outcomes]
    assert [4, 5] == [tracking.position for tracking in batch.tracking]
    assert 5 == facts.tracking["up"]


def test_a_consumer_that_is_forgotten_begins_anywhere_again() -> None:
    facts = _facts()
    facts.tracking["up"] = 7
    commits = [Commit(MAIN, [_draft(number)], tracking=Tracking("up", at)) for number, at in enumerate((None, 3, 2))]

    batch = sequence(commits, facts, 7)

    assert [False, False, True] == [outcome.error is not None for outcome in batch.outcomes]
    assert [None, 3] == [tracking.position for tracking in batch.tracking]
    assert 3 == facts.tracking["up"]


def _draft(number: int) -> Draft:
    return Draft(_id(number), "s", "a.b", b"1")
