"""Folded state: the same in memory and on disk, and the same as the plain fold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backstory.domain.errors import BackupError
from backstory.domain.events import StoredEvent
from backstory.domain.packed_events import Touch, pack, packed_page, touch_of, unpack
from backstory.domain.stands import Stand, pack_stand, unpack_stand
from backstory.infrastructure import codec
from backstory.infrastructure.sqlite.folded_state import FoldedState
from backstory.projections.state import fold

if TYPE_CHECKING:
    from collections.abc import Sequence

_streams = st.sampled_from(("agent:a", "agent:b", "session:ß\0"))
_keys = st.sampled_from(("a", "b/c", "k\x00", "ü", ""))
_steps = st.lists(
    st.tuples(
        st.sampled_from(("state.set", "state.set", "state.set", "state.deleted", "scope.cleared", "tool.called")),
        _streams,
        _keys,
        st.none() | st.integers(0, 2**60),
        st.integers(0, 2),
    ),
    max_size=40,
)
_LINEAGE = ((1, 2**62), (0, 20))


def rows_of(steps: Sequence[tuple[Any, ...]]) -> list[StoredEvent]:
    """Return a log of these steps; a clear names the keys that are there."""
    found: list[StoredEvent] = []
    live: dict[tuple[str, str], int] = {}
    for at, (kind, stream, key, expires_us, branch) in enumerate(steps, 1):
        shown = branch == 1 or (branch == 0 and at <= 20)
        data: Any = {"value": at, "op": "set"}
        if kind == "scope.cleared":
            data = {"keys": sorted(name for home, name in live if home == stream)}
        if shown and kind == "state.set":
            live[stream, key] = at
        elif shown and kind == "state.deleted":
            live.pop((stream, key), None)
        elif shown and kind == "scope.cleared":
            live = {place: when for place, when in live.items() if place[0] != stream}
        own_key = None if kind == "scope.cleared" else key
        encoded = codec.encode_value(data)
        place = (at, branch, stream, at, at.to_bytes(16, "big"), kind, own_key, 7 * at)
        found.append(StoredEvent(*place, expires_us, None, None, b"ann", None, 0, 0, encoded, b""))
    return found


@given(_steps, st.integers(1, 5))
def test_it_is_the_plain_fold_of_what_a_branch_shows_in_memory_and_on_disk(steps: Any, most: int) -> None:
    rows = rows_of(steps)
    shown = [row for row in rows if row.branch == 1 or (row.branch == 0 and row.position <= 20)]
    wanted = sorted(
        Stand(stream, key, row.position, row.expires_us)
        for (stream, key), row in fold(shown, codec.decode_value).items()
    )
    in_memory, on_disk = FoldedState(_LINEAGE), FoldedState(_LINEAGE, most=most)
    for row in rows:
        page = packed_page([row])
        in_memory.take(page.touches(), page.record)
        on_disk.take(page.touches(), page.record)
    assert list(in_memory.stands()) == list(on_disk.stands())
    assert wanted == [stand for stand in in_memory.stands() if stand.position]
    assert list(in_memory.stands()) == sorted(in_memory.stands(), key=lambda stand: stand[:2])
    on_disk.close()


@given(_steps)
def test_events_and_stands_come_back_from_their_records(steps: Any) -> None:
    rows = rows_of(steps)
    assert rows == [unpack(pack(row)) for row in rows]
    page = packed_page(rows)
    assert [pack(row) for row in rows] == list(map(page.record, range(len(rows))))
    assert page.touches() == [touch_of(pack(row)) for row in rows]
    folded = FoldedState(_LINEAGE)
    folded.take(page.touches(), page.record)
    assert list(folded.stands()) == [unpack_stand(pack_stand(stand)) for stand in folded.stands()]


def test_a_full_disk_is_told_as_what_it_is() -> None:
    folded = FoldedState(_LINEAGE, most=1)
    touches: list[Touch] = [(at, 1, "agent:a", "state.set", f"{at}" * 900, None) for at in range(1, 40)]
    folded.take(touches[:3], bytes)
    assert folded._spilled is not None
    folded._spilled.execute("PRAGMA max_page_count = 2")
    with pytest.raises(BackupError, match="temporary file"):
        folded.take(touches[3:], bytes)
    folded.close()


@given(_steps, st.integers(0, 40), st.integers(1, 5))
def test_who_goes_on_from_another_fold_comes_to_the_same(steps: Any, cut: int, most: int) -> None:
    rows = rows_of(steps)
    whole, first, second = FoldedState(_LINEAGE), FoldedState(_LINEAGE), FoldedState(_LINEAGE, most=most)
    for folded, part in ((whole, rows), (first, rows[:cut])):
        page = packed_page(part)
        folded.take(page.touches(), page.record)
    second.settle(first.stands())
    page = packed_page(rows[cut:])
    second.take(page.touches(), page.record)
    assert list(whole.stands()) == list(second.stands())
    second.close()
