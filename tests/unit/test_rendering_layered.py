"""The layered layout: effects right of their causes, nothing on top of anything else."""

from __future__ import annotations

from itertools import combinations

from hypothesis import example, given, settings
from hypothesis import strategies as st

from backstory.replay.rendering.layered import BOX_HEIGHT, BOX_WIDTH, layered

_COUNT = 14


@st.composite
def graphs(draw: st.DrawFn) -> tuple[int, list[tuple[int, int]]]:
    count = draw(st.integers(0, _COUNT))
    every = list(combinations(range(count), 2))
    return count, draw(st.lists(st.sampled_from(every), max_size=24)) if every else []


@settings(deadline=None)
@given(graphs())
@example((0, []))
@example((_COUNT, []))
@example((_COUNT, list(combinations(range(_COUNT), 2))))
def test_boxes_keep_apart_and_ways_lead_to_the_right(graph: tuple[int, list[tuple[int, int]]]) -> None:
    count, ways = graph
    layout = layered(count, ways)

    assert count == len(layout.boxes)
    for (x1, y1), (x2, y2) in combinations(layout.boxes, 2):
        assert abs(x1 - x2) >= BOX_WIDTH or abs(y1 - y2) >= BOX_HEIGHT
    for x, y in layout.boxes:
        assert 0 <= x <= layout.width - BOX_WIDTH
        assert 0 <= y <= layout.height - BOX_HEIGHT + 0.1
    for cause, effect in ways:
        assert layout.boxes[cause][0] + BOX_WIDTH < layout.boxes[effect][0]


@settings(deadline=None)
@given(graphs())
def test_a_way_goes_from_its_cause_to_its_effect_without_turning_back(graph: tuple[int, list[tuple[int, int]]]) -> None:
    count, ways = graph
    layout = layered(count, ways)

    assert set(ways) == layout.ways.keys()
    for (cause, effect), points in layout.ways.items():
        (x1, y1), (x2, y2) = layout.boxes[cause], layout.boxes[effect]
        assert (x1 + BOX_WIDTH, y1 + BOX_HEIGHT / 2) == points[0]
        assert (x2, y2 + BOX_HEIGHT / 2) == points[-1]
        assert len(points) % 2 == 0
        assert sorted(points, key=lambda point: point[0]) == list(points)


@settings(deadline=None)
@given(graphs())
def test_a_way_passes_over_no_box(graph: tuple[int, list[tuple[int, int]]]) -> None:
    layout = layered(*graph)

    for points in layout.ways.values():
        for (x1, y1), (x2, _) in zip(points[1:-1:2], points[2:-1:2], strict=True):
            assert x1 + BOX_WIDTH == x2
            assert all(x != x1 or not y < y1 < y + BOX_HEIGHT for x, y in layout.boxes)


def test_a_chain_is_a_straight_line() -> None:
    layout = layered(4, [(0, 1), (1, 2), (2, 3)])

    assert len({y for _, y in layout.boxes}) == 1


def test_parts_that_are_not_connected_stand_below_each_other() -> None:
    layout = layered(5, [(0, 2), (1, 3)])

    assert layout.boxes[0][1] == layout.boxes[2][1] < layout.boxes[1][1] == layout.boxes[3][1] < layout.boxes[4][1]


def test_a_long_chain_with_far_ways_is_laid_out() -> None:
    count = 2_000
    layout = layered(count, [(at, at + 1) for at in range(count - 1)] + [(0, at) for at in range(2, count, 50)])

    assert count == len({x for x, _ in layout.boxes})
