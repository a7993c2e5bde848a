"""Timelines: events in an order, with what each was caused by and led to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

from backstory.domain.events import RecordedEvent, StoredEvent
from backstory.projections.causes import Web
from backstory.replay.explanation import Told

Order = Literal["chronological", "reverse", "depth", "type"]
ORDERS: Final[tuple[Order, ...]] = ("chronological", "reverse", "depth", "type")


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """An event of a timeline. `depth` is the longest way from a root.

    `causes` and `effects` are all that the log knows, in log order, in this timeline or not.
    """

    event: RecordedEvent
    depth: int
    causes: tuple[RecordedEvent, ...]
    effects: tuple[RecordedEvent, ...]


class TimelineStats(NamedTuple):
    """Numbers of a timeline.

    `critical_path` holds the positions of the longest chain of causes; `concurrent` counts groups of events that have
    the same causes and none of which leads to another; durations are in seconds.
    """

    events: int
    edges: int
    roots: int
    leaves: int
    depth: int
    duration_s: float
    types: dict[str, int]
    actors: dict[str, int]
    critical_path: tuple[int, ...]
    concurrent: tuple[tuple[int, ...], ...]


class Timeline(Told):
    """Events in the order asked for. `entries` is the list, `stats` its numbers, `render` draws it."""

    def __init__(
        self,
        web: Web,
        decode: Callable[[bytes], Any],
        *,
        title: str,
        order: Sequence[int],
        whole: Web,
        depths: dict[int, int],
    ) -> None:
        super().__init__(web, decode)
        self._title = title
        events = {at: RecordedEvent(row, decode) for at, row in whole.events.items()}
        self.entries = [
            TimelineEntry(
                events[at],
                depths[at],
                tuple(events[cause] for cause in whole.causes(at)),
                tuple(events[effect] for effect in whole.effects(at)),
            )
            for at in order
        ]

    @property
    def stats(self) -> TimelineStats:
        """Numbers of what is shown."""
        rows = [self.web.events[at] for at in sorted(self.web.events)]
        depths = self.web.depths()
        return TimelineStats(
            len(rows),
            len(self.web.edges),
            sum(1 for row in rows if not self.web.causes(row.position)),
            sum(1 for row in rows if not self.web.effects(row.position)),
            max(depths.values(), default=0),
            (rows[-1].recorded_us - rows[0].recorded_us) / 1_000_000 if rows else 0.0,
            dict(sorted(Counter(row.type for row in rows).items())),
            dict(sorted(Counter(row.actor.decode() for row in rows if row.actor is not None).items())),
            critical_path(self.web, depths),
            concurrent(self.web),
        )

    def render(self, form: str = "text") -> str:
        """Return it as text, json, mermaid, dot or html; raises `InvalidValueError` for another form."""
        picture = self.picture(self._title, marks={}, sentences=())
        events = [entry.event for entry in self.entries]
        depths = {entry.event.event_id: entry.depth for entry in self.entries}
        from backstory.replay.rendering import render  # noqa: PLC0415 - drawing is seldom wanted

        return render(type(picture)(picture.title, events, picture.edges, depths, {}, ()), form)

    def __len__(self) -> int:
        return len(self.entries)

    def __repr__(self) -> str:
        return f"<Timeline of {len(self.entries)} events: {self._title}>"


def critical_path(web: Web, depths: dict[int, int]) -> tuple[int, ...]:
    """Return the positions of a longest chain of causes, from its root on; of several the earliest."""
    if not depths:
        return ()
    deepest = max(depths.values())
    at = min(position for position, depth in depths.items() if depth == deepest)
    path = [at]
    while depths[at]:
        at = min(cause for cause in web.causes(at) if depths[cause] == depths[at] - 1)
        path.append(at)
    return tuple(reversed(path))


def concurrent(web: Web) -> tuple[tuple[int, ...], ...]:
    """Return groups of events that have the same causes: neither led to the other, as far as the log knows."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for at in sorted(web.events):
        causes = tuple(web.causes(at))
        if causes:
            groups.setdefault(causes, []).append(at)
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)


def ordered(rows: Sequence[StoredEvent], order: Order, depths: dict[int, int]) -> list[int]:
    """Return positions in the order asked for."""
    positions = sorted(row.position for row in rows)
    if order == "reverse":
        return positions[::-1]
    if order == "depth":
        return sorted(positions, key=lambda at: (depths[at], at))
    if order == "type":
        types = {row.position: row.type for row in rows}
        return sorted(positions, key=lambda at: (types[at], at))
    return positions
