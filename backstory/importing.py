"""The asyncio face: import of recorded agent runs.

`store.py` is made from this file by `tools/unasync.py`: change this one.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from backstory.core import Core
from backstory.import_work import Import, ImportProblem, ImportReport, append_all
from backstory.runners import AsyncRunner

__all__ = ["ImportProblem", "ImportReport", "import_runs"]


async def import_runs(
    core: Core,
    runner: AsyncRunner,
    path: str | os.PathLike[str],
    *,
    format: str,
    progress: Callable[[int, int], None] | None,
) -> ImportReport:
    """Import the runs of a file, batch by batch, each message in a commit of its own; return what was done.

    What is committed stays, should the import end early; importing again goes on from there.
    """
    work = Import(core, path, format=format)
    with work.batches() as batches:
        while True:
            # <async>
            batch = await asyncio.to_thread(batches.next)
            # </async>
            # <sync>
            # batch = batches.next()
            # </sync>
            if batch is None:
                return work.report()
            work.settle(batch, await runner.run(append_all(core, batch.commits)))
            if progress is not None:
                progress(*batches.progress(batch))
