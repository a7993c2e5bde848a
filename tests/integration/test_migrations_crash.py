"""Processes are killed amid migrations: another one resumes them or takes them back, and no value is migrated twice."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

import pytest

from tests.support.migrating import HOME, NEW, OLD, assert_at, carried, declare, fill
from tests.support.migration_campaign import Campaign, nurseries, settled
from tests.support.migration_runner import IN_THE_SURVEY, Order
from tests.support.on_a_loop import opened

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.migration_campaign import Nursery

KILLS: Final = 8
LONG: Final = 100
PARTS: Final = 4
DISK: Final = ("sqlite", pytest.param("postgres", marks=pytest.mark.postgres))


@pytest.fixture(params=DISK)
def url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty store that outlives its process."""
    found: str = request.getfixturevalue(f"{request.param}_url")
    return found


@pytest.fixture
def nursery() -> Iterator[Nursery]:
    with nurseries() as [found]:
        yield found


def test_what_a_killed_process_was_migrating_is_ended_by_another_one(nursery: Nursery, url: str) -> None:
    figures = Campaign(nursery, url, seed=4).run(KILLS)
    assert KILLS == figures.kills
    assert figures.resumed
    assert figures.taken_back


@pytest.mark.parametrize("verb", ["resume", "rollback"])
def test_a_process_killed_before_it_wrote_a_value_is_followed_by_another_one(
    nursery: Nursery, url: str, verb: str
) -> None:
    with opened("blocking", url) as store:
        declare(store)
        values = fill(store, 3)
        pid = nursery.start(Order(url, "run", validation="paranoid", hold=IN_THE_SURVEY))
        nursery.hear("held")
        nursery.kill(pid)
        [found] = store.migrations.status()
        assert settled(store, found.migration_id).status == "dead"
        report = getattr(store.migrations, verb)(found.migration_id)
        if verb == "resume":
            assert (3, 3) == (report.items_total, report.items_migrated)
            assert {at: carried(value) for at, value in values.items()} == store.items(HOME)
        else:
            assert report.items_restored == 0
            assert values == store.items(HOME)
        assert_at(store, NEW if verb == "resume" else OLD)


@pytest.mark.long
@pytest.mark.parametrize("part", range(PARTS))
def test_a_long_campaign_of_kills_leaves_nothing_half_migrated(nursery: Nursery, url: str, part: int) -> None:
    # In parts, each with a store of its own: the whole log is read after each kill.
    figures = Campaign(nursery, url, seed=random.SystemRandom().getrandbits(32) + part).run(LONG // PARTS)
    assert LONG // PARTS == figures.kills
    print(figures)  # noqa: T201 - a campaign's figures are what it is run for
