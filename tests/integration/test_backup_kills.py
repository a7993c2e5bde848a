"""Processes are killed amid backups: no archive, no state, no new store and no chain is ever there in part."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

import pytest

from tests.support.backup_campaign import WORKS, Campaign
from tests.support.migration_campaign import nurseries

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from backstory.testing.postgres import PostgresServer
    from tests.support.migration_campaign import Nursery

KILLS: Final = 2
LONG: Final = 100
DISK: Final = ("sqlite", pytest.param("postgres", marks=pytest.mark.postgres))


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with nurseries(runner="tests.support.backup_runner") as [found]:
        yield found


@pytest.fixture(params=DISK)
def urls(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """The URL of an empty store, and one for new stores."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'store.db'}", f"sqlite:///{tmp_path / 'new.db'}"
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    with server.database() as url, server.database() as new:
        yield url, new


def test_whoever_is_killed_amid_backups_leaves_nothing_in_part(
    nursery: Nursery, urls: tuple[str, str], tmp_path: Path
) -> None:
    campaign = Campaign(nursery, *urls, kept=tmp_path / "kept", seed=6)
    for work in WORKS:
        assert KILLS == campaign.run(work, KILLS).killed[work]


@pytest.mark.long
@pytest.mark.parametrize("work", WORKS)
def test_a_long_campaign_of_kills_leaves_nothing_in_part(
    nursery: Nursery, urls: tuple[str, str], work: str, tmp_path: Path
) -> None:
    done = 0
    # In parts, each with a store of its own: the whole log is read after each kill.
    for part in range(4):
        seed = random.SystemRandom().getrandbits(32)
        store, new = urls if urls[0].startswith("postgres") else (f"{urls[0]}.{part}", urls[1])
        figures = Campaign(nursery, store, new, tmp_path / f"kept-{part}", seed).run(work, LONG // 4)
        assert LONG // 4 == figures.killed[work]
        done += figures.done[work]
    print(f"{work}: {LONG} killed, {done} of them had done it")  # noqa: T201 - a campaign's figures
