"""What a backup must do and backups elsewhere often do not: hold only the change, all scopes, go back to a point."""

from __future__ import annotations

import os
import re
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

import backstory
from backstory import BackupError, Encryption, Event, Field, Once, RetentionPolicy, Schema
from backstory.testing.clock import ManualClock
from tests.support.damaged_backups import contents

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backstory import StateStore

SCOPES: Final = ("global", "agent:a", "workflow:w", "session:s", "user:u", "tool:t", "hook:h", "custom:c")
WORDS: Final = "the account number is 4711"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store(store_url: str, tmp_path: Path, clock: ManualClock) -> Iterator[StateStore]:
    with backstory.open(store_url, backups=str(tmp_path / "kept"), clock=clock) as store:
        yield store


@pytest.fixture
def new_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'new.db'}"


def test_an_incremental_backup_holds_what_came_since_and_nothing_before(store: StateStore, new_url: str) -> None:
    store.set_many("agent:a", {f"k{number}": os.urandom(40).hex() for number in range(200)})
    full = store.backups.create()
    since = store.position()
    store.set("agent:a", "k7", "changed")
    change = store.backups.create("incremental")
    assert (full.id, full.position) == (change.parent_id, change.since_position)
    assert store.position() - 1 == change.position
    assert change.position - full.position == change.events
    assert since - full.position + 1 == change.events, "what was backed up before is not in it again"
    assert change.size_bytes < full.size_bytes / 3
    store.backups.restore(change.id, into=new_url)
    with backstory.open(new_url) as new:
        assert contents(store) == contents(new)


def test_a_backup_holds_every_kind_of_scope_with_events_and_schemas(store: StateStore, new_url: str) -> None:
    store.schemas.register(Schema("profile", "2.1.0", {"name": Field("string")}))
    for scope in SCOPES:
        store.set(scope, "name", {"of": scope})
    store.append("session:s", [Event("message.user", {"text": "hello"})])
    backup = store.backups.create()
    assert (None, len(SCOPES)) == (backup.scopes, backup.entries - _schema_entries(store))
    store.backups.restore(backup.id, into=new_url)
    with backstory.open(new_url) as new:
        assert [{"of": scope} for scope in SCOPES] == [new.get(scope, "name") for scope in SCOPES]
        assert ["2.1.0"] == [each.version for each in new.schemas.versions("profile")]
        assert [{"text": "hello"}] == [event.data for event in new.log(types=["message.user"])]


def _schema_entries(store: StateStore) -> int:
    """Return how many values the registry of schemas keeps as state."""
    return sum(len(items) for scope, items in contents(store).items() if scope not in SCOPES)


def test_a_restore_goes_back_to_one_point_as_a_whole_and_later_keys_are_gone(store: StateStore) -> None:
    store.set("agent:a", "kept", 1)
    point = store.set("agent:a", "changed", "before")
    store.set("agent:a", "changed", "after")
    store.set("user:u", "later", True)
    backup = store.backups.create()
    store.delete("agent:a", "kept")
    report = store.backups.restore(backup.id, as_of=point.position)
    assert {"agent:a": {"kept": 1, "changed": "before"}} == contents(store)
    commit = list(store.log(since=report.rollback_point))
    assert (2, 1) == (report.restored, report.removed)
    assert 1 == len({event.recorded_at for event in commit}), "one commit"
    assert ["state.deleted", "state.set", "state.set", "backup.restored"] == sorted(
        (event.type for event in commit), key=["state.deleted", "state.set", "backup.restored"].index
    )
    assert {"agent:a": {"changed": "after"}, "user:u": {"later": True}} == contents(store, report.rollback_point)


