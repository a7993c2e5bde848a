"""Work: what hooks are to run for behind a commit, what came of it, and where it waits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from backstory.context import hooks_in
from backstory.domain.commits import Draft
from backstory.domain.context import Author
from backstory.domain.events import StoredEvent
from backstory.hooks.chain import Execution
from backstory.hooks.registry import Registration
from backstory.hooks.run_context import Subject
from backstory.sessions import DirectSession


class Item(NamedTuple):
    """Something that hooks are to run for: a write in the log, or a subject with no event of its own."""

    session: DirectSession
    registrations: tuple[Registration, ...]
    row: StoredEvent | None
    subject: Subject | None = None
    author: Author | None = None
    redelivered: bool = False

    @property
    def lane(self) -> tuple[int, str | None, str | None]:
        """What keeps its order: a key of a branch."""
        if self.row is not None:
            return self.session.branch, self.row.stream, self.row.key
        assert self.subject is not None
        return self.session.branch, self.subject.stream, self.subject.key

    @property
    def in_hook(self) -> bool:
        """Whether a hook brought it about: it cannot wait for the worker that it may be running on."""
        extra = self.row.extra if self.row is not None else None if self.author is None else self.author.extra
        return bool(hooks_in(extra))


class Runs(NamedTuple):
    """What one item's hooks did: events to be, and what they want done beside.

    `owed`: the background counts on it. `finished`: no hook waits to be asked again. `tried`: somebody tried to
    record it, and may have.
    """

    item: Item
    drafts: list[Draft]
    forks: list[tuple[Execution, Any]]
    author: Author
    owed: bool = True
    finished: bool = True
    tried: bool = False

    @property
    def settles(self) -> int | None:
        """The position of the write for which nothing is left to do once this is recorded."""
        return None if self.item.row is None or not (self.owed and self.finished) else self.item.row.position


class Queue(Protocol):
    """Where items wait for the background."""

    def full(self) -> bool:
        """Whether writers are to wait."""
        ...

    def room(self, runner: Any) -> Any:
        """Wait until there is room; a coroutine on the asyncio face."""
        ...

    def put(self, items: Sequence[Item]) -> None:
        """Take items, whatever the bound."""
        ...

    def keep(self, runs: Runs) -> None:
        """Record later what could not be recorded now."""
        ...

    def pause(self, delay_s: float) -> Any:
        """Wait, and answer True; False at once where the store closes. A coroutine on the asyncio face."""
        ...

    def report(self, error: Exception) -> None:
        """Tell who flushes next of something that went wrong for good."""
        ...

    @property
    def unfinished(self) -> int:
        """How many items wait or are being worked on."""
        ...

    def flush(self, timeout_s: float | None = None) -> Any:
        """Wait until all is done; a coroutine on the asyncio face."""
        ...

    def close(self) -> Any:
        """Finish and let the workers go; a coroutine on the asyncio face."""
        ...
