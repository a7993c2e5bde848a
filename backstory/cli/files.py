"""Files that a command writes: each appears only when it is whole."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from backstory.cli.failures import OutputError


def write_whole(path: str, chunks: Iterable[bytes]) -> int:
    """Write bytes into a file that appears only when it is whole; return how many chunks. Raises `OutputError`."""
    target = Path(path)
    count = 0
    temporary: str | None = None
    try:
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:100]}.")
        with os.fdopen(handle, "wb") as file:
            for chunk in chunks:
                file.write(chunk)
                count += 1
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o666 & ~_umask())
        Path(temporary).replace(target)
        temporary = None
    except OSError as error:
        raise OutputError(error, path=path) from error
    finally:
        if temporary is not None:
            with suppress(OSError):
                Path(temporary).unlink()
    return count


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
