"""The ports between the rooms: what an engine promises, and what is asked of the world.

Reads are programs: generators that yield requests only their engine understands and return
the answer. The same program is driven by a blocking and by an asyncio runner, so that every
rule is written once. `yield from engine.key_head(...)` composes programs.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from backstory.domain.branches import BranchRow, Lineage
from backstory.domain.commits import Commit, KeyHead, Outcome
from backstory.domain.events import StoredEvent
from backstory.domain.packed_events import PackedPage

T = TypeVar("T")
Program = Generator[Any, Any, T]

LAST_POSITION = 2**62


class Append(NamedTuple):
    """A request that every runner understands: put this commit into the log."""

    commit: Commit


class AppendAll(NamedTuple):
    """A request to put several commits into the log, in order; the reply is an outcome for each.

    They share one durable transaction, and yet each is refused or stored by itself.
    """

    commits: Sequence[Commit]


class Here(NamedTuple):
    """A request to go on in the caller's own thread or task: what follows is the caller's code."""


class CallOut(NamedTuple):
    """A request to run code that is not the store's: `blocking` in the caller's thread, `awaiting` in its task.

    Each gets the runner, and answers; what it raises goes to the program's caller.
    """

    blocking: Callable[[Any], Any]
    awaiting: Callable[[Any], Awaitable[Any]]


class Step(NamedTuple):
    """Where a program stands: finished with an answer, or waiting for an `Append`, `AppendAll`, `Here` or `CallOut`."""

    finished: bool
    payload: Any


class LogHead(NamedTuple):
    """The log's last event: position 0 stands for an empty log."""

    position: int
    recorded_us: int
    hash: bytes


class LogQuery(NamedTuple):
    """A page of the log: `after` exclusive, `until` inclusive, both positions.

    `types` holds exact names and patterns in which `*` stands for any text. `versions` is (after,
    until) within `stream`, and makes the order that of versions.
    """

    lineage: Lineage
    after: int = 0
    until: int = LAST_POSITION
    stream: str | None = None
    types: tuple[str, ...] | None = None
    key: str | None = None
    correlation: bytes | None = None
    actor: bytes | None = None
    limit: int = 1000
    reverse: bool = False
    format: int | None = None
    versions: tuple[int, int] | None = None


Held = tuple[int | None, bytes]
"""A live value, `expires_us` and data: a plain tuple, for whole states have many and it is cheap to keep."""


class Clock(Protocol):
    """Where times come from."""

    def now_us(self) -> int:
        """Return microseconds since 1970 UTC; may go back, the log will not."""
        ...


class Reader(Protocol):
    """An engine's questions. Every method is a program; none changes the log."""

    def head(self) -> Program[LogHead]:
        """Return the log's last event's place."""
        ...

    def instant_of(self, position: int) -> Program[int]:
        """Return when the event at a position was recorded, microseconds; 0 for position 0."""
        ...

    def position_at(self, instant_us: int) -> Program[int]:
        """Return the last position recorded at or before an instant; 0 where there is none."""
        ...

    def event(self, event_id: bytes) -> Program[StoredEvent | None]:
        """Return the event with this id, or None."""
        ...

    def events(self, ids: Sequence[bytes]) -> Program[list[StoredEvent | None]]:
        """Return the event of each id, or None, in the order asked; one round for all."""
        ...

    def events_at(self, positions: Sequence[int]) -> Program[list[StoredEvent]]:
        """Return the events at these positions, on any branch, in log order; positions without one are left out."""
        ...

    def effects(self, lineage: Lineage, positions: Sequence[int], until: int) -> Program[list[tuple[int, int]]]:
        """Return (cause, effect), positions both, sorted: which events on the lineage name these as causes.

        The effects lie at or before `until`. It takes as long as there are effects, not as the log is long.
        """
        ...

    def named_as_cause(self, positions: Sequence[int]) -> Program[set[int]]:
        """Return those of these positions that an event names as a cause, whatever its branch."""
        ...

    def key_head(self, lineage: Lineage, stream: str, key: str, position: int) -> Program[KeyHead]:
        """Return what last happened to a key at or before a position: `NEVER` if nothing did."""
        ...

    def key_now(self, lineage: Lineage, stream: str, key: str) -> Program[KeyHead]:
        """Return what last happened to a key so far; an engine that is sure may answer from what it knows."""
        ...

    def key_events(self, lineage: Lineage, stream: str, key: str, position: int) -> Program[list[StoredEvent]]:
        """Return the key's state events and its stream's clears up to a position, in log order."""
        ...

    def listing(
        self, lineage: Lineage, stream: str, position: int | None, prefix: str
    ) -> Program[list[tuple[str, KeyHead]]]:
        """Return the live keys of a stream (expired ones too), sorted, at a position or now (None)."""
        ...

    def whole(self, lineage: Lineage, position: int) -> Program[dict[str, dict[str, Held]]]:
        """Return the live values of all streams at a position, by stream and key, in no order."""
        ...

    def streams(self, lineage: Lineage, position: int) -> Program[list[str]]:
        """Return the streams that have an event at or before a position, sorted."""
        ...

    def present(self, branch: int, now_us: int) -> Program[list[str] | None]:
        """Return the streams that hold a value now, of a branch without parents, sorted.

        None where the current-state projection is dropped: ask `whole` then.
        """
        ...

    def stream_version(self, lineage: Lineage, stream: str, position: int) -> Program[int]:
        """Return how many events a stream has at or before a position."""
        ...

    def page(self, query: LogQuery) -> Program[list[StoredEvent]]:
        """Return at most `limit` events in log order (or reverse) that match."""
        ...

    def packed(self, query: LogQuery) -> Program[PackedPage]:
        """Return the events that `page` returns, each as the record that its hash covers."""
        ...

    def weight(self, query: LogQuery) -> Program[int]:
        """Return how many bytes the data of the events take that `page` returns."""
        ...

    def expiring(self, lineage: Lineage, since_us: int, until_us: int) -> Program[list[tuple[str, str]]]:
        """Return (stream, key) of state events whose expiry lies in (since, until]."""
        ...

    def expired(self, branch: int, now_us: int) -> Program[list[tuple[str, str]]]:
        """Return the live keys on a branch of its own whose value is expired and not yet swept.

        It asks the current-state projection, and may return none while that is dropped: a sweep changes no answer.
        """
        ...

    def branches(self) -> Program[list[BranchRow]]:
        """Return all branches ever made, `main` (id 0) included, by id."""
        ...

    def tracking(self, name: str) -> Program[int | None]:
        """Return the highest position that a consumer stored, or None."""
        ...

    def trackings(self, prefix: str) -> Program[dict[str, int]]:
        """Return the position of every consumer whose name begins with a text."""
        ...

    def living_writers(self) -> Program[set[str]]:
        """Return the ids of those who have written and not closed the store, and whose process lives.

        Who has not written yet may be missing. A process on another machine (PostgreSQL only) lives as long as
        its session on the server.
        """
        ...


