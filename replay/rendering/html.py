"""HTML: a picture as one page that loads nothing: a graph, a timeline and the details of each event.

Everything that an event brings is escaped, and the page forbids whatever could still go wrong: its
Content-Security-Policy allows no network, no frame, no form, and no script or style but our two by their hashes.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from html import escape
from importlib.resources import files
from typing import Final

from backstory.domain.events import RecordedEvent
from backstory.replay.picture import Picture
from backstory.replay.rendering.columns import safe
from backstory.replay.rendering.families import family
from backstory.replay.rendering.plain import printable_json
from backstory.replay.rendering.saying import moment, place, says
from backstory.replay.rendering.scene import CAUSED_BY, Scene, arrow_label, name
from backstory.replay.rendering.svg import svg
from backstory.replay.rendering.text import extent

_VALUE: Final = 120
_DEEPEST: Final = 6
_LONGEST_DETAILS: Final = 20_000
_FEW_SENTENCES: Final = 8


def html(picture: Picture) -> str:
    """Return a picture as a page. Details of an event are cut at 20,000 characters, and say so."""
    return "".join(f"{line}\n" for line in _page(Scene(picture)))


@cache
def _ours(file: str) -> str:
    """Return a file that stands beside this module."""
    return files("backstory.replay.rendering").joinpath(file).read_text(encoding="utf-8")


def _policy() -> str:
    """Return the page's Content-Security-Policy."""
    hashes = {file: b64encode(sha256(_ours(file).encode()).digest()).decode() for file in ("page.js", "page.css")}
    return (
        f"default-src 'none'; script-src 'sha256-{hashes['page.js']}'; style-src 'sha256-{hashes['page.css']}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _page(scene: Scene) -> Iterator[str]:
    title = escape(safe(scene.picture.title))
    yield "<!doctype html>"
    yield '<html lang="en">'
    yield "<head>"
    yield '<meta charset="utf-8">'
    yield f'<meta http-equiv="Content-Security-Policy" content="{_policy()}">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield '<meta name="color-scheme" content="light dark">'
    yield '<meta name="referrer" content="no-referrer">'
    yield f"<title>{title}</title>"
    yield f"<style>{_ours('page.css')}</style>"
    yield "</head>"
    yield "<body>"
    yield f"<header><h1><bdi>{title}</bdi></h1><p>{escape(extent(scene))}</p></header>"
    yield from _words(scene)
    yield from _filters(scene)
    yield '<div class="panes"><main>'
    yield from _graph(scene)
    yield from _timeline(scene)
    yield "</main>"
    yield '<aside aria-label="Details of an event"><h2>Details</h2><div id="details" aria-live="polite">'
    yield "<p>Choose an event to see all of it, what led to it, and what it led to.</p></div></aside>"
    yield "</div>"
    yield f'<script type="application/json" id="data">{_data(scene)}</script>'
    yield f"<script>{_ours('page.js')}</script>"
    yield "</body>"
    yield "</html>"


def _words(scene: Scene) -> Iterator[str]:
    """Yield the sentences; many are folded away."""
    if not scene.picture.sentences:
        return
    unfolded = " open" if len(scene.picture.sentences) <= _FEW_SENTENCES else ""
    yield f'<details class="words"{unfolded}><summary>In words</summary><ol>'
    for sentence in scene.picture.sentences:
        yield f"<li><bdi>{escape(safe(sentence))}</bdi></li>"
    yield "</ol></details>"


def _filters(scene: Scene) -> Iterator[str]:
    """Yield a box to tick for each type, which the script shows."""
    kinds = {safe(event.type): family(event) for event in scene.events}
    yield '<form class="filters" id="filters" hidden><label>Find <input type="search" id="find"></label>'
    yield "<fieldset><legend>Types</legend>"
    for kind in sorted(kinds):
        yield f'<label class="kind {kinds[kind]}"><input type="checkbox" checked value="{escape(kind)}">'
        yield f"<bdi>{escape(kind)}</bdi></label>"
    yield '</fieldset><output id="found"></output></form>'


def _graph(scene: Scene) -> Iterator[str]:
    yield '<section aria-labelledby="graph-title"><div class="bar"><h2 id="graph-title">Causes and effects</h2>'
    yield '<p class="key"><span class="plain">caused by</span><span class="link">read, or another link</span></p>'
    yield '<div class="zoom" hidden><button type="button" data-zoom="out" aria-label="Smaller">&minus;</button>'
    yield '<button type="button" data-zoom="in" aria-label="Larger">+</button>'
    yield '<button type="button" data-zoom="fit">Fit</button></div></div>'
    yield '<div class="scroll" id="canvas">'
    yield from svg(scene)
    yield "</div></section>"


def _timeline(scene: Scene) -> Iterator[str]:
    yield '<section aria-labelledby="timeline-title"><h2 id="timeline-title">Timeline</h2>'
    yield '<div class="scroll" id="rows"><table><thead><tr>'
    for heading in ("No.", "Time (UTC)", "Type", "Scope and key", "Value", "By", "Because of"):
        yield f'<th scope="col">{heading}</th>'
    yield '</tr></thead><tbody id="timeline">'
    day = ""
    for at, event in enumerate(scene.events):
        today = f"{event.recorded_at:%Y-%m-%d}"
        yield _row(scene, at, "" if today == day else today)
        day = today
    yield "</tbody></table></div></section>"


def _row(scene: Scene, at: int, day: str) -> str:
    """Return an event's row; the day is told where it is another one."""
    event = scene.events[at]
    depth = min(scene.depth(event), _DEEPEST)
    mark = scene.mark(event)
    instant = event.recorded_at.isoformat()
    date = f"<span>{day}</span> " if day else ""
    role = f' <span class="mark">{escape(safe(mark))}</span>' if mark else ""
    # A NUL would be replaced, and the boxes to tick would not find it: they hold the escaped type too.
    return (
        f'<tr id="{name(event)}" data-event="{name(event)}" data-type="{escape(safe(event.type))}" '
        f'class="{family(event)}{" marked" if mark else ""}">'
        f'<td class="number"><button type="button" aria-label="Event {event.position}">{event.position}</button></td>'
        f'<td class="time"><time datetime="{instant}" title="{instant}">{date}{moment(event)}</time></td>'
        f'<td class="depth{depth}"><span class="kind {family(event)}"><bdi>{escape(safe(event.type))}</bdi></span>'
        f'{role}</td><td class="place"><bdi>{escape(place(event))}</bdi></td>'
        f'<td class="value"><bdi>{escape(says(event, columns=_VALUE))}</bdi></td>'
        f'<td class="by"><bdi>{escape(safe(event.actor or ""))}</bdi></td>'
        f'<td class="because">{_causes(scene, at)}</td></tr>'
    )


def _causes(scene: Scene, at: int) -> str:
    links = []
    for arrow in scene.causes[at]:
        cause = scene.events[arrow.cause]
        kind = "" if arrow.kind == CAUSED_BY else f"{escape(safe(arrow_label(arrow)))} "
        links.append(f'{kind}<a href="#{name(cause)}">{cause.position}</a>')
    outside = scene.outside(scene.events[at])
    return ", ".join([*links, *([f"{outside} elsewhere"] if outside else [])])


def _data(scene: Scene) -> str:
    """Return what the script reads, as JSON that no parser of HTML can take for anything else."""
    edges = [
        [
            name(scene.events[arrow.cause]),
            name(scene.events[arrow.effect]),
            safe(arrow_label(arrow)) or CAUSED_BY.replace("_", " "),
        ]
        for arrow in scene.arrows
    ]
    details = {name(event): _details(event) for event in scene.events}
    text = json.dumps({"edges": edges, "details": details}, separators=(",", ":"))
    return text.replace("&", r"\u0026").replace("<", r"\u003c").replace(">", r"\u003e")


def _details(event: RecordedEvent) -> str:
    """Return all of an event as indented JSON."""
    full = printable_json(event.as_dict(), indent=2)
    if len(full) <= _LONGEST_DETAILS:
        return full
    return f"{full[:_LONGEST_DETAILS]}\n... and {len(full) - _LONGEST_DETAILS} more characters"
