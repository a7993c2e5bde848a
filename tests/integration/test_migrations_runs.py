"""Runs of migrations: every value there with one write, or everything as it was; told in the log from end to end."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

import backstory
from backstory import (
    MISSING,
    Field,
    HookCancelledError,
    InvalidValueError,
    Migration,
    MigrationError,
    NotFoundError,
    Schema,
)
from backstory import transforms as t
from backstory.domain.hooks import HookResult
from tests.support.on_a_loop import FACES, opened
from tests.support.versioned_users import S, kinds, migrated, places, texts, up, with_users, written_since

if TYPE_CHECKING:
    from collections.abc import Iterator

SAYS_OF_ITSELF = (
    "migration.planned",
    "migration.started",
    "schema.moving",
    "migration.validated",
    "migration.backup",
    "migration.step_started",
    "migration.step_started",
)
SAYS_AT_THE_END = (
    "migration.step_completed",
    "migration.step_completed",
    "migration.validated",
    "migration.completed",
    "schema.moved",
)
SAYS_IN_VAIN = (
    "migration.step_failed",
    "migration.rollback_started",
    "schema.kept",
    "migration.rollback_completed",
    "migration.failed",
)

FAILED_EARLY = {"": "failed at n", " wrote": "0"}


@pytest.fixture(params=places("asyncio"), ids="-".join)
def store(request: pytest.FixtureRequest) -> Iterator[Any]:
    face, engine = request.param
    with opened(face, request.getfixturevalue(f"{engine}_url"), durability="relaxed") as opened_store:
        yield opened_store


@pytest.fixture(params=FACES)
def quick(request: pytest.FixtureRequest) -> Iterator[Any]:
    with opened(request.param, "memory://") as opened_store:
        yield opened_store


@t.transformer("test_has_at")
def has_at(values: tuple[Any, ...], _context: Any) -> Any:
    """Return whether a text has an @."""
    [value] = values
    return isinstance(value, str) and "@" in value


@t.transformer("test_breaks")
def breaks(values: tuple[Any, ...], _context: Any) -> Any:
    """Raise what no transform would."""
    if values[0] == "break":
        raise ZeroDivisionError("by nothing")
    return values[0]


def declared(store: Any, name: str, first: dict[str, Field], last: dict[str, Field], *steps: list[Any]) -> Any:
    """Register as many versions as steps lead through; bind the first; return a plan-maker's arguments."""
    versions = [f"{major}.0.0" for major in range(1, len(steps) + 2)]
    for version in versions:
        fields = first if version == versions[0] else last if version == versions[-1] else {}
        store.schemas.register(Schema(name, version, fields))
    store.schemas.bind(name, version="1.0.0", keys=f"{name}/*")
    for low, high, step in zip(versions, versions[1:], steps, strict=False):
        store.migrations.register(Migration(name, low, high, step))
    return store


# What once was asked for in vain


def test_users_are_brought_into_nested_profiles_with_their_defaults(store: Any) -> None:
    text, number = Field("string", required=True), Field("integer")
    profile = {"age": number, "bio": Field("string", required=True), "verified": Field("boolean", required=True)}
    declared(
        store,
        "account",
        {"username": text, "email": text, "age": number},
        {
            "username": text,
            "email": text,
            "created_at": Field("string", required=True, format="iso8601"),
            "profile": Field("object", required=True, fields=profile),
        },
        [
            t.copy("age", "profile.age"),
            t.remove("age"),
            t.default("profile.bio", ""),
            t.default("profile.verified", value=False),
            t.custom("now_iso8601", [], ["created_at"]),
        ],
    )
    for at in range(10):
        store.set(S, f"account/{at}", {"username": f"u{at}", "email": f"u{at}@example.org", "age": 20 + at})
    report = store.migrations.run(store.migrations.plan("account", "2.0.0"))
    assert ("completed", 10, 10, ()) == (report.status, report.items_total, report.items_migrated, report.errors)
    for at in range(10):
        value = store.get(S, f"account/{at}")
        assert datetime.fromisoformat(value.pop("created_at")).tzinfo
        assert {
            "username": f"u{at}",
            "email": f"u{at}@example.org",
            "profile": {"age": 20 + at, "bio": "", "verified": False},
        } == value


