"""Schedules of backups: each comes due once, in whichever process looks; what is asked for is what is made."""

from __future__ import annotations

import tempfile
import threading
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import backstory
from backstory import (
    At,
    ConfigError,
    Cron,
    Encryption,
    EncryptionError,
    Every,
    InvalidScopeError,
    InvalidValueError,
    Once,
    ReadOnlyError,
    Scope,
    StoreUnavailableError,
    scheduler,
)
from backstory.backups.standing_orders import BackupOrder, order_of
from backstory.domain.backup_manifests import BackupKind
from backstory.domain.errors import BackupError
from backstory.domain.retention import RetentionPolicy
from backstory.testing.clock import ManualClock
from tests.support.damaged_backups import flipped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backstory import StateStore

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
MINUTE_S = 60
KEY = "61" * 32


class Place(NamedTuple):
    """A store's URL, the folder of its backups, and the clock that all who open it share."""

    url: str
    folder: Path
    clock: ManualClock

    def open(self, **options: Any) -> StateStore:
        return backstory.open(self.url, clock=self.clock, backups=str(self.folder), **options)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(f"sqlite:///{tmp_path}/store.db", tmp_path / "backups", ManualClock())


@pytest.fixture
def store(place: Place) -> Iterator[StateStore]:
    with place.open() as found:
        found.set("custom:a", "x", 1)
        yield found


def kinds(store: StateStore) -> list[BackupKind]:
    return [backup.kind for backup in store.backups.list()][::-1]


def starts(store: StateStore) -> list[datetime]:
    return [event.data["due"] for event in store.log(types="backup.started")]


# When


def expected(when: Every | Cron, made: datetime, looks: list[datetime]) -> list[bool]:
    """Return at which looks something runs: those before which it came due since it ran last."""
    found, last = [], made
    for look in looks:
        if isinstance(when, Every):
            span = timedelta(seconds=when.interval_s)
            missed = (look - last) // span
            found.append(missed >= 1)
            last = last if missed < 1 else last + span if missed == 1 else look
        else:
            # These expressions come due at each full hour, or at each minute that divides by 20.
            step = timedelta(minutes=60 if when.text.startswith("0 ") else 20)
            passed = (look - LONG_AGO) // step > (last - LONG_AGO) // step
            found.append(passed)
            last = look if passed else last
    return found


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    when=st.sampled_from([Every(600.0), Every(5400.0), Cron("*/20 * * * *"), Cron("0 * * * *")]),
    steps=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 2), st.booleans()), min_size=1, max_size=12),
)
def test_a_look_runs_what_came_due_since_whoever_looks_and_however_often_it_restarts(
    monkeypatch: pytest.MonkeyPatch, when: Every | Cron, steps: list[tuple[int, int, bool]]
) -> None:
    with tempfile.TemporaryDirectory() as folder, monkeypatch.context() as patch:
        patch.setattr("backstory.backups.scheduled.make_wished", nothing_made)
        place = Place(f"sqlite:///{folder}/store.db", Path(folder), ManualClock())
        stores = [place.open() for _ in range(3)]
        made = stores[0].backups.schedule("n", when).made_at
        ran, looks = [], []
        for span_s, who, restarts in steps:
            looks.append(place.clock.advance(span_s))
            if restarts:
                stores[who].close()
                stores[who] = place.open()
            ran.append([run.schedule.name for run in stores[who].backups.run_due()])
            assert [] == stores[(who + 1) % 3].backups.run_due()
        due = starts(stores[0])
        for each in stores:
            each.close()
    assert [["n"] if runs else [] for runs in expected(when, made, looks)] == ran
    assert all(one < other for one, other in pairwise(due))


def nothing_made(*_: Any, **__: Any) -> Any:
    """Make no backup: these laws are about when, not about what."""
    raise BackupError("not here")
    yield


