"""Points of a restore: in backups, between them, in the live log that carries on, in logs that went on otherwise."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import backstory
from backstory import BackupError, InvalidPointError
from backstory.backups import making
from backstory.testing.clock import ManualClock
from tests.support.damaged_backups import flipped, rewritten

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backstory import Backup, RecordedEvent, StateStore

A, B = "agent:a", "agent:b"
TICK = timedelta(microseconds=1)


class Lost:
    """A store that was lost and brought back from its full backup: ten writes are archived, ten others are live."""

    def __init__(self, folder: Path, url: str, clock: ManualClock, *, scopes: list[str] | None = None) -> None:
        self.clock = clock
        self.old_url = f"sqlite:///{folder / 'old.db'}"
        options: dict[str, Any] = {"clock": clock, "backups": folder / "kept", "durability": "relaxed"}
        with backstory.open(self.old_url, **options) as old:
            old.set(A, "k", "first")
            self.full = old.backups.create(scopes=scopes)
            clock.advance(60)
            self.old = [self._set(old, f"old{at}") for at in range(10)]
            self.later = old.backups.create("incremental", scopes=scopes)
        whole = self.full if scopes is None else None
        clock.advance(3600)
        if whole is None:
            with backstory.open(self.old_url, **options) as old:
                whole = old.backups.create(target=folder / "whole")
            backstory.restore(whole.path, url, as_of=self.full.position)
        else:
            backstory.restore(whole.path, url)
        self.store = backstory.open(url, **options)
        self.new = [self._set(self.store, f"new{at}") for at in range(10)]

    def _set(self, store: StateStore, value: str) -> RecordedEvent:
        self.clock.advance(1)
        return store.set(A, "k", value)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def lost(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lost]:
    made = Lost(tmp_path, request.getfixturevalue(f"{request.param}_url"), ManualClock())
    with made.store:
        yield made


def answers(store: StateStore, backup: Backup, as_of: Any, folder: Path) -> tuple[Any, Any]:
    """Return what a restore into the live store would bring back, and what one into a new store does."""
    url = f"sqlite:///{folder / uuid4().hex}.db"
    would = store.backups.restore(backup.id, as_of=as_of, dry_run=True)
    live = {(str(each.scope), each.key): each.after for each in would.diff}.get((A, "k"), store.get(A, "k"))
    store.backups.restore(backup.id, as_of=as_of, into=url)
    with backstory.open(url, clock=ManualClock()) as new:
        return live, new.get(A, "k")


# Logs that went on otherwise


def test_an_events_id_means_that_event_whatever_later_backups_hold(lost: Lost, tmp_path: Path) -> None:
    for event in (lost.new[0], lost.new[5], lost.new[9]):
        assert (event.data["value"],) * 2 == answers(lost.store, lost.full, event.event_id, tmp_path)
    assert ("old5",) * 2 == answers(lost.store, lost.full, lost.old[5].event_id, tmp_path)


def test_a_point_of_two_logs_is_refused_with_the_name_of_the_other_backup(lost: Lost, tmp_path: Path) -> None:
    head = lost.store.position()
    points: tuple[Any, ...] = (lost.new[5].position, lost.old[5].recorded_at, lost.old[9].recorded_at)
    for point in points:
        for into in (None, f"sqlite:///{tmp_path / 'no.db'}"):
            with pytest.raises(BackupError, match=f"{lost.later.id}.*rollback") as refused:
                lost.store.backups.restore(lost.full.id, as_of=point, into=into)
            assert lost.later.id == refused.value.backup_id
    assert not (tmp_path / "no.db").exists()
    assert {"backup.failed"} == {event.type for event in lost.store.log(since=head)}
    assert ("old5",) * 2 == answers(lost.store, lost.later, lost.old[5].position, tmp_path)


def test_where_logs_do_not_differ_a_point_is_no_question(lost: Lost, tmp_path: Path) -> None:
    between = lost.old[0].recorded_at - TICK
    for point in (lost.full.position, between, lost.full.created_at):
        assert ("first",) * 2 == answers(lost.store, lost.full, point, tmp_path)
    after_the_loss = lost.new[4].recorded_at
    assert ("new4",) * 2 == answers(lost.store, lost.full, after_the_loss, tmp_path)


def test_a_damaged_backup_of_another_log_is_refused_too_and_one_of_this_log_is_not_needed(
    lost: Lost, tmp_path: Path
) -> None:
    mine = lost.store.backups.create("incremental")
    lost.clock.advance(1)
    last = lost.store.set(A, "k", "last")
    for each in (lost.later, mine):
        rewritten(each, flipped(Path(each.path).read_bytes(), each.size_bytes // 3))
    with pytest.raises(BackupError, match=lost.later.id):
        lost.store.backups.restore(lost.full.id, as_of=lost.new[5].position)
    Path(lost.later.path).unlink()
    assert ("new5",) * 2 == answers(lost.store, lost.full, lost.new[5].position, tmp_path)
    assert ("last",) * 2 == answers(lost.store, lost.full, last.position, tmp_path)


def test_what_the_live_log_does_not_reach_a_later_backup_carries_on(tmp_path: Path) -> None:
    clock = ManualClock()
    lost = Lost(tmp_path, f"sqlite:///{tmp_path / 'new.db'}", clock)
    lost.store.close()
    (tmp_path / "new.db").unlink()
    backstory.restore(lost.full.path, f"sqlite:///{tmp_path / 'new.db'}")
    with backstory.open(f"sqlite:///{tmp_path / 'new.db'}", clock=clock, backups=tmp_path / "kept") as store:
        assert ("old5",) * 2 == answers(store, lost.full, lost.old[5].position, tmp_path)


def test_without_the_store_two_later_backups_of_different_logs_are_refused(lost: Lost, tmp_path: Path) -> None:
    mine = lost.store.backups.create("incremental", parent=lost.full)
    into = f"sqlite:///{tmp_path / 'rescued.db'}"
    points: tuple[Any, ...] = (lost.old[5].position, lost.old[5].recorded_at)
    for point in points:
        with pytest.raises(BackupError, match=f"({lost.later.id}|{mine.id}).*({lost.later.id}|{mine.id})"):
            backstory.restore(lost.full.path, into, as_of=point)
    assert not (tmp_path / "rescued.db").exists()
    backstory.restore(lost.full.path, into, as_of=lost.new[5].event_id)
    with backstory.open(into) as found:
        assert "new5" == found.get(A, "k")


def test_without_the_store_two_later_backups_of_one_log_are_as_good_as_one(tmp_path: Path) -> None:
    with backstory.open("memory://", backups=tmp_path / "kept") as store:
        store.set(A, "k", 0)
        full = store.backups.create()
        event = store.set(A, "k", 1)
        store.backups.create("incremental", parent=full)
        store.set(A, "k", 2)
        store.backups.create("incremental", parent=full)
    assert (
        event.position == backstory.restore(full.path, f"sqlite:///{tmp_path / 'n.db'}", as_of=event.position).position
    )


# Backups of some scopes, and of other branches


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StateStore]:
    url = request.getfixturevalue(f"{request.param}_url")
    with backstory.open(url, durability="relaxed", backups=tmp_path / "kept") as opened:
        yield opened


def test_the_live_log_carries_on_from_a_backup_of_some_scopes(store: StateStore, tmp_path: Path) -> None:
    store.set(A, "k", 1)
    backup = store.backups.create(scopes=[A])
    store.set(A, "more", 1)
    later = store.set(A, "k", 2)
    store.set(A, "k", 3)
    store.set(B, "other", 1)

    for point in (later.position, later.event_id):
        url = f"sqlite:///{tmp_path / uuid4().hex}.db"
        assert 2 == store.backups.restore(backup.id, as_of=point, into=url).restored
        with backstory.open(url) as new:
            assert {A: {"k": 2, "more": 1}} == {str(scope): dict(values) for scope, values in new.snapshot().items()}
    store.backups.restore(backup.id, as_of=later.position)
    assert ({"k": 2, "more": 1}, {"other": 1}) == (store.items(A), store.items(B))


def test_a_backup_of_some_scopes_knows_other_logs_too(tmp_path: Path) -> None:
    lost = Lost(tmp_path, f"sqlite:///{tmp_path / 'new.db'}", ManualClock(), scopes=[A])
    with lost.store as store:
        with pytest.raises(BackupError, match=lost.later.id):
            store.backups.restore(lost.full.id, as_of=lost.new[5].position)
        assert ("new5",) * 2 == answers(store, lost.full, lost.new[5].event_id, tmp_path)


def test_a_backup_of_another_branch_is_carried_on_by_that_branch(store: StateStore, tmp_path: Path) -> None:
    store.set(A, "k", "main")
    fork = store.fork("try")
    fork.set(A, "k", "forked")
    backup = fork.backups.create()
    later = fork.set(A, "k", "forked later")
    store.set(A, "k", "main later")

    url = f"sqlite:///{tmp_path / 'new.db'}"
    store.backups.restore(backup.id, as_of=later.position, into=url)
    with backstory.open(url) as new:
        assert ("main", "forked later") == (new.get(A, "k"), new.branch("try").get(A, "k"))
    store.backups.restore(backup.id, as_of=later.position)
    assert "forked later" == store.get(A, "k")


def test_a_branch_whose_name_was_given_again_is_not_taken_for_the_one_that_was_backed_up(store: StateStore) -> None:
    store.set(A, "k", "main")
    fork = store.fork("try")
    fork.set(A, "k", "first try")
    backup = fork.backups.create()
    fork.set(A, "k", "first try, later")
    point = store.position()
    store.drop_branch("try")
    again = store.fork("try")
    again.set(A, "k", "second try")

    again.backups.restore(backup.id, as_of=point)

    assert "first try, later" == again.get(A, "k")


# Instants


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def clocked(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[StateStore, ManualClock]]:
    clock = ManualClock()
    url = request.getfixturevalue(f"{request.param}_url")
    with backstory.open(url, clock=clock, durability="relaxed", backups=tmp_path / "kept") as opened:
        yield opened, clock


def test_an_instant_takes_in_all_that_was_recorded_at_it_after_a_backup_too(
    clocked: tuple[StateStore, ManualClock], tmp_path: Path
) -> None:
    store, _ = clocked
    store.set(A, "k", 1)
    first = store.backups.create()
    second = store.set(A, "k", 2)
    middle = store.backups.create("incremental")
    third = store.set(A, "k", 3)
    assert second.recorded_at == third.recorded_at
    for backup in (first, middle):
        assert (3, 3) == answers(store, backup, third.recorded_at, tmp_path)
    store.backups.create("incremental")
    for backup in (first, middle):
        url = f"sqlite:///{tmp_path / uuid4().hex}.db"
        assert backstory.restore(backup.path, url, as_of=third.recorded_at).position >= third.position


def test_a_backup_knows_that_nothing_came_until_it_was_made(tmp_path: Path) -> None:
    clock = ManualClock()
    with backstory.open("memory://", clock=clock, backups=tmp_path / "kept") as store:
        store.set(A, "k", 1)
        clock.advance(100)
        backup = store.backups.create()
    quiet = f"sqlite:///{tmp_path / 'quiet.db'}"
    assert 1 == backstory.restore(backup.path, quiet, as_of=backup.created_at - timedelta(seconds=50)).restored
    with pytest.raises(BackupError, match="nothing that is here"):
        backstory.restore(backup.path, f"sqlite:///{tmp_path / 'no.db'}", as_of=backup.created_at + TICK)


def test_what_is_written_while_a_backup_begins_is_never_claimed_to_be_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ManualClock()
    bounded = making.lineage_within

    def later(*given: Any) -> Any:
        clock.advance(1)  # the head has been read: what others write from here on is not in the backup
        return bounded(*given)

    monkeypatch.setattr(making, "lineage_within", later)
    with backstory.open("memory://", clock=clock, backups=tmp_path / "kept") as store:
        store.set(A, "k", 1)
        read = clock.now()
        assert read == store.backups.create().created_at


@pytest.mark.parametrize("scopes", [None, [A]])
def test_an_instant_before_the_first_event_is_refused_and_position_0_is_not(
    clocked: tuple[StateStore, ManualClock], tmp_path: Path, scopes: Any
) -> None:
    store, clock = clocked
    first = store.set(A, "k", 1)
    clock.advance(10)
    store.set(A, "k", 2)
    backup = store.backups.create(scopes=scopes)
    for early in (first.recorded_at - TICK, datetime(2020, 1, 1, tzinfo=UTC)):
        for into in (None, f"sqlite:///{tmp_path / 'no.db'}"):
            with pytest.raises(InvalidPointError, match="2026-01-01T00:00:00"):
                store.backups.restore(backup.id, as_of=early, into=into)
        with pytest.raises(InvalidPointError, match="before the first event"):
            backstory.restore(backup.path, f"sqlite:///{tmp_path / 'no.db'}", as_of=early)
    assert not (tmp_path / "no.db").exists()
    assert {"k": 2} == store.items(A)
    assert 1 == store.backups.restore(backup.id, as_of=first.recorded_at, dry_run=True).restored
    assert 0 == backstory.restore(backup.path, f"sqlite:///{tmp_path / 'empty.db'}", as_of=0).restored
    assert 1 == store.backups.restore(backup.id, as_of=0).removed
    assert {} == store.items(A)


_moves = st.lists(
    st.tuples(st.sampled_from(("set", "set", "delete", "backup")), st.sampled_from((-3, -1, 0, 0, 0, 1, 2))),
    min_size=2,
    max_size=14,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_moves, st.data())
def test_at_an_instant_live_log_and_archives_answer_as_the_store_did(
    tmp_path: Path, moves: list[Any], data: st.DataObject
) -> None:
    clock, folder = ManualClock(), tmp_path / uuid4().hex
    with backstory.open("memory://", clock=clock, backups=folder) as store:
        begins = store.set(A, "k", -1, ttl=4).recorded_at
        made, instants = [store.backups.create()], []
        for number, (verb, seconds) in enumerate(moves):
            (clock.set_back if seconds < 0 else clock.advance)(abs(seconds))
            if verb == "backup":
                made.append(store.backups.create("incremental"))
            elif verb == "set":
                instants.append(store.set(A, f"k{number % 2}", number, ttl=5 if number % 3 else None).recorded_at)
            else:
                store.delete(A, f"k{number % 2}")
        made.append(store.backups.create("incremental"))
        instants += [each.created_at for each in made]
        known = [each for each in instants if begins <= each <= made[-1].created_at]
        instant = data.draw(st.sampled_from(known))
        backup = data.draw(st.sampled_from(made))
        wanted = dict(store.items(A, as_of=instant))
        store.backups.restore(backup.id, as_of=instant, into=f"sqlite:///{folder / 'live.db'}")
        last = backstory.restore(made[-1].path, f"sqlite:///{folder / 'lost.db'}", as_of=instant)
        on_top = backstory.restore(backup.path, f"sqlite:///{folder / 'top.db'}", as_of=instant)
        for name in ("live", "lost", "top"):
            with backstory.open(f"sqlite:///{folder / name}.db", clock=clock) as new:
                assert wanted == dict(new.items(A, as_of=instant)), name
        assert len(wanted) == last.restored == on_top.restored


# Events of later backups


def test_an_event_of_a_later_backup_is_found_where_the_store_is_lost(tmp_path: Path) -> None:
    with backstory.open("memory://", backups=tmp_path / "kept") as store:
        store.set(A, "k", 0)
        full = store.backups.create()
        store.set(A, "k", 1)
        store.backups.create("incremental")
        wanted = store.set(A, "k", 2)
        store.set(A, "k", 3)
        store.backups.create("incremental")
    points: tuple[Any, ...] = (wanted.event_id, str(wanted.event_id))
    for at, point in enumerate(points):
        url = f"sqlite:///{tmp_path / f'{at}.db'}"
        assert wanted.position == backstory.restore(full.path, url, as_of=point).position
        with backstory.open(url) as new:
            assert 2 == new.get(A, "k")
    with pytest.raises(InvalidPointError, match="no event"):
        backstory.restore(full.path, f"sqlite:///{tmp_path / 'no.db'}", as_of=uuid4())


def test_what_expired_by_an_instant_is_not_counted_where_the_live_log_carries_on(
    clocked: tuple[StateStore, ManualClock], tmp_path: Path
) -> None:
    store, clock = clocked
    store.set(A, "k", 1)
    backup = store.backups.create()
    clock.advance(1)
    store.set(A, "ends", 1, ttl=10)
    clock.advance(60)
    report = store.backups.restore(backup.id, as_of=clock.now(), into=f"sqlite:///{tmp_path / 'n.db'}")
    assert 1 == report.restored
