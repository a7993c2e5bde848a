"""Causes and effects: walking the log from event to event, along what events name and nothing else.

A way leads from an event to another that names it as its cause (`caused_by`), or says that it rests on what it wrote
(`read`), or that a link connects to it (the link's kind). Nothing is inferred from clocks. Memory follows the answer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Literal, NamedTuple

from backstory.domain.branches import Lineage
from backstory.domain.commits import split_causes
from backstory.domain.events import StoredEvent
from backstory.domain.ports import LogQuery, Program, Reader

Direction = Literal["causes", "effects", "both"]
DIRECTIONS: Final[tuple[Direction, ...]] = ("causes", "effects", "both")
CAUSED_BY: Final = "caused_by"
READ: Final = "read"
LINK_ADDED: Final = "link.added"
#: The stream of all links.
LINKS: Final = "custom:links"
KINDS: Final = (CAUSED_BY, "part_of", "related_to", "response_to", "follows_from", "concurrent_with", READ)
#: What an effect cannot be without: what `why` and `impact` go along.
STRONG: Final = frozenset({CAUSED_BY, READ})
_PAGE: Final = 1000
#: How much of a correlation is read at once where some of it is looked for.
_AHEAD: Final = 256


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
        shared_of: Callable[[bytes | None], bytes | None],
        kinds: frozenset[str] | None = None,
        since: int = 0,
        correlation: bytes | None = None,
    ) -> None:
        """Look at events after `since` and up to `until`, of a correlation or all: others are as if not there.

        `kinds` (None: all) are the ways to go. `reads_of` and `shared_of` say which positions an event has read, and
        whose reads it shares.
        """
        self._reader = reader
        self._lineage = lineage
        self._since = since
        self._until = until
        self._correlation = correlation
        self._linked: bool | None = None
        self._decode = decode
        self._reads_of = reads_of
        self._shared_of = shared_of
        self._kinds = kinds
        self._by_id: dict[bytes, StoredEvent] = {}
        self._by_position: dict[int, StoredEvent] = {}

    def know(self, rows: Iterable[StoredEvent]) -> None:
        """Take in events that need not be asked for any more."""
        for row in rows:
            self._by_id[row.event_id] = row
            self._by_position[row.position] = row

    def foresee(self, row: StoredEvent, way: Direction) -> Program[None]:
        """Take in what of an event's correlation stands next to it: most ways stay within one, and are short."""
        correlation = row.correlation or b"u" + row.event_id
        query = LogQuery(self._lineage, self._since, self._until, correlation=correlation, limit=_AHEAD)
        if way == "causes":
            query = query._replace(until=min(self._until, row.position), reverse=True)
        else:
            query = query._replace(after=max(self._since, row.position - 1))
        self.know((yield from self._reader.page(query)))

    def at(self, positions: Iterable[int]) -> Program[dict[int, StoredEvent]]:
        """Return the events at these positions that are looked at."""
        wanted = {at for at in positions if self._since < at <= self._until}
        missing = sorted(wanted - self._by_position.keys())
        for start in range(0, len(missing), _PAGE):
            self.know((yield from self._reader.events_at(missing[start : start + _PAGE])))
        found = {at: self._by_position[at] for at in wanted if at in self._by_position}
        return {at: row for at, row in found.items() if self.shows(row)}

    def _named(self, ids: Iterable[bytes]) -> Program[dict[bytes, StoredEvent]]:
        wanted = set(ids)
        missing = sorted(wanted - self._by_id.keys())
        for start in range(0, len(missing), _PAGE):
            found = yield from self._reader.events(missing[start : start + _PAGE])
            self.know(row for row in found if row is not None)
        return {each: self._by_id[each] for each in wanted if each in self._by_id}

    def shows(self, row: StoredEvent) -> bool:
        """Return whether an event is looked at: links are ways, and no events."""
        return (
            row.type != LINK_ADDED
            and self._since < row.position <= self._until
            and any(row.branch == branch and row.position <= limit for branch, limit in self._lineage)
            and (self._correlation is None or (row.correlation or b"u" + row.event_id) == self._correlation)
        )

    def causes(self, rows: Iterable[StoredEvent]) -> Program[list[Edge]]:
        """Return the ways that lead to these events, and know where they come from."""
        rows = list(rows)
        edges: list[Edge] = []
        named = yield from self._named(cause for row in rows for cause in split_causes(row.causes))
        reads = yield from self.reads(rows)
        read = yield from self.at(at for each in reads.values() for at in each)
        for row in rows:
            causes = (named[cause] for cause in split_causes(row.causes) if cause in named)
            edges += [Edge(cause.position, row.position) for cause in causes if self.shows(cause)]
            edges += [Edge(at, row.position, READ) for at in sorted(reads[row.event_id]) if at in read]
        if (yield from self._has_links()):
            edges += yield from self._links(rows)
        return self._wanted(edges)

    def reads(self, rows: Iterable[StoredEvent]) -> Program[dict[bytes, frozenset[int]]]:
        """Return what events have read, by their ids: what they share with an earlier one too."""
        chain: dict[bytes, StoredEvent] = {}
        todo = {row.event_id: row for row in rows}
        while todo:
            chain.update(todo)
            shared = {each for row in todo.values() if (each := self._shared_of(row.extra)) is not None}
            todo = yield from self._named(shared - chain.keys())
        reads: dict[bytes, frozenset[int]] = {}
        for row in sorted(chain.values(), key=lambda row: row.position):
            own, earlier = self._reads_of(row.extra), self._shared_of(row.extra)
            reads[row.event_id] = frozenset(own) if earlier is None else reads[earlier].union(own)
        return reads

    def _sharing(self, readers: dict[int, set[int]]) -> Program[list[Edge]]:
        """Return the ways from what some events have read to those that share it, by reader: what it has read."""
        edges: list[Edge] = []
        while readers:
            pairs = yield from self._reader.effects(self._lineage, sorted(readers), self._until)
            found = yield from self.at(effect for _, effect in pairs)
            further: dict[int, set[int]] = {}
            for reader, effect in pairs:
                if effect in found and self._shares(found[effect], reader):
                    further[effect] = readers[reader]
                    edges += [Edge(at, effect, READ) for at in sorted(readers[reader])]
            readers = further
        return edges

    def _shares(self, row: StoredEvent, position: int) -> bool:
        shared = self._shared_of(row.extra)
        return shared is not None and shared == self._by_position[position].event_id

    def effects(self, rows: Iterable[StoredEvent]) -> Program[list[Edge]]:
        """Return the ways that lead on from these events, and know where they go."""
        sources = {row.position: row for row in rows}
        pairs = yield from self._reader.effects(self._lineage, sorted(sources), self._until)
        found = yield from self.at(effect for _, effect in pairs)
        edges: list[Edge] = []
        readers: dict[int, set[int]] = {}
        for cause, effect in pairs:
            row = found.get(effect)
            if row is None:
                continue
            if sources[cause].event_id in split_causes(row.causes):
                edges.append(Edge(cause, effect))
            if cause in self._reads_of(row.extra):
                edges.append(Edge(cause, effect, READ))
                readers.setdefault(effect, set()).add(cause)
        edges += yield from self._sharing(readers)
        if (yield from self._has_links()):
            edges += yield from self._told(pairs, sources, end=0)
        return self._wanted(edges)

    def _has_links(self) -> Program[bool]:
        """Return whether anything was ever linked: most logs hold no link."""
        if self._linked is None:
            version = yield from self._reader.stream_version(self._lineage, LINKS, self._until)
            self._linked = version > 0
        return self._linked

    def _wanted(self, edges: Iterable[Edge]) -> list[Edge]:
        return [edge for edge in edges if self._kinds is None or edge.kind in self._kinds]

    def _links(self, rows: list[StoredEvent]) -> Program[list[Edge]]:
        sources = {row.position: row for row in rows}
        pairs = yield from self._reader.effects(self._lineage, sorted(sources), self._until)
        return (yield from self._told(pairs, sources, end=1))

    def _told(
        self, pairs: Iterable[tuple[int, int]], sources: Mapping[int, StoredEvent], *, end: int
    ) -> Program[list[Edge]]:
        """Return the ways that links tell of: those among the effects of events, which stand at this end of them."""
        links: list[tuple[bytes, bytes, Mapping[str, Any]]] = []
        ids = {row.event_id for row in sources.values()}
        wanted = sorted({effect for _, effect in pairs})
        for start in range(0, len(wanted), _PAGE):
            yield from self.at(wanted[start : start + _PAGE])
            rows = (self._by_position.get(at) for at in wanted[start : start + _PAGE])
            for row in rows:
                if row is not None and row.type == LINK_ADDED and split_causes(row.causes)[end] in ids:
                    cause, effect = split_causes(row.causes)
                    links.append((cause, effect, self._decode(row.data)))
        named = yield from self._named(each for cause, effect, _ in links for each in (cause, effect))
        return [
            Edge(named[cause].position, named[effect].position, data["kind"], data["strength"])
            for cause, effect, data in links
            if cause in named and effect in named and self.shows(named[cause]) and self.shows(named[effect])
        ]

    def walk(self, starts: Iterable[StoredEvent], direction: Direction, depth: int | None = None) -> Program[Web]:
        """Return what lies within so many steps of some events, and every way among that."""
        web = Web()
        starts = list(starts)
        self.know(starts)
        web.events.update({row.position: row for row in starts})
        for way in ("causes", "effects") if direction == "both" else (direction,):
            yield from self._walk(web, starts, way, depth)
        if direction == "both" or depth is not None:
            # Some ways among what was found lead past where the walk went.
            yield from self._connect(web, web.events.values())
        return web

    def go_on(self, web: Web, rows: Iterable[StoredEvent]) -> Program[None]:
        """Take some events into a web of events and all that led to them, and what led to these."""
        fresh = [row for row in rows if row.position not in web.events]
        self.know(fresh)
        web.events.update({row.position: row for row in fresh})
        yield from self._walk(web, fresh, "causes", None)

    def _walk(self, web: Web, starts: list[StoredEvent], way: str, depth: int | None) -> Program[None]:
        frontier, left = starts, depth
        while frontier and (left is None or left > 0):
            edges = yield from (self.causes(frontier) if way == "causes" else self.effects(frontier))
            frontier = []
            for edge in edges:
                web.add(edge)
                end = edge.cause if way == "causes" else edge.effect
                if end not in web.events:
                    web.events[end] = self._by_position[end]
                    frontier.append(web.events[end])
            left = None if left is None else left - 1

    def _connect(self, web: Web, rows: Iterable[StoredEvent]) -> Program[None]:
        for edge in (yield from self.causes(list(rows))):
            if edge.cause in web.events:
                web.add(edge)

    def among(self, rows: Iterable[StoredEvent]) -> Program[Web]:
        """Return some events with the ways between them."""
        rows = [row for row in rows if row.type != LINK_ADDED]
        self.know(rows)
        web = Web()
        web.events = {row.position: row for row in rows}
        yield from self._connect(web, rows)
        return web
