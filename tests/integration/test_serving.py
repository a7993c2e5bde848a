"""Serving: what comes due runs while the store is there, and again once it is back."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import backstory
from backstory import At, IntegrityError, StoreUnavailableError
from backstory.backups.schedules import BackupSchedules
from backstory.cli import serving
from backstory.cli.failures import FaultError
from backstory.cli.session import Options, Session
from tests.integration.test_backup_schedules import LONG_AGO


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    """A session on a store with a backup that is due."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(serving, "_AGAIN_S", (0.0, 0.0))
    url = f"sqlite:///{tmp_path}/store.db"
    with backstory.open(url) as store:
        store.backups.schedule("n", At(LONG_AGO))
    return Session(Options(store=url))


def failing(monkeypatch: pytest.MonkeyPatch, *errors: Exception) -> list[int]:
    """Have the first looks fail, and return a list that grows with each look."""
    real, looks, left = BackupSchedules.run_due, [], list(errors)

    def run_due(self: BackupSchedules, **given: Any) -> Any:
        looks.append(1)
        if left:
            raise left.pop(0)
        return real(self, **given)

    monkeypatch.setattr(BackupSchedules, "run_due", run_due)
    return looks


def served(session: Session, *, until: bytes) -> None:
    """Serve until a run is told, or it ends by itself."""
    told, ended = os.pipe()
    real = session.out.raw

    def raw(data: bytes) -> None:
        real(data)
        if data.startswith(until):
            os.write(ended, b"\0")

    session.out.raw = raw  # type: ignore[method-assign]
    server = serving.Server(session)
    server.start(ended)
    os.read(told, 1)
    try:
        server.stop()
    finally:
        os.close(told)
        os.close(ended)


def test_a_store_that_is_away_is_tried_again_and_nothing_is_lost(
    session: Session, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    away = StoreUnavailableError("the store's server is gone")
    looks = failing(monkeypatch, away, away)

    served(session, until=b"n: ")

    assert 3 == len(looks)
    out, error = capfd.readouterr()
    assert out.startswith("n: full backup ")
    assert 2 == error.count("the store's server is gone")
    assert 2 == error.count("Trying again in 0 s.")


def test_another_error_ends_it_and_is_raised(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, IntegrityError("damaged"))
    with pytest.raises(IntegrityError):
        served(session, until=b"n: ")


def test_a_fault_of_the_program_is_told_as_one(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, RuntimeError("oh"))
    with pytest.raises(FaultError):
        served(session, until=b"n: ")


def test_a_backup_under_way_is_finished_and_told_when_it_is_stopped(
    session: Session, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    server, (told, ended) = serving.Server(session), os.pipe()
    real = BackupSchedules.run_due

    def run_due(self: BackupSchedules, **given: Any) -> Any:
        server._stopping.set()  # as `stop` does first, while this goes on
        return real(self, **given)

    monkeypatch.setattr(BackupSchedules, "run_due", run_due)
    server.start(ended)
    os.read(told, 1)
    server.stop()
    os.close(told)
    os.close(ended)
    assert capfd.readouterr().out.startswith("n: full backup ")
