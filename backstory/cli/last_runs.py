"""What became of the last run of each schedule of backups, as the log tells it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from datetime import datetime

    from backstory.domain.events import RecordedEvent
    from backstory.schedules import Schedule
    from backstory.store import StateStore

__all__ = ["LastRun", "last_runs"]


class LastRun(NamedTuple):
    """When a run began, and what it came to: None where it has not ended, or was cut off."""

    begun_at: datetime
    ok: bool | None = None
    backup_id: str | None = None
    error: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {**self._asdict(), "begun_at": self.begun_at.isoformat()}

    def in_a_word(self) -> str:
        """Return how it went."""
        return "not ended" if self.ok is None else "made" if self.ok else "failed"


def last_runs(store: StateStore, known: Iterable[Schedule]) -> dict[str, LastRun]:
    """Return the last run of each schedule that has run, by name."""
    from backstory.backups.scheduled import BACKUP_BOOK

    begun: dict[str, RecordedEvent] = {}
    ended: dict[Any, RecordedEvent] = {}
    for event in store.log(scope=BACKUP_BOOK.stream, types=(BACKUP_BOOK.started, "backup.completed", "backup.failed")):
        if event.type == BACKUP_BOOK.started:
            begun[event.data["schedule"]] = event
        else:
            ended |= dict.fromkeys(event.causation_ids, event)
    # Of one that replaced another of its name, what came before is none of its runs.
    mine = {each.name: begun[each.name] for each in known if each.runs and each.name in begun}
    return {name: _run(event, ended.get(event.event_id)) for name, event in mine.items()}


def _run(begun: RecordedEvent, ended: RecordedEvent | None) -> LastRun:
    if ended is None:
        return LastRun(begun.recorded_at)
    said = ended.data
    return LastRun(begun.recorded_at, said["error"] is None, said["backup_id"], said["error"])
