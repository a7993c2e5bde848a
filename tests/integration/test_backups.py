"""Backups: made at one position, restored to any point, into the live store or a new one, of all of it or a part."""

from __future__ import annotations

import asyncio
import json
import os
import threading
import tracemalloc
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import apsw
import pytest
from hypothesis import strategies as st

import backstory
from backstory import (
    MISSING,
    BackupError,
    ConfigError,
    EncryptionError,
    HookCancelledError,
    IntegrityError,
    InvalidPointError,
    InvalidScopeError,
    InvalidValueError,
    NotFoundError,
    ReadOnlyError,
    RetentionPolicy,
    Scope,
    StoreClosedError,
)
from backstory.backups import lost
from backstory.backups.entries import entry_at
from backstory.backups.writing import Job
from backstory.domain.hooks import HookResult
from backstory.domain.packed_events import PackedPage
from backstory.domain.ports import LogQuery
from backstory.domain.selection import selection_of
from backstory.infrastructure.archives.derivation import Pbkdf2
from backstory.infrastructure.archives.reader import reading
from backstory.infrastructure.archives.writer import writing
from backstory.testing.clock import ManualClock
from tests.support.causal import Engine, histories
from tests.support.on_a_loop import FACES, opened
from tests.support.versioned_users import places

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.causal import History

S = "agent:x"
FULL_KEY = backstory.Encryption(key=b"k" * 32)
OTHER_KEY = backstory.Encryption(key=b"o" * 32)


@pytest.fixture(params=places("asyncio"), ids="-".join)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    face, engine = request.param
    url = request.getfixturevalue(f"{engine}_url")
    with opened(face, url, durability="relaxed", backups=tmp_path / "backups") as opened_store:
        yield opened_store


