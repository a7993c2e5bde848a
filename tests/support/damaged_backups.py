"""Backups for tests that damage them: a small store, archives of it, and how every way to use one must refuse."""

from __future__ import annotations

import resource
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

import backstory
from backstory import BackupError, Encryption, EncryptionError, IntegrityError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backstory import Backup, StateStore
    from backstory.projections.points import Point

REFUSALS: Final = (BackupError, IntegrityError, EncryptionError)
#: What a store holds that a backup is restored into, and must still hold when that was refused.
HELD: Final = {"step": "live", "later": True}
HOME: Final = "agent:a"
KEY: Final = Encryption(key=bytes(range(32)))
WRONG: Final = Encryption(key=bytes(32))
_AMID: Final = 100


def fill(store: StateStore) -> None:
    """Write a little of what a store may hold: two scopes, an increment, a key that goes."""
    store.set(HOME, "step", "draft")
    store.increment(HOME, "count", 2)
    store.set("user:u", "name", "Ada")
    store.set(HOME, "gone", 1)
    store.delete(HOME, "gone")


def contents(store: StateStore, as_of: Point | None = None) -> dict[str, dict[str, Any]]:
    """Return all that a store holds, or held, by scope."""
    return {str(scope): items for scope, items in store.snapshot(as_of=as_of).items()}


def told(store: StateStore) -> list[str]:
    """Return the types of a store's events that are not about backups."""
    return [event.type for event in store.log() if not event.type.startswith("backup.")]


def flipped(stored: bytes, at: int, mask: int = 0x01) -> bytes:
    """Return bytes one of which is another."""
    return stored[:at] + bytes([stored[at] ^ mask]) + stored[at + 1 :]


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Let no file grow beyond some bytes, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@dataclass
class Victim:
    """A backup that is damaged again and again, and a store that it is restored into; the last of `chain` is restored.

    The store that it is of is gone, or `reader` validates it: reading, so that the log does not grow with each time.
    """

    folder: Path
    chain: list[Backup]
    reader: StateStore
    encryption: Encryption | None = None
    tries: int = 0
    _live: StateStore = field(init=False)

    def __post_init__(self) -> None:
        self._live = self._fresh()

    def _fresh(self) -> StateStore:
        store = backstory.open("memory://")
        for key, value in HELD.items():
            store.set(HOME, key, value)
        return store

    def assert_refused(self, what: object) -> str:
        """Assert that validating tells, and that no restore changes or leaves anything; return what was told."""
        path = self.chain[-1].path
        report = self.reader.backups.validate(path, encryption=self.encryption)
        assert not report.is_valid, what
        assert all(report.errors), what
        with pytest.raises(REFUSALS):
            backstory.restore(path, f"sqlite:///{self.folder / 'new.db'}", encryption=self.encryption)
        with pytest.raises(REFUSALS):
            self._live.backups.restore(path, encryption=self.encryption)
        self.tries += 1
        if self.tries % _AMID == 0:
            self.assert_unharmed()
        return "; ".join(report.errors)

    def assert_unharmed(self) -> None:
        """Assert that all the refusals so far have left the live store as it was, and no new one."""
        assert {HOME: HELD} == contents(self._live)
        assert ["state.set"] * len(HELD) == told(self._live)
        assert [] == list(self.folder.iterdir())
        self._live.close()
        self._live = self._fresh()  # so that the backup's own stream does not grow without end

    def assert_sound(self) -> None:
        """Assert that what was damaged is good again once its bytes are."""
        path, into = self.chain[-1].path, f"sqlite:///{self.folder / 'new.db'}"
        assert self.reader.backups.validate(path, encryption=self.encryption).is_valid
        backstory.restore(path, into, encryption=self.encryption)
        with backstory.open(into, read_only=True) as store:
            assert contents(self.reader) == contents(store)
            assert store.verify().ok
        for file in self.folder.iterdir():
            file.unlink()

    def close(self) -> None:
        """Close the stores."""
        self._live.close()
        self.reader.close()


@contextmanager
def victim(tmp_path: Path, *, encryption: Encryption | None = None, increments: int = 0) -> Iterator[Victim]:
    """Give a full backup of a small store, and so many incremental ones on top of it."""
    url, kept, folder = f"sqlite:///{tmp_path / 'store.db'}", tmp_path / "kept", tmp_path / "new"
    folder.mkdir()
    with backstory.open(url, backups=str(kept), durability="relaxed") as store:
        fill(store)
        chain = [store.backups.create(encryption=encryption)]
        for number in range(increments):
            store.set(HOME, "step", f"draft {number}")
            chain.append(store.backups.create("incremental", encryption=encryption))
    found = Victim(folder, chain, backstory.open(url, backups=str(kept), read_only=True), encryption)
    try:
        found.assert_sound()
        yield found
        found.assert_unharmed()
        found.assert_sound()
    finally:
        found.close()


def rewritten(backup: Backup, stored: bytes) -> None:
    """Put other bytes in the place of an archive."""
    Path(backup.path).write_bytes(stored)


def new_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'new.db'}"


def remove(url: str) -> None:
    """Delete a store's files."""
    path = Path(url.removeprefix("sqlite:///"))
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink()


def assert_restores(store: StateStore, backup: Backup, into: str, **given: Any) -> None:
    """Assert that a backup is good: it gives a new store what the store held at its position."""
    assert store.backups.validate(backup.id, **given).is_valid
    store.backups.restore(backup.id, into=into, **given)
    with backstory.open(into, read_only=True) as new:
        assert contents(store, backup.position) == contents(new)
        assert new.verify().ok
    remove(into)


@contextmanager
def harmless(store: StateStore, tmp_path: Path) -> Iterator[None]:
    """Assert that what is refused in the block changes no state, adds nothing but its own report, makes no store."""
    before, said = contents(store), told(store)
    yield
    assert before == contents(store)
    assert said == told(store)
    assert [] == list(tmp_path.glob("*new.db*"))
    assert store.verify().ok
