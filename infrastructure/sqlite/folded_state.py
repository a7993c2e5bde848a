"""Folded state: where the last write of each key stands; more of it than memory should hold is on disk.

What is folded is one branch's view. Whether a value is expired is up to whoever reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

import apsw

from backstory.domain.branches import Lineage
from backstory.domain.packed_events import Touch, unpack
from backstory.domain.sequencer import SCOPE_CLEARED, STATE_DELETED, STATE_SET
from backstory.domain.stands import Stand
from backstory.infrastructure import codec
from backstory.infrastructure.sqlite.overflow import made, making_room

__all__ = ["FoldedState"]

#: So many keys take some 20 MB.
_MOST: Final = 100_000
_REMOVED: Final = (0, None)
_CREATE: Final = """
CREATE TABLE stands (stream TEXT, key TEXT, position INTEGER, expires_us INTEGER, PRIMARY KEY (stream, key))
WITHOUT ROWID
"""


class FoldedState:
    """What some events did to the keys that they touch. Give it events in log order."""

    def __init__(self, lineage: Lineage, *, most: int = _MOST) -> None:
        self._limits = dict(lineage)
        self._most = most
        self._stands: dict[str, dict[str, tuple[int, int | None]]] = {}
        #: No more keys than this are in memory; counting them costs, so it is done now and then.
        self._bound = 0
        self._spilled: apsw.Connection | None = None

    def take(self, touches: Sequence[Touch], record_at: Callable[[int], bytes]) -> None:
        """Fold events; those of other branches are passed over. Their records are asked for by index, where needed.

        Raises `BackupError` where there is no room for a temporary file.
        """
        limits, stands = self._limits, self._stands
        for at, (position, branch, stream, kind, key, expires_us) in enumerate(touches):
            if position > limits.get(branch, 0):
                continue
            if kind == STATE_SET:  # it has a key, as a delete has; the type checker cannot know, and a look costs
                try:
                    stands[stream][key] = position, expires_us  # type: ignore[index]
                except KeyError:
                    stands[stream] = {key: (position, expires_us)}  # type: ignore[dict-item]
            elif kind == STATE_DELETED:
                stands.setdefault(stream, {})[key] = _REMOVED  # type: ignore[index]
            elif kind == SCOPE_CLEARED:
                cleared = codec.decode_value(unpack(record_at(at)).data)["keys"]
                stands.setdefault(stream, {}).update(dict.fromkeys(cleared, _REMOVED))
        self._bound += len(touches)
        self._make_room()

    def settle(self, told: Iterable[Stand]) -> None:
        """Take what another fold says of keys in place of what is known of them; raises as `take` does."""
        stands = self._stands
        for stream, key, position, expires_us in told:
            stands.setdefault(stream, {})[key] = position, expires_us
            self._bound += 1
            if self._bound > self._most:
                self._make_room()

    def stands(self) -> Iterator[Stand]:
        """Yield what became of each key, by scope and key."""
        if self._spilled is None:
            yield from self._kept()
            return
        self._spill()
        rows = self._spilled.execute("SELECT stream, key, position, expires_us FROM stands ORDER BY stream, key")
        for row in rows:
            yield Stand(*row)

    def _kept(self) -> Iterator[Stand]:
        new = tuple.__new__  # without the call in between: this runs for every key
        for stream in sorted(self._stands):
            for key, stand in sorted(self._stands[stream].items()):
                yield new(Stand, (stream, key, *stand))

    def _make_room(self) -> None:
        if self._bound > self._most:
            self._bound = sum(map(len, self._stands.values()))
            if self._bound > self._most // 2:
                self._spill()

    def _spill(self) -> None:
        with making_room("keys"):
            if self._spilled is None:
                self._spilled = made(_CREATE)
            with self._spilled:
                self._spilled.executemany("INSERT OR REPLACE INTO stands VALUES (?, ?, ?, ?)", self._kept())
        self._stands.clear()
        self._bound = 0

    def close(self) -> None:
        """Let go of what is on disk; idempotent."""
        if self._spilled is not None:
            self._spilled.close()
            self._spilled = None
        self._stands.clear()
