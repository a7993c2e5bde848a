"""Pictures to draw: of events that were made by hand, tame ones and hostile ones."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any
from uuid import UUID

from hypothesis import strategies as st

from backstory.domain.events import RecordedEvent, StoredEvent
from backstory.infrastructure.codec import decode_value, encode_value
from backstory.replay.picture import Picture, PictureEdge

START_US = 1_790_000_000_000_000


def event_id(position: int) -> UUID:
    """Return the id of the event at a position, here always the same."""
    return UUID(int=(7 << 76) | position)


def event(
    position: int,
    kind: str = "state.set",
    data: Any = None,
    *,
    key: str | None = None,
    stream: str = "agent:a1",
    actor: str | None = None,
    causes: Sequence[int] = (),
    at_us: int | None = None,
    reads: Sequence[int] = (),
    tags: Sequence[str] = (),
) -> RecordedEvent:
    """Return an event as the log would hold it; causes and reads are positions."""
    extra = {name: list(part) for name, part in (("reads", reads), ("tags", tags)) if part}
    row = StoredEvent(
        position=position,
        branch=0,
        stream=stream,
        version=position,
        event_id=event_id(position).bytes,
        type=kind,
        key=key,
        recorded_us=START_US + position * 1_500_000 if at_us is None else at_us,
        expires_us=None,
        correlation=None,
        causes=b"".join(event_id(cause).bytes for cause in causes) or None,
        actor=None if actor is None else actor.encode(),
        extra=encode_value(extra) if extra else None,
        format=0,
        cipher_key=0,
        data=encode_value(data),
        hash=bytes(32),
    )
    return RecordedEvent(row, decode_value)


def written(position: int, key: str, value: Any, *, op: str = "set", **more: Any) -> RecordedEvent:
    """Return an event that set a key."""
    beside = more.pop("beside", {})
    return event(position, "state.set", {"value": value, "op": op, **beside}, key=key, **more)


def edge(cause: int, effect: int, kind: str = "caused_by", strength: float = 1.0) -> PictureEdge:
    """Return an edge between two positions."""
    return PictureEdge(event_id(cause), event_id(effect), kind, strength)


def picture(
    events: Sequence[RecordedEvent],
    edges: Sequence[PictureEdge] = (),
    *,
    title: str = "A title",
    sentences: Sequence[str] = (),
    marks: dict[int, str] | None = None,
) -> Picture:
    """Return a picture whose depths follow from its edges; marks are by position."""
    depths: dict[UUID, int] = {}
    causes: dict[UUID, list[UUID]] = {}
    for one in edges:
        causes.setdefault(one.effect, []).append(one.cause)
    for each in sorted(events, key=lambda one: one.position):
        before = [depths[cause] for cause in causes.get(each.event_id, ()) if cause in depths]
        depths[each.event_id] = max(before, default=-1) + 1
    roles = {event_id(position): mark for position, mark in (marks or {}).items()}
    return Picture(title, events, edges, depths, roles, sentences)


NASTY = (
    "",
    '"',
    "'",
    "`x`",
    "\\",
    "\\N\\G\\l\\",
    "a\nb\r\nc\u2028d",
    "\x00\x1b[31m\x7f\x9b",
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "]]><img src=x onerror=alert(1)>",
    "javascript:alert(1)",
    '"]; e1 --> e2; click e1 "javascript:alert(1)"',
    "%%{init: {'securityLevel': 'loose'}}%%",
    "---\ntitle: x\n---",
    "end\nsubgraph x",
    "e1[x]:::y",
    '"]; x -> y; z [label="',
    "&amp;&lt;&#0;#34;#quot;",
    "1. list\n- item\n# head **bold** _em_ $$x$$",
    "\u202eright to left\u2066",
    "שלום עולם مرحبا",
    "東京都" * 30,
    "👩‍👩‍👧‍👦❤️🇳🇴",
    "z" + "\u0300" * 300,
    "word " * 100,
    "x" * 500,
    "$ref",
)

# No lone surrogates: the log refuses them.
TEXTS = st.sampled_from(NASTY) | st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS
    # what JSON lacks
    | st.binary(max_size=8)
    | st.datetimes()
    | st.uuids()
    | st.decimals(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)
KINDS = st.sampled_from(("state.set", "state.deleted", "scope.cleared", "hook.executed", "message.user", "tool.called"))
EDGE_KINDS = st.sampled_from(("caused_by", "read", "part_of", "related_to", "response_to")) | TEXTS
DATA = VALUES | st.fixed_dictionaries(
    {"hook": TEXTS, "point": TEXTS, "result": st.none() | st.fixed_dictionaries({"kind": TEXTS, "value": VALUES})}
)


@st.composite
def pictures(draw: st.DrawFn, *, most: int = 5) -> Picture:
    """Draw a picture of anything that a log can hold, in any order, with edges to anywhere."""
    count = draw(st.integers(0, most))
    numbers = st.integers(1, max(1, count) + 2)
    events = [
        event(
            position,
            draw(KINDS | TEXTS),
            draw(st.fixed_dictionaries({"value": VALUES, "op": TEXTS | st.just("increment")}) | DATA),
            key=draw(st.none() | TEXTS),
            stream=draw(TEXTS),
            actor=draw(st.none() | TEXTS),
            causes=draw(st.lists(numbers, max_size=2)),
            at_us=draw(st.sampled_from((None, 0, 253_402_300_799_999_999))),
            tags=draw(st.lists(TEXTS, max_size=2)),
        )
        for position in range(1, count + 1)
    ]
    edges = draw(
        st.lists(st.builds(edge, numbers, numbers, EDGE_KINDS, st.sampled_from((1.0, 0.25))), max_size=2 * count)
    )
    marks = draw(st.dictionaries(numbers, TEXTS | st.just("derivation"), max_size=2))
    return picture(
        draw(st.permutations(events)),
        edges,
        title=draw(TEXTS),
        sentences=draw(st.lists(TEXTS, max_size=2)),
        marks=marks,
    )


@cache
def large(count: int = 500) -> Picture:
    """Return a picture of many events: chains, hubs, far ways and events on their own."""
    kinds = ("message.user", "tool.called", "tool.returned", "state.set", "hook.executed", "note.taken")
    events, edges = [], []
    for position in range(1, count + 1):
        causes = [] if position % 50 in {1, 7} else [cause for cause in {position - 1, position // 2} if cause]
        kind = kinds[position % len(kinds)]
        data = {"value": {"n": position, "text": "some text " * 5}, "op": "set"}
        events.append(event(position, kind, data, key=f"key/{position % 20}", actor="planner", causes=causes))
        edges += [edge(cause, position, "read" if cause % 7 == 0 else "caused_by") for cause in causes]
    return picture(events, edges, title=f"{count} events")
