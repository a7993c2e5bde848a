"""Who writes, because of what: the context of a write, in the form that drafts carry."""

from __future__ import annotations

from typing import NamedTuple


class Author(NamedTuple):
    """The resolved context of one write, packed as engines keep it."""

    correlation: bytes | None = None
    causes: bytes | None = None
    actor: bytes | None = None
    extra: bytes | None = None


NOBODY = Author()
