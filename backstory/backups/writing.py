"""Writing: the archive of a backup, part after part, and what is folded for it on the way; all of this blocks."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from itertools import compress, islice
from typing import Any, BinaryIO, Final

from backstory.backups.contents import ABOUT, CONSUMERS, EVENTS, RECORDS, SELECTED, STATE
from backstory.backups.entries import Entry, entry_at
from backstory.backups.wishes import Wish
from backstory.domain.branches import Lineage
from backstory.domain.packed_events import PackedPage
from backstory.domain.stands import pack_stand
from backstory.domain.state_hash import StateHash
from backstory.infrastructure.archives.writer import ArchiveWriter
from backstory.infrastructure.codec import encode_value
from backstory.infrastructure.sqlite.folded_state import FoldedState

__all__ = ["Job"]

#: So many events are folded before those in other threads who commit have the interpreter for a moment.
_SLICE: Final = 100
#: While nobody commits, so many times that: others may want it too, and a moment of sleep costs 0.1 ms.
_IDLE_SLICES: Final = 10


class Job:
    """An archive that is being written, and what is folded for it; its methods block."""

    def __init__(self, wish: Wish, name: str, backup_id: str, lineage: Lineage, *, busy: Callable[[], bool]) -> None:
        self.wish: Final = wish
        self._name = name
        self._backup_id = backup_id
        self._lineage = lineage
        self._place: AbstractContextManager[BinaryIO] | None = None
        self._writer: ArchiveWriter | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="backstory-backup")
        self.folded = FoldedState(lineage)
        self._busy = busy
        self._slices = 0
        self._underway: Future[None] | None = None
        self._named = False
        self.events = 0

    def begin(self, branch: str) -> None:
        """Open the file, and say what it is of; raises as targets and archives do."""
        place = self.wish.target.writing(self._name)
        file = place.__enter__()
        self._place = place
        self._writer = writer = ArchiveWriter(
            file,
            backup_id=self._backup_id,
            compression=self.wish.compression,
            level=self.wish.level,
            encryption=self.wish.encryption,
            name=self.wish.target.path_of(self._name),
        )
        writer.begin(ABOUT)
        writer.write(
            encode_value({"records": RECORDS, "branch": branch, "lineage": [list(each) for each in self._lineage]})
        )
        writer.begin(EVENTS if self.wish.scopes is None else SELECTED)

    def take(self, page: PackedPage) -> None:
        """Write and fold the next events, in a thread of its own: meanwhile others can be read."""
        self.settle()
        self.events += page.events
        self._underway = self._thread.submit(self._take, page)

    def settle(self) -> None:
        """Wait for what is under way; raises what it met."""
        underway, self._underway = self._underway, None
        if underway is not None:
            underway.result()

    def _take(self, page: PackedPage) -> None:
        assert self._writer is not None
        self._writer.write_framed(page.records, page.events)
        touches = page.touches()
        for start in range(0, page.events, _SLICE):
            self.folded.take(touches[start : start + _SLICE], partial(_record, page, start))
            self._step_aside()

    def _step_aside(self) -> None:
        """Let whoever waits for the interpreter go first: while somebody commits each time, else now and then."""
        self._slices += 1
        if self._busy() or not self._slices % _IDLE_SLICES:
            time.sleep(0)

    def write_state(self, instant_us: int) -> StateHash:
        """Write where the keys stand that were touched; return what these come to at an instant."""
        assert self._writer is not None
        found = StateHash()
        self._writer.begin(STATE)
        stands = self.folded.stands()
        while batch := list(islice(stands, _SLICE)):
            records = list(map(pack_stand, batch))
            found.add_all(list(compress(records, [stand.present(instant_us) for stand in batch])))
            self._writer.write_all(records)
            self._step_aside()
        return found

    def finish(self, info: dict[str, Any], consumers: dict[str, int]) -> Entry:
        """Write what is left, bring the file to disk under its name, and return it as it is listed."""
        assert self._writer is not None
        assert self._place is not None
        writer, target = self._writer, self.wish.target
        if self.wish.scopes is None:
            writer.begin(CONSUMERS)
            writer.write_all(encode_value(list(each)) for each in sorted(consumers.items()))
        writer.finish(info)
        place, self._place = self._place, None
        place.__exit__(None, None, None)
        self._named = True
        self.folded.close()
        self._thread.shutdown()
        with target.reading(self._name) as file:
            return entry_at(file, path=target.path_of(self._name), name=self._name)

    def abandon(self, error: BaseException) -> None:
        """Leave nothing behind: neither what was begun, nor a file that nobody waits for any more."""
        self._thread.shutdown()
        self.folded.close()
        try:
            if self._place is not None:
                place, self._place = self._place, None
                place.__exit__(type(error), error, error.__traceback__)
            elif self._named:
                self.wish.target.delete(self._name)
        except BaseException as again:  # noqa: BLE001 - the context manager raises again what it was given
            if again is not error:
                error.add_note(f"and: {again}")


def _record(page: PackedPage, start: int, at: int) -> bytes:
    return page.record(start + at)
