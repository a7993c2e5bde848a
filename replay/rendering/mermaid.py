"""Mermaid: a picture as a flowchart.

Letters, digits and spaces stand for themselves; anything else that an event brings is written as the number of its
character (`#34;`), so that nothing it holds can end a label, begin a directive, or be taken for markup. Mermaid itself
refuses more than 500 edges or 50,000 characters unless the page that hosts it says otherwise (`maxEdges`,
`maxTextSize`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from backstory.domain.events import RecordedEvent
from backstory.replay.picture import Picture
from backstory.replay.rendering.columns import cut, safe
from backstory.replay.rendering.families import COLOURS, family
from backstory.replay.rendering.saying import place, says
from backstory.replay.rendering.scene import CAUSED_BY, Arrow, Scene, arrow_label, name

_LABEL: Final = 40
_TITLE: Final = 200
# Dots and the like inside of words are harmless; at the end of one they could make a list, a heading or an arrow.
_UNSAFE: Final = re.compile(r"(?<![^\W_])[.:/=-]|[.:/=-](?![^\W_])|[^\w\s.:/=-]|_|[^\S ]")
_TEXT: Final = "#111827"


def mermaid(picture: Picture) -> str:
    """Return a picture as a flowchart, a node an event; what was read is dotted, what is no plain cause is named."""
    return "".join(f"{line}\n" for line in _lines(Scene(picture)))


def _lines(scene: Scene) -> Iterator[str]:
    yield "---"
    yield f'title: "{_yaml(cut(safe(scene.picture.title), _TITLE))}"'
    yield "---"
    yield "flowchart TD"
    if not scene.events:
        yield '    none["no events"]'
    for event in scene.events:
        yield f'    {name(event)}["{_node(scene, event)}"]'
    for arrow in scene.arrows:
        yield f"    {name(scene.events[arrow.cause])} {_shaft(arrow)} {name(scene.events[arrow.effect])}"
    yield from _classes(scene)


def _node(scene: Scene, event: RecordedEvent) -> str:
    mark = scene.mark(event)
    role = f" [{safe(mark)}]" if mark else ""
    parts = (f"{event.position} {safe(event.type)}{role}", place(event), says(event, columns=_LABEL))
    return "<br/>".join(escaped(cut(part, _LABEL)) for part in parts if part)


def escaped(text: str) -> str:
    """Return text as it may stand inside the quotes of a label."""
    return _UNSAFE.sub(lambda found: f"#{ord(found[0])};", text)


def _yaml(text: str) -> str:
    """Return text as it may stand inside double quotes in YAML, ASCII only."""
    return "".join(c if c.isascii() and (c.isalnum() or c == " ") else _yaml_escape(c) for c in text)


def _yaml_escape(char: str) -> str:
    return f"\\u{ord(char):04x}" if ord(char) <= 0xFFFF else f"\\U{ord(char):08x}"  # noqa: PLR2004 - of \u


def _shaft(arrow: Arrow) -> str:
    line = "-->" if arrow.kind == CAUSED_BY else "-.->"
    label = escaped(cut(safe(arrow_label(arrow)), _LABEL))
    return f'{line}|"{label}"|' if label else line


def _classes(scene: Scene) -> Iterator[str]:
    """Yield the colours of those families that there are."""
    for each, colours in COLOURS.items():
        members = [name(event) for event in scene.events if family(event) == each]
        if members:
            yield f"    classDef {each} fill:{colours.fill},stroke:{colours.line},color:{_TEXT}"
            yield f"    class {','.join(members)} {each}"
    marked = [name(event) for event in scene.events if scene.mark(event)]
    if marked:
        yield "    classDef marked stroke-width:3px"
        yield f"    class {','.join(marked)} marked"