def test_a_chain_of_steps_is_gone_step_by_step_and_written_once(store: Any) -> None:
    declared(
        store,
        "contact",
        {},
        {"contact": Field("object", required=True, fields={"email": Field("string"), "phone": Field("string")})},
        [t.default("email", "none@example.org")],
        [t.default("phone", "0")],
        [t.move("email", "contact.email"), t.move("phone", "contact.phone")],
    )
    store.set(S, "contact/1", {"name": "a"})
    store.set(S, "contact/2", {"name": "b", "email": "b@example.org", "phone": "7"})
    plan = store.migrations.plan("contact", "4.0.0")
    head = store.position()
    store.migrations.run(plan)
    assert 3 == len(plan.steps)
    assert {"name": "a", "contact": {"email": "none@example.org", "phone": "0"}} == store.get(S, "contact/1")
    assert {"name": "b", "contact": {"email": "b@example.org", "phone": "7"}} == store.get(S, "contact/2")
    assert ["contact/1", "contact/2"] == [event.key for event in written_since(store, head)]
    assert ("contact", "4.0.0") == written_since(store, head)[0].schema


def test_nothing_is_lost_or_changed_that_no_transform_names(store: Any) -> None:
    rows: list[dict[str, Any]] = [
        {"name": "normal", "email": "a@example.org", "settings": {"theme": "dark", "n": [1, None, 2.5]}},
        {"name": "nulls", "email": None, "settings": None},
        {"name": "", "email": "", "settings": {}},
        {"name": "Ünï\u0000 🎉 \u202e 日本語", "email": "é@example.org", "settings": {"🎉": "\u2028"}},
    ]
    declared(
        store,
        "row",
        {},
        {},
        [t.copy("settings", "preferences"), t.remove("settings"), t.custom("test_has_at", "email", "validated")],
    )
    for at, row in enumerate(rows):
        store.set(S, f"row/{at} 🎉", row)
    store.migrations.run(store.migrations.plan("row", "2.0.0"))
    for at, row in enumerate(rows):
        has = isinstance(row["email"], str) and "@" in row["email"]
        wanted = {"name": row["name"], "email": row["email"], "preferences": row["settings"], "validated": has}
        assert wanted == store.get(S, f"row/{at} 🎉")


def test_a_hundred_values_are_migrated_by_four_at_once(store: Any) -> None:
    declared(store, "job", {}, {}, [t.move("status", "state"), t.compute("processed_at", "now_iso8601")])
    store.set_many(S, {f"job/{at:03}": {"status": f"s{at}"} for at in range(100)})
    seen: list[tuple[int, int]] = []
    plan = store.migrations.plan("job", "2.0.0")
    report = store.migrations.run(plan, concurrency=4, batch_size=25, progress=lambda *at: seen.append(at))
    assert (100, 100, "completed") == (report.items_total, report.items_migrated, report.status)
    assert [(0, 100), (100, 100)] == seen
    for at, value in enumerate(store.items(S, prefix="job/").values()):
        assert value.keys() == {"state", "processed_at"}
        assert f"s{at}" == value["state"]
    assert store.verify().ok


# How a run goes


@pytest.mark.parametrize(("batch_size", "steps"), [(1, 23), (7, 4), (1000, 1)])
def test_a_batch_is_one_commit_and_progress_is_told_after_each(quick: Any, batch_size: int, steps: int) -> None:
    with_users(quick, 23)
    told: list[tuple[int, int]] = []
    head = quick.position()
    report = up(quick, batch_size=batch_size, progress=lambda *at: told.append(at))
    assert [(min(at * batch_size, 23), 23) for at in range(steps + 1)] == told
    assert (23, 23) == (report.items_total, report.items_migrated)
    assert [migrated(at) for at in range(23)] == [event.data["value"] for event in written_since(quick, head)]
    assert quick.migrations.status(report.migration_id).items_migrated == 23
    assert 0 == up(quick).items_total


def test_all_that_a_run_says_stands_on_one_correlation(store: Any) -> None:
    with_users(store, 3)
    report = up(store)
    log = list(store.log(correlation_id=report.correlation_id))
    assert [*SAYS_OF_ITSELF, *["state.set"] * 3, *SAYS_AT_THE_END] == kinds(log)
    assert log == [entry.event for entry in store.timeline(correlation_id=report.correlation_id).entries]
    assert (
        {report.migration_id}
        == {event.data["migration_id"] for event in log if event.type.startswith("migration.")}
        == {report.correlation_id}
    )
    assert {"migrate"} == {event.data["op"] for event in log if event.type == "state.set"}
    planned, started = log[0].event_id, log[1].event_id
    assert [(), (planned,), (planned,)] == [event.causation_ids for event in log[:3]]
    assert {(started,)} == {event.causation_ids for event in log[3:]}
    by_type = {event.type: event.data for event in log}
    assert {"items": 3, "position": report.rollback_point}.items() <= by_type["migration.backup"].items()
    assert ("after", "passed") == tuple(by_type["migration.validated"][word] for word in ("phase", "result"))
    assert ("2.0.0", None, "*") == tuple(by_type["migration.planned"][word] for word in ("to", "scope", "keys"))
    with backstory.context(correlation_id="mine", actor="ann"):
        store.set(S, "user/again", migrated(1))
        down = store.migrations.run(store.migrations.plan("user", "1.0.0", from_="2.0.0"))
    assert "mine" == down.correlation_id
    assert {"ann"} == {event.actor for event in store.log(correlation_id="mine")}


