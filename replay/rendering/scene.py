"""The scene: the events of a picture, each once, with the arrows between them and what lies outside."""

from __future__ import annotations

from collections import defaultdict
from typing import Final, NamedTuple
from uuid import UUID

from backstory.domain.events import RecordedEvent
from backstory.replay.picture import Picture

CAUSED_BY: Final = "caused_by"
READ: Final = "read"


class Arrow(NamedTuple):
    """A way from a cause to its effect, which are places in `Scene.events`."""

    cause: int
    effect: int
    kind: str
    strength: float


class Scene:
    """What can be drawn of a picture. An arrow needs both its ends, so those that lead outside are only counted."""

    def __init__(self, picture: Picture) -> None:
        """Take a picture."""
        self.picture: Final = picture
        self.events: Final[tuple[RecordedEvent, ...]] = tuple(
            {event.event_id: event for event in picture.events}.values()
        )
        self.places: Final[dict[UUID, int]] = {event.event_id: at for at, event in enumerate(self.events)}
        self.arrows: Final = self._arrows()
        self.causes: Final[dict[int, list[Arrow]]] = defaultdict(list)
        for arrow in self.arrows:
            self.causes[arrow.effect].append(arrow)
        self._outside: Final = self._known_causes()

    def _arrows(self) -> tuple[Arrow, ...]:
        found = {
            Arrow(self.places[edge.cause], self.places[edge.effect], edge.kind, edge.strength): None
            for edge in self.picture.edges
            if edge.cause in self.places and edge.effect in self.places and edge.cause != edge.effect
        }
        return tuple(found)

    def _known_causes(self) -> dict[UUID, set[UUID]]:
        known = {event.event_id: set(event.causation_ids) - self.places.keys() for event in self.events}
        for edge in self.picture.edges:
            if edge.effect in known and edge.cause not in self.places:
                known[edge.effect].add(edge.cause)
        return known

    def depth(self, event: RecordedEvent) -> int:
        """Return how far an event lies from a root, as the picture says it."""
        return max(0, self.picture.depths.get(event.event_id, 0))

    def mark(self, event: RecordedEvent) -> str:
        """Return the role that the picture gives an event, or nothing."""
        return self.picture.marks.get(event.event_id, "")

    def outside(self, event: RecordedEvent) -> int:
        """Return how many causes of an event are not in the picture."""
        return len(self._outside[event.event_id])


def name(event: RecordedEvent) -> str:
    """Return the name of an event in a drawing: the same in every drawing of the log."""
    return f"e{event.position}"


def arrow_label(arrow: Arrow) -> str:
    """Return what is written on an arrow: nothing on a plain cause."""
    kind = "" if arrow.kind == CAUSED_BY else arrow.kind.replace("_", " ")
    return kind if arrow.strength == 1 else f"{kind} ({arrow.strength:g})".strip()
