"""Restores taken back: what a restore was about becomes what it was before, on its branch, and nothing else does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from hypothesis import strategies as st

import backstory
from backstory import BackupError, HookCancelledError, InvalidPointError, ReadOnlyError
from backstory.domain.hooks import HookResult
from backstory.domain.selection import selection_of
from tests.integration.test_backups import _expired as expired
from tests.integration.test_backups import _selections, state
from tests.support.causal import Engine, histories
from tests.support.on_a_loop import opened
from tests.support.versioned_users import places

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.causal import History

A, B = "agent:a", "agent:b"


@pytest.fixture(params=places("asyncio"), ids="-".join)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    face, engine = request.param
    url = request.getfixturevalue(f"{engine}_url")
    with opened(face, url, durability="relaxed", backups=tmp_path / "backups") as opened_store:
        yield opened_store


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    return Engine(request.param, tmp_path, request)


_scopes = st.sampled_from((None, None, ["agent:x"], ["session:s", "agent:y"]))


def is_taken_back(history: History, steps: tuple[Any, Any, Any], selected: Any, scopes: Any, *, folder: Path) -> None:
    store = history.store
    history.do(steps[0])
    selection = selection_of(selected[0], selected[1] or "*")
    try:
        backup = store.backups.create(target=folder, scopes=scopes)
        history.do(steps[1])
        point = store.position()
        assert point == store.backups.restore(backup.id, scope=selected[0], keys=selected[1]).rollback_point
    except BackupError:
        return  # a backup or a restore of nothing is refused
    history.do(steps[2])

    for again in (point, store.position()):
        wanted = _was(store, again)
        expected = {
            at: value
            for source, fits in ((state(store), False), (wanted, True))
            for at, value in source.items()
            if fits == (selection.fits(*at) and (scopes is None or at[0] in scopes))
        }
        tried = store.backups.rollback(again, dry_run=True)
        back = store.backups.rollback(again)
        assert expected == state(store)
        assert (tried.restored, tried.removed, tried.unchanged, tried.diff) == (
            back.restored,
            back.removed,
            back.unchanged,
            back.diff,
        )
        assert (backup.id, again) == (back.backup_id, back.position)
    assert store.verify().ok


def _was(store: Any, position: int) -> dict[tuple[str, str], Any]:
    """Return all values of a position that have not expired since."""
    now_us = store._runner.run(store._core.state.now_us())
    return {at: value for at, value in state(store, position).items() if not expired(store, at, position, now_us)}


def test_what_a_restore_was_about_is_as_it_was_and_all_else_as_it_is(engine: Engine, tmp_path: Path) -> None:
    def law(history: History, *drawn: Any) -> None:
        is_taken_back(history, *drawn, folder=tmp_path / uuid4().hex)

    engine.holds(law, st.tuples(histories, histories, histories), _selections, _scopes, share=0.5)


def test_a_restore_of_another_logs_backup_is_taken_back(store: Any, tmp_path: Path) -> None:
    with backstory.open("memory://", backups=tmp_path / "others") as other:
        for at in range(20):
            other.set(A, "k", at)
        backup = other.backups.create()
    store.set(A, "k", "mine")
    store.set(B, "k", "mine too")
    report = store.backups.restore(backup.path)
    store.set(A, "more", 1)
    assert 19 == store.get(A, "k")

    back = store.backups.rollback(report.rollback_point)

    assert (2, 1, report.rollback_point) == (back.restored, back.removed, back.position)
    assert {(A, "k"): "mine", (B, "k"): "mine too"} == state(store)
    store.backups.rollback(back.rollback_point)
    assert {(A, "k"): 19, (A, "more"): 1} == state(store)


def test_a_restore_of_another_branchs_backup_is_taken_back_on_its_own(store: Any) -> None:
    store.set(A, "k", "main")
    fork = store.fork("try")
    fork.set(A, "k", "forked")
    backup = fork.backups.create()
    report = store.backups.restore(backup.id)
    assert "forked" == store.get(A, "k")
    with pytest.raises(BackupError, match="on branch try"):
        fork.backups.rollback(report.rollback_point)

    store.backups.rollback(report.rollback_point)

    assert ("main", "forked") == (store.get(A, "k"), fork.get(A, "k"))


def test_a_restore_of_some_scopes_leaves_the_others_where_they_are(store: Any) -> None:
    store.set(A, "k", 1)
    store.set(B, "k", 1)
    backup = store.backups.create(scopes=[A])
    store.set(A, "k", 2)
    report = store.backups.restore(backup.id)
    store.set(B, "k", 2)

    store.backups.rollback(report.rollback_point)

    assert {(A, "k"): 2, (B, "k"): 2} == state(store)


def test_the_log_tells_a_rollback_from_a_restore(store: Any) -> None:
    store.set(A, "k/1", 1)
    backup = store.backups.create(scopes=[A])
    store.set(A, "k/1", 2)
    report = store.backups.restore(backup.id, keys="k/*")
    back = store.backups.rollback(report.rollback_point)

    said = [event.data for event in store.log(types="backup.restored")]
    assert ["restore", "rollback"] == [each["what"] for each in said]
    assert [(None, "k/*", [A])] * 2 == [(each["scope"], each["keys"], each["scopes"]) for each in said]
    assert [backup.position, report.rollback_point] == [each["position"] for each in said]
    assert back.rollback_point == said[-1]["rollback_point"]
    written = list(store.log(types="state.set"))[-1]
    assert ("restore", 2) == (written.data["op"], written.data["value"])


def test_a_position_that_is_no_rollback_point_is_refused_with_those_that_are(store: Any) -> None:
    store.set(A, "k", 1)
    backup = store.backups.create()
    with pytest.raises(BackupError, match="Nothing was restored"):
        store.backups.rollback(1)
    points = [store.backups.restore(backup.id).rollback_point for _ in range(7)]
    head = store.position()
    with pytest.raises(BackupError, match=f"{points[6]}, {points[5]}, .*{points[2]}, and 2 earlier"):
        store.backups.rollback(head + 5)
    for unfit in (None, "1", True, 1.0):
        with pytest.raises(InvalidPointError):
            store.backups.rollback(unfit)
    assert head == store.position()


def test_hooks_may_cancel_a_rollback_and_a_store_that_is_only_read_makes_none(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 's.db'}"
    with backstory.open(url) as store:
        store.set(A, "k", 1)
        backup = store.backups.create()
        store.set(A, "k", 2)
        point = store.backups.restore(backup.id).rollback_point
        store.hooks.register("before_backup_restore", lambda _: HookResult.cancel("not now"), name="stop")
        with pytest.raises(HookCancelledError):
            store.backups.rollback(point)
        assert 1 == store.get(A, "k")
    with backstory.open(url, read_only=True) as store:
        assert 1 == store.backups.rollback(point, dry_run=True).restored
        with pytest.raises(ReadOnlyError):
            store.backups.rollback(point)
