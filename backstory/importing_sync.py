"""The blocking face: import of recorded agent runs.

Made from `importing.py` by `tools/unasync.py`: change that one.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from backstory.core import Core
from backstory.import_work import Import, ImportProblem, ImportReport, append_all
from backstory.runners import Runner

__all__ = ["ImportProblem", "ImportReport", "import_runs"]


def import_runs(
    core: Core,
    runner: Runner,
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
            batch = batches.next()
            if batch is None:
                return work.report()
            work.settle(batch, runner.run(append_all(core, batch.commits)))
            if progress is not None:
                progress(*batches.progress(batch))
