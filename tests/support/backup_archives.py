"""Backups for tests: tiny archives whose manifests are those of backups, and strategies of what they say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any

from hypothesis import strategies as st

from backstory.backups.entries import info_of
from backstory.domain.scopes import Scope
from backstory.infrastructure.archives.encryption import Encryption
from backstory.infrastructure.archives.writer import ArchiveWriter

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def told(**changes: Any) -> dict[str, Any]:
    """Return what `info_of` is given for a full backup of ten events, with some of it changed."""
    return {
        "kind": "full",
        "parent_id": None,
        "position": 10,
        "since_position": 0,
        "created_at": NOON,
        "events": 10,
        "entries": 3,
        "scopes": None,
        "branch": "main",
        "branch_id": 0,
        "importance": 0,
        "log_id": bytes(16),
        "head_hash": bytes(range(32)),
        "since_hash": bytes(32),
        "recorded_at": NOON - timedelta(seconds=1),
        "state_hash": "ab" * 32,
        "schemas": {},
        "product": "0.1.0",
    } | changes


def backup_archive(
    backup_id: str = "b1",
    *,
    info: dict[str, Any] | None = None,
    encryption: Encryption | None = None,
    compression: str = "none",
    **changes: Any,
) -> bytes:
    """Return an archive of one record; `info`, or what is told with some changes, is in its manifest."""
    sink = BytesIO()
    writer = ArchiveWriter(sink, backup_id=backup_id, compression=compression, encryption=encryption, chunk_bytes=64)
    writer.begin("events")
    writer.write(b"an event")
    writer.finish(info_of(**told(**changes)) if info is None else info)
    return sink.getvalue()


TIMES = st.datetimes(
    min_value=datetime(1970, 1, 2),  # noqa: DTZ001 - the zone is drawn beside it
    max_value=datetime(2200, 1, 1),  # noqa: DTZ001 - as above
    timezones=st.sampled_from([UTC, *(datetime.fromisoformat(f"2026-01-01T00:00{z}").tzinfo for z in ("+05:30",))]),
)
WORDS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)
SCOPES = st.builds(
    lambda kind, name: Scope.parse(f"{kind}:{name}"),
    st.sampled_from(["agent", "user"]),
    st.from_regex(r"[a-z0-9]{1,8}", fullmatch=True),
)


@st.composite
def tellings(draw: st.DrawFn) -> dict[str, Any]:
    """Draw what a backup may tell of itself, none of it contradicting the rest."""
    since, more = draw(st.integers(0, 2**40)), draw(st.integers(0, 2**40))
    parent = draw(st.none() | st.uuids().map(lambda each: each.hex))
    return told(
        kind="full" if parent is None else "incremental",
        parent_id=parent,
        since_position=0 if parent is None else since,
        position=since + more,
        created_at=draw(TIMES),
        recorded_at=draw(TIMES),
        events=draw(st.integers(0, 2**40)),
        entries=draw(st.integers(0, 2**40)),
        importance=draw(st.integers(0, 9)),
        branch=draw(WORDS),
        scopes=draw(st.none() | st.lists(SCOPES, min_size=1, max_size=3).map(tuple)),
        log_id=draw(st.binary(min_size=16, max_size=16)),
        head_hash=draw(st.binary(min_size=32, max_size=32)),
        since_hash=draw(st.binary(min_size=32, max_size=32)),
        state_hash=draw(st.binary(min_size=32, max_size=32)).hex(),
        schemas=draw(st.dictionaries(WORDS, st.lists(WORDS, max_size=3).map(tuple), max_size=3)),
        product=draw(WORDS),
    )