class TickingClock(ManualClock):
    """A clock that goes on each time it is looked at, as real ones do."""

    def now_us(self) -> int:
        self.advance(timedelta(microseconds=1))
        return super().now_us()


@pytest.mark.parametrize("when", [Every(3600.0), Cron("0 * * * *")])
@pytest.mark.parametrize("ran_ahead", [True, False])
def test_after_a_clock_that_was_years_ahead_is_set_right_a_schedule_runs_at_once_and_then_as_it_says(
    place: Place, when: Every | Cron, ran_ahead: bool
) -> None:
    wrong, clock = timedelta(days=3650), TickingClock()
    with place._replace(clock=clock).open() as store:
        store.set("custom:a", "x", 1)
        if ran_ahead:
            store.backups.schedule("hourly", when)
            clock.advance(wrong)
            assert 1 == len(store.backups.run_due())
        else:
            clock.advance(wrong)
            store.backups.schedule("hourly", when)
        clock.set_back(wrong)

        (known,) = store.backups.schedules()
        assert known.next_due is not None
        assert known.next_due <= clock.now()
        assert [known.runs] == [run.schedule.runs for run in store.backups.run_due()]
        assert [] == store.backups.run_due()
        for count in (known.runs + 1, known.runs + 2):
            clock.advance(3600)
            assert [(count, None)] == [(run.schedule.runs, run.error) for run in store.backups.run_due()]


@pytest.mark.parametrize("when", [Every(3600.0), Cron("0 * * * *")])
def test_a_clock_that_is_set_back_by_less_than_clocks_differ_repeats_no_run(
    place: Place, store: StateStore, when: Every | Cron
) -> None:
    store.backups.schedule("hourly", when)
    place.clock.advance(3600)
    assert 1 == len(store.backups.run_due())
    place.clock.set_back(timedelta(hours=20))
    assert [] == store.backups.run_due()


def test_what_would_come_due_after_the_end_of_the_calendar_holds_up_nothing_else(
    place: Place, store: StateStore
) -> None:
    for name, when in (("a", Every(1e300)), ("b", Once(1e12)), ("c", Every(60.0))):
        store.backups.schedule(name, when)
    assert [("a", None), ("b", None)] == [(each.name, each.next_due) for each in store.backups.schedules()[:2]]
    place.clock.advance(MINUTE_S)
    assert ["c"] == [run.schedule.name for run in store.backups.run_due()]


