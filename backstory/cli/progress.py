"""Progress: a bar on standard error where that is a terminal, nothing anywhere else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from backstory.cli.output import Output

Progress = Callable[[int, int | None], None]


@contextmanager
def progress_bar(out: Output, what: str) -> Iterator[Progress | None]:
    """Give a function that is called with (done, in all), or None where nobody would see it; all may be unknown."""
    if not out.progress:
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True, no_color=not out.colored), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
