"""Backups amid something else: inside an ambient context, inside a hook's run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

import backstory
from backstory import Event, RetentionPolicy
from tests.support.background import engine_of
from tests.support.on_a_loop import opened
from tests.support.versioned_users import places

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

S: Final = "agent:a"


@pytest.fixture(params=places("asyncio"), ids="-".join)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    face, engine = request.param
    url = request.getfixturevalue(f"{engine}_url")
    with opened(face, url, durability="relaxed", backups=tmp_path / "backups") as opened_store:
        yield opened_store


def long_ago(store: Any) -> Any:
    """Return an event that the engine has to look up, as one of another process."""
    event = store.append("session:s", [Event("told", {})])[0]
    engine_of(store)._memory.forget()
    return event


def test_what_is_done_with_backups_says_what_it_was_caused_by(store: Any) -> None:
    store.set(S, "k", 1)
    full = store.backups.create()
    store.set(S, "k", 2)
    cause = long_ago(store)
    with backstory.context(cause=cause, correlation_id="repair"):
        report = store.backups.restore(full.id)
    engine_of(store)._memory.forget()
    with backstory.context(cause=cause, correlation_id="repair"):
        store.backups.rollback(report.rollback_point)
        store.backups.create()
        store.backups.prune(RetentionPolicy(max_count=1))
    assert store.get(S, "k") == 2
    said = list(store.log(correlation_id="repair"))
    assert {event.type for event in said} == {"backup.created", "backup.restored", "backup.pruned", "state.set"}
    assert {event.causation_ids for event in said} == {(cause.event_id,)}


def test_a_new_store_of_a_selection_names_no_event_of_another_log(store: Any, tmp_path: Path) -> None:
    cause = store.set(S, "k", 1)
    made = store.backups.create()
    new = f"sqlite:///{tmp_path / 'new.db'}"
    with backstory.context(cause=cause, correlation_id="repair"):
        store.backups.restore(made.id, scope=S, into=new)
    with backstory.open(new) as found:
        assert {(event.correlation_id, event.causation_ids) for event in found.log()} == {("repair", ())}


def test_a_hook_may_make_a_new_store_of_a_selection(sqlite_url: str, tmp_path: Path) -> None:
    new = f"sqlite:///{tmp_path / 'new.db'}"
    with backstory.open(sqlite_url) as store:
        store.set(S, "k", 1)
        made = store.backups.create()

        def copies(_: Any) -> None:
            store.backups.restore(made.id, scope=S, into=new)

        store.hooks.register("after_state_write", copies, scope="agent:b", background=False)
        store.set("agent:b", "k", 2)
        assert [each.error for each in store.hooks.history()] == [None]
    with backstory.open(new) as found:
        assert found.get(S, "k") == 1