def test_of_many_that_look_at_once_one_runs_it(place: Place, store: StateStore) -> None:
    for name in ("a", "b", "c"):
        store.backups.schedule(name, At(LONG_AGO))
    others = [place.open() for _ in range(4)]
    begin = threading.Barrier(len(others))
    found: list[str] = []

    def look(other: StateStore) -> None:
        begin.wait()
        found.extend(run.schedule.name for run in other.backups.run_due())

    threads = [threading.Thread(target=look, args=(other,)) for other in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for other in others:
        other.close()
    assert ["a", "b", "c"] == sorted(found)
    assert [1, 1, 1] == [each.runs for each in store.backups.schedules()]
    assert 3 == len(store.backups.list())


def test_schedules_of_replays_and_of_backups_do_not_meet(store: StateStore) -> None:
    store.backups.schedule("n", Once(3600.0))
    assert [] == store.replay.schedules()
    assert not store.replay.unschedule("n")
    assert store.backups.unschedule("n")
    assert not store.backups.unschedule("n")
    assert [] == store.backups.schedules()


async def test_the_asyncio_face_does_the_same(tmp_path: Path) -> None:
    async with backstory.open_async("memory://", backups=str(tmp_path)) as store:
        await store.backups.schedule("n", At(LONG_AGO), kind="incremental")
        (run,) = await store.backups.run_due()
        assert run.backup is not None
        assert [run.backup] == await store.backups.list()
        assert [] == await store.backups.run_due()
        assert [1] == [each.runs for each in await store.backups.schedules()]
        assert await store.backups.unschedule("n")


def test_who_may_only_read_schedules_and_runs_nothing(place: Place, store: StateStore) -> None:
    store.backups.schedule("n", At(LONG_AGO))
    with place.open(read_only=True) as reader:
        assert ["n"] == [each.name for each in reader.backups.schedules()]
        with pytest.raises(ReadOnlyError):
            reader.backups.run_due()
        with pytest.raises(ReadOnlyError):
            reader.backups.schedule("m", At(LONG_AGO))


# What


def test_of_so_many_in_a_row_the_first_is_full(place: Place, store: StateStore) -> None:
    store.backups.schedule("n", Every(MINUTE_S), kind="incremental", full_every=3)
    for _ in range(7):
        place.clock.advance(MINUTE_S)
        store.backups.run_due()
    assert ["full", "incremental", "incremental"] * 2 + ["full"] == kinds(store)
    assert all(store.backups.validate(each.id).is_valid for each in store.backups.list())


def test_a_schedule_without_a_key_is_encrypted_with_what_is_given_where_it_runs(
    tmp_path: Path, place: Place, store: StateStore
) -> None:
    (tmp_path / "key").write_text(KEY)
    store.backups.schedule("a", Every(MINUTE_S), kind="incremental", target=tmp_path / "a")
    store.backups.schedule(
        "b", Every(MINUTE_S), target=tmp_path / "b", encryption_from={"key_file": str(tmp_path / "key")}
    )
    given = Encryption(passphrase="correct horse", kdf="pbkdf2")  # noqa: S106 - nobody's
    made = []
    for encryption in (None, given, given):
        place.clock.advance(MINUTE_S)
        made.append([run.backup for run in store.backups.run_due(encryption=encryption)])

    assert [("full", False), ("full", True), ("incremental", True)] == [
        (own.kind, own.encrypted) for own, _ in made if own is not None
    ]
    assert made[2][0] is not None
    assert store.backups.validate(made[2][0].id, encryption=given).is_valid
    own_key = Encryption(key=KEY)
    assert [True] * 3 == [store.backups.validate(other.id, encryption=own_key).is_valid for _, other in made if other]
    with pytest.raises(EncryptionError):
        store.backups.run_due(encryption="correct horse")  # type: ignore[arg-type]


def test_a_chain_lies_in_its_target_as_a_whole(tmp_path: Path, place: Place, store: StateStore) -> None:
    store.backups.create()
    store.backups.schedule("n", Every(MINUTE_S), kind="incremental", target=tmp_path / "elsewhere")
    for _ in range(2):
        place.clock.advance(MINUTE_S)
        store.backups.run_due()
    found = [backup for backup in store.backups.list() if str(tmp_path / "elsewhere") in backup.path]
    assert ["incremental", "full"] == [backup.kind for backup in found]


def test_one_that_is_of_other_scopes_or_not_encrypted_alike_is_not_built_on(
    tmp_path: Path, place: Place, store: StateStore
) -> None:
    key = tmp_path / "key"
    key.write_text(KEY)
    store.set("custom:b", "x", 1)
    store.backups.create(scopes=["custom:b"])
    store.backups.schedule("a", Every(MINUTE_S), kind="incremental")
    store.backups.schedule("b", Every(MINUTE_S), kind="incremental", encryption_from={"key_file": str(key)})
    store.backups.schedule("c", Every(MINUTE_S), kind="incremental", scopes=["custom:a"])
    made = []
    for _ in range(2):
        place.clock.advance(MINUTE_S)
        made.append([(run.backup.kind, run.backup.encrypted) for run in store.backups.run_due() if run.backup])
    assert [("full", False), ("full", True), ("incremental", False)] == made[0]
    assert [("incremental", False), ("incremental", True), ("incremental", False)] == made[1]


def test_what_cannot_be_built_on_is_passed_over_and_a_full_one_begins_anew(
    tmp_path: Path, place: Place, store: StateStore
) -> None:
    key = tmp_path / "key"
    key.write_text(KEY)
    store.backups.schedule("n", Every(MINUTE_S), kind="incremental", encryption_from={"key_file": key})
    place.clock.advance(MINUTE_S)
    store.backups.run_due()

    key.write_text("62" * 32)
    place.clock.advance(MINUTE_S)
    (other_key,) = store.backups.run_due()
    assert other_key.backup is not None
    damaged = Path(other_key.backup.path)
    content = damaged.read_bytes()
    damaged.write_bytes(flipped(content, len(content) - 100))
    place.clock.advance(MINUTE_S)
    store.backups.run_due()
    place.clock.advance(MINUTE_S)
    (last,) = store.backups.run_due()

    made = [event.data["backup"]["kind"] for event in store.log(types="backup.created")]
    assert ["full", "full", "full", "incremental"] == made
    assert last.backup is not None
    assert store.backups.validate(last.backup.id, encryption=Encryption(key_file=key)).is_valid


def test_in_a_restored_store_a_schedule_builds_on_what_it_was_restored_from(
    tmp_path: Path, place: Place, store: StateStore
) -> None:
    store.backups.schedule("n", Every(MINUTE_S), kind="incremental")
    place.clock.advance(MINUTE_S)
    (run,) = store.backups.run_due()
    assert run.backup is not None
    url = f"sqlite:///{tmp_path}/new.db"
    backstory.restore(run.backup.path, url)
    place.clock.advance(MINUTE_S)
    with place._replace(url=url).open() as new:
        (again,) = new.backups.run_due()
        assert again.backup is not None
        assert run.backup.id == again.backup.parent_id
        assert new.backups.validate(again.backup.id).is_valid


def test_a_schedule_for_scopes_of_which_there_is_nothing_says_so_when_it_runs(place: Place, store: StateStore) -> None:
    store.backups.schedule("n", Every(MINUTE_S), scopes=["agent:nobody"])
    place.clock.advance(MINUTE_S)
    (run,) = store.backups.run_due()
    assert "agent:nobody" in (run.error or "")
    store.set("agent:nobody", "x", 1)
    place.clock.advance(MINUTE_S)
    assert [None] == [run.error for run in store.backups.run_due()]


def test_a_schedule_takes_scopes_and_no_pattern_of_them(store: StateStore) -> None:
    with pytest.raises(InvalidScopeError, match="pattern"):
        store.backups.schedule("n", Once(1), scopes=["custom:*"])
    made = store.backups.schedule("n", At(LONG_AGO), scopes=[Scope.custom("*")])
    assert ["custom:*"] == made.arguments["scopes"]
    store.set(Scope.custom("*"), "x", 1)
    (run,) = store.backups.run_due()
    assert run.backup is not None
    assert (Scope.custom("*"),) == run.backup.scopes
    assert 1 == run.backup.entries


def test_after_a_backup_its_policy_is_pruned_by(place: Place, store: StateStore) -> None:
    policy = RetentionPolicy(max_age=timedelta(seconds=90), keep_full=0)
    store.backups.schedule("n", Every(MINUTE_S), policy=policy)
    pruned = []
    for _ in range(3):
        place.clock.advance(MINUTE_S)
        (run,) = store.backups.run_due()
        assert run.pruned is not None
        pruned.append(len(run.pruned.deleted))
    assert [0, 0, 1] == pruned
    assert 2 == len(store.backups.list())


def test_what_is_said_of_a_run_is_caused_by_its_beginning(store: StateStore) -> None:
    store.backups.schedule("n", At(LONG_AGO))
    (run,) = store.backups.run_due()
    made, begun, created, done = store.log(types="backup.*")
    assert run.backup is not None
    assert ["backup.scheduled", "backup.started", "backup.created", "backup.completed"] == [
        each.type for each in (made, begun, created, done)
    ]
    assert [(begun.event_id,), (begun.event_id,)] == [created.causation_ids, done.causation_ids]
    assert {"schedule": "n", "backup_id": run.backup.id, "pruned": [], "error": None} == done.data


# What goes wrong


def test_a_run_that_fails_says_so_and_those_after_it_go_on(tmp_path: Path, place: Place, store: StateStore) -> None:
    lost = tmp_path / "lost.key"
    lost.write_text(KEY)
    store.backups.schedule("a", Every(MINUTE_S, max_runs=2), encryption_from={"key_file": lost})
    store.backups.schedule("b", Every(MINUTE_S, max_runs=1))
    lost.unlink()
    place.clock.advance(MINUTE_S)
    bad, good = store.backups.run_due()
    assert ("a", None) == (bad.schedule.name, bad.backup)
    assert "lost.key" in (bad.error or "")
    assert ("b", None) == (good.schedule.name, good.error)
    (failed,) = store.log(types="backup.failed")
    assert "custom:backups" == failed.stream
    assert {"what": "create", "schedule": "a", "backup_id": None, "pruned": [], "error": bad.error} == failed.data

    lost.write_text(KEY)
    place.clock.advance(MINUTE_S)
    (again,) = store.backups.run_due()
    assert (None, True) == (again.error, again.backup and again.backup.encrypted)


def test_where_pruning_fails_the_backup_is_there_and_the_run_says_so(
    monkeypatch: pytest.MonkeyPatch, store: StateStore
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise BackupError("the folder may not be written")
        yield

    monkeypatch.setattr("backstory.backups.giving_up.prune", refuse)
    store.backups.schedule("n", At(LONG_AGO), policy=RetentionPolicy(max_count=0))
    (run,) = store.backups.run_due()
    assert run.backup is not None
    assert f"{run.backup.id} was made, but pruning failed: the folder may not be written" in (run.error or "")
    (failed,) = store.log(types="backup.failed")
    assert ("prune", run.backup.id) == (failed.data["what"], failed.data["backup_id"])
    assert [run.backup] == store.backups.list()


def test_a_store_that_is_away_leaves_due_what_is_due(monkeypatch: pytest.MonkeyPatch, store: StateStore) -> None:
    for name in ("a", "b"):
        store.backups.schedule(name, At(LONG_AGO))
    real: Any = scheduler.claim  # type: ignore[attr-defined]
    asked = []

    def claim(*given: Any) -> Any:
        asked.append(given)
        if len(asked) in {1, 3}:
            raise StoreUnavailableError("away")
        return real(*given)

    monkeypatch.setattr(scheduler, "claim", claim)
    with pytest.raises(StoreUnavailableError):
        store.backups.run_due()
    assert ["a"] == [run.schedule.name for run in store.backups.run_due()]
    assert ["b"] == [run.schedule.name for run in store.backups.run_due()]


# Orders

ORDERS = st.builds(
    BackupOrder,
    kind=st.just("incremental"),
    target=st.none() | st.just("/backups"),
    scopes=st.none() | st.just(("custom:a", "session:b")),
    level=st.none() | st.integers(1, 9),
    encryption_from=st.none() | st.just({"key_command": "pass show backups"}),
    policy=st.none()
    | st.builds(
        RetentionPolicy,
        max_age=st.none() | st.integers(0, 10**6).map(float),
        max_count=st.integers(0, 9),
        keep_last=st.integers(0, 3),
    ),
    importance=st.integers(0, 3),
    full_every=st.none() | st.integers(1, 9),
)


@given(order=ORDERS)
def test_an_order_is_read_as_it_was_written(order: BackupOrder) -> None:
    assert order == BackupOrder.of(order.as_dict())
    given = {name: getattr(order, name) for name in BackupOrder.__dataclass_fields__}
    assert order == order_of(**given)


def test_paths_mean_the_same_wherever_the_schedule_runs(
    tmp_path: Path, store: StateStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("the.key").write_text(KEY)
    made = store.backups.schedule("n", Once(1), target="kept", encryption_from={"key_file": Path("the.key")})
    assert str(Path.cwd() / "kept") == made.arguments["target"]
    assert {"key_file": str(Path.cwd() / "the.key")} == made.arguments["encryption_from"]
    assert "memory://a" == store.backups.schedule("n", Once(1), target="memory://a").arguments["target"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"target": "s3://user:hunter2@bucket/x"}, "holds a password"),
        ({"target": "nope://x"}, "nope"),
        ({"target": "s3://bucket/*"}, "pattern"),
        ({"target": "file://elsewhere/x"}, "no URL of a folder on this machine"),
        ({"encryption_from": {"key_file": "there-is-none.key"}}, "there is no key file"),
    ],
)
def test_a_schedule_that_could_not_run_is_refused_and_no_password_gets_into_the_log(
    store: StateStore, given: dict[str, Any], words: str
) -> None:
    before = store.position()
    with pytest.raises(ConfigError, match=words) as caught:
        store.backups.schedule("n", Once(1), **given)
    assert "hunter2" not in str(caught.value)
    assert before == store.position()


