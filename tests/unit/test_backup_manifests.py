"""What manifests say of backups: which facts are taken, and which of several can be restored."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from backstory.domain.backup_manifests import Backup, is_copy, newest_first, standings
from backstory.domain.errors import BackupError
from backstory.domain.scopes import Scope

A, B = Scope.agent("a"), Scope.agent("b")
FULL = Backup(
    id="f",
    kind="full",
    position=10,
    created_at=datetime(2026, 11, 20, tzinfo=UTC),
    size_bytes=10,
    raw_bytes=30,
    events=10,
    entries=3,
    branch="main",
    compression="zstd",
    encrypted=False,
    checksum="c",
    path="f.backup",
)


def increment(name: str, on: Backup, **facts: Any) -> Backup:
    told: dict[str, Any] = {"parent_id": on.id, "since_position": on.position, "position": on.position + 5}
    return replace(on, id=name, kind="incremental", path=f"{name}.backup", **told | facts)


def faults(*backups: Backup) -> list[str | None]:
    return [each.fault for each in standings(backups)]


@pytest.mark.parametrize(
    ("rule", "facts"),
    [
        ("neither full nor incremental", {"kind": "differential"}),
        ("it has no id", {"id": ""}),
        ("its position is no whole number from 0: -1", {"position": -1}),
        ("its events is no whole number", {"events": True}),
        ("its importance is no whole number", {"importance": 0.5}),
        ("an incremental backup has another one as its parent", {"kind": "incremental"}),
        ("a full one has none", {"parent_id": "e"}),
        ("has another one as its parent", {"kind": "incremental", "parent_id": "f"}),
        ("a full backup up to 10 cannot begin after 5", {"since_position": 5}),
        ("up to 10 cannot begin after 11", {"kind": "incremental", "parent_id": "e", "since_position": 11}),
        ("the time it was made at has no zone", {"created_at": datetime(2026, 11, 20)}),  # noqa: DTZ001
        ("it selects no scope at all", {"scopes": ()}),
    ],
)
def test_facts_that_contradict_each_other_are_refused(rule: str, facts: dict[str, Any]) -> None:
    with pytest.raises(BackupError, match=rule) as caught:
        replace(FULL, **facts)

    assert (facts.get("id", "f"), "f.backup") == (caught.value.backup_id, caught.value.path)


def test_times_are_told_in_utc_and_scopes_in_order_once_each() -> None:
    east = timezone(timedelta(hours=9))

    made = replace(FULL, created_at=datetime(2026, 11, 20, 9, tzinfo=east), scopes=(B, A, B))

    assert UTC == made.created_at.tzinfo
    assert (FULL.created_at, (A, B)) == (made.created_at, made.scopes)


def test_backups_are_ordered_by_time_then_position_then_id_and_given_twice_come_once() -> None:
    later = replace(FULL, id="z", created_at=FULL.created_at + timedelta(seconds=1))
    further, same = replace(FULL, id="y", position=11), replace(FULL, id="e")
    copy = replace(FULL, path="g.backup")

    assert [later, further, same, FULL, copy] == newest_first([copy, FULL, same, replace(FULL), later, further])


def test_an_increment_needs_its_parent_and_a_full_backup_nothing() -> None:
    first = increment("i", FULL)
    second = increment("j", first)

    assert [(None, (2,)), (None, ()), (None, (1,))] == standings([second, FULL, first])


def test_what_hangs_on_a_torn_chain_cannot_be_restored() -> None:
    first = increment("i", FULL)
    second = increment("j", first)

    assert ["its parent i cannot be restored", "its parent f is missing"] == faults(second, first)
    assert [None, "it begins after position 9, its parent f ends at 10"] == faults(
        FULL, replace(first, since_position=9)
    )


@pytest.mark.parametrize("facts", [{"branch": "trial"}, {"scopes": None}, {"scopes": (A, B)}])
def test_a_parent_has_the_branch_and_every_scope_of_its_increments(facts: dict[str, Any]) -> None:
    full = replace(FULL, scopes=(A,))

    assert [None, None] == faults(full, increment("i", full))
    assert [None, "its parent f leaves out some of its scopes, or is of another branch"] == faults(
        full, increment("i", full, **facts)
    )


def test_a_chain_in_a_circle_cannot_be_restored() -> None:
    first = increment("i", FULL, position=10, parent_id="j")
    second = increment("j", FULL, position=10, parent_id="i")
    third = increment("k", second)

    expected = ["its parent i cannot be restored", "its parent j cannot be restored", "its parent j cannot be restored"]
    assert expected == sorted(str(each) for each in faults(third, first, second))


def test_of_copies_the_first_counts_and_bears_the_chain() -> None:
    copy = replace(FULL, path="g.backup")

    assert [(None, ()), ("it is a copy of the backup at f.backup", ()), (None, (0,))] == standings(
        [FULL, copy, increment("i", FULL)]
    )


def test_of_different_backups_with_one_id_none_counts_and_they_need_each_other() -> None:
    other = replace(FULL, path="g.backup", checksum="d")

    fault = "2 different backups bear its id"
    assert [(fault, (1,)), (fault, (0,)), ("its parent f cannot be restored", ())] == standings(
        [FULL, other, increment("i", FULL)]
    )


def test_copies_may_need_different_keys_and_nothing_else_may_differ() -> None:
    secret = replace(FULL, encrypted=True, key_id="k")
    other = replace(secret, path="g.backup", checksum="d", size_bytes=11, key_id="o")

    assert is_copy(secret, other)
    assert not is_copy(secret, replace(other, raw_bytes=31))
    assert not is_copy(FULL, replace(FULL, path="g.backup", checksum="d"))


def test_of_copies_one_that_is_not_damaged_counts() -> None:
    copy = replace(FULL, path="g.backup")

    told = standings([FULL, copy, increment("i", FULL)], damage={"f.backup": "damaged"})
    assert [("it is a copy of the backup at g.backup", ()), (None, ()), (None, (1,))] == told
    alone = standings([FULL, increment("i", FULL)], damage={"f.backup": "damaged"})
    assert [("damaged", ()), ("its parent f cannot be restored", ())] == alone


def test_a_chain_may_be_as_long_as_it_likes() -> None:
    chain = [FULL]
    for number in range(3000):
        chain.append(increment(f"i{number}", chain[-1]))

    assert {None} == set(faults(*reversed(chain)))
