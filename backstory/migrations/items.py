"""Items: the values that a migration is about, found scope by scope."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any, Final, NamedTuple

from backstory.core import Core
from backstory.domain.commits import KeyHead
from backstory.domain.ports import Program
from backstory.domain.selection import Selection
from backstory.infrastructure import codec

_TOGETHER: Final = 1000


class Item(NamedTuple):
    """A value as it was found: `version` is that of its schema, or what a plan takes it for where it carries none."""

    stream: str
    key: str
    head: KeyHead
    version: str


class Wanted(NamedTuple):
    """Which values are looked for: of a schema, at these versions, and, with `unmarked`, those that carry none."""

    schema: str
    versions: frozenset[str]
    selection: Selection
    unmarked: str | None = None

    def version_of(self, extra: bytes | None) -> str | None:
        """Return the version that an event's value is migrated from, None where it is not."""
        carried = codec.schema_of(extra)
        if carried is None:
            return self.unmarked
        return carried[1] if carried[0] == self.schema and carried[1] in self.versions else None


def scopes_in(core: Core, selection: Selection) -> Program[list[str]]:
    """Return the streams that hold values and may have some of a selection."""
    only = selection.one_scope
    if only is not None:
        return [only]
    found = yield from core.state.present_streams(None)
    return [stream for stream in found if selection.fits_scope(stream)]


def items_in(core: Core, wanted: Wanted, stream: str) -> Program[list[Item]]:
    """Return the items of a scope, by key."""
    heads = yield from core.state.heads(stream, "", None)
    chosen = [(key, head) for key, head in heads if wanted.selection.fits(stream, key)]
    return (yield from marked(core, wanted, [(stream, key, head) for key, head in chosen]))


def marked(core: Core, wanted: Wanted, heads: list[tuple[str, str, KeyHead]]) -> Program[list[Item]]:
    """Return which of these values are items."""
    found: list[Item] = []
    for at in range(0, len(heads), _TOGETHER):
        some = heads[at : at + _TOGETHER]
        rows = yield from core.engine.events_at([head.position for *_, head in some])
        extras = {row.position: row.extra for row in rows}
        for stream, key, head in some:
            version = wanted.version_of(extras.get(head.position))
            if version is not None:
                found.append(Item(stream, key, head, version))
    return found


def again(core: Core, wanted: Wanted, places: Collection[tuple[str, str]]) -> Program[list[Item]]:
    """Return which keys are items still, after somebody else has written there."""
    heads: list[tuple[str, str, KeyHead]] = []
    now_us = yield from core.state.now_us()
    for stream, key in places:
        head = yield from core.engine.key_now(core.lineage, stream, key)
        if head.present(now_us):
            heads.append((stream, key, head))
    return (yield from marked(core, wanted, heads))


def counted(core: Core, wanted: Wanted) -> Program[Mapping[str, int]]:
    """Return how many items there are by version."""
    found: Counter[str] = Counter()
    for stream in (yield from scopes_in(core, wanted.selection)):
        items = yield from items_in(core, wanted, stream)
        found.update(item.version for item in items)
    return found


def value_of(item: Item) -> Any:
    """Return an item's value, a fresh copy."""
    assert item.head.data is not None
    return codec.decode_value(codec.parts_of_set(item.head.data)[0])
