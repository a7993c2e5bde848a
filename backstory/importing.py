"""Import of recorded agent runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from backstory.async_store import AsyncStateStore


class ImportProblem(NamedTuple):
    """A line that could not be imported, or not wholly."""

    line: int
    message: str


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did."""

    runs: int
    events: int
    skipped: int
    errors: list[ImportProblem]


async def import_runs(
    store: AsyncStateStore, path: str, *, format: str, progress: Callable[[int, int], None] | None
) -> ImportReport:
    raise NotImplementedError
