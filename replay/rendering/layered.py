"""A layered layout: places for boxes so that ways run from left to right, after Sugiyama, Tagawa and Toda (1981).

Every box stands right of all it follows from (longest way from a root). A way that passes over layers is led through
them by bends, which take part in the order of each layer as thin boxes do; the order comes from sweeps of barycentres,
the heights from the means of neighbours under the rule that boxes keep their distance (least squares, pooled).
Parts that are not connected stand below each other; boxes without any way stand in rows of their own.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, NamedTuple

BOX_WIDTH: Final = 196
BOX_HEIGHT: Final = 44
_ACROSS: Final = 64
_DOWN: Final = 16
_BEND: Final = 14
_PART: Final = 28
_SWEEPS: Final = 6
#: A way over more layers than this goes straight: bends for hundreds of layers cost more than they show.
_FARTHEST: Final = 40
_MOST_BENDS: Final = 4_000

Point = tuple[float, float]
Way = tuple[int, int]


class Layout(NamedTuple):
    """Where each box has its upper left corner, the points that each way passes, and the size of the whole.

    A way's points come in pairs: it bends between layers, from the first of a pair to the second, and runs straight
    over a layer to the next pair.
    """

    boxes: Sequence[Point]
    ways: Mapping[Way, Sequence[Point]]
    width: float
    height: float


def layered(count: int, ways: Iterable[Way]) -> Layout:
    """Return a layout of boxes 0, 1, 2, ... and of ways between them, each from a lower number to a higher one."""
    wanted = sorted(set(ways))
    boxes: list[Point] = [(0.0, 0.0)] * count
    bends: dict[Way, list[Point]] = {}
    bottom = 0.0
    parts, lonely = _parts(count, wanted)
    for members in parts:
        part = _Part(members, [way for way in wanted if way[0] in members])
        part.arrange()
        for box in members:
            boxes[box] = (_x(part.layers[box]), bottom + part.heights[box])
        for way, chain in part.chains.items():
            bends[way] = [(_x(part.layers[bend]), bottom + part.heights[bend]) for bend in chain]
        bottom += part.height + _PART
    bottom = _in_rows(lonely, boxes, bottom)
    right = max((x for x, _ in boxes), default=0.0) + BOX_WIDTH
    routes = {way: _route(boxes, way, bends.get(way, ())) for way in wanted}
    return Layout(boxes, routes, right, max(bottom - _PART, float(BOX_HEIGHT)))


def _x(layer: int) -> float:
    return float(layer * (BOX_WIDTH + _ACROSS))


def _route(boxes: Sequence[Point], way: Way, middle: Iterable[Point]) -> list[Point]:
    """Return the points of a way, from the right side of its first box to the left side of its last."""
    (x1, y1), (x2, y2) = boxes[way[0]], boxes[way[1]]
    over = [point for x, y in middle for point in ((x, y), (x + BOX_WIDTH, y))]
    return [(x1 + BOX_WIDTH, y1 + BOX_HEIGHT / 2), *over, (x2, y2 + BOX_HEIGHT / 2)]


def _parts(count: int, ways: Iterable[Way]) -> tuple[list[set[int]], list[int]]:
    """Return the connected parts, the earliest first, and the boxes without any way."""
    near: dict[int, list[int]] = defaultdict(list)
    for one, other in ways:
        near[one].append(other)
        near[other].append(one)
    parts: list[set[int]] = []
    seen: set[int] = set()
    for start in range(count):
        if start in seen or start not in near:
            continue
        part, todo = {start}, [start]
        while todo:
            fresh = set(near[todo.pop()]) - part
            part |= fresh
            todo += sorted(fresh)
        seen |= part
        parts.append(part)
    return parts, [box for box in range(count) if box not in near]


def _in_rows(lonely: Sequence[int], boxes: list[Point], top: float) -> float:
    """Place boxes without ways in rows, about as many down as fit a page; return where they end."""
    if not lonely:
        return top
    a_row = max(4, math.isqrt(len(lonely)))
    for index, box in enumerate(lonely):
        row, column = divmod(index, a_row)
        boxes[box] = (_x(column), top + row * (BOX_HEIGHT + _DOWN))
    return top + -(-len(lonely) // a_row) * (BOX_HEIGHT + _DOWN) - _DOWN + _PART


@dataclass
class _Part:
    """One connected part. Bends are numbered below zero; a bend's height is its middle, a box's its upper side."""

    members: set[int]
    ways: Sequence[Way]
    layers: dict[int, int] = field(default_factory=dict)
    heights: dict[int, float] = field(default_factory=dict)
    chains: dict[Way, list[int]] = field(default_factory=dict)
    height: float = 0.0

    def arrange(self) -> None:
        """Give everything its layer and its height."""
        self._stand()
        self._bend()
        rows = self._ordered()
        self._lift(rows)

    def _stand(self) -> None:
        for box in self.members:
            self.layers[box] = 0
        # Ways lead from lower numbers to higher ones, and are sorted: all that leads to a box is done before it.
        for one, other in sorted(self.ways):
            self.layers[other] = max(self.layers[other], self.layers[one] + 1)

    def _bend(self) -> None:
        self._left: dict[int, list[int]] = defaultdict(list)
        self._right: dict[int, list[int]] = defaultdict(list)
        bends = 0
        for one, other in self.ways:
            between = range(self.layers[one] + 1, self.layers[other])
            if len(between) > _FARTHEST or bends + len(between) > _MOST_BENDS:
                between = range(0)
            chain = [-(bends + index + 1) for index in range(len(between))]
            bends += len(chain)
            self.layers.update(zip(chain, between, strict=True))
            self.chains[one, other] = chain
            stops = [one, *chain, other]
            for left, right in pairwise(stops):
                self._right[left].append(right)
                self._left[right].append(left)

    def _ordered(self) -> list[list[int]]:
        """Return the layers, each in an order that crosses few ways."""
        rows: list[list[int]] = [[] for _ in range(max(self.layers.values()) + 1)]
        for each in sorted(self.layers, key=lambda box: (box < 0, abs(box))):
            rows[self.layers[each]].append(each)
        place = {each: float(at) for row in rows for at, each in enumerate(row)}
        for sweep in range(_SWEEPS):
            near = self._right if sweep % 2 else self._left
            for row in reversed(rows) if sweep % 2 else rows:
                middles = {each: _mean([place[other] for other in near[each]], place[each]) for each in row}
                row.sort(key=lambda each: (middles[each], place[each]))
                place.update({each: float(at) for at, each in enumerate(row)})
        return rows

    def _lift(self, rows: Sequence[Sequence[int]]) -> None:
        """Give everything its height: in the middle of its neighbours as far as distances allow."""
        middles = {each: 0.0 for row in rows for each in row}
        for row in rows:
            _spread(row, middles)
        for sweep in range(_SWEEPS):
            near = self._left if sweep % 2 == 0 else self._right
            for row in rows if sweep % 2 == 0 else reversed(rows):
                for each in row:
                    middles[each] = _mean([middles[other] for other in near[each]], middles[each])
                _spread(row, middles)
        top = min(middles[each] - _half(each) for each in middles)
        for each, middle in middles.items():
            self.heights[each] = round(middle - top - (0 if each < 0 else BOX_HEIGHT / 2), 1)
        self.height = max(middles[each] + _half(each) for each in middles) - top


def _mean(values: Sequence[float], default: float) -> float:
    return sum(values) / len(values) if values else default


def _half(each: int) -> float:
    return _BEND / 2 if each < 0 else BOX_HEIGHT / 2


def _spread(row: Sequence[int], middles: dict[int, float]) -> None:
    """Move the boxes of a layer as little as possible (least squares) so that each keeps its distance from the next.

    Less its distance from the first box, every box wants a number, and these may not fall: neighbours that want to
    fall are pooled at their mean (pool adjacent violators).
    """
    offsets = [0.0]
    for one, other in pairwise(row):
        offsets.append(offsets[-1] + _half(one) + _half(other) + (_DOWN if one >= 0 or other >= 0 else 0))
    pools: list[tuple[float, int]] = []
    for each, offset in zip(row, offsets, strict=True):
        total, size = middles[each] - offset, 1
        while pools and pools[-1][0] * size >= total * pools[-1][1]:
            before = pools.pop()
            total, size = total + before[0], size + before[1]
        pools.append((total, size))
    at = 0
    for total, size in pools:
        for index in range(at, at + size):
            middles[row[index]] = total / size + offsets[index]
        at += size
