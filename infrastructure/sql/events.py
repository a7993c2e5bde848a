"""Events: whole ones read from SQL, by id, by position, along the log or along a stream, as rows or as records."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import orjson

from backstory.domain.branches import FOREVER, Lineage
from backstory.domain.errors import IntegrityError
from backstory.domain.events import StoredEvent
from backstory.domain.packed_events import PackedPage, Touch, packed_page
from backstory.domain.ports import LogQuery, Program
from backstory.infrastructure.sql.names import Names
from backstory.infrastructure.sql.query import conditions
from backstory.infrastructure.sql.statements import Ask

__all__ = ["EventReader"]

Row = tuple[Any, ...]
#: A row as an event, without a call in between: whole logs go through here.
_event: Final[Callable[[Row], StoredEvent]] = partial(tuple.__new__, StoredEvent)


class EventReader:
    """Questions to a SQL engine for events."""

    def __init__(self, queries: Mapping[str, str], names: Names, *, glob: str) -> None:
        self._q = queries
        self.names = names
        self._glob = glob

    def stream_version(self, lineage: Lineage, stream: str, position: int) -> Program[int]:
        """Return how many events a stream has at or before a position."""
        for branch, limit in lineage:
            home = yield from self.names.find_stream(branch, stream)
            if home is not None:
                version = yield from self._version_at(home, min(limit, position))
                if version:
                    return version
        return 0

    def _version_at(self, home: int, bound: int) -> Program[int]:
        """Return the last version at or before a position by binary search, 0 where there is none."""
        last = yield Ask(self._q["last_version"], {"stream": home})
        if not last or last[0][1] <= bound:
            return int(last[0][0]) if last else 0
        high = last[0][0] - 1
        first = yield Ask(self._q["first_version"], {"stream": home})
        low = first[0][0] - 1
        found = 0
        while low < high:
            middle = (low + high + 1) // 2
            version, at = (yield Ask(self._q["version_below"], {"stream": home, "version": middle}))[0]
            if at <= bound:
                low, found = middle, version
            else:
                high = version - 1
        return int(found)

    def event(self, event_id: bytes) -> Program[StoredEvent | None]:
        """Return the event with this id, or None."""
        found = yield from self._recorded("e.event_id = :event_id", {"event_id": event_id})
        return found[0] if found else None

    def events(self, ids: Sequence[bytes]) -> Program[list[StoredEvent | None]]:
        """Return the event of each id, or None, in the order asked."""
        found = yield from self._recorded(self._q["among_ids"], {"ids": self.array(ids)})
        by_id = {event.event_id: event for event in found}
        return [by_id.get(event_id) for event_id in ids]

    def events_at(self, positions: Sequence[int]) -> Program[list[StoredEvent]]:
        """Return the events at these positions, in log order."""
        ask = {"positions": self.array(positions)}
        return (yield from self._recorded(self._q["among_positions"], ask, "ORDER BY e.position"))

    @staticmethod
    def array(values: Sequence[int] | Sequence[bytes]) -> str:
        """Return a list as a parameter: a JSON array, bytes in hexadecimal."""
        return orjson.dumps([value.hex() if isinstance(value, bytes) else value for value in values]).decode()

    def page(self, query: LogQuery) -> Program[list[StoredEvent]]:
        """Return events that match, in log order or reverse."""
        if query.stream is not None:
            return list(map(_event, (yield from self._along_stream("recorded", query, query.stream))))
        rows = yield self._along_log("recorded", query)
        return list(map(_event, rows))

    def packed(self, query: LogQuery) -> Program[PackedPage]:
        """Return events that match, as records: along the log it is the database that puts all of them together."""
        if query.stream is not None:
            return packed_page((yield from self.page(query)))
        ask = self._along_log("packed", query)
        rows = yield ask._replace(sql=f"{self._q['packed_page']} ({ask.sql}) page", binary=True)
        count, first, last, records, touches = rows[0]
        return PackedPage(count, first or 0, last or 0, records or b"", partial(_touches, touches or b"[]"))

    def weight(self, query: LogQuery) -> Program[int]:
        """Return how many bytes of data match."""
        if query.stream is not None:
            return sum(size for (size,) in (yield from self._along_stream("sizes", query, query.stream)))
        ask = self._along_log("sizes", query)
        rows = yield ask._replace(sql=f"SELECT coalesce(sum(size), 0) FROM ({ask.sql}) page")
        return int(rows[0][0])

    def _along_log(self, statement: str, query: LogQuery) -> Ask:
        where, params = conditions(query, glob=self._glob)
        bounds = "e.position > :after AND e.position <= :until"
        order = f"ORDER BY e.position {'DESC' if query.reverse else 'ASC'} LIMIT :limit"
        params.update(after=query.after, until=query.until, limit=query.limit)
        if len(query.lineage) == 1:
            where = ["e.branch = :branch", *where]
            params["branch"] = query.lineage[0][0]
        else:
            where = [_lineage_condition(query.lineage), *where]
        return self._ask(statement, " AND ".join([bounds, *where]), params, order)

    def _along_stream(self, statement: str, query: LogQuery, stream: str) -> Program[list[Row]]:
        """Go along a stream's versions: its index is in log order."""
        low = (yield from self.stream_version(query.lineage, stream, query.after)) if query.after else 0
        where, params = conditions(query, glob=self._glob)
        bounds = ("e.version >= :low", "e.position > :after", "e.position <= :until")
        where = ["e.stream = :stream", *bounds, *where]
        params.update(low=low, after=query.after)
        order = f"ORDER BY e.version {'DESC' if query.reverse else 'ASC'} LIMIT :limit"
        found: list[Row] = []
        for branch, limit in query.lineage if query.reverse else reversed(query.lineage):
            home = yield from self.names.find_stream(branch, stream)
            if home is None or len(found) == query.limit:
                continue
            ask = {"stream": home, "until": min(limit, query.until), "limit": query.limit - len(found)}
            found.extend((yield self._ask(statement, " AND ".join(where), {**params, **ask}, order)))
        return found

    def _recorded(self, where: str, params: Mapping[str, object], order: str = "") -> Program[list[StoredEvent]]:
        rows = yield self._ask("recorded", where, params, order)
        return list(map(_event, rows))

    def _ask(self, statement: str, where: str, params: Mapping[str, object], order: str) -> Ask:
        return Ask(f"{self._q[statement]} AND {where} {order}", params)


def _lineage_condition(lineage: Lineage) -> str:
    whole = [str(int(branch)) for branch, limit in lineage if limit >= FOREVER]
    parts = [
        f"(e.branch = {int(branch)} AND e.position <= {int(limit)})" for branch, limit in lineage if limit < FOREVER
    ]
    # Branches without bound in one list, since all there ever were may be more than a chain of ORs can be long.
    return "(" + " OR ".join([f"e.branch IN ({', '.join(whole)})"] * bool(whole) + parts) + ")"


def _touches(encoded: bytes) -> Sequence[Touch]:
    try:
        found: Sequence[Touch] = orjson.loads(encoded)
    except orjson.JSONDecodeError as error:
        raise IntegrityError(f"a name in the log is no text: {error}", kind="encoding") from error
    return found