def test_scheduling_connects_to_nothing(store: StateStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(*_: Any, **__: Any) -> None:
        raise AssertionError

    monkeypatch.setattr("backstory.backups.fsspec_target.url_to_fs", connect)
    store.backups.schedule("n", Once(1), target="memory://a")


@pytest.mark.parametrize(
    ("path", "given"),
    [
        ("kind", {"kind": "auto"}),
        ("full_every", {"full_every": 7}),
        ("full_every", {"kind": "incremental", "full_every": 0}),
        ("full_every", {"kind": "incremental", "full_every": True}),
        ("target", {"target": ""}),
        ("target", {"target": 5}),
        ("scopes", {"scopes": "custom:a"}),
        ("scopes", {"scopes": []}),
        ("importance", {"importance": 2**70}),
        ("policy", {"policy": {"max_count": 3}}),
        ("policy", {"policy": RetentionPolicy(keep_daily=3)}),
        ("encryption_from", {"encryption_from": {"key_file": 5}}),
        ("importance", {"importance": -1}),
        ("encryption_from", {"encryption_from": {"passphrase": "hunter2-hunter2"}}),
        ("encryption_from", {"encryption_from": {"key": "hunter2-hunter2"}}),
        ("encryption_from", {"encryption_from": {"key_file": "a", "key": "hunter2-hunter2"}}),
        ("encryption_from", {"encryption_from": "hunter2-hunter2"}),
        ("encryption_from", {"encryption_from": backstory.Encryption(passphrase="hunter2-hunter2")}),  # noqa: S106 - what must not get into the log
        ("encryption_from", {"encryption_from": {"key_file": "a", "key_command": "b"}}),
        ("encryption_from", {"encryption_from": {"key_file": b"hunter2-hunter2"}}),
        ("encryption_from", {"encryption_from": {"key_command": ""}}),
        ("encryption_from", {"encryption_from": {"key_command": "'hunter2-hunter2"}}),
        ("encryption_from", {"encryption_from": {"key_file": "a", "algorithm": "ROT13"}}),
        ("encryption_from", {"encryption_from": {}}),
        ("schedule_name", {"name": ""}),
        ("when", {"when": "tomorrow"}),
    ],
)
def test_what_makes_no_sense_or_tells_a_secret_is_refused_before_anything_is_written(
    store: StateStore, path: str, given: dict[str, Any]
) -> None:
    before = store.position()
    with pytest.raises(InvalidValueError) as caught:
        store.backups.schedule(**{"name": "n", "when": Once(1), **given})
    assert path == caught.value.path
    assert "hunter2" not in str(caught.value)
    assert before == store.position()
