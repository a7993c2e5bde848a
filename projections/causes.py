"""Causes and effects: walking the log from event to event, along what events name and nothing else.

A way leads from an event to another that names it as its cause (`caused_by`), or says that it rests on what it wrote
(`read`), or that a link connects to it (the link's kind). Nothing is inferred from clocks. Memory follows the answer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Literal, NamedTuple

from backstory.domain.branches import FOREVER, Lineage
from backstory.domain.commits import split_causes
from backstory.domain.events import StoredEvent
from backstory.domain.ports import LogQuery, Program, Reader

Direction = Literal["causes", "effects", "both"]
CAUSED_BY: Final = "caused_by"
READ: Final = "read"
LINK_ADDED: Final = "link.added"
KINDS: Final = (CAUSED_BY, "part_of", "related_to", "response_to", "follows_from", "concurrent_with", READ)
#: What an effect cannot be without: what `why` and `impact` go along.
STRONG: Final = frozenset({CAUSED_BY, READ})
_PAGE: Final = 1000


class Edge(NamedTuple):
    """A way between two positions."""

    cause: int
    effect: int
    kind: str = CAUSED_BY
    strength: float = 1.0


class Web:
    """Events by position, and the ways between them."""

    def __init__(self) -> None:
        self.events: dict[int, StoredEvent] = {}
        self.edges: dict[tuple[int, int], Edge] = {}
        self._causes: dict[int, list[int]] = {}
        self._effects: dict[int, list[int]] = {}

    def add(self, edge: Edge) -> None:
        """Take a way in; of several between the same two events the strongest kind stays."""
        at = (edge.cause, edge.effect)
        known = self.edges.get(at)
        if known is None:
            self._causes.setdefault(edge.effect, []).append(edge.cause)
            self._effects.setdefault(edge.cause, []).append(edge.effect)
        if known is None or _rank(edge) < _rank(known):
            self.edges[at] = edge

    def causes(self, position: int) -> list[int]:
        """Return the positions of an event's causes, sorted."""
        return sorted(self._causes.get(position, ()))

    def effects(self, position: int) -> list[int]:
        """Return the positions of an event's effects, sorted."""
        return sorted(self._effects.get(position, ()))

    def keep(self, positions: Iterable[int]) -> Web:
        """Return the part of the web that lies among these positions."""
        wanted = set(positions)
        part = Web()
        part.events = {at: self.events[at] for at in sorted(wanted)}
        for edge in self.edges.values():
            if edge.cause in wanted and edge.effect in wanted:
                part.add(edge)
        return part

    def depths(self) -> dict[int, int]:
        """Return how far each event lies from a root, the longest way; roots are at 0.

        Kahn's topological order (Communications of the ACM 5(11), 1962). The log has no cycles.
        """
        waiting = {at: len(self._causes.get(at, ())) for at in self.events}
        ready = deque(sorted(at for at, count in waiting.items() if not count))
        found = dict.fromkeys(ready, 0)
        while ready:
            at = ready.popleft()
            for effect in self.effects(at):
                found[effect] = max(found.get(effect, 0), found[at] + 1)
                waiting[effect] -= 1
                if not waiting[effect]:
                    ready.append(effect)
        return found


def _rank(edge: Edge) -> int:
    return 0 if edge.kind == CAUSED_BY else 1 if edge.kind == READ else 2


