"""The gate: what operations ask of the place they work in, and where hooks join their path.

An operation works in the log itself or in one transaction. Both answer the same few questions, so that every
operation is written once.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

from backstory.committing import Performed
from backstory.domain.commits import Commit, KeyHead, Outcome
from backstory.domain.context import Author
from backstory.domain.decisions import Intent
from backstory.domain.events import MISSING, StoredEvent
from backstory.domain.hooks import HookPoint
from backstory.domain.ports import Program
from backstory.projections.state import StateReader

if TYPE_CHECKING:
    from backstory.schemas.guard import Guard
    from backstory.sessions import DirectSession
    from backstory.transactions import TransactionSession


class Session(Protocol):
    """What operations need of the place they work in."""

    @property
    def state(self) -> StateReader:
        """What reads the log's state on this branch."""
        ...

    @property
    def guard(self) -> Guard:
        """What stands before the log."""
        ...

    def perform(self, intent: Intent, author: Author) -> Program[Performed]:
        """Decide and write; return the events, one a draft, and the decision's result."""
        ...

    def head_of(self, stream: str, key: str) -> Program[tuple[KeyHead, int]]:
        """Return a key's head as this session sees it now, and the reader's instant."""
        ...

    def refer(self, intent: Intent) -> Program[Intent]:
        """Return the intent of a copy that refers to what it copies."""
        ...

    def seen(self, stream: str, key: str, as_of: object) -> Program[tuple[object, KeyHead]]:
        """Return a point at which a key is read, and its head there: both stay what they are."""
        ...

    def saw(self, head: KeyHead, as_of: object = None) -> tuple[int, ...]:
        """Note that a caller was shown this, now or at a point.

        Return what of it the next write is to say, where it is not noted for all that follow.
        """
        ...

    def get(self, stream: str, key: str, as_of: object, operation: str = "get") -> Program[Any]:
        """Return a key's value or `MISSING`."""
        ...

    def get_many(self, stream: str, keys: Sequence[str], as_of: object) -> Program[dict[str, Any]]:
        """Return the values of those keys that have one, all seen at the same point."""
        ...

    def heads(self, stream: str, prefix: str, as_of: object) -> Program[list[tuple[str, KeyHead]]]:
        """Return the present keys of a scope, sorted, with their heads."""
        ...

    def items(self, stream: str, prefix: str, as_of: object) -> Program[dict[str, Any]]:
        """Return the values of a scope by key, sorted."""
        ...


class HookPath(Protocol):
    """What stands in the path of operations, and behind it, once a hook is registered."""

    def write(self, session: DirectSession, intent: Intent, author: Author) -> Program[Performed]:
        """Perform an operation of its own, as its hooks have it."""
        ...

    def write_in(self, tx: TransactionSession, intent: Intent, author: Author) -> Program[Performed]:
        """Perform an operation inside a transaction, as its hooks have it."""
        ...

    def behind(self, session: DirectSession, intent: Intent, author: Author) -> Program[Performed]:
        """Perform an operation that no hook before it may change; those behind it run."""
        ...

    def read(self, session: Session, stream: str, key: str, as_of: object, operation: str) -> Program[Any]:
        """Return a key's value or `MISSING`, as its hooks have it."""
        ...

    def fire(self, session: DirectSession, point: HookPoint, data: bytes, author: Author) -> Program[bytes]:
        """Run the hooks of a point that no operation on state fires; return the data as they left it."""
        ...

    def underway(self) -> AbstractContextManager[None]:
        """Return the block in which a commit and what is due behind it belong together."""
        ...

    def committed(self, session: DirectSession, rows: Sequence[StoredEvent]) -> Program[None]:
        """See to the hooks behind what was committed."""
        ...

    def commit(self, session: DirectSession, commit: Commit) -> Program[Outcome]:
        """Put a commit that is no operation's into the log, as its hooks have it."""
        ...

    @property
    def writes(self) -> bool:
        """Whether any hook stands in the path of writes, or behind them."""
        ...

    def end(self) -> Any:
        """Let what runs in the background end; on the asyncio face the answer is to be awaited."""
        ...

    def leave(self) -> Program[None]:
        """Say that nothing is left to do."""
        ...

    @property
    def reads(self) -> bool:
        """Whether any hook stands in the path of reads."""
        ...


class Gate:
    """Where hooks join the path of a store's operations: empty until one is registered."""

    __slots__ = ("path", "runs", "scheduler")

    def __init__(self) -> None:
        self.path: HookPath | None = None
        #: What runs replays when they come due; there is one once something is scheduled.
        self.scheduler: Any = None
        #: The migrations that run in this process, each with whoever runs it.
        self.runs: dict[str, object] = {}


def items_of(session: Session, gate: Gate, stream: str, prefix: str, as_of: object) -> Program[dict[str, Any]]:
    """Return the values of a scope by key, sorted; one by one where hooks stand in the path of reads."""
    listed = yield from session.heads(stream, prefix, as_of)
    if gate.path is not None and gate.path.reads:
        return (yield from each_of(session, [key for key, _ in listed], stream, as_of, "items"))
    for _, head in listed:
        session.saw(head, as_of)
    return {key: session.state.value(head) for key, head in listed}


def each_of(
    session: Session, keys: Sequence[str], stream: str, as_of: object, operation: str
) -> Program[dict[str, Any]]:
    """Return values that are read one by one, because hooks stand in their path."""
    found: dict[str, Any] = {}
    for key in keys:
        value = yield from session.get(stream, key, as_of, operation)
        if value is not MISSING:
            found[key] = value
    return found
