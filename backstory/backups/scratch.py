"""Scratch: a temporary folder for what a restore or a validation needs on the way."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from backstory.domain.errors import BackupError

__all__ = ["scratch"]


@contextmanager
def scratch(purpose: str) -> Iterator[str]:
    """Give a folder that is gone afterwards; raises `BackupError` where none can be made."""
    try:
        folder = tempfile.TemporaryDirectory(prefix=f"backstory-{purpose}-", ignore_cleanup_errors=True)
    except OSError as error:
        raise BackupError(
            f"no temporary folder can be made: {error.strerror or error}",
            path=error.filename,
            hint="Make room for one, or name another place by the environment variable TMPDIR.",
        ) from error
    with folder as path:
        yield path
