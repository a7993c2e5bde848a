"""Names: streams, keys and types are numbers in the tables; what number a name has never changes.

So a process may remember it for ever. Numbers given in a transaction are remembered only
when it has committed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import orjson

from backstory.domain.ports import Program
from backstory.infrastructure.programs import gather
from backstory.infrastructure.sql.statements import Ask

STATE: Final = 0
OTHER: Final = 1
_MOST: Final = 200_000
#: From how many names on a statement for all of them is worth its JSON.
_FEW: Final = 4
_BATCH: Final = 10_000


class Names:
    """The numbers that this process knows."""

    def __init__(self, queries: Mapping[str, str]) -> None:
        self._q = queries
        self.streams: dict[tuple[int, str], int] = {}
        self.keys: dict[tuple[int, int, str], int] = {}
        self.types: dict[str, int] = {"state.set": 1, "state.deleted": 2, "scope.cleared": 3, "state.expired": 4}

    def find_stream(self, branch: int, name: str) -> Program[int | None]:
        """Return a stream's number, or None."""
        known = self.streams.get((branch, name))
        if known is not None:
            return known
        rows = yield Ask(self._q["stream_id"], {"branch": branch, "name": name})
        if not rows:
            return None
        self._bound(self.streams)
        self.streams[branch, name] = rows[0][0]
        return int(rows[0][0])

    def find_key(self, stream: int, kind: int, name: str) -> Program[int | None]:
        """Return a key's number, or None."""
        known = self.keys.get((stream, kind, name))
        if known is not None:
            return known
        rows = yield Ask(self._q["key_id"], {"stream": stream, "kind": kind, "name": name})
        if not rows:
            return None
        self._bound(self.keys)
        self.keys[stream, kind, name] = rows[0][0]
        return int(rows[0][0])

    @staticmethod
    def _bound(known: dict[tuple[int, str], int] | dict[tuple[int, int, str], int]) -> None:
        if len(known) >= _MOST:
            known.clear()


def _json(names: Sequence[tuple[int, int, str]]) -> str:
    return orjson.dumps(names).decode()


class NewNames:
    """The numbers that one transaction looks up or gives; `keep` them when it has committed."""

    def __init__(self, names: Names, queries: Mapping[str, str]) -> None:
        self.settled: Final = names
        self._q = queries
        self._streams: dict[tuple[int, str], int] = {}
        self._keys: dict[tuple[int, int, str], int] = {}
        self._types: dict[str, int] = {}

    def known_stream(self, branch: int, name: str) -> int | None:
        """Return a stream's number if this process or transaction knows it."""
        return self.settled.streams.get((branch, name)) or self._streams.get((branch, name))

    def known_key(self, stream: int, kind: int, name: str) -> int | None:
        """Return a key's number if this process or transaction knows it."""
        return self.settled.keys.get((stream, kind, name)) or self._keys.get((stream, kind, name))

    def known_type(self, name: str) -> int | None:
        """Return a type's number if this process or transaction knows it."""
        return self.settled.types.get(name) or self._types.get(name)

    def stream(self, branch: int, name: str) -> Program[int]:
        """Return a stream's number, given now if need be."""
        known = self.known_stream(branch, name)
        if known is None:
            params: dict[str, object] = {"branch": branch, "name": name}
            known = yield from self._give("insert_stream", "stream_id", params)
            self._streams[branch, name] = known
        return known

    def key(self, stream: int, kind: int, name: str) -> Program[int]:
        """Return a key's number, given now if need be."""
        known = self.known_key(stream, kind, name)
        if known is None:
            params: dict[str, object] = {"stream": stream, "kind": kind, "name": name}
            known = yield from self._give("insert_key", "key_id", params)
            self._keys[stream, kind, name] = known
        return known

    def meet_keys(self, wanted: Sequence[tuple[int, int, str]]) -> Program[None]:
        """Give numbers to keys, many in a statement; those that are not new take another one."""
        if len(wanted) <= _FEW:
            yield from gather([self.key(*at) for at in wanted])
            return
        for at in range(0, len(wanted), _BATCH):
            batch = wanted[at : at + _BATCH]
            self._learn((yield Ask(self._q["insert_keys"], {"names": _json(batch)})))
            known = [one for one in batch if one not in self._keys]
            if known:
                self._learn((yield Ask(self._q["find_keys"], {"names": _json(known)})))

    def _learn(self, rows: Iterable[tuple[int, int, int, str]]) -> None:
        for number, stream, kind, name in rows:
            self._keys[stream, kind, name] = number

    def type(self, name: str) -> Program[int]:
        """Return a type's number, given now if need be."""
        known = self.known_type(name)
        if known is None:
            known = yield from self._give("insert_type", "type_id", {"name": name})
            self._types[name] = known
        return known

    def _give(self, insert: str, find: str, params: dict[str, object]) -> Program[int]:
        rows = yield Ask(self._q[insert], params)
        if not rows:
            rows = yield Ask(self._q[find], params)
        return int(rows[0][0])

    def keep(self) -> None:
        """Remember the numbers for ever: the transaction has committed."""
        names = self.settled
        for known, new in ((names.streams, self._streams), (names.keys, self._keys)):
            if len(known) + len(new) > _MOST:
                known.clear()
        names.streams.update(self._streams)
        names.keys.update(self._keys)
        names.types.update(self._types)