class ProjectionInfo(NamedTuple):
    """A stored projection: its checkpoint, and rows."""

    name: str
    checkpoint: int
    rows: int


class StateRow(NamedTuple):
    """A row of the current-state projection: the position of the write that a branch has of a key, and its own place.

    Places are an engine's own; rows come in their order.
    """

    place: tuple[int, int]
    branch: int
    stream: str
    key: str
    position: int


class Maintainer(Protocol):
    """An engine's care of its projections and numbers."""

    def rebuild_state(self) -> Program[ProjectionInfo]:
        """Drop the current-state projection and build it again from the events."""
        ...

    def drop_state(self) -> Program[None]:
        """Drop the current-state projection; readers go to the events until it is rebuilt."""
        ...

    def state_rows(self, after: tuple[int, int]) -> Program[list[StateRow]]:
        """Return the next rows of the projection as it stands, behind a place, at first (0, 0); none at its end."""
        ...

    def rebuild_causes(self) -> Program[ProjectionInfo]:
        """Drop the index from causes to effects and build it again from the events."""
        ...

    def causes_amiss(self) -> Program[list[int]]:
        """Return the positions of effects of which the index says something else than the event, sorted."""
        ...

    def projections(self) -> Program[list[ProjectionInfo]]:
        """Return the stored projections."""
        ...

    def numbers(self) -> Program[dict[str, int]]:
        """Return counts and sizes: events, streams, keys, branches, bytes."""
        ...

    def damage(self) -> Program[list[str]]:
        """Return what the engine itself finds wrong with its files and indexes; it may take as long as reading all."""
        ...


class Recovery(NamedTuple):
    """What opening a store found after a writer that did not close it."""

    writers: int
    since: int
    head: int
    message: str


Stop = Callable[[], bool]


def never() -> bool:
    """Return False: nothing but the log and the time ends a wait."""
    return False


class Engine(Reader, Maintainer, Protocol):
    """A log's home. `commit` is called by one leader at a time with everybody's commits."""

    @property
    def log_id(self) -> bytes:
        """The log's own id, 16 bytes."""
        ...

    @property
    def read_only(self) -> bool:
        """Whether commits are refused."""
        ...

    @property
    def writer_id(self) -> str:
        """The id of this engine among `living_writers`, there from its first commit to its close."""
        ...

    @property
    def recovery(self) -> Recovery | None:
        """What opening found of writers that did not close the store."""
        ...

    def advance(self, program: Program[Any], request: Any) -> Step:
        """Answer the engine's own requests, blocking, until the program ends or asks for another's."""
        ...

    async def advance_async(self, program: Program[Any], request: Any) -> Step:
        """Do as `advance` without blocking the event loop."""
        ...

    def commit(self, commits: Sequence[Commit]) -> Sequence[Outcome]:
        """Store the commits in one durable transaction; return an `Outcome` for each.

        A commit that is refused has its error in its outcome and leaves the others alone.
        Raises `StoreUnavailableError` (with `outcome`) where the whole transaction failed.
        """
        ...

    def commit_async(self, commits: Sequence[Commit]) -> Awaitable[Sequence[Outcome]]:
        """Do as `commit` without blocking the event loop; started at once where a thread does it."""
        ...

    def wait(self, position: int, timeout_s: float, stop: Stop = never) -> bool:
        """Block until the log may have grown past a position, `stop` says so, or the time is over.

        Who makes `stop` true calls `wake` afterwards: then nobody sleeps on, whenever that happens.
        """
        ...

    async def wait_async(self, position: int, timeout_s: float, stop: Stop = never) -> bool:
        """Do as `wait` without blocking the event loop."""
        ...

    def wake(self) -> None:
        """Let everybody who waits look again."""
        ...

    def close(self) -> None:
        """Give back every resource; idempotent."""
        ...

    async def close_async(self) -> None:
        """Do as `close` without blocking the event loop."""
        ...
