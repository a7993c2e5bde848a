"""A file system below SQLite that fails on demand.

`with faulty_vfs() as vfs: backstory.open(url, vfs=vfs.vfs_name)`
"""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Final, NoReturn
from uuid import uuid4

import apsw

if TYPE_CHECKING:
    from collections.abc import Iterator

_HALF: Final = 2
_numbers = count()


@dataclass(frozen=True)
class Fault:
    """What goes wrong: at the `number`-th operation of a kind, or from it on until it is healed."""

    operation: str
    kind: str
    number: int = 1
    lasting: bool = False


#: What can go wrong with each operation. Short: half is written; late: the whole is, and then an error comes.
FAULTS: Final = {
    "open": ("error",),
    "read": ("error",),
    "write": ("error", "full", "short", "short and full", "late"),
    "sync": ("error", "late"),
    "truncate": ("error", "late"),
    "delete": ("error",),
}
_CODES: Final = {
    "open": apsw.SQLITE_CANTOPEN,
    "read": apsw.SQLITE_IOERR_READ,
    "write": apsw.SQLITE_IOERR_WRITE,
    "sync": apsw.SQLITE_IOERR_FSYNC,
    "truncate": apsw.SQLITE_IOERR_TRUNCATE,
    "delete": apsw.SQLITE_IOERR_DELETE,
}


class FaultyVfs(apsw.VFS):
    """The system's file system, but for the fault that is armed."""

    def __init__(self, name: str) -> None:
        self.vfs_name: Final = name
        self.counts: Counter[str] = Counter()
        self.happened = 0
        self._fault: Fault | None = None
        super().__init__(name, "")

    def arm(self, fault: Fault) -> None:
        """Let a fault happen; operations are counted from here."""
        self.counts.clear()
        self.happened = 0
        self._fault = fault

    def heal(self) -> None:
        """Let nothing go wrong any more."""
        self._fault = None

    def due(self, operation: str) -> str | None:
        """Count an operation; return what is to go wrong with it, if anything."""
        self.counts[operation] += 1
        fault = self._fault
        if fault is None or fault.operation != operation or self.counts[operation] < fault.number:
            return None
        if self.counts[operation] > fault.number and not fault.lasting:
            return None
        self.happened += 1
        return fault.kind

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        """Open a file, unless it is time to fail."""
        if self.due("open") is not None:
            fail("open")
        return FaultyFile(self, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        """Delete a file, unless it is time to fail."""
        if self.due("delete") is not None:
            fail("delete")
        super().xDelete(filename, syncdir)

    def excepthook(self, etype: object, evalue: object, etraceback: object) -> bool:
        """Say nothing of faults that SQLite does not pass on: they are meant."""
        del etype, evalue, etraceback
        return True


class FaultyFile(apsw.VFSFile):
    """A file whose operations may fail."""

    def __init__(self, vfs: FaultyVfs, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        self._vfs = vfs
        super().__init__("", name, flags)

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802
        """Read, unless it is time to fail."""
        if self._vfs.due("read") is not None:
            fail("read")
        return super().xRead(amount, offset)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        """Write all, half or nothing."""
        kind = self._vfs.due("write")
        if kind in {None, "late"}:
            super().xWrite(data, offset)
        elif kind in {"short", "short and full"}:
            super().xWrite(data[: len(data) // _HALF], offset)
        if kind in {"full", "short and full"}:
            raise apsw.FullError("the disk is full, as the test wants it")
        if kind is not None:
            fail("write")

    def xSync(self, flags: int) -> None:  # noqa: N802
        """Bring what was written to the disk, or not."""
        kind = self._vfs.due("sync")
        if kind != "error":
            super().xSync(flags)
        if kind is not None:
            fail("sync")

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        """Cut the file, or not."""
        kind = self._vfs.due("truncate")
        if kind != "error":
            super().xTruncate(newsize)
        if kind is not None:
            fail("truncate")

    def excepthook(self, etype: object, evalue: object, etraceback: object) -> bool:
        """Say nothing of faults that SQLite does not pass on: they are meant."""
        del etype, evalue, etraceback
        return True


def fail(operation: str) -> NoReturn:
    """Raise what SQLite understands as a fault of the disk."""
    raise apsw.exception_for(_CODES[operation])


@contextmanager
def faulty_vfs() -> Iterator[FaultyVfs]:
    """Give a file system that is registered with SQLite for as long."""
    vfs = FaultyVfs(f"faulty-{next(_numbers)}-{uuid4().hex}")
    try:
        yield vfs
    finally:
        vfs.unregister()