class Walker:
    """Finds causes and effects, and remembers what it has seen."""

    def __init__(
        self,
        reader: Reader,
        lineage: Lineage,
        *,
        until: int,
        decode: Callable[[bytes], Any],
        reads_of: Callable[[bytes | None], tuple[int, ...]],
        kinds: frozenset[str] | None = None,
    ) -> None:
        """Look at events up to `until`; `kinds` (None: all) are the ways to go."""
        self._reader = reader
        self._lineage = lineage
        self._until = until
        self._decode = decode
        self._reads_of = reads_of
        self._kinds = kinds
        self._by_id: dict[bytes, StoredEvent] = {}
        self._by_position: dict[int, StoredEvent] = {}

    def know(self, rows: Iterable[StoredEvent]) -> None:
        """Take in events that need not be asked for any more."""
        for row in rows:
            self._by_id[row.event_id] = row
            self._by_position[row.position] = row

    def know_correlation(self, correlation: bytes, *, since: int = 0) -> Program[list[StoredEvent]]:
        """Take in all events of a correlation: most ways stay within one; return them in log order."""
        found: list[StoredEvent] = []
        after = since
        while True:
            query = LogQuery(self._lineage, after, self._until, correlation=correlation, limit=_PAGE)
            page = yield from self._reader.page(query)
            found += page
            if len(page) < _PAGE:
                self.know(found)
                return found
            after = page[-1].position

    def at(self, positions: Iterable[int]) -> Program[dict[int, StoredEvent]]:
        """Return the events at these positions that this branch shows."""
        wanted = {at for at in positions if 0 < at <= self._until}
        missing = sorted(wanted - self._by_position.keys())
        if missing:
            self.know((yield from self._reader.events_at(missing)))
        found = {at: self._by_position[at] for at in wanted if at in self._by_position}
        return {at: row for at, row in found.items() if self._shows(row)}

    def _named(self, ids: Iterable[bytes]) -> Program[dict[bytes, StoredEvent]]:
        wanted = set(ids)
        missing = sorted(wanted - self._by_id.keys())
        if missing:
            found = yield from self._reader.events(missing)
            self.know(row for row in found if row is not None)
        return {each: self._by_id[each] for each in wanted if each in self._by_id}

    def _shows(self, row: StoredEvent) -> bool:
        return any(row.branch == branch and row.position <= limit for branch, limit in self._lineage)

    def causes(self, rows: Iterable[StoredEvent]) -> Program[list[Edge]]:
        """Return the ways that lead to these events, and know where they come from."""
        rows = list(rows)
        edges: list[Edge] = []
        named = yield from self._named(cause for row in rows for cause in split_causes(row.causes))
        read = yield from self.at(at for row in rows for at in self._reads_of(row.extra))
        for row in rows:
            causes = (named[cause] for cause in split_causes(row.causes) if cause in named)
            edges += [Edge(cause.position, row.position) for cause in causes if cause.position <= self._until]
            edges += [Edge(at, row.position, READ) for at in self._reads_of(row.extra) if at in read]
        if self._wants_links():
            edges += yield from self._links(rows, "effect")
        return self._wanted(edges)

    def effects(self, rows: Iterable[StoredEvent]) -> Program[list[Edge]]:
        """Return the ways that lead on from these events, and know where they go."""
        sources = {row.position: row for row in rows}
        pairs = yield from self._reader.effects(self._lineage, sorted(sources), self._until)
        found = yield from self.at(effect for _, effect in pairs)
        edges: list[Edge] = []
        for cause, effect in pairs:
            row = found.get(effect)
            if row is None or row.type == LINK_ADDED:
                continue
            named = sources[cause].event_id in split_causes(row.causes)
            edges.append(Edge(cause, effect, CAUSED_BY if named else READ))
        if self._wants_links():
            edges += yield from self._told(found.values(), sources.values(), "cause")
        return self._wanted(edges)

    def _wants_links(self) -> bool:
        return self._kinds is None or self._kinds - STRONG != frozenset()

    def _wanted(self, edges: Iterable[Edge]) -> list[Edge]:
        return [edge for edge in edges if self._kinds is None or edge.kind in self._kinds]

    def _links(self, rows: list[StoredEvent], end: str) -> Program[list[Edge]]:
        pairs = yield from self._reader.effects(self._lineage, sorted(row.position for row in rows), self._until)
        found = yield from self.at(effect for _, effect in pairs)
        return (yield from self._told(found.values(), rows, end))

    def _told(self, events: Iterable[StoredEvent], rows: Iterable[StoredEvent], end: str) -> Program[list[Edge]]:
        """Return the ways that links tell of, those with one of these events at an end."""
        wanted = {row.event_id for row in rows}
        links: list[tuple[bytes, bytes, Mapping[str, Any]]] = []
        for row in events:
            if row.type == LINK_ADDED:
                cause, effect = split_causes(row.causes)
                if (cause if end == "cause" else effect) in wanted:
                    links.append((cause, effect, self._decode(row.data)))
        named = yield from self._named(each for cause, effect, _ in links for each in (cause, effect))
        return [
            Edge(named[cause].position, named[effect].position, data["kind"], data["strength"])
            for cause, effect, data in links
            if cause in named and effect in named
        ]

    def walk(self, starts: Iterable[StoredEvent], direction: Direction, depth: int | None = None) -> Program[Web]:
        """Return what lies within so many steps of some events, and every way that was gone."""
        web = Web()
        starts = list(starts)
        self.know(starts)
        web.events.update({row.position: row for row in starts})
        for way in ("causes", "effects") if direction == "both" else (direction,):
            yield from self._walk(web, starts, way, depth)
        return web

    def _walk(self, web: Web, starts: list[StoredEvent], way: str, depth: int | None) -> Program[None]:
        seen = {row.position for row in starts}
        frontier, left = starts, depth
        while frontier and (left is None or left > 0):
            edges = yield from (self.causes(frontier) if way == "causes" else self.effects(frontier))
            fresh: dict[int, StoredEvent] = {}
            for edge in edges:
                web.add(edge)
                end = edge.cause if way == "causes" else edge.effect
                if end not in seen:
                    seen.add(end)
                    fresh[end] = self._by_position[end]
            web.events.update(fresh)
            frontier = list(fresh.values())
            left = None if left is None else left - 1

    def among(self, rows: Iterable[StoredEvent]) -> Program[Web]:
        """Return some events with the ways between them."""
        rows = [row for row in rows if row.type != LINK_ADDED]
        self.know(rows)
        web = Web()
        web.events = {row.position: row for row in rows}
        for edge in (yield from self.causes(rows)):
            if edge.cause in web.events:
                web.add(edge)
        return web


EVERYTHING: Final = FOREVER
