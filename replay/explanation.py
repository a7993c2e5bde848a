"""Why and what for: what a value follows from, what that was caused by, and what an event led to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from backstory.domain.errors import NotFoundError
from backstory.domain.events import MISSING, RecordedEvent, StoredEvent, value_in
from backstory.domain.ports import Program
from backstory.domain.sequencer import SCOPE_CLEARED, STATE_DELETED, STATE_EXPIRED, STATE_SET
from backstory.projections.causes import Walker, Web
from backstory.projections.points import At
from backstory.projections.state import StateReader
from backstory.replay.blame import blame
from backstory.replay.derivation import Derivations
from backstory.replay.picture import Picture, PictureEdge
from backstory.replay.telling import clause, sentence, shown, when

Decode = Callable[[bytes], Any]


class Told:
    """Events with the ways between them, which can be drawn."""

    def __init__(self, web: Web, decode: Decode) -> None:
        self.web = web
        self._decode = decode

    def recorded(self, positions: Sequence[int]) -> list[RecordedEvent]:
        """Return events as callers get them."""
        return [RecordedEvent(self.web.events[at], self._decode) for at in positions]

    @property
    def graph(self) -> Any:
        """The events and the ways between them as a `networkx.DiGraph`: nodes are event ids."""
        from backstory.projections.causality_graph import digraph  # noqa: PLC0415 - networkx takes a while to import

        return digraph(self.web, self._decode)

    def picture(self, title: str, *, marks: dict[int, str], sentences: Sequence[str]) -> Picture:
        """Return what is drawn."""
        ids = {at: UUID(bytes=row.event_id) for at, row in self.web.events.items()}
        return Picture(
            title,
            self.recorded(sorted(ids)),
            picture_edges(self.web),
            {ids[at]: depth for at, depth in self.web.depths().items()},
            {ids[at]: mark for at, mark in marks.items()},
            sentences,
        )


def picture_edges(web: Web) -> list[PictureEdge]:
    """Return the ways of a web by event id, in log order."""
    ids = {at: UUID(bytes=row.event_id) for at, row in web.events.items()}
    return [
        PictureEdge(ids[edge.cause], ids[edge.effect], edge.kind, edge.strength)
        for _, edge in sorted(web.edges.items())
        if edge.cause in ids and edge.effect in ids
    ]


class Explanation(Told):
    """Why a value is what it is.

    `events` is its derivation in log order: `derive(events, scope, key)` gives `value`, and without any one of them it
    does not. `causes` is all that the derivation was caused by, directly or not. `sentences` tell it to a person.
    Of an absent key `value` is `MISSING` and `events` holds what removed it.
    """

    def __init__(self, web: Web, decode: Decode, *, place: tuple[str, str], value: Any, derivation: list[int]) -> None:
        super().__init__(web, decode)
        self.scope, self.key = place
        self.value = value
        self._derivation = derivation
        self.events = self.recorded(derivation)
        self.causes = self.recorded([at for at in sorted(web.events) if at not in set(derivation)])

    @property
    def sentences(self) -> list[str]:
        """Who did what, because of what, when: the value first, then its derivation, then what led there."""
        events = [*self.events, *reversed(self.causes)]
        return [self._head(), *(f"{_capital(sentence(event))}{self._because(event.position)}." for event in events)]

    def _head(self) -> str:
        if self.value is MISSING:
            return f"Key {self.key} in {self.scope} is absent."
        last = self.events[-1]
        return f"Key {self.key} in {self.scope} is {shown(self.value)}, since {when(last)}."

    def _because(self, position: int) -> str:
        causes = [self.web.events[at] for at in self.web.causes(position)]
        if not causes:
            return ""
        names = [RecordedEvent(row, self._decode) for row in causes]
        parts = [f"{clause(event)} (event {event.position})" for event in names[:2]]
        more = f" and {len(names) - 2} more" if len(names) > len(parts) else ""
        return ", because " + " and ".join(parts) + more

    def render(self, form: str = "text") -> str:
        """Return it as text, json, mermaid, dot, html or prov; raises `InvalidValueError` for another form."""
        marks = dict.fromkeys(self._derivation, "derivation")
        from backstory.replay.rendering import render  # noqa: PLC0415 - drawing is seldom wanted

        return render(self.picture(f"Why {self.key} in {self.scope}", marks=marks, sentences=self.sentences), form)

    def __repr__(self) -> str:
        return f"<Explanation of {self.key!r} in {self.scope}: {len(self.events)} events, {len(self.causes)} causes>"


class Impact(Told):
    """What an event led to, directly or not.

    `events` are its effects in log order, without itself; `keys` the (scope, key) that they wrote or removed.
    """

    def __init__(self, web: Web, decode: Decode, *, start: StoredEvent) -> None:
        super().__init__(web, decode)
        self.event = RecordedEvent(start, decode)
        self.events = self.recorded([at for at in sorted(web.events) if at != start.position])
        self.keys = sorted({key for event in self.events for key in keys_of(event)})

    @property
    def sentences(self) -> list[str]:
        """What happened because of it, in log order."""
        return [
            f"{_capital(sentence(self.event))} led to {_many(self.events, 'event')} and {_many(self.keys, 'key')}.",
            *(f"{_capital(sentence(event))}." for event in self.events),
        ]

    def render(self, form: str = "text") -> str:
        """Return it as text, json, mermaid, dot, html or prov; raises `InvalidValueError` for another form."""
        title = f"What event {self.event.position} led to"
        from backstory.replay.rendering import render  # noqa: PLC0415 - drawing is seldom wanted

        return render(self.picture(title, marks={self.event.position: "start"}, sentences=self.sentences), form)

    def __repr__(self) -> str:
        return f"<Impact of event {self.event.position}: {len(self.events)} events, {len(self.keys)} keys>"


def _many(things: Sequence[object], what: str) -> str:
    return f"{len(things)} {what}{'' if len(things) == 1 else 's'}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def keys_of(event: RecordedEvent) -> list[tuple[str, str]]:
    """Return the (scope, key) that an event wrote or removed."""
    if event.type == SCOPE_CLEARED:
        return [(event.stream, key) for key in event.data["keys"]]
    if event.type in {STATE_SET, STATE_DELETED, STATE_EXPIRED} and event.key is not None:
        return [(event.stream, event.key)]
    return []


def why(
    state: StateReader, derivations: Derivations, walker: Walker, place: tuple[str, str], *, at: At, decode: Decode
) -> Program[Explanation]:
    """Return why a key holds what it does at a point; raises `NotFoundError` for one that was never written."""
    stream, key = place
    head = yield from state.reader.key_head(state.lineage, stream, key, at.position)
    if head.present(at.instant_us):
        rows = yield from state.reader.events_at([head.position])
        derivation = yield from derivations.of(rows[0])
        assert head.data is not None
        value = value_in(head.data, decode)
    else:
        try:
            derivation = [(yield from blame(state, stream, key, path=None, at=at, decode=decode))]
        except NotFoundError:
            raise NotFoundError("value", f"{key} in {stream}", hint="Nothing was ever written there.") from None
        value = MISSING
    yield from walker.foresee(derivation[-1], "causes")
    web = yield from walker.walk(derivation, "causes")
    return Explanation(web, decode, place=place, value=value, derivation=[row.position for row in derivation])


def impact(walker: Walker, start: StoredEvent, decode: Decode) -> Program[Impact]:
    """Return what an event led to."""
    web = yield from walker.walk([start], "effects")
    return Impact(web, decode, start=start)


__all__ = ["Explanation", "Impact", "Told", "impact", "keys_of", "picture_edges", "why"]
