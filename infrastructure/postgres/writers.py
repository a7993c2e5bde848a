"""Writers of a PostgreSQL store: each holds a lock made of its id on the server as long as its session lasts.

One on this machine is looked for here as well, for it outlives its session when the server goes away. One on another
machine lives as long as the server keeps its session; it announces itself anew with the next one.
"""

from __future__ import annotations

from collections.abc import Mapping

from backstory.domain.ports import Program
from backstory.infrastructure.programs import Round
from backstory.infrastructure.sql.statements import Ask
from backstory.infrastructure.writers import lives_here


def hold(queries: Mapping[str, str], writer: str) -> Ask:
    """Return what takes a writer's lock for a session: shared, so that a lost session is in nobody's way."""
    return Ask(queries["hold_writer"], {"lock": _lock_of(writer)})


def living(queries: Mapping[str, str]) -> Program[set[str]]:
    """Return the ids of the writers that live."""
    dead, alive = yield from _sorted(queries)
    del dead
    return alive


def forget_dead(queries: Mapping[str, str], lock: int) -> Program[None]:
    """Remove the rows of writers that ended without closing; under the log's lock, where nobody announces itself."""
    dead, _ = yield from _sorted(queries)
    if not dead:
        return
    yield Ask(queries["begin"], {})
    yield Ask(queries["lock"], {"lock": lock})
    dead, _ = yield from _sorted(queries)
    yield Round([*(Ask(queries["remove_writer"], {"id": writer}) for writer in dead), Ask(queries["commit"], {})])


def _sorted(queries: Mapping[str, str]) -> Program[tuple[set[str], set[str]]]:
    """Return the dead and the living."""
    rows, locks = yield Round([Ask(queries["writers"], {}), Ask(queries["writer_locks"], {})])
    held = {lock for (lock,) in locks}
    alive = {
        writer for writer, pid, boot, started, _ in rows if _lock_of(writer) in held or lives_here(pid, boot, started)
    }
    return {row[0] for row in rows} - alive, alive


def _lock_of(writer: str) -> int:
    return int.from_bytes(bytes.fromhex(writer)[:8], "big", signed=True)
