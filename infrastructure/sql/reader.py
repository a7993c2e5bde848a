"""Reading: the port's questions as programs of SQL statements, the same for every SQL engine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from backstory.domain.branches import FOREVER, BranchRow, Lineage
from backstory.domain.chain import genesis
from backstory.domain.commits import NEVER, KeyHead
from backstory.domain.events import StoredEvent
from backstory.domain.ports import Held, LogHead, Program, ProjectionInfo, StateRow
from backstory.infrastructure.sql.events import EventReader
from backstory.infrastructure.sql.names import STATE
from backstory.infrastructure.sql.query import as_glob, as_like
from backstory.infrastructure.sql.statements import Ask, Exclusive

SET_TYPE: Final = 1
#: So many rows of the projection come at once.
_ROWS: Final = 5000
Last = tuple[int, int, int, int | None, bytes]


class SqlReader(EventReader):
    """Questions to a SQL engine. `log_id` is set by the engine."""

    log_id: bytes

    # Places

    def head(self) -> Program[LogHead]:
        """Return the log's last event's place."""
        rows = yield Ask(self._q["head"], {})
        return LogHead(*rows[0]) if rows else LogHead(0, 0, genesis(self.log_id))

    def instant_of(self, position: int) -> Program[int]:
        """Return when the event at a position was recorded."""
        rows = yield Ask(self._q["instant_of"], {"position": position})
        return rows[0][0] if rows else 0

    def position_at(self, instant_us: int) -> Program[int]:
        """Return the last position recorded at or before an instant."""
        rows = yield Ask(self._q["position_at"], {"instant": max(min(instant_us, FOREVER), -FOREVER)})
        return int(rows[0][0])

    # Keys

    def key_head(self, lineage: Lineage, stream: str, key: str, position: int) -> Program[KeyHead]:
        """Return what last happened to a key."""
        visited: list[tuple[int, int]] = []
        for branch, limit in lineage:
            home = self.names.streams.get((branch, stream)) or (yield from self.names.find_stream(branch, stream))
            if home is None:
                continue
            bound = min(limit, position)
            visited.append((home, bound))
            number = self.names.keys.get((home, STATE, key)) or (yield from self.names.find_key(home, STATE, key))
            if number is None:
                continue
            rows = yield Ask(self._q["key_head"], {"stream": home, "key": number, "position": bound})
            if not rows:
                continue
            version, at, kind, expires_us, data, cleared = rows[0]
            if kind != SET_TYPE:
                return KeyHead(version, at, False, None, None)
            if len(visited) == 1 and (cleared is None or cleared < at):
                return KeyHead(version, at, True, expires_us, data)
            return (yield from self._unless_cleared((version, at, kind, expires_us, data), visited))
        return NEVER

    def key_now(self, lineage: Lineage, stream: str, key: str) -> Program[KeyHead]:
        """Return what last happened to a key so far."""
        return self.key_head(lineage, stream, key, FOREVER)

    def _unless_cleared(self, last: Last, visited: list[tuple[int, int]]) -> Program[KeyHead]:
        """Return the head of a key whose last event is a set that a clear may have undone."""
        version, at, _, expires_us, data = last
        for home, bound in reversed(visited):
            rows = yield Ask(self._q["first_clear"], {"stream": home, "after": at, "position": bound})
            if rows:
                return cleared_head(last, rows[0])
        return KeyHead(version, at, True, expires_us, data)

    def key_events(self, lineage: Lineage, stream: str, key: str, position: int) -> Program[list[StoredEvent]]:
        """Return the key's state events and its stream's clears, in log order."""
        found: list[StoredEvent] = []
        for branch, limit in reversed(lineage):
            home = yield from self.names.find_stream(branch, stream)
            if home is None:
                continue
            number = yield from self.names.find_key(home, STATE, key)
            ask = {"stream": home, "key": number or 0, "position": min(limit, position)}
            where = f"e.position IN ({self._q['key_positions']})"
            found.extend((yield from self._recorded(where, ask, "ORDER BY e.position")))
        return found

    def listing(
        self, lineage: Lineage, stream: str, position: int | None, prefix: str
    ) -> Program[list[tuple[str, KeyHead]]]:
        """Return the live keys of a stream, sorted."""
        if position is None and len(lineage) == 1 and (yield from self.state_kept()):
            home = yield from self.names.find_stream(lineage[0][0], stream)
            if home is None:
                return []
            rows = yield Ask(self._q["current"], {"stream": home})
            return sorted(
                (name, KeyHead(version, at, True, expires_us, data))
                for name, version, at, expires_us, data in rows
                if name.startswith(prefix)
            )
        if position is None:
            position = (yield from self.head()).position
        found: dict[str, KeyHead] = {}
        nearer: list[tuple[Any, ...]] = []
        for branch, limit in lineage:
            home = yield from self.names.find_stream(branch, stream)
            if home is None:
                continue
            ask = {"stream": home, "position": min(limit, position)}
            nearer = sorted([*nearer, *(yield Ask(self._q["clears_of_stream"], ask))])
            for name, *last in (yield Ask(self._q["last_of_stream"], ask)):
                if name not in found and name.startswith(prefix):
                    found[name] = _turned(last, nearer)
        return sorted((name, head) for name, head in found.items() if head.live)

    def whole(self, lineage: Lineage, position: int) -> Program[dict[str, dict[str, Held]]]:
        """Return the live values of all streams."""
        found: dict[str, dict[str, Held | None]] = {}
        nearer: dict[str, list[tuple[Any, ...]]] = {}
        for branch, limit in lineage:
            ask = {"branch": branch, "position": min(limit, position)}
            for stream, *clear in (yield Ask(self._q["clears_of_branch"], ask)):
                nearer.setdefault(stream, []).append(tuple(clear))
            for clears in nearer.values():
                clears.sort()
            _take((yield Ask(self._q["last_of_branch"], ask)), nearer, found)
        return {
            stream: {name: held for name, held in keys.items() if held is not None} for stream, keys in found.items()
        }

    # Streams and the log

    def streams(self, lineage: Lineage, position: int) -> Program[list[str]]:
        """Return the streams with an event."""
        found: set[str] = set()
        for branch, limit in lineage:
            rows = yield Ask(self._q["streams"], {"branch": branch, "position": min(limit, position)})
            found.update(row[0] for row in rows)
        return sorted(found)

    def present(self, branch: int, now_us: int) -> Program[list[str] | None]:
        """Return the streams of a branch of its own that hold a value now; None without the projection."""
        if not (yield from self.state_kept()):
            return None
        rows = yield Ask(self._q["present"], {"branch": branch, "now": now_us})
        return sorted(row[0] for row in rows)

    # Causes

    def effects(self, lineage: Lineage, positions: Sequence[int], until: int) -> Program[list[tuple[int, int]]]:
        """Return (cause, effect) of these causes' effects on a lineage, sorted."""
        limits = dict(lineage)
        ask = {"positions": self.array(list(dict.fromkeys(positions))), "until": until}
        rows = yield Ask(self._q["effects"], ask)
        return sorted((cause, effect) for cause, effect, branch in rows if effect <= limits.get(branch, 0))

    def named_as_cause(self, positions: Sequence[int]) -> Program[set[int]]:
        """Return those of these positions that an event names as a cause."""
        rows = yield Ask(self._q["named_as_cause"], {"positions": self.array(positions)})
        return {position for (position,) in rows}

    # Expiry, branches, consumers

    def expiring(self, lineage: Lineage, since_us: int, until_us: int) -> Program[list[tuple[str, str]]]:
        """Return keys whose set expires in a span of time."""
        found: set[tuple[str, str]] = set()
        for branch, limit in lineage:
            ask = {"since": since_us, "until": until_us, "branch": branch, "position": limit}
            found.update((stream, key) for stream, key in (yield Ask(self._q["expiring"], ask)))
        return sorted(found)

    def expired(self, branch: int, now_us: int) -> Program[list[tuple[str, str]]]:
        """Return live keys whose value is expired and not swept."""
        rows = yield Ask(self._q["expired"], {"branch": branch, "now": now_us})
        return sorted((stream, key) for stream, key in rows)

    def branches(self) -> Program[list[BranchRow]]:
        """Return all branches ever made."""
        rows = yield Ask(self._q["branches"], {})
        return [BranchRow(*row) for row in rows]

    def tracking(self, name: str) -> Program[int | None]:
        """Return the highest position that a consumer stored."""
        rows = yield Ask(self._q["tracking"], {"name": name})
        return rows[0][0] if rows else None

    def trackings(self, prefix: str) -> Program[dict[str, int]]:
        """Return the position of every consumer whose name begins with a text."""
        like = self._glob.format(param="pattern")
        pattern = (as_glob if "GLOB" in like else as_like)(prefix + "*")
        rows = yield Ask(f"{self._q['trackings']} WHERE {like}", {"pattern": pattern})
        return {name: position for name, position in rows if name.startswith(prefix)}  # a `*` of its own is none here

    # Care

    def state_kept(self) -> Program[bool]:
        """Return whether the current-state projection is kept."""
        rows = yield Ask(self._q["projection"], {})
        return bool(rows[0][0])

    def rebuild_state(self) -> Program[ProjectionInfo]:
        """Build the current-state projection again, in the database."""
        yield Exclusive(
            (
                Ask(self._q["drop_state"], {}),
                Ask(self._q["rebuild_state"], {}),
                Ask(self._q["keep_state"], {"kept": 1}),
            )
        )
        return (yield from self.projections())[0]

    def drop_state(self) -> Program[None]:
        """Drop the current-state projection."""
        yield Exclusive((Ask(self._q["drop_state"], {}), Ask(self._q["keep_state"], {"kept": 0})))

    def state_rows(self, after: tuple[int, int]) -> Program[list[StateRow]]:
        """Return the projection's next rows."""
        stream, key = after
        rows = yield Ask(self._q["state_rows"], {"stream": stream, "key": key, "limit": _ROWS})
        return [StateRow((home, number), *row) for home, number, *row in rows]

    def rebuild_causes(self) -> Program[ProjectionInfo]:
        """Build the index from causes to effects again, in the database."""
        build = f"INSERT INTO causes (cause, effect) {self._q['named_causes']}"
        yield Exclusive((Ask(self._q["drop_causes"], {}), Ask(build, {})))
        return (yield from self.projections())[1]

    def causes_amiss(self) -> Program[list[int]]:
        """Return the effects of which the index says something else than the events, sorted."""
        named, indexed = self._q["named_causes"], "SELECT cause, effect FROM causes"
        missing = yield Ask(f"SELECT effect FROM ({named} EXCEPT {indexed}) AS missing", {})
        invented = yield Ask(
            f"SELECT effect FROM ({indexed} EXCEPT SELECT cause, effect FROM ({named}) AS n) AS invented", {}
        )
        return sorted({effect for (effect,) in (*missing, *invented)})

    def projections(self) -> Program[list[ProjectionInfo]]:
        """Return the stored projections; one that is kept stands at the head."""
        head = yield from self.head()
        kept = yield from self.state_kept()
        state = yield Ask(self._q["state_count"], {})
        causes = yield Ask(self._q["causes_count"], {})
        return [
            ProjectionInfo("state", head.position if kept else 0, state[0][0]),
            ProjectionInfo("causes", head.position, causes[0][0]),
        ]

    def numbers(self) -> Program[dict[str, int]]:
        """Return counts and sizes."""
        counts = yield Ask(self._q["counts"], {})
        size = yield Ask(self._q["size"], {})
        events, streams, keys, branches = counts[0]
        return {"events": events, "streams": streams, "keys": keys, "branches": branches, "bytes": int(size[0][0])}

    def damage(self) -> Program[list[str]]:
        """Return what the database finds wrong with its own files, and clears that reads would not find."""
        rows = yield Ask(self._q["damage"], {})
        amiss = yield Ask(self._q["clears_amiss"], {})
        return [*(text for (text,) in rows), *(f"the clear at position {at} is amiss" for (at,) in amiss)]


