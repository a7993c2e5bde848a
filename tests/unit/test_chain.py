"""The hash chain: what its module says in words is what is hashed, and any change of any part is found."""

from __future__ import annotations

import hashlib
import struct
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from backstory.domain.chain import genesis, link_of
from backstory.domain.events import StoredEvent

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
parts = st.none() | st.binary(max_size=6)
small = st.integers(0, 2**31)
hashes = st.binary(min_size=32, max_size=32)
events = st.builds(
    StoredEvent,
    position=small,
    branch=small,
    stream=texts,
    version=small,
    event_id=st.binary(min_size=16, max_size=16),
    type=texts,
    key=st.none() | texts,
    recorded_us=small,
    expires_us=st.none() | small,
    correlation=parts,
    causes=parts,
    actor=parts,
    extra=parts,
    format=st.integers(0, 255),
    cipher_key=small,
    data=st.binary(max_size=6),
    hash=st.just(b""),
)
HASHED = [name for name in StoredEvent._fields if name != "hash"]


def _as_written(previous: bytes, event: StoredEvent) -> bytes:
    """Hash an event as the module's docstring says."""
    bodies = [
        None if part is None else part.encode() if isinstance(part, str) else part
        for part in (event.stream, event.type, event.key, event.correlation, event.causes, event.actor, event.extra)
    ] + [event.data]
    head = struct.pack(">QIQ", event.position, event.branch, event.version)
    times = struct.pack(">qq", event.recorded_us, -1 if event.expires_us is None else event.expires_us)
    kinds = struct.pack(">BI", event.format, event.cipher_key)
    lengths = b"".join(struct.pack(">I", 0xFFFFFFFF if body is None else len(body)) for body in bodies)
    body = b"".join(body or b"" for body in bodies)
    return hashlib.sha256(previous + head + times + kinds + lengths + event.event_id + body).digest()


@given(hashes, events)
def test_an_event_is_hashed_as_the_chain_is_described(previous: bytes, event: StoredEvent) -> None:
    assert _as_written(previous, event) == link_of(previous, event)


@given(hashes, events, events)
def test_two_events_that_differ_in_any_part_have_two_hashes(
    previous: bytes, event: StoredEvent, other: StoredEvent
) -> None:
    for name in HASHED:
        changed = event._replace(**{name: getattr(other, name)})
        if changed != event:
            assert link_of(previous, changed) != link_of(previous, event), name


@given(hashes, events, st.data())
def test_any_change_of_one_byte_is_found(previous: bytes, event: StoredEvent, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from([name for name in HASHED if getattr(event, name) not in {None, "", b""}]))
    changed = event._replace(**{name: _changed(getattr(event, name), data)})

    assert link_of(previous, changed) != link_of(previous, event)


def _changed(part: Any, data: st.DataObject) -> Any:
    if isinstance(part, int):
        return part ^ (1 << data.draw(st.integers(0, 7)))
    at = data.draw(st.integers(0, len(part) - 1))
    if isinstance(part, str):
        return part[:at] + chr((ord(part[at]) + 1) % 0xD800) + part[at + 1 :]
    return part[:at] + bytes([part[at] ^ data.draw(st.integers(1, 255))]) + part[at + 1 :]


@given(hashes, events)
def test_nothing_moves_from_one_part_to_the_next_unseen(previous: bytes, event: StoredEvent) -> None:
    joined = event._replace(stream=event.stream + event.type, type="")
    absent = event._replace(key=None, actor=None)
    empty = event._replace(key="", actor=b"")

    assert event.type == "" or link_of(previous, joined) != link_of(previous, event)
    assert link_of(previous, absent) != link_of(previous, empty)


@given(st.binary(max_size=20), st.binary(max_size=20))
def test_two_logs_never_share_a_prefix(one: bytes, other: bytes) -> None:
    assert (one == other) == (genesis(one) == genesis(other))


@given(hashes, hashes, events)
def test_a_change_anywhere_before_is_found(previous: bytes, other: bytes, event: StoredEvent) -> None:
    assert (previous == other) == (link_of(previous, event) == link_of(other, event))