@pytest.fixture(params=FACES)
def quick(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    with opened(request.param, "memory://", backups=tmp_path / "backups") as opened_store:
        yield opened_store


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    return Engine(request.param, tmp_path, request)


def state(store: Any, as_of: Any = None) -> dict[tuple[str, str], Any]:
    """Return all values by scope and key; those of a past point that have expired since are none."""
    found = store.snapshot() if as_of is None else store.snapshot(as_of=as_of)
    return {(str(scope), key): value for scope, values in found.items() for key, value in values.items()}


def rows(store: Any, until: int | None = None) -> list[tuple[Any, ...]]:
    """Return the log of all branches, whole rows."""
    core = store._core
    everything = tuple((row.id, 2**62) for row in store._runner.run(core.engine.branches()))
    found = store._runner.run(core.engine.page(LogQuery(everything, limit=10**6)))
    return [tuple(row) for row in found if until is None or row.position <= until]


def with_values(store: Any, count: int = 5) -> None:
    for at in range(count):
        store.set(S, f"k/{at}", {"n": at})
    store.set("session:s", "a", "text")
    store.set("session:s", "gone", 1)
    store.delete("session:s", "gone")


# Laws

_cuts = st.lists(st.tuples(st.integers(0, 25), st.booleans()), min_size=1, max_size=4)
_points = st.integers(0, 10**6)
_places = st.tuples(st.integers(0, 3), _points)
_selections = st.sampled_from(((None, None), ("agent:x", None), ("agent:*", None), (None, "a"), ("session:s", "b*")))


def backed_up(history: History, steps: list[Any], cuts: list[tuple[int, bool]], folder: Path) -> list[Any]:
    """Live through a history, with a backup after some of its steps; return them, the first one full."""
    made: list[Any] = []
    done = 0
    for at, full in sorted(cuts):
        history.do(steps[done : max(done, at)])
        done = max(done, at)
        made.append(history.store.backups.create("full" if full or not made else "incremental", target=folder))
    history.do(steps[done:])
    return made


def comes_back_whole(history: History, steps: Any, cuts: Any, place: tuple[int, int], *, folder: Path) -> None:
    store = history.store
    backups = backed_up(history, steps, cuts, folder)
    backup = backups[place[0] % len(backups)]
    as_of = place[1] % (store.position() + 1)
    url = f"sqlite:///{folder / uuid4().hex}.db"

    report = store.backups.restore(backup.id, as_of=as_of, into=url)

    assert as_of == report.position
    with backstory.open(url, clock=history.clock) as new:
        assert rows(store, as_of) == rows(new)
        assert new.verify().ok
        assert state(store, as_of) == state(new, as_of)
        assert report.restored == len(state(new, as_of))
        there = {branch.name: branch for branch in new.branches()}
        for branch in store.branches():
            if branch.name in there and branch.parent is not None:
                assert branch == there[branch.name]
                assert state(store.branch(branch.name), as_of) == state(new.branch(branch.name), as_of)
        assert as_of + 1 == new.set("agent:new", "k", 1).position


def test_the_log_comes_back_up_to_any_point_with_positions_ids_and_hashes(engine: Engine, tmp_path: Path) -> None:
    def law(history: History, *drawn: Any) -> None:
        comes_back_whole(history, *drawn, folder=tmp_path / uuid4().hex)

    engine.holds(law, histories, _cuts, _places, share=0.3)


def is_as_it_was(
    history: History, steps: Any, cuts: Any, place: tuple[int, int], selected: Any, *, folder: Path
) -> None:
    store = history.store
    backups = backed_up(history, steps, cuts, folder)
    backup = backups[place[0] % len(backups)]
    head = store.position()
    as_of = place[1] % (head + 1)
    selection = selection_of(selected[0], "*" if selected[1] is None else selected[1])
    before = state(store)
    now_us = history.store._runner.run(store._core.state.now_us())
    was = {at: value for at, value in state(store, as_of).items() if not _expired(store, at, as_of, now_us)}
    wanted = {at: value for at, value in before.items() if not selection.fits(*at)}
    wanted |= {at: value for at, value in was.items() if selection.fits(*at)}
    asked = {"as_of": as_of, "scope": selected[0], "keys": selected[1]}

    if selected != (None, None) and not any(selection.fits(*at) for at in {*before, *was}):
        return  # a restore of nothing is refused
    tried = store.backups.restore(backup.id, **asked, dry_run=True)
    assert head == store.position()
    report = store.backups.restore(backup.id, **asked)

    assert wanted == state(store)
    assert (tried.restored, tried.removed, tried.unchanged) == (report.restored, report.removed, report.unchanged)
    assert tried.diff == report.diff
    assert head == report.rollback_point
    changed = {at for at in {*before, *wanted} if before.get(at, MISSING) != wanted.get(at, MISSING)}
    assert changed <= {(str(each.scope), each.key) for each in report.diff}
    assert len(report.diff) == report.restored + report.removed
    back = store.backups.restore(backup.id, as_of=report.rollback_point)
    assert before == state(store)
    assert back.restored + back.removed == len(report.diff)
    assert store.verify().ok
    restored = list(store.log(types="backup.restored"))
    assert [head, report.position] == [restored[0].data["rollback_point"], restored[0].data["position"]]


def _expired(store: Any, at: tuple[str, str], as_of: int, now_us: int) -> bool:
    head = store._runner.run(store._core.engine.key_head(store._core.lineage, *at, as_of))
    return head.expires_us is not None and head.expires_us <= now_us


def test_the_live_state_is_as_it_was_at_any_point_and_can_be_brought_back(engine: Engine, tmp_path: Path) -> None:
    def law(history: History, *drawn: Any) -> None:
        is_as_it_was(history, *drawn, folder=tmp_path / uuid4().hex)

    engine.holds(law, histories, _cuts, _places, _selections, share=0.5)


def tells_the_state(history: History, steps: Any, cuts: Any, scopes: Any, *, folder: Path) -> None:
    store = history.store
    _begun(store)
    backups = backed_up(history, steps, cuts, folder)
    by_changes = store.backups.create("incremental", target=folder, scopes=scopes)
    anew = store.backups.create(target=folder, scopes=scopes)
    entries = [_entry(each) for each in (by_changes, anew)]
    assert entries[0].state_hash == entries[1].state_hash
    assert by_changes.entries == anew.entries
    wanted = {at for at in state(store, anew.position) if scopes is None or at[0] in scopes}
    assert len(wanted) == anew.entries
    for backup in (backups[-1], by_changes, anew):
        report = store.backups.validate(backup.id)
        assert report.is_valid, report.errors
        assert backup.entries == report.entries


def _begun(store: Any) -> None:
    """Write to the scopes that are selected: where nothing is, there is nothing to back up."""
    store.set(S, "begun", 1)
    store.set("session:s", "begun", 1)


def _entry(backup: Any) -> Any:
    return entry_at(backup.path, path=backup.path, name=Path(backup.path).name)


def test_a_backup_of_nothing_is_refused(store: Any) -> None:
    with_values(store)
    before = store.position()
    with pytest.raises(BackupError, match="no event of agent:nobody"):
        store.backups.create(scopes=["agent:nobody"])
    with pytest.raises(InvalidScopeError, match="pattern"):
        store.backups.create(scopes=["agent:*"])
    assert before == store.position()
    assert [] == store.backups.list()
    store.delete(S, "k/0")
    assert {S} == {str(scope) for scope in store.backups.create(scopes=["agent:nobody", S]).scopes} - {"agent:nobody"}


def test_what_is_counted_from_changes_is_what_is_counted_anew(engine: Engine, tmp_path: Path) -> None:
    def law(history: History, *drawn: Any) -> None:
        tells_the_state(history, *drawn, folder=tmp_path / uuid4().hex)

    scopes = st.sampled_from((None, None, [S], ["session:s", "agent:y"]))
    engine.holds(law, histories, _cuts, scopes, share=0.25)


def test_scopes_that_two_branches_write_to_are_backed_up_whole(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backstory.backups.making._MOST", 3)
    store.set(S, "first", 0)
    fork = store.fork("what-if")
    for at in range(20):
        store.set(S, f"main/{at}", at)
        fork.set(S, f"fork/{at}", at)
    whole = store.backups.create()
    fork.set(S, "fork/last", 1)
    for at, branch in enumerate((store, fork)):
        backup = branch.backups.create(scopes=[S])
        assert backup.entries == len(branch.items(S)) == 21 + at
        assert branch.backups.validate(backup.id).errors == ()
        store.set(S, "main/0", "new")
        later = branch.backups.create("incremental", parent=backup, scopes=[S])
        assert branch.backups.validate(later.id).errors == ()
        assert branch.backups.restore(later.id, dry_run=True).diff == []
    store.set(S, "main/1", "newest")
    on_a_whole_one = store.backups.create("incremental", parent=whole, scopes=[S])
    assert store.backups.validate(on_a_whole_one.id).errors == ()
    assert store.backups.restore(on_a_whole_one.id, dry_run=True).diff == []


def test_a_page_holds_no_more_than_memory_should(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backstory.backups.making._PAGE_BYTES", 10_000)
    for at in range(6):
        store.set(S, f"k/{at}", "x" * (4_000 if at % 2 else 90_000))
        store.set(S, f"small/{at}", at)
    seen: list[int] = []
    take = Job.take

    def seeing(job: Job, page: PackedPage) -> None:
        seen.append(len(page.records))
        take(job, page)

    with monkeypatch.context() as patch:
        patch.setattr(Job, "take", seeing)
        backups = store.backups.create(), store.backups.create(scopes=[S])
    assert max(seen) < 100_000
    assert len([size for size in seen if size > 20_000]) == 6
    for backup in backups:
        assert store.backups.validate(backup.id).errors == ()


def test_a_log_with_a_hole_is_not_backed_up(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with backstory.open(f"sqlite:///{path}") as store:
        with_values(store)
    damaged = apsw.Connection(str(path))
    damaged.execute("DELETE FROM events WHERE position = 3")
    damaged.close()
    with backstory.open(f"sqlite:///{path}") as store:
        with pytest.raises(IntegrityError, match="hole") as caught:
            store.backups.create()
        assert (caught.value.kind, caught.value.position) == ("gap", 3)
        assert store.backups.list() == []


def test_a_backup_that_cannot_be_told_of_leaves_no_file(quick: Any, tmp_path: Path) -> None:
    quick.set(S, "k", 1)
    with pytest.raises(InvalidValueError):
        quick.backups.create(target=os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    assert list(tmp_path.rglob("*.bsa")) == []


def test_what_is_built_on_is_not_given_up_meanwhile_without_a_word(sqlite_url: str) -> None:
    with backstory.open(sqlite_url) as store, backstory.open(sqlite_url) as other:
        store.set(S, "k", 1)
        store.backups.create()
        store.set(S, "k", 2)

        def give_up(done: int, total: int) -> None:
            if done == total and len(other.backups.list()) == 1:
                other.backups.create()
                other.backups.prune(RetentionPolicy(max_count=1))

        with pytest.raises(BackupError, match="pruned meanwhile"):
            store.backups.create("incremental", progress=give_up)
        (left,) = store.backups.list()
        assert store.backups.validate(left.id).errors == ()


def test_what_was_backed_up_of_some_scopes_comes_back_as_it_was_at_any_point(engine: Engine, tmp_path: Path) -> None:
    def law(history: History, steps: Any, cut: int, point: int) -> None:
        store, folder = history.store, tmp_path / uuid4().hex
        _begun(store)
        history.do(steps[:cut])
        store.backups.create(target=folder, scopes=[S, "session:s"])
        history.do(steps[cut:])
        backup = store.backups.create("incremental", target=folder, scopes=[S])
        as_of = point % (backup.position + 1)
        others = {at: value for at, value in state(store).items() if at[0] != S}
        now_us = store._runner.run(store._core.state.now_us())
        was = {at: value for at, value in state(store, as_of).items() if not _expired(store, at, as_of, now_us)}
        url = f"sqlite:///{folder / uuid4().hex}.db"
        store.backups.restore(backup.id, as_of=as_of, into=url)
        store.backups.restore(backup.id, as_of=as_of)
        wanted = {at: value for at, value in was.items() if at[0] == S}
        assert others | wanted == state(store)
        with backstory.open(url, clock=history.clock) as new:
            assert wanted == state(new)

    engine.holds(law, histories, st.integers(0, 20), _points, share=0.25)


# Making


def test_a_backup_says_what_it_holds(store: Any) -> None:
    with_values(store)
    head = store.position()
    full = store.backups.create(importance=3)
    store.set(S, "k/0", "later")
    second = store.backups.create("incremental", compression="gzip", level=9)

    assert ("full", None, 0, head, head, 6, None, "main", "zstd", False, 3) == (
        full.kind,
        full.parent_id,
        full.since_position,
        full.position,
        full.events,
        full.entries,
        full.scopes,
        full.branch,
        full.compression,
        full.encrypted,
        full.importance,
    )
    assert (full.id, head, head + 2, 2, "gzip") == (
        second.parent_id,
        second.since_position,
        second.position,
        second.events,
        second.compression,
    )
    assert [second, full] == store.backups.list()
    assert full == store.backups.info(full.id) == store.backups.info(full.id[:12]) == store.backups.info(full.path)
    usage = store.backups.usage()
    assert (2, 1, 1, full.size_bytes + second.size_bytes) == (
        usage.count,
        usage.full,
        usage.incremental,
        usage.size_bytes,
    )
    assert Path(full.path).stat().st_size == full.size_bytes
    events = list(store.log(types="backup.*"))
    assert [full.id, second.id] == [event.data["backup"]["id"] for event in events]
    assert [f"custom:backup:{each.id}" for each in (full, second)] == [event.stream for event in events]


def test_an_incremental_backup_is_as_large_as_the_change(quick: Any) -> None:
    for at in range(2000):
        quick.set(S, f"k/{at}", {"n": at, "text": str(uuid4())})
    full = quick.backups.create()
    quick.set(S, "k/0", 0)
    small = quick.backups.create("incremental")

    assert 30 * small.size_bytes < full.size_bytes
    assert 2 == small.events


def test_it_begins_where_the_newest_fitting_backup_ends(quick: Any) -> None:
    with_values(quick)
    first = quick.backups.create()
    scoped = quick.backups.create(scopes=[S])
    secret = quick.backups.create(encryption=FULL_KEY)

    assert first.id == quick.backups.create("incremental").parent_id
    assert secret.id == quick.backups.create("incremental", encryption=FULL_KEY).parent_id
    assert scoped.id == quick.backups.create("incremental", parent=scoped, scopes=[S]).parent_id
    for parent, message in ((secret, "is encrypted"), (scoped, "leaves out")):
        with pytest.raises(BackupError, match=message):
            quick.backups.create("incremental", parent=parent.id)


def test_without_a_backup_to_build_on_there_is_no_incremental_one(quick: Any) -> None:
    with_values(quick)
    with pytest.raises(BackupError, match="no backup to build on"):
        quick.backups.create("incremental")

    assert [] == quick.backups.list()
    assert ["backup.failed"] == [event.type for event in quick.log(types="backup.*")]


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ({"kind": "half"}, InvalidValueError),
        ({"parent": "x"}, InvalidValueError),
        ({"scopes": []}, InvalidValueError),
        ({"scopes": "agent:x"}, InvalidValueError),
        ({"scopes": [""]}, InvalidScopeError),
        ({"compression": "rar"}, ConfigError),
        ({"level": 99}, ConfigError),
        ({"encryption": "secret"}, EncryptionError),
        ({"importance": -1}, InvalidValueError),
        ({"importance": 2**70}, InvalidValueError),
        ({"target": "nowhere://x"}, ConfigError),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_written(quick: Any, asked: Any, error: Any) -> None:
    with_values(quick)
    head = quick.position()
    with pytest.raises(error):
        quick.backups.create(**asked)

    assert (head, []) == (quick.position(), quick.backups.list())


def test_a_store_in_memory_needs_a_place_for_backups() -> None:
    with backstory.open("memory://") as store:
        with pytest.raises(ConfigError, match="backups="):
            store.backups.create()
        assert [] == store.backups.list()


def test_backups_of_a_file_are_kept_beside_it(sqlite_url: str, tmp_path: Path) -> None:
    with backstory.open(sqlite_url) as store:
        backup = store.backups.create()

    assert tmp_path / "store.db.backups" == Path(backup.path).parent


def test_a_store_that_is_only_read_lists_and_validates_and_makes_none(sqlite_url: str) -> None:
    with backstory.open(sqlite_url) as store:
        with_values(store)
        backup = store.backups.create()
    with backstory.open(sqlite_url, read_only=True) as store:
        assert [backup] == store.backups.list()
        assert store.backups.validate(backup.id).is_valid
        assert 0 == store.backups.restore(backup.id, dry_run=True).restored
        for call in (
            store.backups.create,
            lambda: store.backups.restore(backup.id),
            lambda: store.backups.prune(RetentionPolicy(max_count=1)),
        ):
            with pytest.raises(ReadOnlyError):
                call()


def test_an_encrypted_backup_shows_no_key_and_no_value(quick: Any) -> None:
    quick.set("agent:seen", "hidden-key", "hidden-value")
    backup = quick.backups.create(encryption=FULL_KEY, compression="none", scopes=["agent:seen"])
    content = Path(backup.path).read_bytes()

    assert b"hidden" not in content
    assert b"agent:seen" in content
    assert (True, (Scope.parse("agent:seen"),), 1) == (backup.encrypted, backup.scopes, backup.entries)


def test_another_key_opens_it_once_it_is_wrapped_anew(quick: Any) -> None:
    with_values(quick)
    backup = quick.backups.create(encryption=FULL_KEY)
    same = quick.backups.rewrap(backup.id, FULL_KEY, OTHER_KEY)

    assert backup.id == same.id
    assert not quick.backups.validate(backup.id, encryption=FULL_KEY).is_valid
    assert quick.backups.validate(backup.id, encryption=OTHER_KEY).is_valid
    with pytest.raises(EncryptionError):
        quick.backups.restore(backup.id, encryption=FULL_KEY)
    assert 0 == quick.backups.restore(backup.id, encryption=OTHER_KEY).restored


def test_a_scope_selects_itself_and_text_may_be_a_pattern(store: Any) -> None:
    for scope in (Scope.custom("a*"), Scope.custom("ab"), Scope.custom("a?")):
        store.set(scope, "k", "old")
    backup = store.backups.create()
    for scope in (Scope.custom("a*"), Scope.custom("ab"), Scope.custom("a?")):
        store.set(scope, "k", "new")

    def back(scope: Any) -> list[str]:
        return sorted(str(each.scope) for each in store.backups.restore(backup.id, scope=scope, dry_run=True).diff)

    assert ["custom:a*"] == back(Scope.custom("a*")) == back("custom:a%2A")
    assert ["custom:a?"] == back(Scope.custom("a?"))
    assert ["custom:a*", "custom:a?", "custom:ab"] == back("custom:a*")
    assert 1 == store.backups.restore(backup.id, scope=Scope.custom("a*")).restored
    assert ["old", "new", "new"] == [store.get(f"custom:a{end}", "k") for end in ("%2A", "b", "?")]


def test_an_operation_asks_for_a_key_once_and_derives_one_for_each_archive_once(
    quick: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_values(quick)
    asked = tmp_path / "asked"
    command = backstory.Encryption(key_command=["sh", "-c", f"echo >> {asked}; echo {'6b' * 32}"])
    phrase = backstory.Encryption(passphrase="correct horse", kdf=Pbkdf2(iterations=1))  # noqa: S106 - not a secret
    salts: list[bytes] = []
    derive = Pbkdf2.derive

    def counted(kdf: Pbkdf2, passphrase: bytes, salt: bytes) -> bytes:
        salts.append(salt)
        return derive(kdf, passphrase, salt)

    monkeypatch.setattr(Pbkdf2, "derive", counted)
    for encryption, place in ((command, tmp_path / "by-command"), (phrase, tmp_path / "by-phrase")):
        for work in operations_on_a_chain(quick, encryption, place):
            asked.write_text("")
            salts.clear()
            work()
            assert int(encryption is command) == len(asked.read_text().splitlines())
            assert sorted(set(salts)) == sorted(salts)


def operations_on_a_chain(store: Any, encryption: backstory.Encryption, place: Path) -> list[Callable[[], Any]]:
    """Return what may be done with a chain that needs a key."""
    options: Any = {"encryption": encryption}
    store.backups.create(target=place, **options)
    store.backups.create("incremental", target=place, **options)
    backup = store.backups.create("incremental", target=place, **options)
    return [
        lambda: store.backups.create("incremental", target=place, **options),
        lambda: store.backups.validate(backup.id, **options),
        lambda: store.backups.restore(backup.id, **options),
        lambda: store.backups.restore(backup.id, into=f"sqlite:///{place}/new.db", **options),
        lambda: backstory.restore(backup.path, f"sqlite:///{place}/newer.db", **options),
        lambda: lost.validate(backup.path, **options),
    ]


def test_a_key_that_is_not_to_be_had_is_asked_for_once(quick: Any, tmp_path: Path) -> None:
    with_values(quick)
    for _ in range(3):
        quick.backups.create(encryption=FULL_KEY)
    asked = tmp_path / "asked"
    command = backstory.Encryption(key_command=["sh", "-c", f"echo >> {asked}; false"])
    with pytest.raises(BackupError, match="no backup to build on"):
        quick.backups.create("incremental", encryption=command)
    assert 1 == len(asked.read_text().splitlines())


def test_rewrapping_needs_both_keys(quick: Any) -> None:
    with_values(quick)
    backup = quick.backups.create(encryption=FULL_KEY)
    for old, new in ((FULL_KEY, None), (None, OTHER_KEY), (FULL_KEY, "secret")):
        with pytest.raises(EncryptionError, match="does not say how to encrypt"):
            quick.backups.rewrap(backup.id, old, new)
    assert quick.backups.validate(backup.id, encryption=FULL_KEY).is_valid


def test_a_policy_without_a_bound_is_refused(quick: Any) -> None:
    with_values(quick)
    quick.backups.create()
    for policy in (RetentionPolicy(), RetentionPolicy(keep_daily=3)):
        for dry_run in (True, False):
            with pytest.raises(InvalidValueError, match="nothing would take away"):
                quick.backups.prune(policy, dry_run=dry_run)


def test_a_folder_is_the_one_it_was_when_the_store_was_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    with backstory.open("memory://", backups="kept") as store:
        store.set(S, "k", 1)
        first = store.backups.create()
        monkeypatch.chdir(tmp_path / "elsewhere")
        second = store.backups.create("incremental")
        assert [second, first] == store.backups.list()
    assert {tmp_path / "kept"} == {Path(each.path).parent for each in (first, second)}


def test_hooks_stand_around_backups_and_may_cancel(quick: Any) -> None:
    with_values(quick)
    seen: list[Any] = []
    quick.hooks.register("after_backup_create", lambda context: seen.append(context.after), name="tell")
    backup = quick.backups.create()
    quick.hooks.flush()
    assert [backup.id] == [each["backup_id"] for each in seen]
    quick.hooks.register("before_backup_restore", lambda _: HookResult.cancel("not now"), name="stop")
    quick.hooks.register("before_backup_create", lambda _: HookResult.cancel("not now"), name="stop too")
    before = state(quick)
    quick.set(S, "k/0", "other")
    for call in (lambda: quick.backups.restore(backup.id), quick.backups.create):
        with pytest.raises(HookCancelledError):
            call()
    assert "other" == quick.get(S, "k/0") != before[S, "k/0"]
    assert [backup] == quick.backups.list()


@pytest.mark.parametrize("answer", [HookResult.cancel("too late"), HookResult.retry(0.0, 2)], ids=["cancel", "retry"])
def test_hooks_after_it_do_not_make_what_was_done_look_failed(quick: Any, answer: HookResult) -> None:
    with_values(quick)
    for verb in ("create", "restore", "prune"):
        quick.hooks.register(f"after_backup_{verb}", lambda _: answer, name=verb, background=False)
    first, before = quick.backups.create(), state(quick)
    quick.set(S, "k/0", "other")
    second = quick.backups.create()
    assert quick.backups.restore(first.id).restored == 1
    assert before == state(quick)
    assert quick.backups.prune(RetentionPolicy(max_count=1)).deleted == (first,)
    assert [second] == quick.backups.list()
    assert {each.hook for each in quick.hooks.history()} == {"create", "restore", "prune"}
    assert not list(quick.log(types="backup.failed"))


def test_progress_counts_events_up_to_all_of_them(store: Any, tmp_path: Path) -> None:
    with_values(store)
    told: list[tuple[int, int]] = []
    head = store.position()
    backup = store.backups.create(progress=lambda done, total: told.append((done, total)))
    assert (head, head) == told[-1]
    told.clear()
    store.backups.restore(backup.id, into=f"sqlite:///{tmp_path}/n.db", progress=lambda *at: told.append(at))
    assert (head, head) == told[-1]


# Restoring


def test_keys_that_came_later_disappear_and_the_log_says_what_was_restored_from_what(store: Any) -> None:
    with_values(store)
    before = state(store)
    backup = store.backups.create()
    store.set(S, "later", 1)
    store.set(S, "k/1", "changed")
    store.delete(S, "k/2")
    head = store.position()

    report = store.backups.restore(backup.id)

    assert before == state(store)
    assert (2, 1, 4, head, backup.position) == (
        report.restored,
        report.removed,
        report.unchanged,
        report.rollback_point,
        report.position,
    )
    new = list(store.log(since=head))
    assert ["restore"] * 3 == [event.data["op"] for event in new if event.type.startswith("state.")]
    said = next(event for event in new if event.type == "backup.restored")
    assert {
        "position": backup.position,
        "scope": None,
        "keys": None,
        "restored": 2,
        "removed": 1,
        "unchanged": 4,
        "rollback_point": head,
        "scopes": None,
        "what": "restore",
    } == said.data
    assert 1 == store.get(S, "later", as_of=head)


def test_an_instant_and_an_event_id_name_points_as_positions_do(store: Any, tmp_path: Path) -> None:
    first = store.set(S, "k", 1)
    store.set(S, "k", 2)
    backup = store.backups.create()
    later = store.set(S, "k", 3)
    for point in (first.position, first.event_id, str(first.event_id)):
        assert 1 == store.backups.restore(backup.id, as_of=point, dry_run=True).diff[0].after
    into = f"sqlite:///{tmp_path / 'n.db'}"
    assert later.position == store.backups.restore(backup.id, as_of=later.event_id, into=into).position
    assert 0 == store.backups.restore(backup.id, as_of=later.recorded_at + timedelta(days=1)).restored
    assert 1 == store.backups.restore(backup.id, as_of=0, dry_run=True).removed


@pytest.mark.parametrize("point", [-1, True, 1.5, "no id"])
def test_a_point_that_is_none_is_refused(quick: Any, point: Any) -> None:
    with_values(quick)
    backup = quick.backups.create()
    head = quick.position()
    with pytest.raises(InvalidPointError):
        quick.backups.restore(backup.id, as_of=point)
    with pytest.raises(InvalidPointError):
        quick.backups.restore(backup.id, as_of=head + 1000)
    assert not list(quick.log(types="state.*", since=head))


def test_an_unknown_backup_is_not_found(quick: Any) -> None:
    with_values(quick)
    quick.backups.create()
    for call in (quick.backups.info, quick.backups.validate, quick.backups.restore):
        with pytest.raises(NotFoundError):
            call("0" * 32)
        with pytest.raises(InvalidValueError):
            call("")


def test_a_new_store_is_made_nowhere_but_in_an_empty_place(quick: Any, tmp_path: Path) -> None:
    with_values(quick)
    backup = quick.backups.create()
    taken = tmp_path / "taken.db"
    taken.write_bytes(b"")
    with pytest.raises(BackupError, match="exists"):
        quick.backups.restore(backup.id, into=f"sqlite:///{taken}")
    with pytest.raises(BackupError, match="exists"):
        quick.backups.restore(backup.id, scope=S, into=f"sqlite:///{taken}")
    for unfit in ("memory://", "nothing"):
        with pytest.raises(ConfigError):
            quick.backups.restore(backup.id, into=unfit)
    assert b"" == taken.read_bytes()


@pytest.mark.postgres
def test_a_lost_store_comes_back_on_another_engine(store: Any, postgres_server: Any, tmp_path: Path) -> None:
    with_values(store)
    store.fork("try").set(S, "k/0", "forked")
    store.backups.create()
    store.set(S, "after", 1)
    backup = store.backups.create("incremental")
    want, log = state(store, backup.position), rows(store, backup.position) if not hasattr(store, "loop") else None
    with postgres_server.database() as lost:
        for url in (lost, f"sqlite:///{tmp_path / 'lost.db'}"):
            report = backstory.restore(backup.path, url)
            assert (backup.position, len(want)) == (report.events, report.restored)
            with backstory.open(url) as new:
                assert want == state(new)
                assert new.verify().ok
                assert "forked" == new.branch("try").get(S, "k/0")
                assert log is None or log == rows(new)
        with pytest.raises(BackupError):
            backstory.restore(backup.path, lost)
        selected = backstory.restore(store.backups.create(scopes=[S]).path, lost, namespace="other")
        assert 6 == selected.restored
        with backstory.open(lost, namespace="other") as new:
            assert [S] == [str(scope) for scope in new.scopes()]


def test_a_forks_backup_is_of_what_the_fork_shows(store: Any) -> None:
    with_values(store)
    fork = store.fork("try")
    fork.set(S, "k/0", "forked")
    store.set(S, "k/0", "main")
    backup = fork.backups.create()
    before = state(fork)
    fork.set(S, "k/0", "again")
    fork.set(S, "more", 1)
    assert "try" == backup.branch
    assert fork.backups.validate(backup.id).is_valid

    fork.backups.restore(backup.id)

    assert before == state(fork)
    assert "main" == store.get(S, "k/0")


def test_a_value_comes_back_with_its_expiry_and_its_schema(quick: Any) -> None:
    quick.schemas.register(backstory.Schema("n", "1.0.0", {"n": backstory.Field("integer")}))
    quick.schemas.bind("n", keys="k/*")
    quick.set(S, "k/1", {"n": 1}, ttl=1000)
    first = next(iter(quick.log(types="state.set")))
    backup = quick.backups.create()
    quick.delete(S, "k/1")
    quick.backups.restore(backup.id)
    again = list(quick.log(types="state.set"))[-1]

    assert (first.data["expires_at"], ("n", "1.0.0")) == (again.data["expires_at"], again.schema)


def test_a_store_that_was_restored_goes_on_and_its_old_backups_are_no_parents(tmp_path: Path) -> None:
    with backstory.open(f"sqlite:///{tmp_path / 'a.db'}") as store:
        with_values(store)
        first = store.backups.create()
        store.set(S, "x", 1)
        second = store.backups.create("incremental")
        store.backups.restore(second.id, as_of=first.position, into=f"sqlite:///{tmp_path / 'b.db'}")
    with backstory.open(f"sqlite:///{tmp_path / 'b.db'}", backups=tmp_path / "a.db.backups") as store:
        store.set(S, "y", 1)
        store.set(S, "y", 2)
        with pytest.raises(BackupError, match="went on otherwise"):
            store.backups.create("incremental", parent=second.id)
        assert first.id == store.backups.create("incremental").parent_id


# Giving up


def test_what_a_policy_does_not_keep_is_deleted_and_said(store: Any) -> None:
    with_values(store)
    first = store.backups.create()
    second = store.backups.create()
    third = store.backups.create("incremental")
    policy = RetentionPolicy(max_count=1)
    tried = store.backups.prune(policy, dry_run=True)
    assert 3 == len(store.backups.list())

    report = store.backups.prune(policy)

    assert tried == report
    assert [first.id] == [each.id for each in report.deleted]
    assert first.size_bytes == report.freed_bytes
    assert [third.id, second.id] == [each.id for each in store.backups.list()]
    assert not Path(first.path).exists()
    pruned = list(store.log(types="backup.pruned"))
    assert [f"custom:backup:{first.id}"] == [event.stream for event in pruned]
    assert () == store.backups.usage().missing
    with pytest.raises(NotFoundError):
        store.backups.info(first.id)


def test_a_prune_that_was_cut_short_is_ended_by_the_next_wherever_the_files_lie(
    quick: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_values(quick)
    elsewhere = quick.backups.create(target=tmp_path / "elsewhere")
    kept = quick.backups.create()

    def interrupted(*_: Any) -> None:
        raise BackupError("cut short")

    with monkeypatch.context() as patch:
        patch.setattr("backstory.backups.giving_up._delete", interrupted)
        with pytest.raises(BackupError, match="cut short"):
            quick.backups.prune(RetentionPolicy(max_count=1))
    assert [elsewhere.id] == [each.id for each in quick.backups.prune(RetentionPolicy(max_count=1)).deleted]
    assert not Path(elsewhere.path).exists()
    assert [kept] == quick.backups.list()


def test_backups_of_other_stores_in_the_same_folder_are_left_alone(quick: Any, tmp_path: Path) -> None:
    with_values(quick)
    with backstory.open("memory://", backups=tmp_path / "backups") as other:
        foreign = other.backups.create()
    quick.backups.create()
    quick.backups.create()

    assert 1 == len(quick.backups.prune(RetentionPolicy(max_count=1)).deleted)
    assert Path(foreign.path).exists()


# Keys, and selections of nothing


def test_a_chain_has_one_key_and_lies_in_one_place(quick: Any, tmp_path: Path) -> None:
    with_values(quick)
    first = quick.backups.create(encryption=FULL_KEY)
    for other in (OTHER_KEY, backstory.Encryption(passphrase=f"{S} words", kdf="pbkdf2")):
        with pytest.raises(BackupError, match="no backup to build on"):
            quick.backups.create("incremental", encryption=other)
        with pytest.raises(BackupError, match="needs another key"):
            quick.backups.create("incremental", parent=first, encryption=other)
    with pytest.raises(BackupError, match="no backup to build on"):
        quick.backups.create("incremental", encryption=FULL_KEY, target=tmp_path / "elsewhere")
    named = quick.backups.create("incremental", parent=first, encryption=FULL_KEY, target=tmp_path / "elsewhere")
    assert first.id == named.parent_id
    assert quick.backups.validate(named.id, encryption=FULL_KEY).is_valid


def test_a_restore_of_nothing_is_refused(store: Any, tmp_path: Path) -> None:
    with_values(store)
    backup = store.backups.create()
    head = store.position()
    for asked in ({"scope": "agent:nobody"}, {"keys": "none/*"}, {"scope": S, "keys": "none"}):
        with pytest.raises(BackupError, match="nothing is selected"):
            store.backups.restore(backup.id, **asked)
        with pytest.raises(BackupError, match="nothing is selected"):
            store.backups.restore(backup.id, into=f"sqlite:///{tmp_path / 'n.db'}", **asked)
    assert not (tmp_path / "n.db").exists()
    assert not list(store.log(types="state.*", since=head))
    store.clear(S)
    assert 5 == store.backups.restore(backup.id, scope=S).restored


# Memory


def _peak(store: Any, folder: Path, target: str) -> tuple[int, int]:
    """Return the most memory that making a backup took, and restoring it, bytes."""
    tracemalloc.start()
    try:
        backup = store.backups.create(target=folder)
        made = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        store.backups.restore(backup.id, into=target)
        return made, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backstory.backups.making._PAGE_BYTES", 100_000)
    monkeypatch.setattr("backstory.infrastructure.archives.layout.CHUNK_BYTES", 100_000)
    text = "x" * 1000
    peaks = []
    with backstory.open(f"sqlite:///{tmp_path / 'a.db'}", durability="relaxed") as store:
        for batch in range(24):
            store.set_many(S, {f"k/{at}": {"n": batch, "text": text} for at in range(250)})
            if batch in {7, 23}:
                peaks.append(_peak(store, tmp_path / f"at-{batch}", f"sqlite:///{tmp_path / f'{batch}.db'}"))

    (small_made, small_restored), (large_made, large_restored) = peaks
    assert large_made < 1.25 * small_made
    assert large_restored < 1.25 * small_restored


# Time and forgery


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def clocked(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Any, ManualClock]]:
    clock = ManualClock()
    url = request.getfixturevalue(f"{request.param}_url")
    with backstory.open(url, clock=clock, durability="relaxed", backups=tmp_path / "backups") as opened_store:
        yield opened_store, clock


def test_what_expires_between_two_backups_is_counted_in_the_first_alone(clocked: Any) -> None:
    store, clock = clocked
    store.set(S, "ends", 1, ttl=10)
    store.set(S, "renewed", 1, ttl=10)
    store.set(S, "renewed", 2)
    store.set(S, "ends later", 1, ttl=1000)
    first = store.backups.create()
    clock.advance(20)
    store.set(S, "other", 1)
    second = store.backups.create("incremental")
    anew = store.backups.create()

    assert (3, 3, 3) == (first.entries, second.entries, anew.entries)
    assert _entry(second).state_hash == _entry(anew).state_hash
    for backup in (first, second, anew):
        report = store.backups.validate(backup.id)
        assert (True, backup.entries) == (report.is_valid, report.entries), report.errors


def test_what_has_expired_since_is_not_brought_back(clocked: Any, tmp_path: Path) -> None:
    store, clock = clocked
    store.set(S, "ends", 1, ttl=10)
    store.set(S, "stays", 1)
    backup = store.backups.create()
    store.set(S, "stays", 2)
    clock.advance(20)
    report = store.backups.restore(backup.id)
    part = store.backups.restore(backup.id, scope=S, into=f"sqlite:///{tmp_path / 'part.db'}")

    assert (1, 0, 0) == (report.restored, report.removed, report.unchanged)
    assert {"stays": 1} == store.items(S)
    assert 1 == part.restored


def test_a_value_that_differs_in_its_expiry_alone_is_restored(clocked: Any) -> None:
    store, clock = clocked
    store.set(S, "k", 1, ttl=10)
    backup = store.backups.create()
    store.set(S, "k", 1)

    assert 1 == store.backups.restore(backup.id).restored
    clock.advance(20)
    assert not store.exists(S, "k")


@pytest.mark.parametrize("forged", ["head_hash", "state_hash", "entries", "position"])
def test_a_manifest_that_does_not_fit_the_log_in_the_archive_is_told_and_refused(
    quick: Any, tmp_path: Path, forged: str
) -> None:
    with_values(quick)
    backup = quick.backups.create(compression="none")
    with reading(backup.path) as archive:
        info = json.loads(json.dumps(dict(archive.manifest.info)))
        parts = {name: list(records) for name, records in archive.parts()}
    if forged == "head_hash":
        info["log"]["head_hash"] = "00" * 32
    elif forged == "state_hash":
        info["state_hash"] = "00" * 32
    else:
        info["backup"][forged] -= 1
    Path(backup.path).unlink()
    with writing(backup.path, backup_id=backup.id, compression="none") as writer:
        for name, records in parts.items():
            writer.begin(name)
            writer.write_all(records)
        writer.finish(info)

    for trial in (True, False):
        assert not quick.backups.validate(backup.id, trial_restore=trial).is_valid
    if forged in {"head_hash", "position"}:
        with pytest.raises(IntegrityError):
            backstory.restore(backup.path, f"sqlite:///{tmp_path / 'new.db'}")
        assert not (tmp_path / "new.db").exists()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_a_task_that_is_cancelled_leaves_no_archive_and_no_new_store(sqlite_url: str, tmp_path: Path) -> None:
    async with backstory.open_async(sqlite_url, durability="relaxed", backups=tmp_path / "kept") as store:
        for batch in range(8):
            await store.set_many(S, {f"k/{at}": {"n": batch} for at in range(500)})
        waiting: asyncio.Task[Any]
        reached = asyncio.Event()

        def tell(done: int, _: int) -> None:
            if done:
                reached.set()
                waiting.cancel()

        waiting = asyncio.create_task(store.backups.create(progress=tell))
        await reached.wait()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert [] == await store.backups.list()
        assert [] == names(tmp_path / "kept")

        backup = await store.backups.create()
        reached.clear()
        into = tmp_path / "new.db"
        waiting = asyncio.create_task(store.backups.restore(backup.id, into=f"sqlite:///{into}", progress=tell))
        await reached.wait()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        # Whoever is cancelled at the very end finds it done.
        assert [name for name in names(tmp_path) if "new.db" in name] in ([], [into.name])
        assert (await store.backups.restore(backup.id, into=f"sqlite:///{tmp_path}/more.db")).events == backup.events


async def test_a_task_that_is_cancelled_once_the_file_has_its_name_leaves_no_archive(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, finish = asyncio.get_running_loop(), Job.finish
    async with backstory.open_async(sqlite_url, durability="relaxed", backups=tmp_path / "kept") as store:
        await store.set(S, "k", 1)

        def cancelled(job: Job, *args: Any) -> Any:
            entry, known = finish(job, *args), threading.Event()

            def cancel() -> None:
                waiting.cancel()
                known.set()

            loop.call_soon_threadsafe(cancel)
            assert known.wait(60)
            return entry

        monkeypatch.setattr(Job, "finish", cancelled)
        waiting = asyncio.create_task(store.backups.create())
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert [] == names(tmp_path / "kept")


def test_a_store_that_is_closed_once_the_file_has_its_name_leaves_no_archive(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = Job.finish
    with backstory.open(sqlite_url, durability="relaxed", backups=tmp_path / "kept") as store:
        store.set(S, "k", 1)

        def closed(job: Job, *args: Any) -> Any:
            entry = finish(job, *args)
            store.close()
            return entry

        monkeypatch.setattr(Job, "finish", closed)
        with pytest.raises(StoreClosedError):
            store.backups.create()
    assert [] == names(tmp_path / "kept")