def test_an_encrypted_backup_shows_nothing_and_is_on_disk_before_it_has_its_name(
    store: StateStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "kept"
    folder.mkdir()
    store.set("agent:private-name", "private-key", WORDS)
    synced: list[list[str]] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append([each.name for each in folder.glob("2*.bsa")])
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    backup = store.backups.create(encryption=Encryption(key=bytes(range(32))))
    assert [[], [Path(backup.path).name]] == synced[-2:], "the file first, then its folder"
    stored = Path(backup.path).read_bytes()
    for word in (WORDS, "private-name", "private-key"):
        assert word.encode() not in stored
    assert 0o600 == Path(backup.path).stat().st_mode & 0o777


def test_bounds_of_a_policy_hold_together_and_no_chain_is_broken(store: StateStore, clock: ManualClock) -> None:
    made: list[Any] = []
    for number in range(9):
        store.set("agent:a", "day", number)
        made.append(store.backups.create("full" if number % 3 == 0 else "incremental"))
        clock.advance(timedelta(days=1).total_seconds())
    by_age = store.backups.prune(RetentionPolicy(max_age=timedelta(days=7, hours=1), max_count=8), dry_run=True)
    assert {each.id for each in made[3:]} <= {each.id for each in by_age.kept}
    report = store.backups.prune(RetentionPolicy(max_age=timedelta(days=7, hours=1), max_count=3))
    assert [each.id for each in made[6:]] == sorted(each.id for each in report.kept), "the stricter one holds"
    assert [each.id for each in made[6:]] == sorted(each.id for each in store.backups.list())
    report = store.backups.prune(RetentionPolicy(max_age=timedelta(days=0), max_count=1))
    assert [] == list(report.deleted), "the newest needs them all"
    for backup in store.backups.list():
        assert store.backups.validate(backup.id).is_valid


def test_the_life_of_a_backup_is_in_the_log(store: StateStore) -> None:
    store.set("agent:a", "k", 1)
    first, second = store.backups.create(), store.backups.create()
    store.backups.validate(first.id)
    store.backups.restore(first.id)
    store.backups.prune(RetentionPolicy(max_count=1))
    told = [event.type for event in store.log(scope=f"custom:backup:{first.id}")]
    assert ["backup.created", "backup.verified", "backup.restored", "backup.pruned"] == told
    assert ["backup.created"] == [event.type for event in store.log(scope=f"custom:backup:{second.id}")]


def test_every_kind_of_event_about_backups_lies_where_the_documents_say(store: StateStore, clock: ManualClock) -> None:
    store.set("agent:a", "k", 1)
    key = Encryption(key=bytes(range(32)))
    made = store.backups.create(encryption=key)
    store.backups.validate(made.id, encryption=key)
    store.backups.restore(made.id, encryption=key)
    store.backups.rewrap(made.id, key, Encryption(key=b"o" * 32))
    with pytest.raises(BackupError):
        store.backups.create("incremental", scopes=["agent:a"], encryption=Encryption(key=bytes(32)))
    policy = RetentionPolicy(max_count=1, keep_full=0)
    store.backups.schedule("good", Once(1.0), policy=policy)
    store.backups.schedule("bad", Once(2.0), encryption_from={"key_command": "false"})
    clock.advance(3)
    good = next(run.backup for run in store.backups.run_due() if run.backup is not None)
    store.backups.unschedule("good")

    found: dict[str, list[str]] = {}
    failures = []
    for event in store.log(types="backup.*"):
        kind = event.type.removeprefix("backup.")
        stream = event.stream.replace(made.id, "<id>").replace(good.id, "<id>")
        if kind == "failed" and stream != "custom:backups":
            stream = "custom:backup:<id>"
        if kind == "failed":
            failures.append((stream, sorted(event.data)))
        found.setdefault(stream, []).append(kind)
    documented = (Path(__file__).parents[2] / "docs" / "backups.md").read_text()
    table = documented.partition("## What the log says")[2].partition("\n## ")[0]
    own, _, shared = table.partition("`custom:backups`")
    assert {"custom:backup:<id>", "custom:backups"} == set(found)
    assert set(found["custom:backup:<id>"]) == set(re.findall(r"`backup\.(\w+)`", own))
    assert set(found["custom:backups"]) == set(re.findall(r"`backup\.(\w+)`", shared))
    assert [
        ("custom:backup:<id>", ["error", "what"]),
        ("custom:backups", ["backup_id", "error", "pruned", "schedule", "what"]),
    ] == failures
