"""The command that imports recorded runs."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

from typer import Argument, Option, Typer

from backstory.cli.commands import command
from backstory.cli.failures import Exit, UsageError
from backstory.cli.output import to_stderr
from backstory.cli.progress import progress_bar
from backstory.cli.render import counted, field
from backstory.cli.session import Session
from backstory.domain.errors import shown
from backstory.importing import ImportReport

app: Final = Typer()


@command(app, "import")
def import_(
    session: Session,
    file: Annotated[str, Argument(metavar="FILE", help="JSON or JSONL; `-` is standard input.")],
    *,
    form: Annotated[str, Option("--format", metavar="FORMAT", help="What it holds.")] = "openai-chat",
) -> int:
    """Import recorded agent runs; again, it adds only what is new. Exit code 1: some lines could not be imported."""
    with (
        _readable(file) as path,
        session.open(write=True, create=True) as store,
        progress_bar(session.out, "import") as progress,
    ):
        started = time.monotonic()
        report = store.import_runs(path, format=form, progress=progress)
        seconds = time.monotonic() - started
    if session.out.json:
        session.out.value(_report(report, seconds))
    else:
        for problem in report.errors:
            to_stderr(f"backstory: {field(file)} line {problem.line}: {field(problem.message)}")
        session.out.line(_summary(report, seconds))
    return Exit.NO if report.errors else Exit.DONE


def _rate(report: ImportReport, seconds: float) -> int:
    return round(report.events / max(seconds, 1e-6))


def _report(report: ImportReport, seconds: float) -> dict[str, Any]:
    return {
        "runs": report.runs,
        "events": report.events,
        "skipped": report.skipped,
        "errors": [{"line": problem.line, "message": problem.message} for problem in report.errors],
        "seconds": round(seconds, 6),
        "events_per_second": _rate(report, seconds),
    }


def _summary(report: ImportReport, seconds: float) -> str:
    done = f"imported {counted(report.runs, 'run')}, {counted(report.events, 'event')} in {seconds:.3f} s"
    rest = f"{report.skipped} known already, {counted(len(report.errors), 'error')}"
    return f"{done} ({_rate(report, seconds)} events/s); {rest}"


@contextmanager
def _readable(file: str) -> Iterator[str]:
    """Give the path of a file that can be read; standard input is kept in one for the time being."""
    if file != "-":
        try:
            with Path(file).open("rb"):
                pass
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise UsageError(f"cannot read {shown(file)}: {reason}", hint="Name a file that can be read.") from error
        yield file
        return
    if sys.stdin is None:
        raise UsageError("standard input is closed", hint="Name a file.")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "stdin.jsonl")
        with path.open("wb") as copy:
            shutil.copyfileobj(sys.stdin.buffer, copy)
        yield str(path)
