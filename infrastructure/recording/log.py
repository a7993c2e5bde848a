"""An open log as recorders use it: blocking questions, group commit, and errors in `eventsourcing`'s words."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

from eventsourcing.persistence import (
    DataError,
    IntegrityError,
    NotSupportedError,
    OperationalError,
    PersistenceError,
    ProgrammingError,
)

from backstory.domain.commits import Commit, Outcome
from backstory.domain.errors import (
    BackstoryError,
    ConflictError,
    InvalidKeyError,
    InvalidScopeError,
    InvalidValueError,
    ReadOnlyError,
    StoreClosedError,
    StoreUnavailableError,
    ValueTooLargeError,
)
from backstory.domain.ports import Engine, Program
from backstory.infrastructure.group import GroupCommit

T = TypeVar("T")

_THEIRS: Final[tuple[tuple[type[BackstoryError], type[PersistenceError]], ...]] = (
    (ConflictError, IntegrityError),
    (StoreUnavailableError, OperationalError),
    (StoreClosedError, ProgrammingError),
    (ReadOnlyError, NotSupportedError),
    (InvalidKeyError, DataError),
    (InvalidScopeError, DataError),
    (InvalidValueError, DataError),
    (ValueTooLargeError, DataError),
)


@contextmanager
def translated() -> Iterator[None]:
    """Raise Backstory's errors as the `eventsourcing.persistence` errors that applications expect."""
    try:
        yield
    except BackstoryError as error:
        theirs = next((to for ours, to in _THEIRS if isinstance(error, ours)), PersistenceError)
        raise theirs(str(error)) from error


class Log:
    """An engine that recorders share. It closes with the factory, or when nobody holds it any more."""

    def __init__(self, engine: Engine, *, max_value_bytes: int) -> None:
        self.max_value_bytes: Final = max_value_bytes
        self._engine = engine
        self._group = GroupCommit(engine)
        # A projection's view keeps its recorder and drops the factory: nobody is left to call `close`.
        self._closing = weakref.finalize(self, engine.close)

    @property
    def engine(self) -> Engine:
        """The engine, whose questions `ask` answers."""
        return self._engine

    def ask(self, program: Program[T]) -> T:
        """Return the answer to one of the engine's questions."""
        with translated():
            try:
                request = program.send(None)
            except StopIteration as stop:
                at_once: T = stop.value
                return at_once
            answer: T = self._engine.advance(program, request).payload
            return answer

    def submit(self, commit: Commit) -> Outcome:
        """Return the outcome of a commit once it is durable; raises what refused it."""
        with translated():
            if self._engine.read_only:
                raise ReadOnlyError
            outcome = self._group.submit((commit,))[0]
            if outcome.error is not None:
                raise outcome.error
            return outcome

    def head(self) -> int:
        """Return the log's last position."""
        return self.ask(self._engine.head()).position

    def wait(self, position: int, timeout_s: float) -> None:
        """Block until the log may have grown past a position, somebody woke us, or the time is over."""
        with translated():
            self._engine.wait(position, timeout_s)

    def wake(self) -> None:
        """Let everybody who waits look again."""
        self._engine.wake()

    def close(self) -> None:
        """Close the engine; idempotent."""
        self._closing()
