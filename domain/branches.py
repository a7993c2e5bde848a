"""Branches: a fork is a row that names its parent and a position; nothing is copied.

A branch shows its parent's events up to the fork and then its own. Its lineage is the list of
branches to ask, nearest first, each with the last position that counts there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from backstory.domain.errors import NotFoundError

MAIN: Final = 0
MAIN_NAME: Final = "main"
FOREVER: Final = 2**62

Lineage = tuple[tuple[int, int], ...]
MAIN_LINEAGE: Final[Lineage] = ((MAIN, FOREVER),)


class BranchRow(NamedTuple):
    """A branch as engines keep it; `dropped` is the position of its end, 0 while it lives."""

    id: int
    name: str
    parent: int | None
    position: int
    created_us: int
    dropped: int


@dataclass(frozen=True, slots=True)
class Branch:
    """A named line of history: it left `parent` after `position`."""

    name: str
    parent: str | None
    position: int
    created_at: datetime | None


def find_branch(rows: Iterable[BranchRow], name: str) -> BranchRow | None:
    """Return the living branch of this name, or None."""
    return next((row for row in rows if row.name == name and not row.dropped), None)


def get_branch(rows: Iterable[BranchRow], name: str) -> BranchRow:
    """Return the living branch of this name; raises `NotFoundError`."""
    found = find_branch(rows, name)
    if found is None:
        raise NotFoundError(what="branch", name=name, hint="`branches()` lists those that exist.")
    return found


def lineage_of(rows: Iterable[BranchRow], branch: int) -> Lineage:
    """Return the lineage of a branch: itself without bound, then each ancestor up to its fork."""
    by_id = {row.id: row for row in rows}
    row = by_id[branch]
    steps = [(row.id, FOREVER)]
    limit = FOREVER
    while row.parent is not None:
        limit = min(limit, row.position)
        row = by_id[row.parent]
        steps.append((row.id, limit))
    return tuple(steps)
