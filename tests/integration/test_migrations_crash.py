"""Processes are killed amid migrations: another one resumes them or takes them back, and no value is migrated twice."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

import pytest

from tests.support.migration_campaign import Campaign, nurseries

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.migration_campaign import Nursery

KILLS: Final = 9
LONG: Final = 100
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


@pytest.mark.long
def test_a_long_campaign_of_kills_leaves_nothing_half_migrated(nursery: Nursery, url: str) -> None:
    figures = Campaign(nursery, url, seed=random.SystemRandom().getrandbits(32)).run(LONG)
    assert LONG == figures.kills
    print(figures)  # noqa: T201 - a campaign's figures are what it is run for
