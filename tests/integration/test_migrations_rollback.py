"""Taking migrations back, reading values as other versions have them, and laws over random schemas and values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import strategies as st

import backstory
from backstory import Field, HookCancelledError, Migration, MigrationError, NotFoundError, Schema, SchemaError
from backstory import transforms as t
from backstory.domain.hooks import HookResult
from backstory.infrastructure import codec
from tests.support.causal import Engine
from tests.support.folding import as_text
from tests.support.on_a_loop import FACES, opened
from tests.support.versioned_users import S, kinds, migrated, places, texts, up, with_users, written_since

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.causal import History

AS_WAS = {"name": "n0", "age": 0}


@pytest.fixture(params=places("blocking"), ids="-".join)
def store(request: pytest.FixtureRequest) -> Iterator[Any]:
    face, engine = request.param
    with opened(face, request.getfixturevalue(f"{engine}_url"), durability="relaxed") as opened_store:
        yield opened_store


@pytest.fixture(params=FACES)
def quick(request: pytest.FixtureRequest) -> Iterator[Any]:
    with opened(request.param, "memory://") as opened_store:
        yield opened_store


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    return Engine(request.param, tmp_path, request)


def test_a_rollback_brings_back_exactly_what_was_by_appending(store: Any) -> None:
    with_users(store, 5)
    store.set(S, "other", 1)
    before, at_first = texts(store), store.position()
    bindings = store.schemas.bindings()
    report = up(store, batch_size=2)
    after, at_last = texts(store), store.position()
    with pytest.raises(SchemaError):
        store.set(S, "user/000", AS_WAS)

    back = store.migrations.rollback(report.migration_id)

    assert ("rolled_back", 5, ()) == (back.status, back.items_restored, back.conflicts)
    assert before == texts(store)
    assert (before, after, before) == tuple(texts(store, as_of=at) for at in (at_first, at_last, store.position()))
    written = written_since(store, at_last)
    assert ["restore"] * 5 == [event.data["op"] for event in written]
    assert {("user", "1.0.0")} == {event.schema for event in written}
    assert bindings == store.schemas.bindings()
    assert ("user", "1.0.0") == store.set(S, "user/000", AS_WAS).schema
    log = kinds(store.log(since=at_last, correlation_id=report.correlation_id))
    assert ("migration.rollback_started", "migration.rollback_completed") == (
        log[0],
        log[-1] if log[-1][0] == "m" else log[-2],
    )
    status = store.migrations.status(report.migration_id)
    assert ("rolled_back", 5) == (status.status, status.items_restored)
    assert 5 == up(store).items_migrated
    assert store.verify().ok
    rebuilt = texts(store)
    store.rebuild()
    assert rebuilt == texts(store)


def test_a_rollback_is_done_once(store: Any) -> None:
    with_users(store, 1)
    report = up(store)
    store.migrations.rollback(report.migration_id)
    head = store.position()
    for unfit, error in ((report.migration_id, MigrationError), ("nothing", NotFoundError)):
        with pytest.raises(error):
            store.migrations.rollback(unfit)
        with pytest.raises(error):
            store.migrations.resume(unfit)
    assert head == store.position()


def test_what_was_written_since_is_a_conflict_and_left_alone_unless_forced(store: Any) -> None:
    with_users(store, 4)
    before = texts(store)
    report = up(store)
    changed = store.set(S, "user/001", {**migrated(1), "name": "changed"})
    store.delete(S, "user/002")
    gentle = store.fork("gentle")
    back = gentle.migrations.rollback(report.migration_id)
    assert [(S, "user/001", changed.position), (S, "user/002", changed.position + 1)] == [
        (each.scope, each.key, each.position) for each in back.conflicts
    ]
    assert 2 == back.items_restored
    assert "changed" == gentle.get(S, "user/001")["name"]
    assert not gentle.exists(S, "user/002")
    assert AS_WAS == gentle.get(S, "user/000")
    forced = store.migrations.rollback(report.migration_id, force=True)
    assert {"user/001", "user/002"} == {each.key for each in forced.conflicts}
    assert before == texts(store)


def test_a_rollback_needs_no_transformer(quick: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    t.transformer("marked_for_the_way_there")(lambda *_: "marked")
    with_users(quick, 0)
    quick.migrations.register(Migration("user", "1.0.0", "1.1.0", [t.compute("email", "marked_for_the_way_there")]))
    quick.set(S, "user/1", {"name": "n"})
    done = quick.migrations.run(quick.migrations.plan("user", "1.1.0"))
    assert "marked" == quick.get(S, "user/1")["email"]

    monkeypatch.delitem(t.transformers._named, "marked_for_the_way_there")
    quick.migrations.rollback(done.migration_id)

    assert {"name": "n"} == quick.get(S, "user/1")


def test_a_failed_run_has_nothing_to_take_back(quick: Any) -> None:
    with_users(quick, 2)
    quick.set(S, "user/001", {"name": "b", "age": 1, "profile": "taken"})
    with pytest.raises(MigrationError) as failed:
        up(quick)
    with pytest.raises(MigrationError, match="nothing to take back"):
        quick.migrations.rollback(failed.value.report.migration_id)  # type: ignore[attr-defined]


def test_no_hook_before_writes_changes_what_is_brought_back(quick: Any) -> None:
    with_users(quick, 2)
    before = texts(quick)
    report = up(quick)
    seen: list[str] = []
    quick.hooks.register("before_state_write", lambda _: HookResult.replace({"spoilt": 1}), name="spoils")
    quick.hooks.register("after_state_write", lambda context: seen.append(context.key), name="sees")
    assert 2 == quick.migrations.rollback(report.migration_id).items_restored
    quick.hooks.flush()
    assert before == texts(quick)
    assert ["user/000", "user/001"] == sorted(seen)


def test_a_hook_before_rollbacks_may_refuse_one(quick: Any) -> None:
    with_users(quick, 1)
    report = up(quick)
    quick.hooks.register("before_migration_rollback", lambda _: HookResult.cancel("no"), name="h")
    with pytest.raises(HookCancelledError):
        quick.migrations.rollback(report.migration_id)
    assert migrated(0) == quick.get(S, "user/000")
    quick.hooks.unregister("h")
    quick.migrations.rollback(report.migration_id)
    assert AS_WAS == quick.get(S, "user/000")


def test_of_two_runs_the_first_cannot_take_away_what_the_second_made(quick: Any) -> None:
    with_users(quick, 2)
    first = quick.migrations.run(quick.migrations.plan("user", "1.1.0"))
    between = texts(quick)
    second = up(quick)
    back = quick.migrations.rollback(first.migration_id)
    assert (0, 2) == (back.items_restored, len(back.conflicts))
    assert migrated(1) == quick.get(S, "user/001")
    assert ("user", "2.0.0") == quick.set(S, "user/002", migrated(2)).schema
    quick.migrations.rollback(second.migration_id)
    assert between.items() <= texts(quick).items()


def test_a_rollback_on_a_fork_is_no_matter_of_its_parent(store: Any) -> None:
    with_users(store, 2)
    report = up(store)
    fork = store.fork("f")
    fork.migrations.rollback(report.migration_id)
    assert AS_WAS == fork.get(S, "user/000")
    assert migrated(0) == store.get(S, "user/000")
    assert ("user", "2.0.0") == store.set(S, "user/000", migrated(0)).schema
    assert ("user", "1.0.0") == fork.set(S, "user/000", AS_WAS).schema


# Reading values as other versions have them


def test_a_value_is_read_as_another_version_has_it_and_nothing_is_written(store: Any) -> None:
    with_users(store, 2)
    old = store.position()
    assert migrated(1) == store.get(S, "user/001", schema_version="2.0.0")
    assert {"name": "n1", "age": 1, "email": ""} == store.get(S, "user/001", schema_version="1.1.0")
    assert old == store.position()
    up(store)
    head = store.position()
    assert {"name": "n1", "age": 1} == store.get(S, "user/001", schema_version="1.0.0")
    assert migrated(1) == store.get(S, "user/001", schema_version="2.0.0")
    assert {"name": "n1", "age": 1} == store.get(S, "user/001", as_of=old)
    assert migrated(1) == store.get(S, "user/001", as_of=old, schema_version="2.0.0")
    with store.transaction() as tx:
        assert {"name": "n0", "age": 0} == tx.get(S, "user/000", schema_version="1.0.0")
        assert migrated(0) == tx.get(S, "user/000", schema_version="2.0.0", as_of=old)
    assert "none" == store.get(S, "nothing", "none", schema_version="1.0.0")
    assert head == store.position()


def test_a_value_that_cannot_be_read_so_says_why(quick: Any) -> None:
    quick.set(S, "plain", {"name": "p"})
    with_users(quick, 1)
    quick.schemas.register(Schema("user", "3.0.0", {}))
    quick.set(S, "user/bad", {"name": "b", "age": 1, "profile": "taken"})
    head = quick.position()
    for key, version, error in (
        ("plain", "1.0.0", SchemaError),
        ("user/000", "3.0.0", MigrationError),
        ("user/000", "9.0.0", SchemaError),
        ("user/000", "9", SchemaError),
        ("user/bad", "2.0.0", MigrationError),
    ):
        with pytest.raises(error):
            quick.get(S, key, schema_version=version)
    with pytest.raises(SchemaError, match="carries no schema yet"), quick.transaction() as tx:  # noqa: PT012
        tx.set(S, "user/new", AS_WAS)
        tx.get(S, "user/new", schema_version="2.0.0")
    assert head == quick.position()


def test_what_is_generated_on_a_read_is_the_same_each_time(quick: Any) -> None:
    for version in ("1.0.0", "2.0.0"):
        quick.schemas.register(Schema("g", version, {}))
    quick.schemas.bind("g", version="1.0.0")
    quick.migrations.register(Migration("g", "1.0.0", "2.0.0", [t.compute("id", "uuid"), t.compute("at", "now")]))
    event = quick.set(S, "g", {})
    first = quick.get(S, "g", schema_version="2.0.0")
    assert first == quick.get(S, "g", schema_version="2.0.0")
    assert event.recorded_at == first["at"]


# Laws

_NAMES = ("a", "b", "c")
_leaf = st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.text(max_size=3), st.floats(-2, 2))
_values = st.dictionaries(st.sampled_from(_NAMES), _leaf | st.dictionaries(st.sampled_from(_NAMES), _leaf), max_size=3)


def _lasting(step: int) -> st.SearchStrategy[list[Any]]:
    """Return steps that have exact inverses, on every value that has none of what they make."""
    name, other = f"n{step}", f"m{step}"
    return st.sampled_from(
        (
            [t.rename("a", name)] if step == 0 else [t.rename("b", name)],
            [t.copy("c", name)],
            [t.compute(name, "constant", value=[step])],
            [t.copy("a", name), t.rename(name, other)],
            [t.when(t.where("c", "exists"), t.rename("a", name))] if step == 0 else [t.copy("b", other)],
        )
    )


_inverses = st.integers(1, 3).flatmap(lambda count: st.tuples(*map(_lasting, range(count))))
_losing = st.lists(
    st.sampled_from(
        (t.remove("a"), t.remove("b.c"), t.default("d", None), t.default("e.f", []), t.convert("c", "string"))
    ),
    max_size=3,
)
_data = st.dictionaries(
    st.tuples(st.sampled_from(("agent:x", "session:y")), st.sampled_from(("d/1", "d/é", "z"))), _values
)


def _prepared(history: History, steps: tuple[list[Any], ...], data: dict[tuple[str, str], Any]) -> tuple[Any, str]:
    store = history.store
    versions = [f"1.{minor}.0" for minor in range(len(steps) + 1)]
    for version in versions:
        store.schemas.register(Schema("d", version, {name: Field("any") for name in _NAMES}))
    store.schemas.bind("d", version="1.0.0", keys="d/*")
    for low, high, step in zip(versions, versions[1:], steps, strict=False):
        store.migrations.register(Migration("d", low, high, step))
    for (scope, key), value in data.items():
        store.set(scope, key, value)
    return store, versions[-1]


def goes_and_comes_back(
    history: History, steps: tuple[list[Any], ...], losing: list[Any], data: dict[tuple[str, str], Any], size: int
) -> None:
    store, last = _prepared(history, (*steps, losing), data)
    before, at = texts(store), store.position()
    plan = store.migrations.plan("d", last)
    foreseen = {(each.scope, each.key): each for each in plan.preview(100)}
    read = {place: store.get(*place, schema_version=last) for place, each in foreseen.items() if each.error is None}
    trial = store.migrations.run(plan, dry_run=True)
    assert at == store.position()
    assert {(each.scope, each.key) for each in trial.errors} == {p for p, each in foreseen.items() if each.error}
    try:
        report = store.migrations.run(plan, batch_size=size, validation="paranoid")
    except MigrationError:
        assert trial.errors
        assert before == texts(store)
    else:
        assert not trial.errors
        assert len([key for _, key in data if key.startswith("d/")]) == report.items_migrated
        for place, each in foreseen.items():
            assert each.after == store.get(*place) == read[place]
        assert before == texts(store, as_of=at)
        after, then = texts(store), store.position()
        store.migrations.rollback(report.migration_id)
        assert before == texts(store)
        assert after == texts(store, as_of=then)
    assert store.verify().ok
    store.rebuild()
    assert before == texts(store)


def test_what_was_is_there_at_its_time_and_after_a_rollback(engine: Engine) -> None:
    engine.holds(goes_and_comes_back, _inverses, _losing, _data, st.integers(1, 3), share=0.35)


def goes_up_and_down(history: History, steps: tuple[list[Any], ...], data: dict[tuple[str, str], Any]) -> None:
    store, last = _prepared(history, steps, data)
    before = codec.canonical(as_text(store.snapshot()))
    report = store.migrations.run(store.migrations.plan("d", last), validation="paranoid")
    for place, value in data.items():
        if place[1].startswith("d/"):
            assert value == store.get(*place, schema_version="1.0.0")
    down = store.migrations.run(store.migrations.plan("d", "1.0.0", from_=last), keys="d/*", validation="paranoid")
    assert report.items_migrated == down.items_migrated
    assert before == codec.canonical(as_text(store.snapshot()))
    assert store.verify().ok


def test_up_and_down_again_by_exact_inverses_changes_nothing(engine: Engine) -> None:
    engine.holds(goes_up_and_down, _inverses, _data, share=0.35)


def test_a_store_opened_again_knows_all_runs(sqlite_url: str) -> None:
    with backstory.open(sqlite_url) as store:
        with_users(store, 2)
        report = up(store)
    with backstory.open(sqlite_url) as store:
        told: Any = store.migrations.status(report.migration_id)
        assert (report.migration_id, "completed", 2) == (told.migration_id, told.status, told.items_migrated)
        store.migrations.rollback(report.migration_id)
        assert AS_WAS == store.get(S, "user/000")
