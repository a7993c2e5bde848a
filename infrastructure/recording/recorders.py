"""Recorders: what `eventsourcing` asks of a store, answered by the log on whichever engine.

An originator is a stream, its version the stream's, a topic an event's type, and the state an
event's data, byte for byte. Notification ids are the log's positions. Who recorded an event is
its actor, and so an application sees its own sequence in a log that it shares.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal
from urllib.parse import quote
from uuid import UUID

from eventsourcing.persistence import (
    AggregateRecorder,
    ApplicationRecorder,
    DataError,
    Notification,
    ProcessRecorder,
    StoredEvent,
    Subscription,
    Tracking,
    TrackingRecorder,
)

from backstory.domain import commits
from backstory.domain.branches import MAIN_LINEAGE
from backstory.domain.context import Author
from backstory.domain.decisions import Decisions, foreign_draft
from backstory.domain.events import ASIDE_FORMAT, FOREIGN_FORMAT, MISSING
from backstory.domain.keys import normalise_key
from backstory.domain.ports import LAST_POSITION, LogQuery
from backstory.domain.scopes import Scope, as_scope
from backstory.domain.sequencer import SCOPE_CLEARED, STATE_DELETED, STATE_EXPIRED, STATE_SET
from backstory.infrastructure import codec
from backstory.infrastructure.clock import SystemClock, new_id
from backstory.infrastructure.recording.log import Log, translated
from backstory.infrastructure.recording.subscription import LogSubscription

IdType = Literal["text", "uuid"]

EVENTS: Final = "events"
ASIDE: Final = "aside/"
"""What the streams of other purposes begin with, such as `aside/snapshots/<id>`."""

_OURS: Final = frozenset({STATE_SET, STATE_DELETED, STATE_EXPIRED, SCOPE_CLEARED})
_ALL: Final = 2**62


class LogRecorder:
    """What every recorder is made of.

    `name` is who records (an application, a projection), `purpose` what for, and `id_type` the
    type in which originator ids are handed out; they are text in the log.
    """

    def __init__(self, log: Log, *, name: str = "", purpose: str = EVENTS, id_type: IdType = "text") -> None:
        self.log: Final = log
        self.name: Final = name
        self._actor = name.encode() if name else None
        self._prefix = "" if purpose == EVENTS else f"{ASIDE}{quote(purpose, safe='')}/"
        self._format = FOREIGN_FORMAT if purpose == EVENTS else ASIDE_FORMAT
        self._uuids = id_type == "uuid"

    def _record(self, stored_events: Sequence[StoredEvent], tracking: Tracking | None = None) -> list[int]:
        """Store events and perhaps a tracking in one commit; return the positions."""
        drafts = [self._draft(stored) for stored in stored_events]
        if not drafts and tracking is None:
            return []
        outcome = self.log.submit(_tracking(drafts, self._tracked(tracking)))
        return [row.position for row in outcome.events]

    def _draft(self, stored: StoredEvent) -> commits.Draft:
        _check(stored)
        stream = str(stored.originator_id)
        if not self._prefix and stream.startswith(ASIDE):
            raise DataError(f"originator id {stream!r} begins with {ASIDE!r}, which snapshots use; choose another id")
        draft = foreign_draft(
            self._prefix + stream, stored.originator_version, stored.topic, stored.state, event_id=new_id()
        )
        return draft._replace(actor=self._actor, format=self._format)

    def _tracked(self, tracking: Tracking | None) -> commits.Tracking | None:
        if tracking is None:
            return None
        return commits.Tracking(self._consumer(tracking.application_name), tracking.notification_id)

    def _consumer(self, application_name: str) -> str:
        """Return the name under which the log keeps how far this recorder has followed an application."""
        return f"eventsourcing/{quote(self.name, safe='')}/{quote(application_name, safe='')}"

    def _id(self, stream: str) -> UUID | str:
        text = stream[len(self._prefix) :]
        if not self._uuids:
            return text
        try:
            return UUID(text)
        except ValueError as error:
            raise DataError(f"originator id {text!r} is no UUID; set ORIGINATOR_ID_TYPE to text") from error


class LogAggregateRecorder(LogRecorder, AggregateRecorder):
    """Records the sequences of aggregates: their events, or for another purpose such as snapshots."""

    def insert_events(self, stored_events: Sequence[StoredEvent], **_: Any) -> Sequence[int] | None:
        """Store events, all or none; raises `IntegrityError` where one of their versions is taken."""
        self._record(stored_events)
        return None

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        """Return an originator's events in the order of their versions."""
        if limit is not None and limit <= 0:
            return []
        query = LogQuery(
            MAIN_LINEAGE,
            stream=self._prefix + str(originator_id),
            versions=(-1 if gt is None else gt, _ALL if lte is None else lte),
            format=self._format,
            reverse=desc,
            limit=_ALL if limit is None else limit,
        )
        rows = self.log.ask(self.log.engine.page(query))
        return [StoredEvent(self._id(row.stream), row.version, row.type, row.data) for row in rows]


