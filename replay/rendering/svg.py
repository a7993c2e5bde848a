"""SVG: the events of a scene as boxes, laid out so that effects stand right of their causes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from itertools import pairwise
from typing import Final

from backstory.domain.events import RecordedEvent
from backstory.replay.rendering.columns import cut, safe
from backstory.replay.rendering.families import family
from backstory.replay.rendering.layered import BOX_HEIGHT, BOX_WIDTH, Layout, Point, layered
from backstory.replay.rendering.saying import place, says
from backstory.replay.rendering.scene import CAUSED_BY, Arrow, Scene, arrow_label, name

_MARGIN: Final = 16
_HEAD: Final = 28
_LINE: Final = 30
_CURVE: Final = 36


def svg(scene: Scene) -> Iterator[str]:
    """Yield the lines of an `svg` element that has classes, and no colours of its own."""
    order = sorted(range(len(scene.events)), key=lambda at: scene.events[at].position)
    rank = {at: number for number, at in enumerate(order)}
    ways = {(rank[arrow.cause], rank[arrow.effect]) for arrow in scene.arrows if rank[arrow.cause] < rank[arrow.effect]}
    layout = layered(len(order), ways)
    width, height = layout.width + 2 * _MARGIN, layout.height + 2 * _MARGIN
    yield (
        f'<svg id="graph" role="group" aria-label="Causes and effects" width="{width:g}" height="{height:g}" '
        f'viewBox="{-_MARGIN} {-_MARGIN} {width:g} {height:g}">'
    )
    yield '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    yield '<path d="M0 0 8 4 0 8z"/></marker></defs>'
    for arrow in scene.arrows:
        yield _arrow(scene, arrow, _points(layout, rank[arrow.cause], rank[arrow.effect]))
    for number, at in enumerate(order):
        yield _box(scene, scene.events[at], layout.boxes[number])
    yield "</svg>"


def _points(layout: Layout, cause: int, effect: int) -> Sequence[Point]:
    """Return the points of a way; one that leads back in the log goes straight."""
    if (cause, effect) in layout.ways:
        return layout.ways[cause, effect]
    (x1, y1), (x2, y2) = layout.boxes[cause], layout.boxes[effect]
    return [(x1 + BOX_WIDTH, y1 + BOX_HEIGHT / 2), (x2, y2 + BOX_HEIGHT / 2)]


def _arrow(scene: Scene, arrow: Arrow, points: Sequence[Point]) -> str:
    cause, effect = scene.events[arrow.cause], scene.events[arrow.effect]
    kind = "edge" if arrow.kind == CAUSED_BY else "edge link"
    label = safe(arrow_label(arrow) or CAUSED_BY.replace("_", " "))
    return (
        f'<path class="{kind}" data-cause="{name(cause)}" data-effect="{name(effect)}" d="{_path(points)}" '
        f'marker-end="url(#tip)"><title>{cause.position} to {effect.position}: {escape(label)}</title></path>'
    )


def _path(points: Sequence[Point]) -> str:
    """Return a way as path data: a curve within each pair of points, a straight line from pair to pair."""
    steps = [f"M{_at(points[0])}"]
    for index, ((x1, y1), (x2, y2)) in enumerate(pairwise(points)):
        if index % 2:
            steps.append(f"L{_at((x2, y2))}")
        else:
            steps.append(f"C{_at((x1 + _CURVE, y1))} {_at((x2 - _CURVE, y2))} {_at((x2, y2))}")
    return "".join(steps)


def _at(point: Point) -> str:
    return f"{point[0]:g},{point[1]:g}"


def _box(scene: Scene, event: RecordedEvent, corner: Point) -> str:
    mark = scene.mark(event)
    head = f"{event.position} {safe(event.type)}"
    line = cut(place(event), _LINE)
    said = says(event)
    full = ", ".join(part for part in (head, place(event), said, safe(mark)) if part)
    return (
        f'<g class="box {family(event)}{" marked" if mark else ""}" data-event="{name(event)}" role="button" '
        f'tabindex="-1" aria-label="{escape(full)}" transform="translate({_at(corner)})"><title>{escape(full)}</title>'
        f'<rect width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="6"/>'
        f'<text class="head" x="10" y="18">{escape(cut(head, _HEAD))}</text>'
        f'<text x="10" y="34">{escape(line)}</text></g>'
    )
