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
from backstory.domain.errors import (
    BackstoryError,
    HookCancelledError,
    HookError,
    InvalidScopeError,
    InvalidValueError,
    MigrationError,
    NotFoundError,
    ReadOnlyError,
    SchemaError,
)
from backstory.domain.ports import Program
from backstory.domain.run_commits import MessageCommit, Verdict, commits_of
from backstory.domain.run_drafts import RunTarget
from backstory.domain.scopes import Scope
from backstory.domain.transcripts import FORMATS, Run, Unreadable
from backstory.infrastructure import codec
from backstory.transcript_files import read_runs

__all__ = ["Batch", "Batches", "Import", "ImportProblem", "ImportReport", "append_all"]

_REFUSALS: Final = (HookCancelledError, HookError, SchemaError, MigrationError)
_MOST_COMMITS: Final = 256
_MOST_BYTES: Final = 1 << 20
_DIFFERENT: Final = "Give the run an id of its own, if it is another one; nothing of it was added from there on."


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
    """A run whose commits are under way.

    `hopeful` is how they are decided; `again` is set where that was in vain: it is done once more, with care.
    """

    line: int
    run: Run
    stream: str
    hopeful: bool
    events: int = 0
    problems: list[str] = field(default_factory=list)
    begun: bool = False
    different: bool = False
    again: bool = False


@dataclass(slots=True)
class Batch:
    """Commits to put into the log together, in order."""

    entries: list[tuple[MessageCommit, _RunInWork]] = field(default_factory=list)
    size: int = 0
    done: int = 0

    def add(self, entry: MessageCommit, run: _RunInWork) -> None:
        """Take one more commit."""
        self.entries.append((entry, run))
        self.size += entry.size

    @property
    def full(self) -> bool:
        """Whether it is time to commit."""
        return len(self.entries) >= _MOST_COMMITS or self.size >= _MOST_BYTES

    @property
    def commits(self) -> list[Commit]:
        """The commits alone."""
        return [entry.commit for entry, _ in self.entries]