def test_a_dry_run_writes_nothing_and_tells_all_that_would_fail(store: Any) -> None:
    with_users(store, 5)
    store.set_many(S, {f"user/b{at}": {"name": "b", "age": 1, "profile": at} for at in range(3)})
    head = store.position()
    before = texts(store)
    report = up(store, dry_run=True)
    assert ("dry_run", 8, 0, "") == (report.status, report.items_total, report.items_migrated, report.migration_id)
    assert [(S, f"user/b{at}") for at in range(3)] == [(error.scope, error.key) for error in report.errors]
    assert all(error.message and error.path and error.step == 1 for error in report.errors)
    assert (head, before) == (store.position(), texts(store))
    assert [] == store.migrations.status()
    store.set(S, "user/005", {"name": "n", "age": 1})


@pytest.mark.parametrize("size", [2, 100])
def test_a_value_that_cannot_be_migrated_leaves_everything_as_it_was(store: Any, size: int) -> None:
    with_users(store, 5)
    store.set(S, "user/004", {"name": "b", "age": 1, "profile": "taken"})
    before = texts(store)
    bindings = store.schemas.bindings()
    with pytest.raises(MigrationError) as failed:
        up(store, batch_size=size)
    error = failed.value
    assert (S, "user/004") == (error.scope, error.key)
    assert error.path is not None
    assert "profile" in error.path
    report: Any = error.report
    assert ("failed", 5, 0) == (report.status, report.items_total, report.items_migrated)
    assert {2: 4, 100: 0}[size] == report.items_restored
    assert ["user/004"] == [each.key for each in report.errors]
    assert before == texts(store)
    assert bindings == store.schemas.bindings()
    log = list(store.log(correlation_id=report.correlation_id))
    said = [event.type for event in log if event.type != "state.set"]
    assert SAYS_IN_VAIN == tuple(each for each in said[len(SAYS_OF_ITSELF) :] if each in SAYS_IN_VAIN)
    status = store.migrations.status(report.migration_id)
    assert ("failed", ["user/004"], 0) == (status.status, [each.key for each in status.errors], status.items_migrated)
    assert ("user", "1.0.0") == store.set(S, "user/new", {"name": "n", "age": 1}).schema
    store.delete(S, "user/004")
    assert 5 == up(store).items_migrated
    assert store.verify().ok


def test_whatever_a_transformer_raises_fails_the_run_and_names_the_value(quick: Any) -> None:
    declared(quick, "odd", {}, {}, [t.compute("x", "test_breaks", "x")])
    quick.set_many(S, {"odd/1": {"x": "fine"}, "odd/2": {"x": "break"}, "odd/3": {"x": "fine"}})
    before = texts(quick)
    with pytest.raises(MigrationError, match="ZeroDivisionError") as failed:
        quick.migrations.run(quick.migrations.plan("odd", "2.0.0"), batch_size=1)
    assert "odd/2" == failed.value.key
    assert before == texts(quick)


def levels_of(quick: Any, prepared: Any) -> dict[str, str]:
    """Return what becomes of a run on a fork, by its level."""
    found = {}
    for level in ("none", "basic", "strict", "paranoid"):
        fork = quick.fork(level)
        plan = fork.migrations.plan(prepared, "2.0.0")
        try:
            found[level] = fork.migrations.run(plan, validation=level).status
        except MigrationError as error:
            found[level] = error.report.status  # type: ignore[attr-defined]
    return found


def test_from_basic_on_new_values_must_meet_the_new_version(quick: Any) -> None:
    declared(quick, "a", {}, {"n": Field("integer", max=5)}, [t.default("m", 1)])
    quick.set(S, "a/1", {"n": 6})
    wanted = {"none": "completed", "basic": "failed", "strict": "failed", "paranoid": "failed"}
    assert wanted == levels_of(quick, "a")


