"""Histories of schemas: their aggregates, read from the log."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from backstory.domain.branches import Lineage
from backstory.domain.events import StoredEvent
from backstory.domain.ports import LogQuery, Program, Reader
from backstory.infrastructure.aggregates.schema_history import SchemaHistory, stream_of_schema

_PAGE: Final = 1000
_TYPES: Final = ("schema.*", "migration.*")


def rows_of(reader: Reader, lineage: Lineage, stream: str) -> Program[list[StoredEvent]]:
    """Return the control events of a stream, oldest first."""
    found: list[StoredEvent] = []
    after = 0
    while True:
        rows = yield from reader.page(LogQuery(lineage, after, stream=stream, types=_TYPES, limit=_PAGE))
        found += rows
        if len(rows) < _PAGE:
            return found
        after = rows[-1].position


def history_of(reader: Reader, lineage: Lineage, name: str) -> Program[SchemaHistory]:
    """Return a schema's aggregate, an empty one where nothing of that name was registered."""
    stream = stream_of_schema(name)
    rows = yield from rows_of(reader, lineage, stream)
    return SchemaHistory.of_events(stream, rows)


def histories_of(reader: Reader, lineage: Lineage, names: Iterable[str]) -> Program[dict[str, SchemaHistory]]:
    """Return the aggregates of several schemas by name."""
    found = {}
    for name in sorted(set(names)):
        found[name] = yield from history_of(reader, lineage, name)
    return found