class LogApplicationRecorder(LogAggregateRecorder, ApplicationRecorder):
    """Records an application's sequence as well. One without a name sees all applications' events."""

    def insert_events(self, stored_events: Sequence[StoredEvent], **_: Any) -> Sequence[int] | None:
        """Store events, all or none; return their positions."""
        return self._record(stored_events)

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        """Return events of the application's sequence; ids rise, with gaps where the log holds something else."""
        if limit <= 0:
            return []
        after = 0 if start is None else start - 1 if inclusive_of_start else start
        until = LAST_POSITION if stop is None else stop
        rows = self.log.ask(
            self.log.engine.page(self._sequence(max(after, 0), until, topics=tuple(topics) or None, limit=limit))
        )
        return [Notification(self._id(row.stream), row.version, row.type, row.data, id=row.position) for row in rows]

    def _sequence(
        self, after: int, until: int, *, topics: tuple[str, ...] | None, limit: int, reverse: bool = False
    ) -> LogQuery:
        return LogQuery(
            MAIN_LINEAGE,
            after,
            until,
            types=topics,
            actor=self._actor,
            limit=limit,
            reverse=reverse,
            format=FOREIGN_FORMAT,
        )

    def max_notification_id(self) -> int | None:
        """Return the position of the application's last event, or None."""
        last = self._sequence(0, LAST_POSITION, topics=None, limit=1, reverse=True)
        rows = self.log.ask(self.log.engine.page(last))
        return rows[0].position if rows else None

    def subscribe(self, gt: int | None = None, topics: Sequence[str] = ()) -> Subscription[ApplicationRecorder]:
        """Return an iterator of the events after a position, which waits for more at the end."""
        return LogSubscription(self, self.log, gt=gt, topics=topics)


class LogTrackingRecorder(LogRecorder, TrackingRecorder):
    """Records how far a projection has come, together with what it made of that.

    A view keeps its values as state of a scope: `set_state` stores them and the tracking in one
    commit, and any reader of the log sees them.
    """

    def insert_tracking(self, tracking: Tracking) -> None:
        """Store a tracking; raises `IntegrityError` unless it is past the one before."""
        self._record((), tracking)

    def max_tracking_id(self, application_name: str) -> int | None:
        """Return how far this recorder has followed an application, or None."""
        return self.log.ask(self.log.engine.tracking(self._consumer(application_name)))

    def set_state(self, scope: Scope | str, values: Mapping[str, object], *, tracking: Tracking) -> None:
        """Write values of a scope and the tracking in one commit, or neither.

        Raises `IntegrityError` where the tracking is not past the one before, `DataError` for
        scopes, keys and values that are none.
        """
        with translated():
            stream = str(as_scope(scope))
            decisions = Decisions(codec, new_id, max_bytes=self.log.max_value_bytes)
            encoded = {
                (key := normalise_key(given)): decisions.encode(value, scope=stream, key=key)
                for given, value in values.items()
            }
            intent = decisions.set_many(stream, encoded, author=Author(actor=self._actor))
        self.log.submit(_tracking(intent.drafts, self._tracked(tracking)))

    def get_state(self, scope: Scope | str, key: str, default: Any = None) -> Any:
        """Return a value that `set_state`, or anybody else, wrote."""
        with translated():
            stream, name = str(as_scope(scope)), normalise_key(key)
        head = self.log.ask(self.log.engine.key_head(MAIN_LINEAGE, stream, name, LAST_POSITION))
        decisions = Decisions(codec, new_id, max_bytes=self.log.max_value_bytes)
        found = decisions.value_of(head, SystemClock().now_us())
        return default if found is MISSING else found


class LogProcessRecorder(LogTrackingRecorder, LogApplicationRecorder, ProcessRecorder):
    """Records an application's events and its tracking of another's in one commit."""

    def insert_events(
        self, stored_events: Sequence[StoredEvent], tracking: Tracking | None = None, **_: Any
    ) -> Sequence[int] | None:
        """Store events and a tracking, all or none; return the events' positions."""
        return self._record(stored_events, tracking)


def _tracking(drafts: Sequence[commits.Draft], tracked: commits.Tracking | None) -> commits.Commit:
    """Return a commit whose last event says how far its recorder has come, so that the log tells it of any point."""
    if tracked is not None and drafts:
        last = drafts[-1]
        drafts = [*drafts[:-1], last._replace(extra=codec.extra_with(last.extra, {"tracking": list(tracked)}))]
    return commits.Commit(drafts=drafts, tracking=tracked)


def _check(stored: StoredEvent) -> None:
    """Raise `DataError` for what the log cannot hold: one event's fault must not fail others' commits."""
    for text in (str(stored.originator_id), stored.topic):
        if not _storable(text):
            raise DataError(f"{text!r} is no originator id or topic: it is empty, or holds NUL or a lone surrogate")
    if stored.topic in _OURS:
        raise DataError(f"topic {stored.topic!r} is a type of Backstory's own state events; choose another")
    if not 0 <= stored.originator_version <= _ALL:
        raise DataError(f"originator version {stored.originator_version} is none: versions begin at 0")
    if type(stored.state) is not bytes:
        raise DataError(f"the state of an event is bytes, not {type(stored.state).__name__}; check the transcoder")


def _storable(text: str) -> bool:
    try:
        text.isascii() or text.encode()
    except UnicodeEncodeError:
        return False
    return bool(text) and "\0" not in text


__all__ = [
    "IdType",
    "LogAggregateRecorder",
    "LogApplicationRecorder",
    "LogProcessRecorder",
    "LogRecorder",
    "LogTrackingRecorder",
]
