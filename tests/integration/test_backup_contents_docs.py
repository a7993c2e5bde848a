"""What a backup holds, as docs/backup-contents.md tells it: read by the script there, and by its tables."""

from __future__ import annotations

import json
import re
import struct
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import backstory
from backstory import Backup, Event, Field, Schema, StateStore
from backstory.infrastructure.archives.reader import reading
from backstory.testing.clock import ManualClock

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "backup-contents.md"
BEGUN = datetime(2026, 11, 21, 14, tzinfo=UTC)


def script() -> str:
    found = re.findall(r"^```python\n(.*?)^```$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(found) == 1
    code: str = found[0]
    return code


def printed(folder: Path, *paths: str) -> subprocess.CompletedProcess[str]:
    program = folder / "read_backup.py"
    program.write_text(script(), encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-X", "utf8", "-I", program, *paths],
        capture_output=True,
        text=True,
        check=False,
        encoding="utf-8",
    )


def state(store: StateStore) -> dict[str, dict[str, Any]]:
    return {str(scope): dict(values) for scope, values in store.snapshot().items()}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(BEGUN)


@pytest.fixture
def store(tmp_path: Path, clock: ManualClock) -> Any:
    with backstory.open(f"sqlite:///{tmp_path / 'a.db'}", clock=clock) as opened:
        yield opened


def lived_in(store: StateStore, clock: ManualClock) -> None:
    """Do whatever can be done to state, and more that leaves it alone."""
    asked = store.append("session:1", [Event("question.asked", {"text": "Wie viel?"})], correlation_id="run 7")[0]
    with backstory.context(actor="Zoë", tags=["a"], cause=asked):
        store.set("agent:zoë", "größe", {"value": ["a", {"op": "set"}], "n": 1.5, "none": None})
        store.set_many("agent:a", {f"k/{number}": number for number in range(300)})
    store.increment("agent:a", "k/7", by=3)
    store.delete("agent:a", "k/8")
    store.move("agent:a", "agent:b", keys="k/9")
    store.set("agent:c", "x", 1)
    store.clear("agent:c")
    store.set("agent:c", "y", 2)
    store.set("agent:d", "soon", "gone", ttl=timedelta(seconds=5))
    store.set("agent:d", "late", "there", ttl=timedelta(days=5))
    store.schemas.register(Schema("s", "1.0.0", {"n": Field("integer")}))
    fork = store.fork("other")
    fork.set("agent:c", "y", "on the fork alone")
    clock.advance(60)
    store.set("agent:c", "z", 3)


@pytest.mark.parametrize("compression", ["zstd", "gzip", "none"])
def test_the_script_in_the_document_prints_the_state_that_was_backed_up(
    compression: str, store: StateStore, clock: ManualClock, tmp_path: Path
) -> None:
    lived_in(store, clock)
    expected = state(store)
    made = store.backups.create(compression=compression)
    done = printed(tmp_path, made.path)
    assert "" == done.stderr
    assert expected == json.loads(done.stdout)
    assert "soon" not in expected["agent:d"]


def test_the_script_goes_on_with_incremental_backups(store: StateStore, clock: ManualClock, tmp_path: Path) -> None:
    lived_in(store, clock)
    paths = [store.backups.create().path]
    store.delete("agent:c", "y")
    store.set("agent:a", "k/7", "new")
    expected = state(store)
    paths.append(store.backups.create("incremental").path)
    assert expected == json.loads(printed(tmp_path, *paths).stdout)
    assert "does not carry on from there" in printed(tmp_path, paths[1]).stderr


def test_the_script_reads_what_a_fork_shows(store: StateStore, clock: ManualClock, tmp_path: Path) -> None:
    lived_in(store, clock)
    made = store.branch("other").backups.create()
    shown = json.loads(printed(tmp_path, made.path).stdout)
    assert {"y": "on the fork alone"} == shown["agent:c"]


def test_the_script_refuses_what_is_damaged(store: StateStore, tmp_path: Path) -> None:
    store.set("agent:a", "k", "v" * 1000)
    path = Path(store.backups.create(compression="none").path)
    stored = bytearray(path.read_bytes())
    stored[stored.index(b"vvv")] ^= 1
    path.write_bytes(stored)
    done = printed(tmp_path, str(path))
    assert ("not as written: chunk 3\n", 1) == (done.stderr, done.returncode)


def test_the_script_is_short() -> None:
    assert len(script().splitlines()) <= 100


def test_the_parts_are_those_of_the_document_in_its_order(store: StateStore, clock: ManualClock) -> None:
    lived_in(store, clock)
    whole, some = store.backups.create(), store.backups.create(scopes=["agent:a"])
    named = re.findall(r"^\| `(\w+)` \|", DOCUMENT.read_text(encoding="utf-8").split("##")[0], re.MULTILINE)
    assert [name for name in named if name != "selected"] == parts_of(whole)
    assert [name for name in named if name not in {"events", "consumers"}] == parts_of(some)


def parts_of(made: Backup) -> list[str]:
    with reading(made.path) as archive:
        return [part.name for part in archive.manifest.parts]


def test_the_manifest_has_the_names_of_the_document(store: StateStore, clock: ManualClock) -> None:
    lived_in(store, clock)
    with reading(store.backups.create().path) as archive:
        info = archive.manifest.info
    section = DOCUMENT.read_text(encoding="utf-8").partition("## The manifest")[2].partition("\n## ")[0]
    assert sorted(info) == sorted(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))
    for name in [*info["backup"], *info["log"]]:
        assert f"`{name}`" in section


def test_a_record_has_its_parts_where_the_document_says(store: StateStore) -> None:
    event = store.set("agent:a", "k", 1, actor="ann", ttl=60)
    with reading(store.backups.create().path) as archive:
        found = {name: list(records) for name, records in archive.parts()}
    [record], [stand] = found["events"], found["state"]
    assert (1, 1) == (int.from_bytes(record[:8], "big"), int.from_bytes(record[12:20], "big"))
    assert (event.event_id.bytes, b"agent:astate.setkann") == (record[73:89], record[89:109])
    assert int.from_bytes(record[41:45], "big") == len("agent:a")
    assert record[28:36] == stand[8:16] != struct.pack(">q", -1)
    assert (1, 7, b"agent:ak") == (int.from_bytes(stand[:8], "big"), int.from_bytes(stand[16:20], "big"), stand[20:])