class Batches:
    """The batches of an open file, one at a time."""

    def __init__(self, batches: Iterator[Batch], size: int) -> None:
        self._batches = batches
        self._size = size

    def next(self) -> Batch | None:
        """Read and plan the next batch; None at the end. It may block, and is called by one thread at a time."""
        return next(self._batches, None)

    def progress(self, batch: Batch) -> tuple[int, int]:
        """Return how many bytes are done with a batch, and how many there are."""
        return batch.done, max(batch.done, self._size)


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
        self._target = RunTarget(core.branch.id, core.lineage, author, codec, core.settings.max_value_bytes)
        self._hopeful = True
        self._again: list[_RunInWork] = []
        self._batch = 0
        self._done = 0
        self._runs = self._events = self._skipped = 0
        self._errors: list[ImportProblem] = []

    @contextmanager
    def batches(self) -> Iterator[Batches]:
        """Open the file; raises `NotFoundError` where there is none, and `BackstoryError` where it cannot be read."""
        try:
            file = self._path.open("rb")
        except FileNotFoundError:
            raise NotFoundError("file", str(self._path), hint="Give the path of a file of transcripts.") from None
        except (OSError, ValueError) as error:
            msg = f"cannot read {str(self._path)!r}: {error}"
            raise BackstoryError(msg, hint="Give the path of a file that you may read.") from error
        with file:
            yield Batches(self._planned(file), os.fstat(file.fileno()).st_size)

    def report(self) -> ImportReport:
        """Return what was done."""
        return ImportReport(self._runs, self._events, self._skipped, sorted(self._errors, key=lambda error: error.line))

    # Planning

    def _planned(self, file: BinaryIO) -> Iterator[Batch]:
        batch = Batch()
        for run in self._wanted(file):
            if run is None:
                yield self._sealed(batch)
                batch = Batch()
                continue
            for entry in self._commits(run):
                batch.add(entry, run)
                if batch.full:
                    yield self._sealed(batch)
                    batch = Batch()
                if run.again:
                    break

    def _sealed(self, batch: Batch) -> Batch:
        self._batch += 1
        batch.done = self._done
        return batch

    def _wanted(self, file: BinaryIO) -> Iterator[_RunInWork | None]:
        """Return the runs to do, those to be done again before the next; None asks for the batch to be sealed."""
        for line, end, found in read_runs(file, stem=_text(self._path.stem)):
            yield from self._once_more()
            run = self._begun(line, found)
            if run is not None:
                yield run
            self._done = end
        yield None
        while self._again:
            yield from self._once_more()
            yield None

    def _once_more(self) -> Iterator[_RunInWork]:
        again, self._again = self._again, []
        for run in again:
            yield _RunInWork(run.line, run.run, run.stream, hopeful=False, events=run.events)

    def _begun(self, line: int, found: Run | Unreadable) -> _RunInWork | None:
        if isinstance(found, Unreadable):
            self._errors.append(ImportProblem(line, found.message))
            return None
        assert found.id is not None
        try:
            stream = str(Scope.session(found.id))
        except InvalidScopeError as error:
            self._errors.append(ImportProblem(line, f"the run's id cannot be used: {error}"))
            return None
        return _RunInWork(line, found, stream, self._hopeful)

    def _commits(self, run: _RunInWork) -> Iterator[MessageCommit]:
        ended = False
        for found in commits_of(run.run, run.stream, self._target, hopeful=run.hopeful, batch=lambda: self._batch):
            if isinstance(found, str):
                run.problems.append(found)
            else:
                ended = found.last
                yield found
        if not ended:
            self._tell(run)

    def _tell(self, run: _RunInWork) -> None:
        self._errors.extend(ImportProblem(run.line, f"run {run.run.id!r}: {problem}") for problem in run.problems)

    # Counting

    def settle(self, batch: Batch, outcomes: Sequence[Outcome]) -> None:
        """Count what became of a batch; raises the error of a commit that the log refused."""
        for (entry, run), outcome in zip(batch.entries, outcomes, strict=True):
            # What follows a refused message rests on it.
            follows = run.different and isinstance(outcome.error, NotFoundError)
            if follows or isinstance(outcome.error, _REFUSALS):
                if not run.different:
                    run.problems.append(f"messages[{entry.message}] was refused: {outcome.error}")
                run.different = run.begun = True
                self._end(run, entry)
                continue
            if outcome.error is not None:
                raise outcome.error
            run.events += len(outcome.events)
            self._events += len(outcome.events)
            self._judge(run, entry, outcome.result)
            self._end(run, entry)

    def _end(self, run: _RunInWork, entry: MessageCommit) -> None:
        """Tell of a run and count it, if this was its last commit."""
        if entry.last and not run.again:
            self._tell(run)
            self._runs += run.events > 0
            self._skipped += not (run.events or run.different)

    def _judge(self, run: _RunInWork, entry: MessageCommit, verdict: Verdict) -> None:
        if verdict is Verdict.IN_VAIN and not run.again:
            run.again = True
            self._again.append(run)
            self._hopeful = False
        elif verdict is Verdict.DIFFERENT and not run.different:
            run.different = True
            run.problems.append(f"messages[{entry.message}] is not what is recorded. {_DIFFERENT}")
        elif verdict is Verdict.NEW and not run.begun:
            self._hopeful = True
        run.begun = True


def append_all(core: Core, commits: Sequence[Commit]) -> Program[Sequence[Outcome]]:
    """Put commits into the log in one group, each by itself where hooks stand in the way; return their outcomes."""
    if not commits:
        return ()
    if core.gate.path is not None and core.gate.path.writes:
        path, session = core.gate.path, core.session
        found: list[Outcome] = []
        for commit in commits:
            outcome = yield from path.commit(session, commit)
            found.append(outcome)
        return found
    return (yield from core.session.guard.append_all(commits))


def _text(stem: str) -> str:
    """Return a file's stem as text: bytes of its name that are none are shown by their digits."""
    return stem.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
