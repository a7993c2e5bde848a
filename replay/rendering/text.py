"""Text: a picture for a terminal, an event a line or two, never wider than 100 columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from backstory.domain.events import RecordedEvent
from backstory.replay.picture import Picture
from backstory.replay.rendering.columns import cut, filled, safe, width, wrapped
from backstory.replay.rendering.saying import moment, place, says
from backstory.replay.rendering.scene import CAUSED_BY, Arrow, Scene, arrow_label

WIDEST: Final = 100
_GAP: Final = "  "
_DEEPEST: Final = 6
_TYPE: Final = 30
_PLACE: Final = 26
_MOST_CAUSES: Final = 8
_SECOND: Final = "%Y-%m-%d %H:%M:%S"


class _Columns(NamedTuple):
    """How wide the columns of a picture are."""

    position: int
    type: int
    place: int


def text(picture: Picture) -> str:
    """Return a picture as lines: its title, its sentences, then the events, indented by their depth.

    Of each event: position, time (UTC), type, scope and key, short value, then its mark, its actor and the positions
    of what it was caused by and what was read for it.
    """
    return "".join(f"{cut(line, WIDEST).rstrip()}\n" for line in _lines(Scene(picture)))


def _lines(scene: Scene) -> Iterator[str]:
    yield safe(scene.picture.title)
    yield extent(scene)
    for sentence in scene.picture.sentences:
        yield ""
        first, *rest = wrapped(safe(sentence), WIDEST - len(_GAP))
        yield first
        yield from (_GAP + line for line in rest)
    columns = _columns(scene)
    day = ""
    for at, event in enumerate(scene.events):
        today = event.recorded_at.strftime("%Y-%m-%d")
        if today != day:
            day = today
            yield ""
            yield day
        yield from _event(scene, at, columns)


def extent(scene: Scene) -> str:
    """Return how many events there are, and how long they took."""
    if not scene.events:
        return "no events"
    count = "1 event" if len(scene.events) == 1 else f"{len(scene.events)} events"
    first = min(event.recorded_at for event in scene.events)
    last = max(event.recorded_at for event in scene.events)
    if f"{first:{_SECOND}}" == f"{last:{_SECOND}}":
        return f"{count}, {first:{_SECOND}} UTC"
    until = f"{last:%H:%M:%S}" if first.date() == last.date() else f"{last:{_SECOND}}"
    return f"{count}, {first:{_SECOND}} to {until} UTC"


def _columns(scene: Scene) -> _Columns:
    events = scene.events
    return _Columns(
        max((len(str(event.position)) for event in events), default=1),
        min(max((width(_type(scene, event)) for event in events), default=1), _TYPE),
        min(max((width(place(event)) for event in events), default=1), _PLACE),
    )


def _type(scene: Scene, event: RecordedEvent) -> str:
    """Return the type, indented by the depth; what lies deeper than the sixth level stands there."""
    return _GAP * min(scene.depth(event), _DEEPEST) + safe(event.type)


def _event(scene: Scene, at: int, columns: _Columns) -> Iterator[str]:
    """Yield an event's lines: what does not fit on the first one stands below its type."""
    event = scene.events[at]
    start = _GAP.join((f"{event.position:>{columns.position}}", moment(event), ""))
    indent = " " * (len(start) + len(_GAP) * (min(scene.depth(event), _DEEPEST) + 1))
    line = start + filled(_type(scene, event), columns.type) + _GAP + filled(place(event), columns.place)
    value, tail = says(event), _tail(scene, at)
    room = WIDEST - width(line) - len(_GAP)
    if width(value) + len(_GAP) + width(tail) <= room:
        first, *below = f"{value}{_GAP}{tail}".strip(), ""
    elif width(tail) <= room:
        first, *below = tail, value
    elif width(value) <= room:
        first, *below = value, tail
    else:
        first, *below = "", value, tail
    yield f"{line}{_GAP}{first}"
    for piece in filter(None, below):
        yield from (indent + each for each in wrapped(piece, WIDEST - len(indent)))


def _tail(scene: Scene, at: int) -> str:
    """Return an event's mark, actor and causes."""
    event = scene.events[at]
    mark = scene.mark(event)
    role = [f"[{safe(mark)}]"] if mark else []
    parts = []
    if event.actor is not None:
        parts.append(f"by {safe(event.actor)}")
    arrows = scene.causes[at]
    parts += [
        f"{safe(said)} {_positions(scene, [arrow for arrow in arrows if _said(arrow) == said])}"
        for said in dict.fromkeys(map(_said, arrows))
    ]
    if outside := scene.outside(event):
        parts.append(f"{outside} {'cause' if outside == 1 else 'causes'} elsewhere")
    return " ".join((*role, ", ".join(parts))).rstrip()


def _said(arrow: Arrow) -> str:
    """Return how an arrow reads, seen from its effect."""
    return arrow_label(arrow) or CAUSED_BY.replace("_", " ")


def _positions(scene: Scene, arrows: list[Arrow]) -> str:
    positions = sorted({scene.events[arrow.cause].position for arrow in arrows})
    more = len(positions) - _MOST_CAUSES
    told = ", ".join(map(str, positions[:_MOST_CAUSES]))
    return told if more <= 0 else f"{told} and {more} more"
