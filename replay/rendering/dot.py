"""DOT: a picture for Graphviz."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from backstory.domain.events import RecordedEvent
from backstory.replay.picture import Picture
from backstory.replay.rendering.columns import cut, safe
from backstory.replay.rendering.families import COLOURS, family
from backstory.replay.rendering.saying import moment, place, says
from backstory.replay.rendering.scene import CAUSED_BY, Arrow, Scene, arrow_label, name

_LABEL: Final = 48
_TITLE: Final = 200


def dot(picture: Picture) -> str:
    """Return a picture as a directed graph, a node an event; what is no plain cause is dashed and named."""
    return "".join(f"{line}\n" for line in _lines(Scene(picture)))


def _lines(scene: Scene) -> Iterator[str]:
    title = quoted(cut(safe(scene.picture.title), _TITLE))
    yield f"digraph {title} {{"
    yield f'    graph [label={title}, labelloc=t, rankdir=TB, charset="UTF-8", fontname="sans-serif"]'
    yield '    node [shape=box, style="rounded,filled", fontname="sans-serif", fontsize=10]'
    yield '    edge [fontname="sans-serif", fontsize=9, color="#6b7280"]'
    for event in scene.events:
        yield f"    {name(event)} [{_node(scene, event)}]"
    for arrow in scene.arrows:
        ends = f"{name(scene.events[arrow.cause])} -> {name(scene.events[arrow.effect])}"
        yield f"    {ends}{_edge(arrow)}"
    yield "}"


def _node(scene: Scene, event: RecordedEvent) -> str:
    fill, line = COLOURS[family(event)]
    mark = scene.mark(event)
    parts = (
        f"{event.position}  {safe(event.type)}" + (f"  [{safe(mark)}]" if mark else ""),
        place(event),
        says(event, columns=_LABEL),
    )
    # `\l` ends a line and puts it to the left.
    label = "".join(_escaped(cut(part, _LABEL)) + r"\l" for part in parts if part)
    by = "" if event.actor is None else f" by {safe(event.actor)}"
    tooltip = quoted(f"{event.recorded_at:%Y-%m-%d} {moment(event)}{cut(by, _LABEL)}")
    thick = ", penwidth=3" if mark else ""
    return f'label="{label}", tooltip={tooltip}, fillcolor="{fill}", color="{line}"{thick}'


def _edge(arrow: Arrow) -> str:
    if arrow.kind == CAUSED_BY and not arrow_label(arrow):
        return ""
    style = "" if arrow.kind == CAUSED_BY else ", style=dashed"
    return f" [label={quoted(cut(safe(arrow_label(arrow)), _LABEL))}{style}]"


def quoted(text: str) -> str:
    """Return text as a quoted string, which Graphviz shows as it is."""
    return f'"{_escaped(text)}"'


def _escaped(text: str) -> str:
    """Escape the quote, the backslash of Graphviz's own escapes, and the ampersand of HTML's entities."""
    return text.replace("&", "&amp;").replace("\\", r"\\").replace('"', r"\"")
