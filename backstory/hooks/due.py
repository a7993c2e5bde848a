"""Due hooks: a write says itself which background hooks it is due for, and who sees to them.

So nothing has to be remembered beside the log: what is due and has no execution is still to be done.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

from backstory.infrastructure import codec

_WRITER_CHARACTERS: Final = 16
_MARK: Final = b'"due":["'


class Due(NamedTuple):
    """Whose work it is, and the names of the hooks."""

    writer: str
    hooks: tuple[str, ...]


def short(writer_id: str) -> str:
    """Return the part of a writer's id that marks and marks' places hold."""
    return writer_id[:_WRITER_CHARACTERS]


@lru_cache(maxsize=1024)
def marked(extra: bytes | None, writer: str, hooks: tuple[str, ...]) -> bytes:
    """Return the extra parts of a write with its due hooks."""
    said = codec.encode_value({"due": [writer, *hooks]})
    return said if extra is None else extra[:-1] + b"," + said[1:]


@lru_cache(maxsize=1024)
def due_of(extra: bytes | None) -> Due | None:
    """Return what a write is due for, or None."""
    if extra is None or _MARK not in extra:
        return None
    found = codec.decode_value(extra).get("due")
    return None if found is None else Due(found[0], tuple(found[1:]))
