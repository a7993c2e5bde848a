"""Writers: who has written to a store and not closed it; a dead one means a close look.

The look checks the chain of everything written since the dead writer came. What was
acknowledged is there because it was on disk before; this says so, or where it is not so.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from backstory.domain.branches import FOREVER, Lineage
from backstory.domain.chain import genesis, link_of
from backstory.domain.errors import IntegrityError
from backstory.domain.ports import LogQuery, Program, Reader, Recovery
from backstory.infrastructure.sql.statements import Ask, Exclusive

_PAGE: Final = 2000
#: States of a process that has ended, whether or not anybody has waited for it.
_ENDED: Final = frozenset("ZXx")


class Writer:
    """This process as a writer of one store."""

    def __init__(self, identity: str) -> None:
        self.id: Final = identity
        self.added = False

    def row(self, since: int) -> dict[str, Any]:
        """Return the row that announces it; `since` is the head when it came."""
        pid = os.getpid()
        return {"id": self.id, "pid": pid, "boot": _boot(), "started": _started(pid), "since": since}


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _started(pid: int) -> str:
    """Return when a process started, as its system counts; a reused pid has another time, one that ended none."""
    try:
        state, *facts = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return "" if state in _ENDED else facts[18]
    except (OSError, ValueError, IndexError):
        return ""


def _alive(pid: int, boot: str, started: str) -> bool:
    if boot and boot != _boot():
        return False
    if started:
        return _started(pid) == started
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def lives_here(pid: int, boot: str, started: str) -> bool:
    """Return whether a process of this machine lives; False for another machine's, or where machines have no ids."""
    return bool(boot) and boot == _boot() and _alive(pid, boot, started)


def living_writers(queries: Mapping[str, str]) -> Program[set[str]]:
    """Return the ids of the writers that have not closed the store, and live; all are on this machine."""
    rows = yield Ask(queries["writers"], {})
    return {row[0] for row in rows if _alive(row[1], row[2], row[3])}


def look_for_dead(reader: Any, queries: Mapping[str, str]) -> Program[Recovery | None]:
    """Return what a dead writer left, after checking it; None if every writer closed or lives.

    Raises `IntegrityError` where the log is not what was acknowledged.
    """
    rows = yield Ask(queries["writers"], {})
    dead = [row for row in rows if not _alive(row[1], row[2], row[3])]
    if not dead:
        return None
    since = min(row[4] for row in dead)
    head = yield from _check(reader, since)
    if not reader.read_only:
        yield Exclusive(tuple(Ask(queries["remove_writer"], {"id": row[0]}) for row in dead))
    count = f"{len(dead)} writer{'s' if len(dead) > 1 else ''}"
    message = (
        f"{count} ended without closing the store; the {head - since} events since position {since} were "
        f"checked and are whole; the log ends at position {head}"
    )
    return Recovery(len(dead), since, head, message)


def _check(reader: Reader, since: int) -> Program[int]:
    head = yield from reader.head()
    rows = yield from reader.branches()
    everything: Lineage = tuple((row.id, FOREVER) for row in rows)
    previous = genesis(reader.log_id)  # type: ignore[attr-defined]
    if since:
        before = yield from reader.page(LogQuery(everything, since - 1, since))
        if not before:
            raise _short(head.position, since)
        previous = before[0].hash
    at = since
    while at < head.position:
        page = yield from reader.page(LogQuery(everything, at, head.position, limit=_PAGE))
        for event in page:
            if event.position != at + 1 or link_of(previous, event) != event.hash:
                raise IntegrityError(
                    f"the log is broken at position {at + 1}", position=at + 1, kind="hash", hint="Run `verify`."
                )
            at, previous = event.position, event.hash
        if not page:
            raise _short(at, head.position)
    return head.position


def _short(end: int, wanted: int) -> IntegrityError:
    return IntegrityError(f"the log ends at position {end}, but it went to {wanted}", position=end, kind="gap")
