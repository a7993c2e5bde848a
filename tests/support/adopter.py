"""A process that adopts a log and kills itself half way: `python -m tests.support.adopter file|url [namespace]`."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import backstory
from backstory.domain.branches import MAIN_LINEAGE
from backstory.domain.ports import LogQuery
from backstory.infrastructure.configuration import Settings
from backstory.infrastructure.postgres import adopting as postgres_adopting
from backstory.infrastructure.sqlite import adopting as sqlite_adopting

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from backstory.domain.events import StoredEvent

EVENTS = 5000


def killed() -> Iterator[Sequence[StoredEvent]]:
    """Give half of a log, then die."""
    with backstory.open("memory://") as store:
        for start in range(0, EVENTS, 100):
            store.set_many("agent:a", {f"k{number}": "text" * 50 for number in range(start, start + 100)})
        for after in range(0, EVENTS // 2, 100):
            yield store._runner.run(store._core.engine.page(LogQuery(MAIN_LINEAGE, after, limit=100)))
        os.kill(os.getpid(), signal.SIGKILL)


def main(place: str, namespace: str = "") -> None:
    """Adopt into a SQLite file, or into a schema of a PostgreSQL database."""
    if namespace:
        settings = Settings(namespace=namespace)
        postgres_adopting.adopt(place, bytes(16), killed(), consumers=dict, settings=settings)
    else:
        sqlite_adopting.adopt(Path(place), bytes(16), killed(), consumers=dict, settings=Settings())


if __name__ == "__main__":
    main(*sys.argv[1:])