def test_from_strict_on_old_values_must_meet_the_old_version_before_anything_is_written(quick: Any) -> None:
    quick.set(S, "a/1", {"n": "six"})
    quick.schemas.register(Schema("a", "1.0.0", {"n": Field("integer")}))
    quick.schemas.register(Schema("a", "2.0.0", {}))
    quick.migrations.register(Migration("a", "1.0.0", "2.0.0", [t.default("m", 1)]))
    found = {}
    for level in ("none", "basic", "strict", "paranoid"):
        fork = quick.fork(level)
        head = fork.position()
        try:
            plan = fork.migrations.plan("a", "2.0.0", from_="1.0.0")
            found[level] = fork.migrations.run(plan, validation=level).status
        except MigrationError as error:
            found[level] = f"failed at {error.path}"
            found[f"{level} wrote"] = str(len(written_since(fork, head)))
    failed = {f"{level}{words}": what for level in ("strict", "paranoid") for words, what in FAILED_EARLY.items()}
    assert {"none": "completed", "basic": "completed", **failed} == found


def test_a_paranoid_run_holds_inverses_to_their_word(quick: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    declared(quick, "a", {}, {}, [t.rename("n", "m")])
    quick.set(S, "a/1", {"n": 6})
    assert {"completed"} == set(levels_of(quick, "a").values())
    monkeypatch.setattr("backstory.migrations.runs.inverse", lambda _: (t.remove("m"),))
    other = quick.fork("other")
    with pytest.raises(MigrationError, match="way back"):
        other.migrations.run(other.migrations.plan("a", "2.0.0"), validation="paranoid")
    assert {"n": 6} == other.get(S, "a/1")
    other.migrations.run(other.migrations.plan("a", "2.0.0"))


def test_a_run_keeps_when_values_expire(store_url: str) -> None:
    from backstory.testing.clock import ManualClock  # noqa: PLC0415 - only here

    clock = ManualClock()
    with backstory.open(store_url, clock=clock) as store:
        with_users(store, 1)
        store.set(S, "user/brief", {"name": "b", "age": 1}, ttl=60)
        store.set(S, "user/gone", {"name": "g", "age": 1}, ttl=5)
        clock.advance(10)
        report = up(store)
        assert 2 == report.items_migrated
        assert {"name": "b", "email": "", "profile": {"age": 1}} == store.get(S, "user/brief")
        clock.advance(49)
        assert store.exists(S, "user/brief")
        clock.advance(2)
        assert not store.exists(S, "user/brief")
        back = store.migrations.rollback(report.migration_id)
        assert {"name": "n0", "age": 0} == store.get(S, "user/000")
        assert () == back.conflicts
        assert not store.exists(S, "user/brief")
        assert store.verify().ok


def test_why_a_migrated_value_is_what_it_is_leads_to_what_was_there(store: Any) -> None:
    with_users(store, 0)
    source = store.set(S, "user/1", {"name": "n", "age": 3})
    report = up(store)
    written = store.blame(S, "user/1")
    causes = [event.position for event in store.why(S, "user/1").causes]
    assert "migrate" == written.data["op"]
    assert (source.position,) == written.reads
    assert source.position in causes
    assert {"migration.planned", "migration.started"} <= {
        event.type for event in store.log() if event.position in causes
    }
    assert report.correlation_id == written.correlation_id


def test_what_was_generated_is_recorded_in_the_order_in_which_it_was_given(store: Any) -> None:
    declared(store, "g", {}, {}, [t.compute("at", "now"), t.compute("id", "uuid")])
    store.set(S, "g/1", {"x": 1})
    report = store.migrations.run(store.migrations.plan("g", "2.0.0"))
    value = store.get(S, "g/1")
    written = store.blame(S, "g/1")
    carried = carried_of(written)
    assert [("now", value["at"]), ("uuid", UUID(value["id"]))] == [
        (each["kind"], each["value"]) for each in carried["generated"]
    ]
    assert (report.migration_id, "1.0.0") == (carried["migration"], carried["from"])


def carried_of(event: Any) -> dict[str, Any]:
    """Return what an event says of how it was carried."""
    from backstory.infrastructure import codec  # noqa: PLC0415 - only here

    found: dict[str, Any] = codec.decode_value(event._row.extra)["carried"]
    return found


# Hooks


@pytest.mark.parametrize("face", FACES)
def test_hooks_stand_before_a_run_and_after_it(face: str, store_url: str) -> None:
    seen: list[tuple[str, Any]] = []

    def notes(context: Any) -> None:
        seen.append((context.point, context.after))

    def refuses(_context: Any) -> HookResult:
        return HookResult.cancel("not today")

    with opened(face, store_url) as store:
        with_users(store, 2)
        store.hooks.register("before_migration_run", refuses, name="refuses")
        head, before = store.position(), texts(store)
        with pytest.raises(HookCancelledError, match="not today"):
            up(store)
        assert before == texts(store)
        assert {"hook.executed", "hook.registered"} >= set(kinds(store.log(since=head)))
        store.hooks.unregister("refuses")
        for point in ("before_migration_run", "after_migration_run"):
            store.hooks.register(point, notes, name=f"notes_{point}")
        report = up(store, scope=S)
        store.hooks.flush()
        assert ["before_migration_run", "after_migration_run"] == [point for point, _ in seen]
        assert ("2.0.0", S, "*") == tuple(seen[0][1][word] for word in ("to", "scope", "keys"))
        assert (report.migration_id, 2, "completed") == tuple(
            seen[1][1][word] for word in ("migration_id", "items_migrated", "status")
        )
        # What was done cannot be refused any more.
        store.hooks.register("after_migration_rollback", refuses, name="too late", background=False)
        assert "rolled_back" == store.migrations.rollback(report.migration_id).status
        assert before == texts(store)


@pytest.mark.parametrize("face", FACES)
def test_a_hook_that_spoils_a_value_fails_the_run(face: str, store_url: str) -> None:
    seen: list[tuple[str, str]] = []
    spoils: list[str] = []

    def stands_there(context: Any) -> HookResult | None:
        seen.append((context.operation, context.key))
        return HookResult.modified({"nothing": 1}) if context.key in spoils else None

    with opened(face, store_url) as store:
        with_users(store, 3)
        store.hooks.register("before_state_write", stands_there, name="h", key="user/*")
        spoils.append("user/002")
        before = texts(store)
        with pytest.raises(MigrationError) as failed:
            up(store, batch_size=1)
        assert ("user/002", "failed") == (failed.value.key, failed.value.report.status)  # type: ignore[attr-defined]
        assert [("migrate", f"user/{at:03}") for at in range(3)] == seen
        assert before == texts(store)
        spoils.clear()
        assert "completed" == up(store).status
        assert store.verify().ok


def test_a_hook_that_cancels_a_write_fails_the_run(quick: Any) -> None:
    with_users(quick, 3)
    quick.hooks.register("before_state_write", lambda _: HookResult.cancel("no"), name="h", key="user/002")
    before = texts(quick)
    with pytest.raises(MigrationError, match="no"):
        up(quick, batch_size=1)
    assert before == texts(quick)


def test_a_hook_that_changes_a_value_to_another_that_is_valid_is_heard(quick: Any) -> None:
    with_users(quick, 1)

    def renames(context: Any) -> HookResult:
        return HookResult.modified({**context.after, "name": "hooked"})

    quick.hooks.register("before_state_write", renames, name="h", key="user/*")
    report = up(quick)
    assert {**migrated(0), "name": "hooked"} == quick.get(S, "user/000")
    assert ("user", "2.0.0") == quick.blame(S, "user/000").schema
    quick.migrations.rollback(report.migration_id)
    assert {"name": "n0", "age": 0} == quick.get(S, "user/000")


# What is asked for wrongly


@pytest.mark.parametrize(
    "asked",
    [{"validation": "some"}, {"batch_size": 0}, {"concurrency": 0}, {"batch_size": True}, {"concurrency": 1.5}],
)
def test_what_is_no_way_to_run_is_refused(quick: Any, asked: dict[str, Any]) -> None:
    with_users(quick, 1)
    head = quick.position()
    with pytest.raises(InvalidValueError):
        up(quick, **asked)
    with pytest.raises(InvalidValueError):
        quick.migrations.run("user")
    with pytest.raises(NotFoundError):
        quick.migrations.status("nothing")
    assert head == quick.position()


def test_a_run_without_anything_to_migrate_moves_the_bindings_all_the_same(store: Any) -> None:
    with_users(store, 0)
    report = up(store)
    assert ("completed", 0, 0) == (report.status, report.items_total, report.items_migrated)
    assert ("user", "2.0.0") == store.set(S, "user/1", migrated(1)).schema
    assert MISSING is store.get(S, "user/2", MISSING)
    assert [report.migration_id] == [each.migration_id for each in store.migrations.status()]


@pytest.mark.parametrize("face", FACES)
def test_a_run_of_which_a_log_has_nothing_but_the_plan_never_began(face: str) -> None:
    with opened(face, "memory://") as store:
        report = up(with_users(store, 2))
        planned = next(event for event in store.log() if event.type == "migration.planned")
        fork = store.fork("cut", as_of=planned.position)
        for go in (fork.migrations.resume, fork.migrations.rollback):
            with pytest.raises(MigrationError, match="never began"):
                go(report.migration_id)
        assert texts(store) != texts(fork)
        assert "completed" == up(fork).status
        assert texts(store) == texts(fork)
