"""Events: what callers append, and what the log recorded of it.

An `Event` is a wish; a `RecordedEvent` is a fact. A recorded event wraps the row that the
engine stored and decodes its parts when somebody looks: most callers of a write never do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, Final, Literal, NamedTuple, NoReturn, final
from uuid import UUID

from backstory.domain.errors import BackstoryError, IntegrityError

type_of = type


class ExpectedVersion(Enum):
    """Named expectations of a stream's or a key's version, beside a plain number.

    For a stream `EMPTY` means version 0 and `EXISTS` any other; for a key they mean absent and
    present at the moment of the write. `ANY` asks for no check.
    """

    ANY = "any"
    EMPTY = "empty"
    EXISTS = "exists"

    def __repr__(self) -> str:
        return self.name


ANY: Final = ExpectedVersion.ANY
EMPTY: Final = ExpectedVersion.EMPTY
EXISTS: Final = ExpectedVersion.EXISTS


class Missing(Enum):
    """The type of `MISSING`: no value at all, unlike `None`, which is a value."""

    MISSING = "missing"

    def __repr__(self) -> str:
        return "MISSING"

    def __bool__(self) -> Literal[False]:
        return False


MISSING: Final = Missing.MISSING

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

#: An event's data are the codec's JSON.
JSON_FORMAT: Final = 0
#: Another library's bytes: an event in that library's sequence.
FOREIGN_FORMAT: Final = 1
#: Another library's bytes beside its sequence, such as a snapshot: they repeat what its events say.
ASIDE_FORMAT: Final = 2


def to_micros(instant: datetime) -> int:
    """Return whole microseconds since 1970-01-01 UTC; exact, unlike `timestamp()`."""
    return (instant - EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """Return the aware UTC datetime of whole microseconds since 1970."""
    return EPOCH + timedelta(microseconds=micros)


@dataclass(frozen=True, slots=True)
class Event:
    """An event to append: a dotted type in the past tense, JSON data, perhaps a key.

    With an `event_id` the append is idempotent: the same id twice is stored once.
    """

    type: str
    data: Any = None
    key: str | None = field(default=None, kw_only=True)
    event_id: UUID | None = field(default=None, kw_only=True)


class StoredEvent(NamedTuple):
    """An event as engines keep it: one row, nothing decoded.

    `correlation` is None where it is the event's own id; `causes` are 16-byte ids, joined;
    times are whole microseconds since 1970; `format` says who can read `data` (see `JSON_FORMAT`).
    """

    position: int
    branch: int
    stream: str
    version: int
    event_id: bytes
    type: str
    key: str | None
    recorded_us: int
    expires_us: int | None
    correlation: bytes | None
    causes: bytes | None
    actor: bytes | None
    extra: bytes | None
    format: int
    cipher_key: int
    data: bytes
    hash: bytes


def value_in(data: bytes, decode: Decode) -> Any:
    """Return the value in a set event's data; raises `IntegrityError` where damage left none."""
    try:
        return decode(data)["value"]
    except (KeyError, TypeError) as error:
        raise IntegrityError("the data of a set event holds no value", kind="encoding") from error


def pack_correlation(text: str) -> bytes:
    """Return a correlation id as engines keep it; a UUID's text takes 17 bytes, not 36."""
    if len(text) == 36:  # noqa: PLR2004 - the length of a UUID's text
        try:
            parsed = UUID(text)
        except ValueError:
            return b"t" + text.encode()
        if str(parsed) == text:
            return b"u" + parsed.bytes
    return b"t" + text.encode()


def unpack_correlation(packed: bytes) -> str:
    """Return the text that `pack_correlation` was given."""
    if packed[:1] == b"u":
        return str(UUID(bytes=packed[1:]))
    return packed[1:].decode()


Decode = Callable[[bytes], Any]


