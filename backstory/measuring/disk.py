"""The disk: how often it makes a small write durable, for it swings within minutes."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

_RECORD: Final = bytes(200)
_sync: Final = getattr(os, "fdatasync", os.fsync)


def fsync_rate(folder: Path, *, seconds: float = 0.1) -> float:
    """Return how many writes of 200 bytes, each made durable, a file in this folder takes a second."""
    path = folder / "fsync-sample"
    file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    try:
        started = time.perf_counter()
        deadline = started + seconds
        count, now = 0, started
        while now < deadline:
            os.write(file, _RECORD)
            _sync(file)
            count += 1
            now = time.perf_counter()
        return count / (now - started)
    finally:
        os.close(file)
        path.unlink()


def size_of(folder: Path) -> int:
    """Return the bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