def cleared_head(last: Last, clear: tuple[Any, ...]) -> KeyHead:
    """Return the head of a set that a clear followed: untouched if it had expired by then."""
    version, at, _, expires_us, data = last
    position, cleared_version, recorded_us = clear
    if expires_us is None or expires_us > recorded_us:
        return KeyHead(cleared_version, position, False, None, None)
    return KeyHead(version, at, True, expires_us, data)


def _take(
    rows: Iterable[tuple[Any, ...]],
    nearer: Mapping[str, Sequence[tuple[Any, ...]]],
    found: dict[str, dict[str, Held | None]],
) -> None:
    """Add what a branch's keys hold, None for nothing, where no nearer branch says: whole states' hot loop."""
    for stream, name, version, at, kind, expires_us, data in rows:
        keys = found.get(stream)
        if keys is None:
            keys = found[stream] = {}
        if name in keys:
            continue
        if kind == SET_TYPE and stream not in nearer:
            keys[name] = (expires_us, data)
        else:
            head = _turned((version, at, kind, expires_us, data), nearer.get(stream, ()))
            keys[name] = None if head.data is None else (head.expires_us, head.data)


def _turned(last: Any, clears: Iterable[tuple[Any, ...]]) -> KeyHead:
    version, at, kind, expires_us, data = last
    if kind != SET_TYPE:
        return KeyHead(version, at, False, None, None)
    for clear in clears:
        if clear[0] > at:
            return cleared_head((version, at, kind, expires_us, data), clear)
    return KeyHead(version, at, True, expires_us, data)
