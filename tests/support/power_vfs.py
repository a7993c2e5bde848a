"""A file system below SQLite whose power can be cut: what was not synced is lost, page by page, or torn.

The model is an operating system's page cache. Writes go to the cache; a sync brings a file's dirty
pages to the disk; a sync that fails forgets that they were dirty, as Linux does. When the power goes,
of each dirty page all, nothing or some sectors have reached the disk.
"""

from __future__ import annotations

import random
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import apsw

from tests.support.faulty_vfs import fail

if TYPE_CHECKING:
    from collections.abc import Iterator

_PAGE: Final = 4096
_SECTOR: Final = 512
_numbers = count()


class Medium:
    """One file: what programs see of it, and what is on the disk."""

    def __init__(self) -> None:
        self._cache = bytearray()
        self._disk = bytearray()
        self._dirty: set[int] = set()

    def write(self, data: bytes, offset: int) -> None:
        """Change the cache."""
        end = offset + len(data)
        self._cache.extend(bytes(max(0, end - len(self._cache))))
        self._cache[offset:end] = data
        self._dirty.update(range(offset // _PAGE, (end - 1) // _PAGE + 1))

    def truncate(self, size: int) -> None:
        """Cut the cache; a file system's journal orders this before what is synced later."""
        del self._cache[size:]
        self._dirty = {page for page in self._dirty if page * _PAGE < size}
        del self._disk[size:]

    def sync(self) -> None:
        """Bring every dirty page to the disk."""
        for page in self._dirty:
            self._keep(self._disk, page * _PAGE, _PAGE)
        self._dirty.clear()

    def sync_in_vain(self) -> None:
        """Fail to: the pages stay as they are in the cache, and count as clean."""
        self._dirty.clear()

    def after_power_cut(self, lots: random.Random) -> bytes:
        """Return what is on the disk after a power cut now: the worst, the best, or anything between."""
        disk = bytearray(self._disk)
        kept = lots.choice((0.0, 0.5, 1.0))
        for page in self._dirty:
            if lots.random() < kept:
                self._keep(disk, page * _PAGE, _PAGE)
            elif 0 < kept < 1:
                for sector in range(page * _PAGE, (page + 1) * _PAGE, _SECTOR):
                    if lots.random() < kept:
                        self._keep(disk, sector, _SECTOR)
        return bytes(disk)

    def _keep(self, disk: bytearray, start: int, size: int) -> None:
        data = self._cache[start : start + size]
        if data:
            disk.extend(bytes(max(0, start + len(data) - len(disk))))
            disk[start : start + len(data)] = data


class PowerVfs(apsw.VFS):
    """The system's file system on a machine whose power can be cut at a chosen operation."""

    def __init__(self, name: str) -> None:
        self.vfs_name: Final = name
        self.media: dict[str, Medium] = {}
        self.operations = 0
        self.off = False
        self._cut_at: int | None = None
        self._vain_at: int | None = None
        super().__init__(name, "")

    def cut_at(self, number: int | None, *, vain_at: int | None = None) -> None:
        """Start with an empty disk; cut the power at the so-many-th change, let one sync before it be in vain."""
        self.media.clear()
        self.operations = 0
        self.off = False
        self._cut_at, self._vain_at = number, vain_at

    def count(self, operation: str) -> bool:
        """Count a change, or fail as everything does without power; return whether a sync is in vain."""
        self.operations += 1
        self.off = self.off or (self._cut_at is not None and self.operations >= self._cut_at)
        if self.off:
            fail(operation)
        return self._vain_at is not None and self.operations >= self._vain_at

    def after_power_cut(self, folder: Path, lots: random.Random) -> None:
        """Write what is on the disk into another folder."""
        for name, medium in self.media.items():
            (folder / Path(name).name).write_bytes(medium.after_power_cut(lots))

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        """Open a file, as long as there is power."""
        if self.off:
            fail("open")
        path = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        return PowerFile(self, self.media.setdefault(path, Medium()), name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        """Delete a file, as long as there is power."""
        self.count("delete")
        self.media.pop(filename, None)
        super().xDelete(filename, syncdir)

    def excepthook(self, etype: object, evalue: object, etraceback: object) -> bool:
        """Say nothing: the lack of power is meant."""
        del etype, evalue, etraceback
        return True


class PowerFile(apsw.VFSFile):
    """A file that stands in the system's folder as programs see it, and in a `Medium` as the disk does."""

    def __init__(self, vfs: PowerVfs, medium: Medium, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        self._vfs = vfs
        self._medium = medium
        super().__init__("", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        """Write to the cache."""
        self._vfs.count("write")
        self._medium.write(data, offset)
        super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        """Cut the file."""
        self._vfs.count("truncate")
        self._medium.truncate(newsize)
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:  # noqa: N802
        """Bring the cache to the disk, or fail to."""
        del flags
        if self._vfs.count("sync"):
            self._vfs._vain_at = None
            self._medium.sync_in_vain()
            fail("sync")
        self._medium.sync()

    def excepthook(self, etype: object, evalue: object, etraceback: object) -> bool:
        """Say nothing: the lack of power is meant."""
        del etype, evalue, etraceback
        return True


@contextmanager
def power_vfs() -> Iterator[PowerVfs]:
    """Give a file system that is registered with SQLite for as long."""
    vfs = PowerVfs(f"power-{next(_numbers)}-{uuid4().hex}")
    try:
        yield vfs
    finally:
        vfs.unregister()