@final
class RecordedEvent:
    """One immutable event of the log.

    Equal by value. Inside an open transaction `position`, `version`, `recorded_at` and
    `correlation_id` of a fresh event are not known yet: reading them raises `BackstoryError`.
    """

    __slots__ = ("_decode", "_row")
    _row: StoredEvent
    _decode: Decode

    def __init__(self, row: StoredEvent, decode: Decode) -> None:
        object.__setattr__(self, "_row", row)
        object.__setattr__(self, "_decode", decode)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        msg = f"a recorded event is immutable: {name} cannot be set"
        raise AttributeError(msg)

    def __delattr__(self, name: str) -> NoReturn:
        self.__setattr__(name, None)

    def _recorded(self) -> StoredEvent:
        row = self._row
        if row.position == 0:
            msg = "this event is not recorded yet"
            raise BackstoryError(msg, hint="Leave the transaction first: positions are given when it commits.")
        return row

    @property
    def position(self) -> int:
        """Place in the whole log: 1, 2, 3, ... without gaps."""
        return self._recorded().position

    @property
    def stream(self) -> str:
        """Text of the scope that the event belongs to."""
        return self._row.stream

    @property
    def version(self) -> int:
        """Place in the stream: 1, 2, 3, ..."""
        return self._recorded().version

    @property
    def event_id(self) -> UUID:
        """Unique id, a UUIDv7 unless the caller chose one."""
        return UUID(bytes=self._row.event_id)

    @property
    def type(self) -> str:
        """Dotted name in the past tense."""
        return self._row.type

    @property
    def key(self) -> str | None:
        """The key that the event is about, if any."""
        return self._row.key

    @property
    def data(self) -> Any:
        """The event's data, decoded afresh: the caller's own copy. Foreign bytes stay bytes."""
        if self._row.format == JSON_FORMAT:
            return self._decode(self._row.data)
        return self._row.data

    @property
    def correlation_id(self) -> str:
        """What this event belongs to; its own id as text where it starts something."""
        packed = self._recorded().correlation
        return str(self.event_id) if packed is None else unpack_correlation(packed)

    @property
    def causation_ids(self) -> tuple[UUID, ...]:
        """Ids of the events that caused this one."""
        packed = self._row.causes or b""
        return tuple(UUID(bytes=packed[at : at + 16]) for at in range(0, len(packed), 16))

    @property
    def actor(self) -> str | None:
        """Who wrote it."""
        return None if self._row.actor is None else self._row.actor.decode()

    @property
    def recorded_at(self) -> datetime:
        """When it was recorded, aware UTC; never decreases along the log."""
        return from_micros(self._recorded().recorded_us)

    def _extra(self, name: str) -> Any:
        extra = self._row.extra
        return None if extra is None else self._decode(extra).get(name)

    @property
    def schema(self) -> tuple[str, str] | None:
        """Name and version of the schema that its value was checked against."""
        found = self._extra("schema")
        return None if found is None else (found[0], found[1])

    @property
    def traceparent(self) -> str | None:
        """W3C trace context of the writer."""
        found: str | None = self._extra("traceparent")
        return found

    @property
    def tags(self) -> tuple[str, ...]:
        """The writer's tags."""
        return tuple(self._extra("tags") or ())

    @property
    def metadata(self) -> dict[str, Any]:
        """The writer's metadata, the caller's own copy."""
        return self._extra("metadata") or {}

    @property
    def hooks(self) -> tuple[str, ...]:
        """Names of the hooks inside whose run it was written, outermost first."""
        return tuple(self._extra("hooks") or ())

    @property
    def reads(self) -> tuple[int, ...]:
        """Positions of the events that wrote what was read for it: in its transaction, update or hook.

        Where a transaction has read much, those that `reads_with` says are not repeated here.
        """
        return tuple(self._extra("reads") or ())

    @property
    def reads_with(self) -> UUID | None:
        """Id of an earlier write of the same transaction: all that was read for that one was read for this one too."""
        found = self._extra("reads_with")
        return None if found is None else UUID(hex=found)

    @property
    def hash(self) -> bytes:
        """SHA-256 that chains this event to the one before it."""
        return self._recorded().hash

    @property
    def branch_id(self) -> int:
        """Number of the branch that it was written on; 0 is `main`."""
        return self._row.branch

    @property
    def stored(self) -> StoredEvent:
        """The row as the engine keeps it."""
        return self._row

    def as_dict(self) -> dict[str, Any]:
        """Return all public parts by name, ids and times as text: what `--json` prints."""
        return {
            "position": self.position,
            "stream": self.stream,
            "version": self.version,
            "event_id": str(self.event_id),
            "type": self.type,
            "key": self.key,
            "data": self.data,
            "correlation_id": self.correlation_id,
            "causation_ids": [str(cause) for cause in self.causation_ids],
            "actor": self.actor,
            "recorded_at": self.recorded_at.isoformat(),
            "schema": list(self.schema) if self.schema else None,
            "traceparent": self.traceparent,
            "tags": list(self.tags),
            "metadata": self.metadata,
        }

    def __eq__(self, other: object) -> bool:
        if type_of(other) is not RecordedEvent:
            return NotImplemented
        return self._row == other._row

    def __hash__(self) -> int:
        return hash(self._row.event_id)

    def __reduce__(self) -> tuple[Any, ...]:
        return RecordedEvent, (self._row, self._decode)

    def __repr__(self) -> str:
        row = self._row
        key = "" if row.key is None else f" {row.key!r}"
        return f"<RecordedEvent {row.position} {row.type}{key} in {row.stream} version {row.version}>"


def settle(pending: RecordedEvent, row: StoredEvent) -> None:
    """Give a transaction's fresh event the row that its commit stored."""
    object.__setattr__(pending, "_row", row)


@dataclass(frozen=True, slots=True)
class Change:
    """One step in a key's history. `before` and `after` are values, or `MISSING`.

    `schema` is the name and the version of the schema that the new value carries, None where it carries none.
    """

    position: int
    version: int
    event_id: UUID
    before: Any
    after: Any
    recorded_at: datetime
    actor: str | None
    type: str
    schema: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Difference:
    """One key that differs between two points. `before` and `after` are values, or `MISSING`."""

    scope: Any
    key: str
    before: Any
    after: Any
