"""The work of an import, the same for both faces: reading and planning in batches, counting what came of it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from backstory.context import author_of
from backstory.core import Core
from backstory.domain.commits import Commit, Outcome
from backstory.domain.errors import BackstoryError, InvalidScopeError, InvalidValueError, NotFoundError, ReadOnlyError
from backstory.domain.ports import AppendAll, Program
from backstory.domain.run_commits import MessageCommit, RunTarget, Verdict, commits_of
from backstory.domain.scopes import Scope
from backstory.domain.transcripts import FORMATS, Run, Unreadable
from backstory.infrastructure import codec
from backstory.transcript_files import read_runs

_MOST_COMMITS: Final = 256
_MOST_BYTES: Final = 1 << 20


class ImportProblem(NamedTuple):
    """What could not be imported, and the line of the file where its run begins."""

    line: int
    message: str


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did.

    `runs` got events, `events` of them in all; `skipped` counts runs that were in the store already, to their last
    message. `errors` are sorted by line.
    """

    runs: int
    events: int
    skipped: int
    errors: list[ImportProblem]


@dataclass(slots=True)
class _RunInWork:
    """A run whose commits are under way."""

    id: str
    line: int
    events: int = 0
    different: bool = False


@dataclass(slots=True)
class Batch:
    """Commits to put into the log together, in order, and the bytes of the file that are done then."""

    entries: list[tuple[MessageCommit, _RunInWork]] = field(default_factory=list)
    done: int = 0
    size: int = 0

    @property
    def commits(self) -> list[Commit]:
        """The commits alone."""
        return [entry.commit for entry, _ in self.entries]


class Import:
    """One import: take a batch, commit it, `settle` it, until there is none."""

    def __init__(self, core: Core, path: str | os.PathLike[str], *, format: str) -> None:  # noqa: A002 - the contract's name
        """Prepare; raises `InvalidValueError` for an unknown format and `ReadOnlyError`. Reads nothing yet."""
        if format not in FORMATS:
            raise InvalidValueError("format", rule=f"is unknown: {format!r}", hint=f"Use one of {', '.join(FORMATS)}.")
        if core.engine.read_only:
            raise ReadOnlyError("import")
        self._path = Path(path)
        author = author_of({}, core.actor)
        self._target = RunTarget(core.branch.id, core.lineage, author, codec, core.max_bytes)
        self._runs = self._events = self._skipped = 0
        self._errors: list[ImportProblem] = []

    @contextmanager
    def batches(self) -> Iterator[_Batches]:
        """Open the file; raises `NotFoundError` where there is none, and `BackstoryError` where it cannot be read."""
        try:
            file = self._path.open("rb")
        except FileNotFoundError:
            raise NotFoundError("file", str(self._path), hint="Give the path of a file of transcripts.") from None
        except (OSError, ValueError) as error:
            msg = f"cannot read {str(self._path)!r}: {error}"
            raise BackstoryError(msg, hint="Give the path of a file that you may read.") from error
        with file:
            yield _Batches(self._plan(file), os.fstat(file.fileno()).st_size)

    def _plan(self, file: BinaryIO) -> Iterator[Batch]:
        batch = Batch()
        for line, end, found in read_runs(file, stem=_text(self._path.stem)):
            for entry in self._entries(line, found):
                batch.entries.append(entry)
                batch.size += entry[0].size
                if len(batch.entries) >= _MOST_COMMITS or batch.size >= _MOST_BYTES:
                    yield batch
                    batch = Batch(done=batch.done)
            batch.done = end
        yield batch

    def _entries(self, line: int, found: Run | Unreadable) -> Iterator[tuple[MessageCommit, _RunInWork]]:
        if isinstance(found, Unreadable):
            self._errors.append(ImportProblem(line, found.message))
            return
        assert found.id is not None
        run = _RunInWork(found.id, line)
        try:
            stream = str(Scope.session(found.id))
        except InvalidScopeError as error:
            self._errors.append(ImportProblem(line, f"the run's id cannot be used: {error}"))
            return
        for commit in commits_of(found, stream, self._target):
            if isinstance(commit, MessageCommit):
                yield commit, run
            else:
                self._refuse(run, commit)

    def _refuse(self, run: _RunInWork, message: str) -> None:
        self._errors.append(ImportProblem(run.line, f"run {run.id!r}: {message}"))

    def settle(self, batch: Batch, outcomes: Sequence[Outcome]) -> None:
        """Count what became of a batch; raises the error of a commit that the log refused."""
        for (entry, run), outcome in zip(batch.entries, outcomes, strict=True):
            if outcome.error is not None:
                raise outcome.error
            run.events += len(outcome.events)
            if outcome.result is Verdict.DIFFERENT and not run.different:
                run.different = True
                self._refuse(run, f"messages[{entry.message}] is not what is recorded. {_DIFFERENT}")
            if entry.last:
                self._events += run.events
                self._runs += run.events > 0
                self._skipped += not (run.events or run.different)

    def report(self) -> ImportReport:
        """Return what was done."""
        return ImportReport(self._runs, self._events, self._skipped, sorted(self._errors, key=lambda error: error.line))


_DIFFERENT: Final = "Give the run an id of its own, if it is another one; nothing of it was added from there on."


class _Batches:
    """The batches of an open file, one at a time."""

    def __init__(self, batches: Iterator[Batch], size: int) -> None:
        self._batches = batches
        self._size = size

    def next(self) -> Batch | None:
        """Read and plan the next batch; None at the end. It may block, and is called by one thread at a time."""
        return next(self._batches, None)

    def progress(self, batch: Batch) -> tuple[int, int]:
        """Return how many bytes are done with a batch, and how many there are; a growing file is never done twice."""
        return batch.done, max(batch.done, self._size)


def append_all(commits: Sequence[Commit]) -> Program[Sequence[Outcome]]:
    """Put commits into the log in one group; return the outcome of each."""
    if not commits:
        return ()
    outcomes: Sequence[Outcome] = yield AppendAll(commits)
    return outcomes


def _text(stem: str) -> str:
    """Return a file's stem as text: bytes of its name that are none are shown by their digits."""
    return stem.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
