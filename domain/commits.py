"""What a writer asks of the log: drafts, what must be known to decide, and the outcome.

A `Commit` is one caller's all-or-nothing wish. Its drafts are either given, or decided under
the log's lock by a pure function over a `View` of exactly the facts that it asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from backstory.domain.events import StoredEvent

StreamKey = tuple[str, str]


class Draft(NamedTuple):
    """An event that has no place in the log yet.

    `version` is None for the stream's next one. A chosen version may leave a gap or fill one; it
    is refused where it is taken. `source` is the position of what a copy copies, where it names one. `reads` are the
    positions of the events that wrote what this rests on, and `shared` the id of an earlier draft of the commit that
    rests on more of them, which this one does too; `extra` says so as well.
    """

    event_id: bytes
    stream: str
    type: str
    data: bytes
    key: str | None = None
    expires_us: int | None = None
    correlation: bytes | None = None
    causes: bytes | None = None
    actor: bytes | None = None
    extra: bytes | None = None
    format: int = 0
    given_id: bool = False
    cleared: tuple[str, ...] | None = None
    version: int | None = None
    source: int = 0
    reads: tuple[int, ...] = ()
    shared: bytes | None = None


class KeyHead(NamedTuple):
    """The last thing that happened to a key's state: `version` 0 means nothing ever did.

    `live` is false after a delete or clear; a live value may still be expired. `data` is the
    set event's data while it is live.
    """

    version: int
    position: int
    live: bool
    expires_us: int | None
    data: bytes | None

    def present(self, now_us: int) -> bool:
        """Return whether a reader at this instant sees a value."""
        return self.live and (self.expires_us is None or self.expires_us > now_us)


NEVER = KeyHead(0, 0, False, None, None)


class View(Protocol):
    """The facts under the log's lock, with the effects of what was decided before."""

    now_us: int
    position: int
    """The position of the last event before what is decided now."""

    def version(self, stream: str) -> int:
        """Return the version of a stream that was asked for; 0 for one without events."""
        ...

    def key(self, stream: str, key: str) -> KeyHead:
        """Return the head of a key that was asked for."""
        ...

    def listing(self, stream: str) -> Mapping[str, KeyHead]:
        """Return the live keys of a stream that was asked for, with their heads."""
        ...

    def event(self, event_id: bytes) -> StoredEvent | None:
        """Return the recording of an id that was asked for, or None."""
        ...


class Decision(NamedTuple):
    """Drafts to store and what to tell the caller beside them."""

    drafts: Sequence[Draft]
    result: Any = None


@dataclass(slots=True)
class Needs:
    """The facts that a decision looks at. `targets` are streams it only writes to."""

    targets: tuple[str, ...] = ()
    streams: tuple[str, ...] = ()
    keys: tuple[StreamKey, ...] = ()
    listings: tuple[str, ...] = ()
    event_ids: tuple[bytes, ...] = ()


class Read(NamedTuple):
    """A fact that a transaction relied on: `key` None stands for the whole stream."""

    stream: str
    key: str | None
    version: int


class Expiry(NamedTuple):
    """When a value that a transaction relied on expires."""

    expires_us: int
    stream: str
    key: str


class Tracking(NamedTuple):
    """A consumer's position in an upstream log, stored in the same commit. None: the consumer is forgotten."""

    name: str
    position: int | None


@dataclass(slots=True)
class NewBranch:
    """A fork to make in the same commit: `position` None is the head before it."""

    name: str
    parent: int
    position: int


@dataclass(slots=True)
class Commit:
    """One caller's wish. Give `drafts`, or `decide` and what it `needs`.

    A transaction also says when it read (`since_us`), and which value that it saw expires first: the writes are
    recorded no earlier, and refused once that value is gone.
    """

    branch: int = 0
    drafts: Sequence[Draft] = ()
    decide: Callable[[View], Decision] | None = None
    needs: Needs | None = None
    reads: Sequence[Read] = ()
    since_us: int = 0
    expiry: Expiry | None = None
    tracking: Tracking | None = None
    fork: NewBranch | None = None
    drop: int | None = None


@dataclass(slots=True)
class Outcome:
    """What became of a commit: the stored events, one a draft, or the error that refused it."""

    events: Sequence[StoredEvent] = ()
    result: Any = None
    error: Exception | None = None


def split_causes(causes: bytes | None) -> tuple[bytes, ...]:
    """Return the ids that a draft's causes are made of."""
    return tuple((causes or b"")[at : at + 16] for at in range(0, len(causes or b""), 16))
