"""Points: what a caller means by a position, an instant or an event id."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from backstory.domain.errors import InvalidPointError
from backstory.domain.events import to_micros
from backstory.domain.ports import Program, Reader

Point = int | datetime | UUID


class At(NamedTuple):
    """A resolved point: everything up to `position`, seen by a reader at `instant_us`."""

    position: int
    instant_us: int


def resolve(reader: Reader, point: object) -> Program[At]:
    """Return where a point lies; raises `InvalidPointError` for one that does not exist.

    A position or an event id is seen at its recorded time. An instant takes in all that was
    recorded up to it, itself included; one in the future is the head, seen at that instant. A
    place that was resolved before stays where it is.
    """
    if type(point) is At:
        return point
    if isinstance(point, bool) or not isinstance(point, (int, datetime, UUID)):
        raise InvalidPointError(point, rule="is no position, datetime or event id")
    if isinstance(point, datetime):
        return (yield from _instant(reader, point))
    if isinstance(point, UUID):
        event = yield from reader.event(point.bytes)
        if event is None:
            raise InvalidPointError(point, rule="is the id of no event of this log")
        return At(event.position, event.recorded_us)
    head = yield from reader.head()
    if point < 0:
        raise InvalidPointError(point, rule="is negative")
    if point > head.position:
        raise InvalidPointError(point, rule=f"lies beyond the head, {head.position}")
    if point == head.position:
        return At(point, head.recorded_us)
    return At(point, (yield from reader.instant_of(point)))


def _instant(reader: Reader, point: datetime) -> Program[At]:
    if point.utcoffset() is None:
        raise InvalidPointError(point, rule="is a naive datetime", hint="Give it a time zone, such as datetime.UTC.")
    instant_us = to_micros(point)
    return At((yield from reader.position_at(instant_us)), instant_us)
