"""Plans of migrations: the shortest safe way, up and down, what is at stake, and what would become of values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import backstory
from backstory import Field, InvalidValueError, Migration, MigrationError, NotFoundError, Schema, SchemaError
from backstory import transforms as t
from backstory.domain.migrations import steps_between
from backstory.domain.versions import version_of
from tests.support.on_a_loop import FACES, opened
from tests.support.versioned_users import (
    FIRST,
    SECOND,
    THIRD,
    TO_SECOND,
    TO_THIRD,
    S,
    kinds,
    migrated,
    places,
    texts,
    with_users,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

VERSIONS = ("1.0.0-rc.1", "1.0.0", "1.1.0+a", "1.1.0+b", "1.2.0", "2.0.0", "3.0.0")
SAFE, UNSAFE = [t.rename("a", "b")], [t.remove("a")]


@pytest.fixture(params=places("blocking"), ids="-".join)
def store(request: pytest.FixtureRequest) -> Iterator[Any]:
    face, engine = request.param
    with opened(face, request.getfixturevalue(f"{engine}_url"), durability="relaxed") as opened_store:
        yield opened_store


@pytest.fixture(params=FACES)
def quick(request: pytest.FixtureRequest) -> Iterator[Any]:
    with opened(request.param, "memory://") as opened_store:
        yield opened_store


_ways = st.dictionaries(
    st.tuples(st.sampled_from(VERSIONS), st.sampled_from(VERSIONS)).filter(
        lambda pair: version_of(pair[0]) < version_of(pair[1])
    ),
    st.tuples(st.booleans(), st.sampled_from((None, "safe", "unsafe"))),
    max_size=14,
)


def edges(ways: dict[tuple[str, str], tuple[bool, str | None]], *, upwards: bool) -> list[tuple[str, str, bool]]:
    """Return (from, to, whether nothing leads back) of each way in one direction."""
    found = []
    for (low, high), (safe, down) in ways.items():
        if upwards:
            found.append((low, high, not safe and down is None))
        elif safe or down is not None:
            found.append((high, low, False))
    return found


def walks(steps: list[tuple[str, str, bool]], start: str, end: str) -> Iterator[tuple[tuple[str, str, bool], ...]]:
    """Yield all ways from one version to another."""
    if start == end:
        yield ()
        return
    for step in steps:
        if step[0] == start:
            for rest in walks(steps, step[1], end):
                yield (step, *rest)


@settings(max_examples=150, deadline=None)
@given(_ways, st.sampled_from(VERSIONS), st.sampled_from(VERSIONS))
def test_the_way_is_the_shortest_of_the_safest(
    ways: dict[tuple[str, str], tuple[bool, str | None]], start: str, end: str
) -> None:
    migrations = [
        Migration(
            "s", low, high, SAFE if safe else UNSAFE, down={None: None, "safe": SAFE, "unsafe": UNSAFE}[down or None]
        )
        for (low, high), (safe, down) in ways.items()
    ]
    found = steps_between(migrations, start, end)
    upwards = version_of(start) < version_of(end)
    if version_of(start) == version_of(end) and start != end:
        assert found is None
        return
    every = list(walks(edges(ways, upwards=upwards), start, end))
    assert bool(every) == (found is not None)
    if found is None:
        return
    costs = [(sum(step[2] for step in walk), len(walk)) for walk in every]
    assert min(costs) == (sum(not step.reversible for step in found if upwards), len(found))
    assert [step.from_ for step in found] == [start, *[step.to for step in found]][: len(found)]
    assert found == () or end == found[-1].to
    assert found == steps_between(reversed(migrations), start, end)


def test_of_ways_through_equal_versions_one_is_taken_whatever_the_order() -> None:
    ways = [Migration("s", "1.0.0", middle, SAFE) for middle in ("1.1.0+a", "1.1.0+b")]
    ways += [Migration("s", middle, "2.0.0", SAFE, description=middle) for middle in ("1.1.0+b", "1.1.0+a")]
    for given_ways in (ways, ways[::-1]):
        found = steps_between(given_ways, "1.0.0", "2.0.0")
        assert found is not None
        assert ["1.1.0+a", "2.0.0"] == [step.to for step in found]


def test_a_plan_of_several_steps_says_what_each_does_and_what_is_at_stake(store: Any) -> None:
    with_users(store, 3)
    plan = store.migrations.plan("user", "2.0.0")
    assert [("1.0.0", "1.1.0"), ("1.1.0", "2.0.0")] == [(step.from_, step.to) for step in plan.steps]
    assert (TO_SECOND.up[0].describe(),) == plan.steps[0].changes  # type: ignore[index]
    assert (3, "high", (), None) == (plan.estimated_items, plan.risk, plan.waiting, plan.from_)
    assert [True, True] == [step.reversible for step in plan.steps]
    assert "ages go into profiles" == plan.steps[1].description
    assert any("profile" in words for words in plan.warnings)
    assert "1.1.0" == plan.as_dict()["steps"][0]["to"]
    assert [TO_SECOND, TO_THIRD] == store.migrations.registered("user")


def test_a_direct_way_is_preferred_unless_nothing_leads_back_from_it(quick: Any) -> None:
    with_users(quick, 1)
    quick.migrations.register(Migration("user", "1.0.0", "2.0.0", [t.default("profile", {})]))
    assert "1.1.0" == quick.migrations.plan("user", "2.0.0", from_="1.0.0").steps[0].to
    quick.migrations.register(
        Migration("user", "1.0.0", "2.0.0", [t.default("profile", {})], down=[t.remove("profile")])
    )
    plan = quick.migrations.plan("user", "2.0.0", from_="1.0.0")
    assert [("1.0.0", "2.0.0"), ("1.1.0", "2.0.0")] == [(step.from_, step.to) for step in plan.steps]
    assert [{"name": "n0", "age": 0, "profile": {}}] == [each.after for each in plan.preview()]


def test_a_plan_leads_down_as_well(store: Any) -> None:
    with_users(store, 3)
    before = texts(store)
    store.migrations.run(store.migrations.plan("user", "2.0.0"))
    plan = store.migrations.plan("user", "1.0.0", from_="2.0.0")
    assert [("2.0.0", "1.1.0"), ("1.1.0", "1.0.0")] == [(step.from_, step.to) for step in plan.steps]
    assert any("downgrade" in words for words in plan.warnings)
    assert (3, 3) == (plan.estimated_items, store.migrations.run(plan).items_migrated)
    assert before == texts(store)
    store.set(S, "user/new", {"name": "n", "age": 1})
    assert ("user", "1.0.0") == list(store.log(types="state.set"))[-1].schema


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        (("user", "9.0.0"), SchemaError),
        (("user", "2"), SchemaError),
        (("nothing", "1.0.0"), SchemaError),
        (("user", "1.0.0"), MigrationError),
        (("user", "3.0.0"), MigrationError),
    ],
)
def test_where_no_way_leads_there_is_no_plan(quick: Any, asked: tuple[str, str], error: type[Exception]) -> None:
    with_users(quick, 1)
    quick.schemas.register(Schema("user", "3.0.0", {}))
    with pytest.raises(error):
        quick.migrations.plan(*asked)


def test_a_plan_from_a_version_that_nothing_leads_from_is_none(quick: Any) -> None:
    with_users(quick, 1)
    quick.schemas.register(Schema("user", "1.0.5", FIRST.fields))
    for from_, error in (("1.0.5", MigrationError), ("7.0.0", SchemaError), ("2.0.0", MigrationError)):
        with pytest.raises(error):
            quick.migrations.plan("user", "2.0.0", from_=from_)


def test_values_that_no_way_leads_from_are_told_and_stay(quick: Any) -> None:
    with_users(quick, 2)
    quick.schemas.register(Schema("user", "1.0.5", FIRST.fields))
    quick.schemas.bind("user", version="1.0.5", keys="stuck/*")
    quick.set(S, "stuck/1", {"name": "s", "age": 1})
    plan = quick.migrations.plan("user", "2.0.0")
    assert 2 == plan.estimated_items
    assert any("1 values of 1.0.5" in words for words in plan.warnings)
    assert 2 == quick.migrations.run(plan).items_migrated
    assert {"name": "s", "age": 1} == quick.get(S, "stuck/1")
    assert ("user", "1.0.5") == quick.set(S, "stuck/2", {"name": "s", "age": 2}).schema


def test_what_nothing_leads_back_from_is_told(quick: Any) -> None:
    for schema in (FIRST, SECOND):
        quick.schemas.register(schema)
    quick.migrations.register(Migration("user", "1.0.0", "1.1.0", [t.default("email", "")]))
    plan = quick.migrations.plan("user", "1.1.0")
    assert [False] == [step.reversible for step in plan.steps]
    assert any("nothing leads back" in words for words in plan.warnings)
    with pytest.raises(MigrationError):
        quick.migrations.plan("user", "1.0.0", from_="1.1.0")


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Migration("user", "2.0.0", "1.0.0", []),
        lambda: Migration("user", "1.0.0", "1.0.0", []),
        lambda: Migration("user", "1.0.0", "1.1.0", "remove"),  # type: ignore[arg-type]
        lambda: Migration("user", "1.0.0", "1.1.0", ["remove"]),  # type: ignore[list-item]
        lambda: Migration("user", "1", "1.1.0", []),
        lambda: {"schema": "user", "from": "1.0.0", "to": "1.1.0"},
        lambda: {"schema": "user", "from": "1.0.0", "to": "1.1.0", "up": [], "over": []},
        lambda: "1.0.0 to 1.1.0",
        lambda: Migration("user", "1.0.0", "1.1.0", [t.compute("a", "no_such_transformer")]),
        lambda: Migration("user", "1.0.0", "1.1.0", [], down=[t.compute("a", "no_such_transformer")]),
    ],
)
def test_a_migration_that_is_declared_wrong_is_refused_at_once(quick: Any, wrong: Any) -> None:
    quick.schemas.register(FIRST)
    quick.schemas.register(SECOND)
    with pytest.raises((SchemaError, InvalidValueError, NotFoundError)):
        quick.migrations.register(wrong())
    assert [] == quick.migrations.registered("user")


def test_ways_between_versions_that_are_not_registered_are_refused(store: Any) -> None:
    store.schemas.register(FIRST)
    with pytest.raises(SchemaError, match=r"1\.1\.0"):
        registered(store, TO_SECOND)
    with pytest.raises(NotFoundError):
        store.migrations.registered("nothing")
    store.schemas.register(SECOND)
    store.migrations.register(TO_SECOND.to_document())
    head = store.position() or 0
    registered(store, TO_SECOND)
    assert head == store.position()
    other = Migration("user", "1.0.0", "1.1.0", [t.default("email", "none")])
    registered(store, other)
    assert [other] == store.migrations.registered("user")


def registered(store: Any, migration: Any) -> None:
    """Register and look: what only the log can tell is raised by now on either face."""
    store.migrations.register(migration)
    store.migrations.registered("user")


def test_what_a_schema_depends_on_is_migrated_first(store: Any) -> None:
    for version in ("1.0.0", "2.0.0"):
        store.schemas.register(Schema("address", version, {}))
    store.schemas.register(Schema("order", "1.0.0", {}))
    store.schemas.register(Schema("order", "2.0.0", {}, depends_on=["address@2.0.0"]))
    for name in ("address", "order"):
        store.schemas.bind(name, version="1.0.0", keys=f"{name}/*")
        store.migrations.register(Migration(name, "1.0.0", "2.0.0", [t.default("new", 1)]))
        store.set(S, f"{name}/1", {})
    plan = store.migrations.plan("order", "2.0.0")
    assert ("address@2.0.0",) == plan.waiting
    head = store.position()
    with pytest.raises(MigrationError, match=r"address@2\.0\.0"):
        store.migrations.run(plan)
    assert head == store.position()
    store.migrations.run(store.migrations.plan("address", "2.0.0"))
    plan = store.migrations.plan("order", "2.0.0")
    assert () == plan.waiting
    assert 1 == store.migrations.run(plan).items_migrated


def test_what_is_previewed_is_what_a_run_then_writes(store: Any) -> None:
    with_users(store, 12)
    head = store.position()
    plan = store.migrations.plan("user", "2.0.0")
    seen = plan.preview(7)
    assert head == store.position()
    assert [(S, f"user/{at:03}", "1.0.0", {"name": f"n{at}", "age": at}, migrated(at)) for at in range(7)] == [
        (each.scope, each.key, each.version, each.before, each.after) for each in seen
    ]
    assert ["user/003"] == [each.key for each in plan.preview(scope=S, keys="user/003")]
    assert 12 == len(plan.preview(100))
    store.migrations.run(plan)
    assert [each.after for each in seen] == [store.get(each.scope, each.key) for each in seen]
    with pytest.raises(InvalidValueError):
        plan.preview(0)


def test_a_preview_says_what_would_fail(quick: Any) -> None:
    with_users(quick, 1)
    quick.set(S, "user/bad", {"name": "b", "age": 1, "profile": "taken"})
    [fine, failing] = quick.migrations.plan("user", "2.0.0").preview()
    assert (migrated(0), None) == (fine.after, fine.error)
    assert (None, "user/bad", "profile") == (failing.after, failing.key, failing.path.split(".")[0])
    assert failing.error


def test_values_at_several_versions_take_their_own_ways_at_once(store: Any) -> None:
    with_users(store, 2)
    store.schemas.bind("user", version="1.1.0", keys="later/*")
    store.set(S, "later/1", {"name": "l", "age": 5, "email": "e"})
    store.schemas.bind("user", version="2.0.0", keys="done/*")
    store.set(S, "done/1", {"name": "d", "profile": {"age": 9}})
    plan = store.migrations.plan("user", "2.0.0")
    assert 3 == plan.estimated_items
    head = store.position()
    report = store.migrations.run(plan)
    assert (3, 3) == (report.items_total, report.items_migrated)
    assert {"name": "l", "email": "e", "profile": {"age": 5}} == store.get(S, "later/1")
    assert migrated(1) == store.get(S, "user/001")
    assert "done/1" not in {event.key for event in store.log(since=head)}


def test_values_that_carry_no_schema_are_taken_where_they_are_named_alone(store: Any) -> None:
    store.set_many(S, {"old/1": {"name": "a", "age": 1}, "old/2": {"name": "b"}, "other": {"name": "c"}})
    store.set("session:s", "old/1", {"name": "s"})
    with_users(store, 0, bound=False)
    assert 0 == store.migrations.run(store.migrations.plan("user", "2.0.0"), scope=S, keys="old/*").items_total
    plan = store.migrations.plan("user", "2.0.0", from_="1.0.0")
    report = store.migrations.run(plan, scope=S, keys="old/*")
    assert 2 == report.items_migrated
    assert {"name": "a", "email": "", "profile": {"age": 1}} == store.get(S, "old/1")
    assert {"name": "c"} == store.get(S, "other")
    assert {"name": "s"} == store.get("session:s", "old/1")


@pytest.mark.parametrize(
    ("selection", "taken"),
    [
        ({}, {("agent:a", "user/1"), ("agent:b", "user/1"), ("agent:b", "user/2"), ("session:s", "user/1")}),
        ({"scope": "agent:b"}, {("agent:b", "user/1"), ("agent:b", "user/2")}),
        ({"scope": "agent:*"}, {("agent:a", "user/1"), ("agent:b", "user/1"), ("agent:b", "user/2")}),
        ({"keys": "user/1"}, {("agent:a", "user/1"), ("agent:b", "user/1"), ("session:s", "user/1")}),
        ({"scope": "agent:*", "keys": "*2"}, {("agent:b", "user/2")}),
        ({"scope": "tool:none"}, set()),
    ],
)
def test_a_run_takes_what_is_selected(quick: Any, selection: dict[str, str], taken: set[tuple[str, str]]) -> None:
    with_users(quick, 0)
    for scope, key in (("agent:a", "user/1"), ("agent:b", "user/1"), ("agent:b", "user/2"), ("session:s", "user/1")):
        quick.set(scope, key, {"name": "n", "age": 1})
    head = quick.position()
    report = quick.migrations.run(quick.migrations.plan("user", "2.0.0"), **selection)
    assert taken == {(event.stream, event.key) for event in quick.log(since=head, types="state.set")}
    assert len(taken) == report.items_migrated
    now = quick.set("agent:b", "user/3", {"name": "n", "age": 1, "profile": {}}).schema
    inside = selection.get("scope") in {None, "agent:b", "agent:*"} and selection.get("keys") is None
    assert ("user", "2.0.0" if inside else "1.0.0") == now


def test_a_migration_leaves_bindings_alone_that_it_is_not_about(quick: Any) -> None:
    with_users(quick, 1)
    newer = Schema("user", "3.0.0", {"all": Field("string", required=True)})
    quick.schemas.register(newer)
    quick.schemas.bind("user", version="3.0.0", keys="new/*")
    quick.set(S, "new/1", {"all": "x"})
    quick.migrations.run(quick.migrations.plan("user", "2.0.0"))
    assert ("user", "3.0.0") == quick.set(S, "new/1", {"all": "y"}).schema
    assert {"user/*": "2.0.0", "new/*": "3.0.0"} == {
        each.selection.keys: each.version for each in quick.schemas.bindings()
    }


def test_values_of_other_schemas_and_of_none_are_left_alone(store: Any) -> None:
    store.schemas.register(Schema("team", "1.0.0", {"name": Field("string")}))
    store.schemas.bind("team", keys="team/*")
    store.set(S, "team/1", {"name": "t", "age": 1})
    store.set(S, "plain", {"name": "p", "age": 1})
    with_users(store, 1)
    head = store.position()
    store.migrations.run(store.migrations.plan("user", "2.0.0"))
    assert ["user/000"] == [event.key for event in store.log(since=head, types="state.set")]
    assert "migration.completed" in kinds(store.log(since=head))


async def test_a_way_registered_by_a_plain_call_is_there_for_the_plan_that_follows() -> None:
    async with backstory.open_async("memory://") as store:
        for schema in (FIRST, SECOND, THIRD):
            store.schemas.register(schema)
        store.migrations.register(TO_SECOND)
        store.migrations.register(TO_THIRD)
        plan = await store.migrations.plan("user", "2.0.0")
        assert 2 == len(plan.steps)
        store.migrations.register(Migration("user", "2.0.0", "4.0.0", []))
        with pytest.raises(SchemaError, match=r"4\.0\.0"):
            await store.migrations.status()
        assert [] == await store.migrations.status()
