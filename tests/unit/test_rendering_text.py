"""Text: lines for a terminal."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings

from backstory.replay.picture import Picture
from backstory.replay.rendering import render
from backstory.replay.rendering.columns import width
from tests.support.pictures import START_US, edge, event, large, picture, pictures, written

STORY = picture(
    [
        event(
            1, "message.user", {"role": "user", "content": "Book a flight to 東京"}, stream="session:r1", actor="ada"
        ),
        event(2, "tool.called", {"name": "search", "arguments": {"to": "HND"}}, stream="session:r1", causes=[1]),
        event(
            3,
            "tool.returned",
            {"name": "search", "content": {"flight": "NH 212", "price": 812.5, "seats": ["12A", "12B", "14C"]}},
            stream="session:r1",
            actor="search",
            causes=[2],
        ),
        event(
            4,
            "hook.executed",
            {"hook": "budget", "point": "before_state_write", "result": {"kind": "modified", "value": 800}},
            stream="hook:budget",
        ),
        written(5, "price", 800, stream="session:r1", actor="planner", causes=[3, 4]),
        written(6, "spent", 812.5, op="increment", actor="planner", causes=[5, 99], at_us=START_US + 86_400_000_000),
        event(7, "state.deleted", {"op": "delete"}, key="price", stream="session:r1", at_us=START_US + 86_400_000_000),
    ],
    [edge(1, 2), edge(2, 3), edge(3, 5), edge(4, 5), edge(5, 6), edge(3, 6, "read"), edge(1, 7, "related_to", 0.5)],
    title="Why spent in agent:a1",
    sentences=["spent in agent:a1 is 812.5.", "planner added 812.5 to spent in agent:a1 (event 6, 2026-09-22), " * 2],
    marks={6: "derivation"},
)

TOLD = """\
Why spent in agent:a1
7 events, 2026-09-21 14:13:21 to 2026-09-22 14:13:20 UTC

spent in agent:a1 is 812.5.

planner added 812.5 to spent in agent:a1 (event 6, 2026-09-22), planner added 812.5 to spent in
  agent:a1 (event 6, 2026-09-22),

2026-09-21
1  14:13:21.500  message.user       session:r1        "Book a flight to 東京"  by ada
2  14:13:23.000    tool.called      session:r1        search {"to": "HND"}  caused by 1
3  14:13:24.500      tool.returned  session:r1        by search, caused by 2
                       search -> {"flight": "NH 212", "price": 812.5, "seats": [...
4  14:13:26.000  hook.executed      hook:budget       budget before_state_write -> modified 800
5  14:13:27.500        state.set    session:r1 price  800  by planner, caused by 3, 4

2026-09-22
6  14:13:20.000          state.set  agent:a1 spent    812.5 (increment)
                           [derivation] by planner, caused by 5, read 3, 1 cause elsewhere
7  14:13:20.000    state.deleted    session:r1 price  related to (0.5) 1
"""


def test_a_story_is_told() -> None:
    assert TOLD == render(STORY)


def test_nothing_is_told_of_nothing() -> None:
    assert "A title\nno events\n" == render(picture([]))


def test_many_causes_are_counted() -> None:
    events = [event(at, "a.b") for at in range(1, 13)]
    told = render(picture(events, [edge(at, 12) for at in range(1, 12)]))

    assert "caused by 1, 2, 3, 4, 5, 6, 7, 8 and 3 more" in told


def test_causes_that_are_not_in_the_picture_are_counted() -> None:
    told = render(picture([event(5, "a.b", causes=[1, 2])], [edge(1, 5), edge(3, 5)]))

    assert "3 causes elsewhere" in told


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(pictures())
def test_no_line_is_wider_than_a_hundred_columns(drawn: Picture) -> None:
    for line in render(drawn).split("\n"):
        assert width(line) <= 100
        assert line.isprintable()
        assert line == line.rstrip()


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(pictures())
def test_every_event_is_told_in_the_order_of_the_picture(drawn: Picture) -> None:
    positions = [str(event.position) for event in drawn.events]

    if not drawn.sentences:
        starts = [line.split()[0] for line in render(drawn).splitlines()[2:] if line[:1].strip() and "  " in line]
        assert positions == starts


def test_a_long_picture_is_as_wide_as_a_short_one() -> None:
    assert max(map(width, render(large()).splitlines())) <= 100
