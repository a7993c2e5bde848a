"""Inspection: what it finds is what a slow look at the whole log finds, on every engine."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import strategies as st

import backstory
from backstory import Event, InvalidValueError
from backstory.context import packed_correlation
from backstory.domain.commits import Commit, Draft
from backstory.domain.ports import Append
from backstory.infrastructure import codec
from backstory.infrastructure.clock import new_id
from backstory.testing.clock import ManualClock
from tests.support.causal import Engine, edges_of, reachable
from tests.support.on_a_loop import FACES, opened

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from backstory import Loop, RecordedEvent, SlowHook
    from backstory.domain.ports import Program
    from tests.support.causal import History

S = "agent:x"
HOUR = timedelta(hours=1)


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    return Engine(request.param, tmp_path, request)


@pytest.fixture(params=FACES)
def store(request: pytest.FixtureRequest, store_url: str) -> Iterator[Any]:
    with opened(request.param, store_url) as opened_store:
        yield opened_store


# Random histories full of failures and of things said before

_SAID = (
    ("tool.called", {"id": "1", "name": "t", "arguments": {"a": 1}}),
    ("tool.called", {"id": "2", "name": "t", "arguments": {"a": 1}}),
    ("tool.called", {"id": "1", "name": "t", "arguments": {"a": 2}}),
    ("tool.returned", {"id": "1", "name": "t", "content": "Error", "error": True}),
    ("tool.returned", {"id": "1", "name": "t", "content": "ok", "error": False}),
    ("tool.returned", "no object"),
    ("work.failed", None),
    ("step_failed.not", None),
    ("import.step_failed", {"step": 1}),
)
_which = st.integers(0, 20)
_ops = st.one_of(
    st.tuples(
        st.just("say"),
        st.sampled_from((S, S, S, "session:s")),
        st.sampled_from(_SAID),
        st.sampled_from((None, "k")),
        st.lists(st.integers(0, 4), max_size=2),
    ),
    st.tuples(st.just("set"), st.sampled_from((1, 2)), st.integers(0, 3)),
    st.tuples(st.just("advance"), st.sampled_from((1, 1800, 3600, 90_000))),
    st.tuples(
        st.just("run"),
        st.sampled_from(("h", "i")),
        st.sampled_from((None, S, "session:s", "hook:h")),
        st.sampled_from((10, 500, 500, 9000)),
        st.booleans(),
    ),
    st.tuples(st.just("link"), _which, _which, st.sampled_from(("caused_by", "caused_by", "read", "part_of"))),
    st.tuples(st.just("fork"), st.integers(0, 9)),
)
_histories = st.lists(st.tuples(st.integers(0, 2), _ops, st.sampled_from((None, None, "run"))), min_size=8, max_size=24)
_questions = st.fixed_dictionaries(
    {"threshold": st.integers(2, 3)},
    optional={"scope": st.sampled_from((S, "session:s", "hook:h")), "correlation_id": st.sampled_from(("run", "work"))},
)
_bounds = st.tuples(st.none() | st.integers(0, 40), st.none() | st.integers(0, 40))


def live(history: History, steps: list[Any]) -> None:
    for branch, op, correlation in steps:
        store = history.branches[branch % len(history.branches)]
        log = [event for event in store.log() if event.type != "link.added"]
        match op:
            case ("say", scope, (kind, data), key, backs):
                causes = [log[-1 - back].event_id for back in backs if back < len(log)]
                event = Event(kind, data, key=key)
                store.append(scope, [event], cause=list(dict.fromkeys(causes)) or None, correlation_id=correlation)
            case ("set", value, back):
                store.set(S, "k", value, cause=log[-1 - back].event_id if back < len(log) else None)
            case ("advance", seconds):
                history.clock.advance(seconds)
            case ("run", hook, scope, duration, fails):
                kind = "hook.failed" if fails else "hook.executed"
                store._runner.run(_ran(store._core.branch.id, kind, hook=hook, scope=scope, duration_us=duration))
            case ("link", first, second, kind) if log:
                with suppress(InvalidValueError):
                    store.link(log[first % len(log)], log[second % len(log)], kind)
            case ("fork", back) if len(history.branches) < 3:
                history.branches.append(store.fork(as_of=max(0, store.position() - back)))


def _ran(branch: int, kind: str, *, hook: str, scope: str | None, duration_us: int) -> Program[Any]:
    """Put the run of a hook into the log, without any hook."""
    data = {
        "hook": hook,
        "point": "custom:p",
        "input": {"operation": "custom"} | ({} if scope is None else {"scope": scope}),
        "result": None if kind == "hook.failed" else {"kind": "continue"},
        "duration_us": duration_us,
    }
    draft = Draft(new_id(), f"hook:{hook}", kind, codec.encode_value(data), correlation=packed_correlation("work"))
    return (yield Append(Commit(branch, [draft])))


# What follows from a log, found the slow way


class Looked:
    """The events that a question is about, and the ways between all that are not out of bounds."""

    def __init__(self, store: Any, asked: dict[str, Any], since: int, until: int) -> None:
        log = list(store.log())
        inside = [
            event
            for event in log
            if since < event.position <= until
            and asked.get("correlation_id", event.correlation_id) == event.correlation_id
        ]
        self.seen = {event.position: event for event in inside if event.type != "link.added"}
        # What was linked later than the last event that is looked at was not known then.
        ways = edges_of([event for event in log if event.position <= until], ["caused_by"])
        edges = {way for way in ways if way[0] in self.seen and way[1] in self.seen}
        self.below = {at: reachable(edges, at) for at in self.seen}
        self.asked = [event for event in inside if belongs(event, asked.get("scope"))]


def belongs(event: RecordedEvent, scope: str | None) -> bool:
    run = event.type in {"hook.executed", "hook.failed"}
    return scope in {None, event.stream} or (run and event.data["input"].get("scope") == scope)


def is_error(event: RecordedEvent) -> bool:
    if event.type == "tool.returned":
        return isinstance(event.data, dict) and event.data["error"]
    return event.type in {"work.failed", "import.step_failed", "hook.failed"}


def said(event: RecordedEvent) -> Any:
    names = {"tool.called": ("name", "arguments"), "tool.returned": ("name", "content"), "state.set": ("value",)}
    names |= dict.fromkeys(("hook.executed", "hook.failed"), ("hook", "point", "input"))
    data = event.data
    what = [data[name] for name in names[event.type]] if event.type in names and isinstance(data, dict) else [data]
    return event.type, event.stream, event.key, json.dumps(what, sort_keys=True)


def cascades(looked: Looked) -> list[tuple[int, tuple[int, ...], int, int]]:
    errors = {at for at, event in looked.seen.items() if is_error(event)}
    asked = {event.position for event in looked.asked} & errors
    roots = [at for at in asked if not any(at in looked.below[other] for other in asked)]
    found = [
        (at, tuple(sorted(looked.below[at] & errors)), longest(looked, at, errors) - 1, len(looked.below[at]))
        for at in roots
        if looked.below[at] & errors
    ]
    return sorted(found, key=lambda each: (-each[2], -len(each[1]), each[0]))


def longest(looked: Looked, at: int, among: set[int]) -> int:
    """Return the length of the longest chain that begins with an event, each led to by the one before."""
    return 1 + max((longest(looked, other, among) for other in looked.below[at] & among), default=0)


def loops(looked: Looked, threshold: int) -> list[tuple[int, int]]:
    groups: dict[Any, set[int]] = {}
    for event in looked.asked:
        if event.type != "link.added":
            groups.setdefault(said(event), set()).add(event.position)
    found = [
        (-longest(looked, at, group), at)
        for group in groups.values()
        for at in group
        if not any(at in looked.below[other] for other in group)
    ]
    return sorted((turns, at) for turns, at in found if -turns >= threshold)


def is_loop(loop: Loop, looked: Looked) -> bool:
    places = [event.position for event in loop.events]
    pairs = pairwise(places)
    return len({said(event) for event in loop.events}) == 1 and all(to in looked.below[at] for at, to in pairs)


def rates(looked: Looked, step: timedelta) -> list[tuple[datetime, int, int, dict[str, int]]]:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    starts = [epoch + (event.recorded_at - epoch) // step * step for event in looked.asked]
    found = []
    at = min(starts, default=epoch)
    while starts and at <= max(starts):
        here = [event for event, start in zip(looked.asked, starts, strict=True) if start == at]
        types = {event.type: sum(other.type == event.type for other in here) for event in here}
        found.append((at, len(here), sum(map(is_error, here)), types))
        at += step
    return found


def slow(looked: Looked) -> dict[tuple[str, str], tuple[int, int, float, int]]:
    runs: dict[tuple[str, str], list[RecordedEvent]] = {}
    for event in looked.asked:
        if event.type in {"hook.executed", "hook.failed"}:
            runs.setdefault((event.data["hook"], event.data["point"]), []).append(event)
    return {
        place: (
            len(events),
            sum(event.type == "hook.failed" for event in events),
            max(event.data["duration_us"] for event in events) / 1e6,
            max(events, key=lambda event: (event.data["duration_us"], -event.position)).position,
        )
        for place, events in runs.items()
    }


def timed(each: SlowHook) -> tuple[int, int, float, int]:
    return each.runs, each.failed, each.longest_s, each.slowest.position


def finds_what_is_there(
    history: History, steps: list[Any], asked: dict[str, Any], bounds: tuple[int | None, int | None], limit: int
) -> None:
    live(history, steps)
    for store in history.branches:
        head = store.position()
        since, until = (None if at is None else at % (head + 1) for at in bounds)
        looked = Looked(store, asked, since or 0, head if until is None else until)
        found = store.inspect(**asked, since=since, until=until, limit=None)
        assert cascades(looked) == [
            (each.root.position, tuple(event.position for event in each.failures), each.depth, each.events)
            for each in found.cascades
        ]
        assert loops(looked, asked["threshold"]) == [(-each.turns, each.events[0].position) for each in found.loops]
        assert all(is_loop(each, looked) for each in found.loops)
        assert slow(looked) == {(each.hook, each.point): timed(each) for each in found.slowest}
        assert list(found.slowest) == sorted(found.slowest, key=lambda each: (-each.p95_s, -each.longest_s, each.hook))
        for step, by in ((HOUR, found.by_hour), (24 * HOUR, found.by_day)):
            assert rates(looked, step) == [(each.since, each.events, each.errors, each.types) for each in by]
        cut = store.inspect(**asked, since=since, until=until, limit=limit)
        assert [part[:limit] for part in (found.slowest, found.cascades, found.loops)] == [
            cut.slowest,
            cut.cascades,
            cut.loops,
        ]
        totals = {"slowest": len(found.slowest), "cascades": len(found.cascades), "loops": len(found.loops)}
        assert totals == cut.totals == found.totals
        assert all(len(line) <= 100 for line in found.render().splitlines())


def test_it_finds_what_a_slow_look_at_the_whole_log_finds(engine: Engine) -> None:
    engine.holds(finds_what_is_there, _histories, _questions, _bounds, st.integers(0, 2))


def test_how_much_is_read_at_once_is_no_matter(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backstory.inspecting._PAGE", 2)
    monkeypatch.setattr("backstory.inspecting._TOGETHER", 1)
    monkeypatch.setattr("backstory.projections.repeats._NARROWEST", 2)
    engine.holds(finds_what_is_there, _histories, _questions, _bounds, st.integers(0, 2), share=0.4)


# Examples


def test_a_failure_that_led_to_failures_is_told_with_all_of_them(store: Any) -> None:
    first = store.append(S, [Event("tool.returned", {"error": True})])[0]
    between = store.set(S, "k", 1, cause=first)
    second = store.append("hook:h", [Event("step.failed")], cause=between)[0]
    third = store.append(S, [Event("work.failed_not")], cause=second)[0]
    last = store.append("agent:y", [Event("work_failed")], cause=third)[0]
    beside = store.append(S, [Event("step.failed")], cause=first)[0]
    alone = store.append(S, [Event("step.failed")], correlation_id=first.correlation_id)[0]
    (found,) = store.inspect(what="cascades").cascades
    assert (first, (second, last, beside), 2, 5) == (found.root, found.failures, found.depth, found.events)
    assert alone.position > beside.position


def test_a_link_leads_on_where_it_says_caused_by_and_only_there(store: Any) -> None:
    first, second, third = (store.append(S, [Event("step.failed", at)])[0] for at in range(3))
    store.link(first, second, "part_of")
    store.link(first, second, "read")
    assert () == store.inspect(what="cascades").cascades
    store.link(second, third)
    assert [second] == [each.root for each in store.inspect(what="cascades").cascades]


def test_what_led_back_in_the_log_is_told_of_its_beginning_alone(store: Any) -> None:
    early = store.append(S, [Event("step.failed")])[0]
    after = store.append(S, [Event("step.failed")], cause=early)[0]
    late = store.append(S, [Event("step.failed")])[0]
    store.link(late, early)
    (found,) = store.inspect(what="cascades").cascades
    assert (late, (early, after), 2) == (found.root, found.failures, found.depth)


def test_a_loop_that_a_link_leads_back_in_the_log_is_found(store: Any) -> None:
    between = store.append(S, [Event("between")])[0]
    first = store.set(S, "k", 1)
    second = store.set(S, "k", 1, cause=between)
    assert () == store.inspect(threshold=2).loops
    store.link(first, between)
    assert [(first, second)] == [each.events for each in store.inspect(threshold=2).loops]


def test_the_last_turn_need_not_lead_anywhere(store: Any) -> None:
    event = None
    for _ in range(3):
        event = store.set(S, "k", 1, cause=event)
    assert [3] == [each.turns for each in store.inspect().loops]


def test_of_two_cascades_as_deep_that_with_more_failures_comes_first(store: Any) -> None:
    one = store.append(S, [Event("step.failed")])[0]
    store.append(S, [Event("step.failed")], cause=one)
    more = store.append(S, [Event("step.failed")])[0]
    for _ in range(2):
        store.append(S, [Event("step.failed")], cause=more)
    assert [more, one] == [each.root for each in store.inspect(what="cascades").cascades]


def test_a_tool_that_returned_without_an_error_has_not_failed(store: Any) -> None:
    event = store.append(S, [Event("tool.returned", {"error": True})])[0]
    event = store.append(S, [Event("tool.returned", {"error": False})], cause=event)[0]
    event = store.append(S, [Event("tool.returned", {"content": 1})], cause=event)[0]
    store.append(S, [Event("tool.returned", "error")], cause=event)
    found = store.inspect()
    assert () == found.cascades
    assert [1] == [rate.errors for rate in found.by_hour if rate.errors]


def test_what_was_read_is_no_cause(store: Any) -> None:
    store.append(S, [Event("step.failed")])
    with store.transaction() as tx:
        tx.set(S, "k", 1)
    store.update(S, "k", lambda value: value + 1)
    assert () == store.inspect(what="cascades").cascades


def test_a_key_set_back_and_forth_is_a_loop_and_a_counter_is_none(store: Any) -> None:
    event = None
    for turn in range(6):
        event = store.set(S, "door", ("open", "shut")[turn % 2], cause=event)
        event = store.set(S, "count", turn, cause=event)
    found = store.inspect(what=["loops"])
    assert [("door", "open", 3), ("door", "shut", 3)] == [
        (each.events[0].key, each.events[0].data["value"], each.turns) for each in found.loops
    ]
    assert () == store.inspect(what="loops", threshold=4).loops


def test_what_is_repeated_without_leading_to_itself_is_no_loop(store: Any) -> None:
    start = store.append(S, [Event("asked")])[0]
    for _ in range(4):
        call = store.append(S, [Event("tool.called", {"name": "t", "arguments": {}})], cause=start)[0]
        store.set(S, "k", 1, cause=call)
    assert () == store.inspect(threshold=2).loops


def test_an_assistant_that_says_the_same_again_is_a_loop_whatever_its_calls_ids(store: Any) -> None:
    event = None
    for turn in range(3):
        calls = [{"id": f"c{turn}", "function": {"name": "t", "arguments": "{}"}}]
        message = {"role": "assistant", "content": None, "tool_calls": calls}
        event = store.append(S, [Event("message.assistant", message)], cause=event)[0]
        other = {"content": None, "tool_calls": [{"id": "c", "function": {"name": f"t{turn}"}}]}
        event = store.append(S, [Event("message.assistant", other)], cause=event)[0]
    (found,) = store.inspect(what="loops").loops
    assert [1, 3, 5] == [event.position for event in found.events]


def test_hours_without_an_event_are_shown(store_url: str) -> None:
    clock = ManualClock()
    with backstory.open(store_url, clock=clock) as store:
        store.set(S, "k", 1)
        clock.advance(3 * 3600)
        store.append(S, [Event("step.failed")])
        found = store.inspect(what="rates")
    assert [(1, 0), (0, 0), (0, 0), (1, 1)] == [(rate.events, rate.errors) for rate in found.by_hour]
    assert all(rate.since.minute == rate.since.second == 0 for rate in found.by_hour)


def test_only_the_parts_asked_for_are_looked_at(store: Any) -> None:
    store.append(S, [Event("step.failed")])
    assert ("slowest", "loops") == store.inspect(what=["loops", "slowest", "loops"]).parts
    for part in ("slowest", "cascades", "loops", "rates"):
        found = json.loads(store.inspect(what=part).render("json"))
        assert {"title", "totals", part} == set(found)
        assert () == store.inspect(what="loops").by_hour


def test_nothing_is_found_in_an_empty_log(store: Any) -> None:
    found = store.inspect()
    assert ((), (), (), (), ()) == (found.slowest, found.cascades, found.loops, found.by_hour, found.by_day)
    assert 4 == found.render().count("none")
    assert "<Inspection of the log: 0 slowest, 0 cascades, 0 loops>" == repr(found)


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"threshold": 1}, InvalidValueError),
        ({"threshold": True}, InvalidValueError),
        ({"threshold": "3"}, InvalidValueError),
        ({"limit": -1}, InvalidValueError),
        ({"what": "all"}, InvalidValueError),
        ({"what": 1}, InvalidValueError),
        ({"what": [["loops"]]}, InvalidValueError),
        ({"scope": ""}, backstory.InvalidScopeError),
        ({"correlation_id": ""}, InvalidValueError),
        ({"since": 9}, backstory.InvalidPointError),
        ({"until": "yesterday"}, backstory.InvalidPointError),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(given: dict[str, Any], error: type[Exception]) -> None:
    with backstory.open("memory://") as store, pytest.raises(error):
        store.inspect(**given)


def test_a_form_that_there_is_not_is_refused() -> None:
    with backstory.open("memory://") as store, pytest.raises(InvalidValueError, match="text, json"):
        store.inspect().render("html")
