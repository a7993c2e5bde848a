"""Retention: its laws on any backups, against a checker that tries every choice; and each rule on its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backstory.domain.backup_manifests import Backup, Circumstances
from backstory.domain.errors import InvalidValueError
from backstory.domain.retention import RetentionPolicy, RetentionReport, decide
from backstory.domain.scopes import Scope

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAY = timedelta(days=1)
A, B = Scope.agent("a"), Scope.agent("b")
SELECTIONS = (None, None, (A,), (A, B))


def backup(name: str, age: timedelta = timedelta(), *, on: Backup | None = None, **facts: Any) -> Backup:
    """Return a backup made `age` before NOW; an incremental one if it builds on another."""
    made: dict[str, Any] = {
        "id": name,
        "kind": "full" if on is None else "incremental",
        "parent_id": None if on is None else on.id,
        "position": 10 if on is None else on.position + 10,
        "since_position": 0 if on is None else on.position,
        "created_at": NOW - age,
        "size_bytes": 10,
        "raw_bytes": 30,
        "events": 5,
        "entries": 3,
        "scopes": None if on is None else on.scopes,
        "branch": "main" if on is None else on.branch,
        "compression": "zstd",
        "encrypted": False,
        "checksum": f"of {name}",
        "path": f"{name}.backup",
    }
    return Backup(**made | facts)


def told(report: RetentionReport) -> dict[str, str]:
    return {each.backup_id: each.reason for each in report.decisions}


def ids(backups: Iterable[Backup]) -> str:
    return " ".join(sorted(each.id for each in backups))


# Any backups: chains on one another, some of which are torn, lost, copied, or have namesakes.


@st.composite
def folders(draw: st.DrawFn) -> list[Backup]:
    found: list[Backup] = []
    lost = []
    age = timedelta(days=draw(st.integers(0, 40)))
    for number in range(draw(st.integers(0, 6))):
        age += timedelta(hours=draw(st.sampled_from((-60 * 24, 0, 1, 5, 12, 24, 24, 24 * 6, 24 * 25))))
        flaw = draw(st.sampled_from((*[None] * 12, "lost", "gap", "other branch", "fewer scopes", "copy", "twin")))
        on = draw(st.sampled_from([None, *found, *found, *found]))
        facts: dict[str, Any] = {"size_bytes": draw(st.sampled_from((0, 1, 5, 5, 10, 100)))}
        facts["importance"] = draw(st.sampled_from((0, 0, 0, 1, 2)))
        if on is None:
            facts |= {"branch": draw(st.sampled_from(("main", "main", "trial")))}
            facts |= {"scopes": draw(st.sampled_from(SELECTIONS)), "position": draw(st.integers(1, 3))}
        elif flaw == "gap":
            facts["since_position"] = on.position + 1
        elif flaw == "other branch":
            facts["branch"] = "elsewhere"
        elif flaw == "fewer scopes":
            facts["scopes"] = (A,)
        made = backup(f"b{number}", age, on=on, **facts)
        found.append(made)
        if flaw == "lost":
            lost.append(made)
        elif flaw == "copy":
            found.append(replace(made, path=f"copy of {made.path}"))
        elif flaw == "twin":
            made_at = made.created_at - draw(st.sampled_from((timedelta(), DAY, 30 * DAY)))
            found.append(replace(made, path="twin.backup", checksum="another", created_at=made_at))
    return draw(st.permutations([each for each in found if each not in lost]))


ages = st.none() | st.sampled_from((timedelta(), timedelta(hours=5), DAY, 7 * DAY, 30 * DAY, 60 * DAY))
few = st.sampled_from((0, 0, 1, 2, 3))
rules = dict.fromkeys(("keep_last", "keep_full", "keep_daily", "keep_weekly", "keep_monthly"), few)
policies = st.builds(
    RetentionPolicy,
    max_count=st.none() | st.integers(0, 6),
    max_age=ages,
    max_bytes=st.none() | st.sampled_from((0, 1, 5, 15, 25, 60, 120)),
    **rules,
)
policies_of_age = st.builds(RetentionPolicy, max_age=ages, **rules)
law = settings(max_examples=50, deadline=None)


# The checker: from definitions alone, at any cost.


def newer(one: Backup, other: Backup) -> bool:
    at, than = (one.created_at, one.position), (other.created_at, other.position)
    return at > than or (at == than and (one.id, one.path) < (other.id, other.path))


def namesakes(one: Backup, among: Iterable[Backup]) -> list[Backup]:
    return [each for each in among if each.id == one.id and each != one]


def alike(one: Backup, other: Backup) -> bool:
    return replace(one, path="") == replace(other, path="")


def parent_of(one: Backup, among: Sequence[Backup]) -> Backup | None:
    bearers = [each for each in among if each.id == one.parent_id]
    return min(bearers, key=lambda each: each.path) if bearers else None


def restorable(one: Backup, among: Sequence[Backup], below: frozenset[Backup] = frozenset()) -> bool:
    if one in below or any(not alike(one, each) or each.path < one.path for each in namesakes(one, among)):
        return False
    if one.kind == "full":
        return True
    parent = parent_of(one, among)
    return (
        parent is not None
        and parent.position == one.since_position
        and holds_all_of(parent, one)
        and restorable(parent, among, below | {one})
    )


def holds_all_of(one: Backup, other: Backup) -> bool:
    if one.scopes is None:
        return one.branch == other.branch
    return one.branch == other.branch and other.scopes is not None and all(each in one.scopes for each in other.scopes)


def whole(some: Iterable[Backup], among: Sequence[Backup]) -> frozenset[Backup]:
    """Return them with all that must stay while they do."""
    found = set(some)
    while True:
        more = {parent_of(each, among) for each in found if each.kind != "full" and restorable(each, among)}
        for each in found:
            if any(not alike(each, other) for other in namesakes(each, among)):
                more |= {*namesakes(each, among)}
        if more <= found:
            return frozenset(found)
        found |= {each for each in more if each is not None}


PERIODS: dict[str, Callable[[datetime], object]] = {
    "keep_daily": lambda at: (at.year, at.timetuple().tm_yday),
    "keep_weekly": lambda at: (at - DAY * at.weekday()).date(),
    "keep_monthly": lambda at: (at.year, at.month),
}


def ruled(policy: RetentionPolicy, among: Sequence[Backup]) -> set[Backup]:
    """Return what a keep-rule holds."""
    found = set()
    able = [each for each in among if restorable(each, among)]
    for one in able:
        ahead = [each for each in able if newer(each, one) and holds_all_of(each, one)]
        if (
            len(ahead) < max(1, policy.keep_last)
            or (one.kind == "full" and sum(each.kind == "full" for each in ahead) < policy.keep_full)
            or any(
                period(one.created_at) not in (seen := {period(each.created_at) for each in ahead})
                and len(seen) < getattr(policy, name)
                for name, period in PERIODS.items()
            )
        ):
            found.add(one)
    return found


def old(policy: RetentionPolicy, one: Backup, now: datetime = NOW) -> bool:
    return policy.max_age_s is not None and (now - one.created_at).total_seconds() > policy.max_age_s


def fits(policy: RetentionPolicy, some: Iterable[Backup]) -> bool:
    sizes = [each.size_bytes for each in some]
    enough = policy.max_count is None or len(sizes) <= policy.max_count
    return enough and (policy.max_bytes is None or sum(sizes) <= policy.max_bytes)


def best_choice(policy: RetentionPolicy, among: Sequence[Backup]) -> frozenset[Backup]:
    """Return the best of all choices: with the backup that is wanted most, of those with the next, and so on."""
    held = whole(ruled(policy, among), among)
    young = [each for each in among if each not in held and not old(policy, each)]
    young.sort(key=lambda each: (each.id, each.path))
    young.sort(key=lambda each: (each.created_at, each.position), reverse=True)
    young.sort(key=lambda each: (not restorable(each, among), -each.importance))
    choices = [whole({*held, *some}, among) for count in range(len(young) + 1) for some in combinations(young, count)]
    allowed = [each for each in choices if each == held or fits(policy, each)]
    return max(allowed, key=lambda choice: [each in choice for each in young])


@settings(max_examples=200, deadline=None)
@given(policies, folders())
def test_what_stays_is_the_best_of_all_choices_that_there_are(policy: RetentionPolicy, folder: list[Backup]) -> None:
    assert best_choice(policy, folder) == set(decide(policy, folder, now=NOW).kept)


@law
@given(policies, folders())
def test_bounds_hold_but_for_what_rules_and_chains_explain(policy: RetentionPolicy, folder: list[Backup]) -> None:
    kept = frozenset(decide(policy, folder, now=NOW).kept)

    held = whole(ruled(policy, folder), folder)
    assert kept == held or fits(policy, kept)
    assert whole(held | {each for each in kept if not old(policy, each)}, folder) == kept


@law
@given(policies, folders())
def test_nothing_goes_that_is_young_enough_and_would_fit(policy: RetentionPolicy, folder: list[Backup]) -> None:
    report = decide(policy, folder, now=NOW)

    for each in report.deleted:
        assert old(policy, each) or not fits(policy, whole({*report.kept, each}, folder))


@law
@given(policies, folders())
def test_every_keep_rule_holds_and_holds_still_when_the_others_are_gone(
    policy: RetentionPolicy, folder: list[Backup]
) -> None:
    kept = decide(policy, folder, now=NOW).kept

    assert ruled(policy, folder) <= ruled(policy, kept) <= set(kept)


@law
@given(policies, folders())
def test_no_chain_is_torn_and_nothing_becomes_restorable_by_what_went(
    policy: RetentionPolicy, folder: list[Backup]
) -> None:
    kept = decide(policy, folder, now=NOW).kept

    assert [restorable(each, folder) for each in kept] == [restorable(each, kept) for each in kept]


@law
@given(policies, folders())
def test_what_could_be_restored_and_went_leaves_something_newer_that_holds_as_much(
    policy: RetentionPolicy, folder: list[Backup]
) -> None:
    report = decide(policy, folder, now=NOW)

    able = [each for each in report.kept if restorable(each, report.kept)]
    for gone in report.deleted:
        assert not restorable(gone, folder) or any(newer(each, gone) and holds_all_of(each, gone) for each in able)
    assert bool(able) == any(restorable(each, folder) for each in folder)


@law
@given(policies, folders())
def test_to_prune_again_at_the_same_instant_deletes_nothing(policy: RetentionPolicy, folder: list[Backup]) -> None:
    kept = decide(policy, folder, now=NOW).kept

    assert () == decide(policy, kept, now=NOW).deleted


@law
@given(policies, folders(), st.randoms(use_true_random=False))
def test_the_order_in_which_backups_come_changes_nothing(
    policy: RetentionPolicy, folder: list[Backup], random: Any
) -> None:
    shuffled = [*folder, *folder]
    random.shuffle(shuffled)

    assert decide(policy, folder, now=NOW) == decide(policy, shuffled, now=NOW)


@law
@given(policies_of_age, folders(), st.integers(0, 90), st.integers(0, 90))
def test_by_age_alone_time_only_takes_away_and_pruning_often_comes_to_the_same_as_pruning_once(
    policy: RetentionPolicy, folder: list[Backup], earlier: int, later: int
) -> None:
    first = decide(policy, folder, now=NOW + earlier * DAY)
    second = decide(policy, folder, now=NOW + (earlier + later) * DAY)

    assert set(second.kept) <= set(first.kept)
    assert second.kept == decide(policy, first.kept, now=NOW + (earlier + later) * DAY).kept


@law
@given(policies, folders())
def test_without_a_bound_nothing_goes(policy: RetentionPolicy, folder: list[Backup]) -> None:
    unbounded = replace(policy, max_count=None, max_age=None, max_bytes=None)

    assert () == decide(unbounded, folder, now=NOW).deleted


@law
@given(policies, folders())
def test_a_report_accounts_for_every_backup_and_gives_true_reasons(
    policy: RetentionPolicy, folder: list[Backup]
) -> None:
    report = decide(policy, folder, now=NOW)

    ordered = sorted(folder, key=lambda one: sum(newer(each, one) for each in folder))
    assert [each.id for each in ordered] == [each.backup_id for each in report.decisions]
    assert report.kept == tuple(one for one, why in zip(ordered, report.decisions, strict=True) if why.keep)
    assert report.deleted == tuple(one for one, why in zip(ordered, report.decisions, strict=True) if not why.keep)
    assert report.freed_bytes == sum(each.size_bytes for each in folder) - sum(one.size_bytes for one in report.kept)
    held = ruled(policy, folder)
    for one, why in zip(ordered, report.decisions, strict=True):
        assert why.reason.startswith("kept: " if why.keep else "deleted: ")
        assert ("newest" in why.reason) == (one in held)
        assert ("cannot be restored" in why.reason) == (not restorable(one, folder))
        assert ("older than" in why.reason) == (not why.keep and old(policy, one))
        if "within the bounds" in why.reason:
            assert not old(policy, one)


# One rule at a time. Age and count are 0 where only what rules hold is to stay.


def full_and_increments(*ages_days: float) -> list[Backup]:
    chain = [backup("f", ages_days[0] * DAY)]
    for number, age in enumerate(ages_days[1:], 1):
        chain.append(backup(f"i{number}", age * DAY, on=chain[-1]))
    return chain


def test_a_backup_of_just_the_greatest_age_stays() -> None:
    report = decide(
        RetentionPolicy(max_age=30 * DAY),
        [backup("new"), backup("just", 30 * DAY), backup("old", 30 * DAY + timedelta(microseconds=1))],
        now=NOW,
    )

    assert {
        "new": "kept: newest that can be restored (last 1 of 1); among the newest full ones (full 1 of 1)",
        "just": "kept: within the bounds",
        "old": "deleted: older than 30 days",
    } == told(report)
    assert 10 == report.freed_bytes


@pytest.mark.parametrize(
    ("words", "age"),
    [
        ("1 day", DAY),
        ("36 hours", timedelta(hours=36)),
        ("1 minute", 60),
        ("90 seconds", 90.0),
        ("0.5 seconds", 0.5),
        ("0 seconds", 0),
    ],
)
def test_an_age_is_told_in_the_largest_unit_that_it_fills(words: str, age: float | timedelta) -> None:
    report = decide(RetentionPolicy(max_age=age), [backup("new"), backup("old", 9 * DAY)], now=NOW)

    assert f"deleted: older than {words}" == told(report)["old"]


def test_of_too_many_the_oldest_go_and_of_one_age_the_last_ids() -> None:
    report = decide(RetentionPolicy(max_count=2), [backup("c"), backup("a"), backup("d", DAY), backup("b")], now=NOW)

    assert "a b" == ids(report.kept)
    assert "deleted: with it there would be more than 2 backups" == told(report)["c"]


def test_one_that_is_too_large_goes_without_smaller_and_older_ones() -> None:
    folder = [backup("new", size_bytes=10), backup("huge", DAY, size_bytes=1000), backup("old", 2 * DAY, size_bytes=1)]

    report = decide(RetentionPolicy(max_bytes=11), folder, now=NOW)

    assert "new old" == ids(report.kept)
    assert "deleted: with it there would be more than 11 bytes" == told(report)["huge"]


def test_a_backup_that_breaks_any_bound_goes() -> None:
    folder = [backup(f"b{days}", days * DAY, size_bytes=5) for days in range(5)]

    for kept, policy in (
        ("b0 b1 b2", RetentionPolicy(max_count=3, max_age=3 * DAY, max_bytes=100)),
        ("b0 b1", RetentionPolicy(max_count=3, max_age=DAY, max_bytes=100)),
        ("b0 b1", RetentionPolicy(max_count=4, max_age=3 * DAY, max_bytes=10)),
    ):
        assert kept == ids(decide(policy, folder, now=NOW).kept)


def test_what_is_important_stays_before_what_is_newer_but_not_for_ever() -> None:
    folder = [backup("new"), backup("mid", DAY), backup("dear", 9 * DAY, importance=1)]

    assert "dear new" == ids(decide(RetentionPolicy(max_count=2), folder, now=NOW).kept)
    assert "new" == ids(decide(RetentionPolicy(max_count=2, max_age=0), folder, now=NOW).kept)


def test_an_important_increment_keeps_its_chain() -> None:
    chain = full_and_increments(9, 8, 7)
    folder = [*chain[:2], replace(chain[2], importance=3), backup("new"), backup("mid", DAY)]

    assert "f i1 i2 new" == ids(decide(RetentionPolicy(max_count=4), folder, now=NOW).kept)


def test_a_chain_stays_whole_whatever_the_bounds_say() -> None:
    folder = full_and_increments(90, 60, 1)

    report = decide(RetentionPolicy(max_count=1, max_age=30 * DAY, max_bytes=1, keep_full=0), folder, now=NOW)

    assert {
        "i2": "kept: newest that can be restored (last 1 of 1)",
        "i1": "kept: i2 builds on it",
        "f": "kept: i1 builds on it",
    } == told(report)


def test_of_a_chain_that_is_too_long_the_end_goes() -> None:
    folder = [backup("new"), *full_and_increments(4, 3, 2, 1)]

    assert "f i1 new" == ids(decide(RetentionPolicy(max_count=3), folder, now=NOW).kept)


@pytest.mark.parametrize("keep", [0, 1])
def test_the_newest_that_can_be_restored_stays_under_any_policy(keep: int) -> None:
    policy = RetentionPolicy(max_count=0, max_age=0, max_bytes=0, keep_last=keep, keep_full=0)

    report = decide(policy, [backup("new", DAY), backup("old", 2 * DAY)], now=NOW)

    assert "new" == ids(report.kept)
    assert "kept: newest that can be restored" + " (last 1 of 1)" * keep == told(report)["new"]


@pytest.mark.parametrize(
    ("kept", "policy"),
    [
        ("b0 b1 b2", {"keep_last": 3}),
        ("b0 b1", {"keep_full": 2}),
        ("b0 b2 b3", {"keep_daily": 3}),
        ("b0 b3", {"keep_weekly": 2}),
        ("b0 b3 b5", {"keep_weekly": 9}),
        ("b0 b5", {"keep_monthly": 2}),
        ("b0 b2 b3 b5", {"keep_daily": 3, "keep_monthly": 2}),
    ],
)
def test_each_rule_keeps_what_it_names(kept: str, policy: dict[str, int]) -> None:
    # 2026-11-20 is a Friday; b3 is of the Sunday before, in another week, b5 of a month that is not the one before.
    folder = [
        backup(name, NOW - datetime(2026, month, day, hour, tzinfo=UTC))
        for name, month, day, hour in (
            ("b0", 11, 20, 11),
            ("b1", 11, 20, 10),
            ("b2", 11, 16, 0),
            ("b3", 11, 15, 23),
            ("b4", 11, 15, 22),
            ("b5", 9, 1, 0),
        )
    ]
    bounds = {"max_count": 0, "keep_last": 0, "keep_full": 0}

    assert kept == ids(decide(RetentionPolicy(**bounds | policy), folder, now=NOW).kept)


def test_the_newest_full_backups_stay_besides_the_newest() -> None:
    folder = [*full_and_increments(1, 0.5, 0.1), backup("g", 2 * DAY), backup("h", 3 * DAY)]

    report = decide(RetentionPolicy(max_count=0, keep_full=2), folder, now=NOW)

    assert "f g i1 i2" == ids(report.kept)
    assert "kept: among the newest full ones (full 2 of 2)" == told(report)["g"]


def test_a_reason_names_every_rule_with_its_period_and_place() -> None:
    policy = RetentionPolicy(max_count=0, keep_full=0, keep_daily=7, keep_weekly=4, keep_monthly=12)

    report = decide(policy, [backup("a"), backup("b", DAY), backup("c", 40 * DAY)], now=NOW)

    assert {
        "a": "kept: newest that can be restored (last 1 of 1); newest of 2026-11-20 (daily 1 of 7); "
        "newest of 2026-W47 (weekly 1 of 4); newest of 2026-11 (monthly 1 of 12)",
        "b": "kept: newest of 2026-11-19 (daily 2 of 7)",
        "c": "kept: newest of 2026-10-11 (daily 3 of 7); newest of 2026-W41 (weekly 2 of 4); "
        "newest of 2026-10 (monthly 2 of 12)",
    } == told(report)


def test_a_week_over_new_year_is_one_week() -> None:
    folder = [
        backup("a", created_at=datetime(2027, 1, 3, tzinfo=UTC)),
        backup("b", created_at=datetime(2026, 12, 28, tzinfo=UTC)),
    ]

    report = decide(RetentionPolicy(max_count=0, keep_last=0, keep_full=0, keep_weekly=2), folder, now=NOW)

    assert "a" == ids(report.kept)
    assert "kept: newest that can be restored; newest of 2026-W53 (weekly 1 of 2)" == told(report)["a"]


def test_a_rule_is_told_once_for_a_backup_that_stands_in_for_others() -> None:
    folder = [backup("a"), backup("b", DAY, scopes=(A,)), backup("c", DAY, scopes=(B,))]

    report = decide(RetentionPolicy(max_count=0, keep_full=0), folder, now=NOW)

    assert "kept: newest that can be restored (last 1 of 1)" == told(report)["a"]


def test_of_several_that_build_on_a_backup_the_newest_is_named() -> None:
    full = backup("f", 9 * DAY)
    folder = [full, backup("i", 8 * DAY, on=full), backup("j", 7 * DAY, on=full), backup("new")]

    assert "kept: j builds on it" == told(decide(RetentionPolicy(keep_full=0), folder, now=NOW))["f"]


def test_days_are_those_of_utc() -> None:
    east = timezone(timedelta(hours=9))
    folder = [
        backup("late", created_at=datetime(2026, 11, 20, 8, tzinfo=east)),
        backup("early", created_at=datetime(2026, 11, 19, 9, tzinfo=east)),
    ]

    report = decide(RetentionPolicy(max_count=0, keep_full=0, keep_daily=2), folder, now=NOW)

    assert "late" == ids(report.kept)
    assert "newest of 2026-11-19 (daily 1 of 2)" in told(report)["late"]


@pytest.mark.parametrize(
    ("kept", "newest", "older"),
    [
        ("new old", {"scopes": (A,)}, {}),
        ("new", {}, {"scopes": (A,)}),
        ("new", {"scopes": (B, A)}, {"scopes": (A,)}),
        ("new", {"scopes": (B, A)}, {"scopes": (A, B)}),
        ("new old", {"scopes": (A,)}, {"scopes": (B,)}),
        ("new old", {"branch": "trial"}, {}),
        ("new old", {"branch": "trial"}, {"scopes": (A,)}),
    ],
)
def test_a_backup_stands_in_only_for_those_whose_scopes_and_branch_it_holds(
    kept: str, newest: dict[str, Any], older: dict[str, Any]
) -> None:
    folder = [backup("new", **newest), backup("old", DAY, **older)]

    assert kept == ids(decide(RetentionPolicy(max_count=0), folder, now=NOW).kept)


def test_bounds_look_at_all_backups_together() -> None:
    folder = [backup(f"{name}{day}", day * DAY, scopes=(Scope.agent(name),)) for name in "ab" for day in range(3)]

    assert "a0 a1 b0" == ids(decide(RetentionPolicy(max_count=3), folder, now=NOW).kept)


def test_what_cannot_be_restored_counts_for_no_rule_and_goes_first() -> None:
    torn = backup("torn", on=backup("lost", DAY), importance=9)
    folder = [torn, backup("a", DAY), backup("b", 2 * DAY)]

    assert "a b" == ids(decide(RetentionPolicy(max_count=2), folder, now=NOW).kept)
    report = decide(RetentionPolicy(max_count=0), folder, now=NOW)
    assert "a" == ids(report.kept)
    assert (
        "deleted: with it there would be more than 0 backups; it cannot be restored: its parent lost is missing"
        == told(report)["torn"]
    )
    report = decide(RetentionPolicy(max_count=3), folder, now=NOW)
    assert "kept: within the bounds; it cannot be restored: its parent lost is missing" == told(report)["torn"]


def test_a_copy_goes_before_what_it_is_a_copy_of() -> None:
    kept = backup("a", DAY)
    copy = replace(kept, path="b.backup")

    report = decide(RetentionPolicy(max_count=1), [copy, kept], now=NOW)

    assert (kept,) == report.kept
    assert (copy,) == report.deleted
    assert "it is a copy of the backup at a.backup" in report.decisions[1].reason


def test_different_backups_of_one_id_stay_or_go_together() -> None:
    young, grown = backup("a", DAY), backup("a", 9 * DAY, path="b.backup")
    folder = [backup("new"), young, grown]

    assert "a a new" == ids(decide(RetentionPolicy(max_count=3, max_age=5 * DAY), folder, now=NOW).kept)
    assert "new" == ids(decide(RetentionPolicy(max_count=2, max_age=5 * DAY), folder, now=NOW).kept)


def test_one_that_was_made_after_now_is_not_old() -> None:
    assert () == decide(RetentionPolicy(max_age=0), [backup("a"), backup("b", -DAY)], now=NOW).deleted


def test_an_instant_without_a_zone_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="now: has no zone"):
        decide(RetentionPolicy(), [], now=datetime(2026, 11, 20))  # noqa: DTZ001


@pytest.mark.parametrize("name", ["max_count", "max_bytes", "keep_last", "keep_full", "keep_daily", "keep_monthly"])
@pytest.mark.parametrize("given", [-1, 1.0, True, "1"])
def test_a_number_of_backups_or_bytes_is_a_whole_number_from_0(name: str, given: Any) -> None:
    with pytest.raises(InvalidValueError, match="Give a whole number from 0") as caught:
        RetentionPolicy(**{name: given})

    assert name == caught.value.path


@pytest.mark.parametrize("given", [-1, -DAY, True, "30d", float("nan"), timedelta.max])
def test_an_age_is_seconds_or_a_timedelta_from_0(given: Any) -> None:
    with pytest.raises(InvalidValueError, match="a timedelta, or None") as caught:
        RetentionPolicy(max_age=given)

    assert "max_age" == caught.value.path


def test_only_bounds_may_be_none() -> None:
    RetentionPolicy(max_count=None, max_age=None, max_bytes=None)
    with pytest.raises(InvalidValueError, match=r"from 0\.$"):
        RetentionPolicy(keep_last=None)  # type: ignore[arg-type]


# What is known besides the manifests


def test_a_damaged_backup_stands_in_for_none_and_goes_first() -> None:
    new, old = backup("new"), backup("old", DAY)
    known = Circumstances(damage={new.path: "validated on 2026-11-20: not valid"})

    report = decide(RetentionPolicy(max_count=1), [new, old], now=NOW, known=known)

    assert ("old", "new") == (ids(report.kept), ids(report.deleted))
    assert told(report)["new"].endswith("it cannot be restored: validated on 2026-11-20: not valid")


def test_what_somebody_else_needs_stays_under_any_policy() -> None:
    new, old = backup("new"), backup("old", DAY)
    known = Circumstances(needed={"old": "x builds on it"})

    report = decide(RetentionPolicy(max_count=0), [new, old], now=NOW, known=known)

    assert "new old" == ids(report.kept)
    assert "kept: x builds on it" == told(report)["old"]


def test_of_copies_the_one_at_home_stays() -> None:
    one = backup("b", path="a/b.backup")
    home = replace(one, path="z/b.backup")

    report = decide(RetentionPolicy(max_count=1), [one, home], now=NOW, known=Circumstances(at_home={home.path}))

    assert ((home,), (one,)) == (report.kept, report.deleted)
