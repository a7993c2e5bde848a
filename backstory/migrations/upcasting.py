"""Upcasting: a value read as another version of its schema has it; nothing is written."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid5

from backstory.domain.branches import Lineage
from backstory.domain.errors import MigrationError, SchemaError, shown
from backstory.domain.events import StoredEvent, from_micros
from backstory.domain.migrations import Migration, steps_between
from backstory.domain.ports import LAST_POSITION, Program, Reader
from backstory.domain.versions import version_of
from backstory.infrastructure import codec
from backstory.infrastructure.aggregates.schema_history import stream_of_schema
from backstory.schemas.carrying import Carrier, CarryingError
from backstory.schemas.histories import history_of

_MOST_WAYS: Final = 1_000
_HINT: Final = "Leave `schema_version` out, or write the value where its schema is bound."


class Given:
    """What transformers get on a read: always the same for the same event, for nothing is recorded."""

    def __init__(self, row: StoredEvent) -> None:
        self._row = row
        self.given: list[dict[str, Any]] = []

    def now(self) -> datetime:
        """Return when the value was written."""
        return from_micros(self._row.recorded_us)

    def uuid(self) -> UUID:
        """Return an id that follows from the event's own."""
        self.given.append({})
        return uuid5(UUID(bytes=self._row.event_id), str(len(self.given)))


class Ways:
    """The ways between versions that were taken before, ready; true as long as their schema's stream has not grown."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, str], tuple[int, Carrier]] = {}

    def between(self, reader: Reader, lineage: Lineage, name: str, at: str, to: str) -> Program[Carrier]:
        """Return what leads from a version to another; raises `SchemaError` and `MigrationError` where nothing does."""
        grown = yield from reader.stream_version(lineage, stream_of_schema(name), LAST_POSITION)
        known = self._known.get((name, at, to))
        if known is not None and known[0] == grown:
            return known[1]
        history = yield from history_of(reader, lineage, name)
        if to not in history.versions:
            there = ", ".join(sorted(history.versions, key=version_of))
            raise SchemaError(
                f"schema {shown(name)} {to} is not registered",
                schema=name,
                version=to,
                hint=f"Registered are: {there}.",
            )
        steps = steps_between([Migration.from_document(each) for each in history.migrations.values()], at, to)
        if steps is None:
            raise MigrationError(f"no way leads from {name} {at} to {to}", hint="Register a Migration.")
        made = Carrier([step.transforms for step in steps])
        if len(self._known) >= _MOST_WAYS:
            self._known = {}
        self._known[name, at, to] = (grown, made)
        return made


def upcast(reader: Reader, lineage: Lineage, ways: Ways, value: Any, *, position: int, version: str) -> Program[Any]:
    """Return a value, written by the event at a position, as a version of its schema has it, older or newer.

    Raises `SchemaError` for a value that carries no schema and a version that is not registered, `MigrationError`
    where no way leads there or the value cannot go it.
    """
    version_of(version)
    rows = yield from reader.events_at([position])
    carried = codec.schema_of(rows[0].extra) if rows else None
    if carried is None:
        raise SchemaError("the value carries no schema", version=version, hint=_HINT)
    name, at = carried
    if at == version:
        return value
    carrier = yield from ways.between(reader, lineage, name, at, version)
    try:
        return carrier.carry(value, Given(rows[0]))
    except CarryingError as error:
        raise MigrationError(
            f"the value cannot be read as {name} {version}: {error.reason}",
            scope=rows[0].stream,
            key=rows[0].key,
            path=error.path,
        ) from error
