"""Row 13: backups and restores beside what engines bring along; what increments take, and how far real runs shrink."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, TypeVar

import backstory
from backstory import StateStore
from backstory.domain.backup_manifests import Backup
from backstory.infrastructure.archives.encryption import Encryption
from backstory.measuring import writing
from backstory.testing.postgres import PostgresServer
from benchmarks import peer_backups, peer_postgres
from benchmarks.contest import Claim, Figures, Measure, Result, Run, Table, at_most, below
from benchmarks.filled import filled
from benchmarks.real_runs import FILE, FOLDER

T = TypeVar("T")
_ENCRYPTED: Final = "ours, AES-256-GCM"
_OURS: Final = "ours"
_BY_ZSTD: Final = "SQLite's backup and zstd"
_PACKED: Final = f"back up, {_BY_ZSTD}"
_UNPACKED: Final = "restore, zstd -d"
_DUMPED: Final = "back up, pg_dump -Fc"
_LOADED: Final = "restore, pg_restore"
_TIMES: Final = 2.0
_SIZE: Final = 1.0
_SHRUNK: Final = 0.3
_MEGA: Final = 1e6
_BATCH: Final = 100
_NO_CIPHER: Final = "no cryptography: what is encrypted is left out; install the extra `backups`"


@dataclass(frozen=True, slots=True)
class _Source:
    """What is backed up: a store, and what it takes on disk, indexes included."""

    store: StateStore
    events: int
    taken_bytes: int

    def figures(self, seconds: float) -> dict[str, float]:
        """Return how fast all of it was read or written, whoever did it."""
        return {
            "ms": seconds * 1000,
            "MB/s": self.taken_bytes / _MEGA / seconds,
            "events/s": self.events / seconds,
        }


def events_of(run: Run) -> int:
    """Return how many events the stores of this row hold."""
    return 20_000 if run.size == "quick" else 100_000


def copied(run: Run, folder: Path) -> Path:
    """Return a copy of a filled store: other rows' logs stay what they are."""
    return Path(shutil.copy(filled(run, events_of(run)), folder / "backed-up.db"))


def ciphers() -> dict[str, Encryption | None]:
    """Return who of ours backs up, and how it is encrypted: one as it comes, and one with a key."""
    one: dict[str, Encryption | None] = {_OURS: None}
    return {**one, _ENCRYPTED: Encryption(key=bytes(range(32)))} if find_spec("cryptography") else one


# SQLite


def on_sqlite(run: Run) -> Result:
    """Row 13: a store in SQLite, backed up while it is open, and brought back to a new file."""
    path = copied(run, run.folder)
    with backstory.open(f"sqlite:///{path}") as store:
        source = _Source(store, events_of(run), path.stat().st_size)
        made = {f"back up, {who}": partial(_made, source, cipher) for who, cipher in ciphers().items()}
        made[_PACKED] = partial(_by_hand, source, lambda file: peer_backups.of_sqlite(path, file))
        table = run.contest("row 13, back up", made)
        claims = _claims(table, [who for who in made if who != _PACKED], _PACKED, _SIZE)
        back = _back_to_sqlite(run, source, path)
        table_back = run.contest("row 13, restore", back)
    claims += _claims(table_back, [who for who in back if who != _UNPACKED], _UNPACKED)
    notes = () if find_spec("cryptography") else (_NO_CIPHER,)
    title = f"SQLite, {source.events:,} events, {source.taken_bytes / _MEGA:.1f} MB on disk, backed up and restored"
    return Result(13, title, table.figures + table_back.figures, tuple(claims), notes)


def _made(source: _Source, cipher: Encryption | None, folder: Path) -> dict[str, float]:
    backup, seconds = timed(lambda: created(source.store, folder, encryption=cipher))
    if backup.position < source.events or backup.encrypted != (cipher is not None):
        msg = f"not all of the log is in the backup, or not as it was to be: {backup}"
        raise AssertionError(msg)
    return {**source.figures(seconds), "MB": backup.size_bytes / _MEGA}


def _by_hand(source: _Source, make: Callable[[Path], None], folder: Path) -> dict[str, float]:
    file = folder / "made"
    seconds = seconds_of(lambda: make(file))
    return {**source.figures(seconds), "MB": file.stat().st_size / _MEGA}


def _back_to_sqlite(run: Run, source: _Source, path: Path) -> dict[str, Measure]:
    """Return who brings a store back to a new file, each from an archive of its own making."""
    contenders: dict[str, Measure] = {}
    for who, cipher in ciphers().items():
        backup = created(source.store, run.folder / "archives", encryption=cipher)
        contenders[f"restore, {who}"] = partial(_restored_to_sqlite, source, backup, cipher)
    packed = run.folder / "archives" / "by-zstd"
    peer_backups.of_sqlite(path, packed)
    events = peer_backups.events_in(path)

    def by_zstd(folder: Path) -> dict[str, float]:
        file = folder / "new.db"
        seconds = seconds_of(lambda: peer_backups.to_sqlite(packed, file))
        _check_count(peer_backups.events_in(file), events)
        return source.figures(seconds)

    return {**contenders, _UNPACKED: by_zstd}


def _restored_to_sqlite(source: _Source, backup: Backup, cipher: Encryption | None, folder: Path) -> dict[str, float]:
    return _restored(source, backup, f"sqlite:///{folder / 'new.db'}", cipher)


# PostgreSQL


def on_postgres(run: Run) -> Result:
    """Row 13: a store in PostgreSQL, backed up while it is open, and brought back to an empty database."""
    with peer_postgres.server() as server:
        if server is None:
            return Result(13, "PostgreSQL, backed up and restored", (), notes=(peer_postgres.ABSENT,))
        with server.database() as url, backstory.open(url) as store:
            events = events_of(run)
            writing.fill(store, events=events, keys=events // 10)
            return _on_postgres(run, server, url, _Source(store, events, store.metrics().bytes))


def _on_postgres(run: Run, server: PostgresServer, url: str, source: _Source) -> Result:
    programs = peer_backups.programs_of(server)
    backup = created(source.store, run.folder / "archives-postgres")
    made: dict[str, Measure] = {f"back up, {_OURS}": partial(_made, source, None)}
    back: dict[str, Measure] = {f"restore, {_OURS}": partial(_restored_to_postgres, source, backup, server)}
    if programs is not None:
        dump = run.folder / "archives-postgres" / "by-pg-dump"
        peer_backups.of_postgres(programs, url, dump)
        made[_DUMPED] = partial(_by_hand, source, lambda file: peer_backups.of_postgres(programs, url, file))
        back[_LOADED] = partial(
            _by_pg_restore, source, server, lambda into: peer_backups.to_postgres(programs, dump, into)
        )
    table = run.contest("row 13, PostgreSQL, back up", made)
    table_back = run.contest("row 13, PostgreSQL, restore", back)
    claims: list[Claim] = []
    if programs is not None:
        claims += _claims(table, [f"back up, {_OURS}"], _DUMPED, _SIZE)
        claims += _claims(table_back, [f"restore, {_OURS}"], _LOADED)
    title = f"PostgreSQL, {source.events:,} events, {source.taken_bytes / _MEGA:.1f} MB on disk, backed up and restored"
    notes = () if programs is not None else (peer_backups.NO_PROGRAMS,)
    return Result(13, title, table.figures + table_back.figures, tuple(claims), notes)


def _restored_to_postgres(source: _Source, backup: Backup, server: PostgresServer, _: Path) -> dict[str, float]:
    with server.database() as url:
        return _restored(source, backup, url, None)


def _by_pg_restore(
    source: _Source, server: PostgresServer, bring_back: Callable[[str], None], _: Path
) -> dict[str, float]:
    with server.database() as url:
        seconds = seconds_of(lambda: bring_back(url))
        _check_count(peer_backups.events_at(url), source.events)
        return source.figures(seconds)


# Increments


def increments(run: Run) -> Result:
    """Row 13: what came after a full backup, when that is a hundredth more."""
    table = run.together("row 13, increments", partial(_incremented, run))
    more = events_of(run) // 100
    return Result(13, f"SQLite, a full backup, {more:,} events later an incremental one", table.figures)


def _incremented(run: Run, folder: Path) -> Figures:
    events = events_of(run)
    with backstory.open(f"sqlite:///{copied(run, folder)}") as store:
        full, full_s = timed(lambda: created(store, folder / "archives"))
        writing.in_batches(store, batches=events // 100 // _BATCH, size=_BATCH)
        later, later_s = timed(
            lambda: created(store, folder / "archives", kind="incremental", parent=full.id),
        )
    if later.parent_id != full.id or later.since_position != full.position:
        msg = f"an increment does not carry on from its parent: {later}"
        raise AssertionError(msg)
    of_full = {"ms / full": later_s / full_s, "MB / full": later.size_bytes / full.size_bytes}
    return {
        "full": {"ms": full_s * 1000, "MB": full.size_bytes / _MEGA, "events": full.events},
        "incremental": {
            "ms": later_s * 1000,
            "MB": later.size_bytes / _MEGA,
            "events": later.events,
            **of_full,
        },
    }


# Recorded runs


def recorded_runs(run: Run) -> Result:
    """Row 13: how small the log of a real agent becomes."""
    title = "SQLite, recorded runs, imported and backed up"
    given = (run.data or FOLDER) / FILE
    if not given.is_file():
        return Result(13, title, (), notes=(f"left out: no {FILE} in {given.parent}; `--data` names another folder",))
    path = run.folder / "backed-up-runs.db"
    with backstory.open(f"sqlite:///{path}") as store:
        report = store.import_runs(given)
        table = run.contest("row 13, recorded runs", _of_runs(store, path))
    claim = below("archive / raw, recorded runs", table.of(_OURS, "archive / raw").samples, _SHRUNK, "x")
    note = f"runs: {report.runs}, events: {report.events:,}; raw is what the archive holds, before compression"
    return Result(13, title, table.figures, (claim,), (note,))


def _of_runs(store: StateStore, path: Path) -> dict[str, Measure]:
    def ours(folder: Path) -> Mapping[str, float]:
        backup, seconds = timed(lambda: created(store, folder))
        return {
            "ms": seconds * 1000,
            "MB": backup.size_bytes / _MEGA,
            "raw MB": backup.raw_bytes / _MEGA,
            "archive / raw": backup.size_bytes / backup.raw_bytes,
        }

    def by_zstd(folder: Path) -> Mapping[str, float]:
        file = folder / "made"
        seconds = seconds_of(lambda: peer_backups.of_sqlite(path, file))
        size = file.stat().st_size
        return {"ms": seconds * 1000, "MB": size / _MEGA}

    return {_OURS: ours, _BY_ZSTD: by_zstd}


# Ours


def created(store: StateStore, folder: Path, **options: Any) -> Backup:
    """Back up a store to a folder, compressed by zstd."""
    face: Any = getattr(store, "backups")  # noqa: B009 - until the types know it
    backup: Backup = face.create(target=str(folder), compression="zstd", **options)
    return backup


def _restored(source: _Source, backup: Backup, url: str, cipher: Encryption | None) -> dict[str, float]:
    """Measure a restore into a new store; raises `AssertionError` unless it holds what was there."""
    restore: Any = getattr(backstory, "restore")  # noqa: B009 - until the types know it
    seconds = seconds_of(lambda: restore(backup.path, url, encryption=cipher))
    with backstory.open(url, read_only=True) as found:
        if found.snapshot(as_of=backup.position) != source.store.snapshot(as_of=backup.position):
            msg = f"what came back is not what was backed up: {backup}"
            raise AssertionError(msg)
    return source.figures(seconds)


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """Return what some work gave, and the seconds it took."""
    started = time.perf_counter()
    given = work()
    return given, time.perf_counter() - started


def seconds_of(work: Callable[[], object]) -> float:
    """Return the seconds that some work took."""
    return timed(work)[1]


def _check_count(found: int, wanted: int) -> None:
    if found < wanted:
        msg = f"{found:,} events came back of {wanted:,}"
        raise AssertionError(msg)


def _claims(table: Table, ours: list[str], theirs: str, size: float | None = None) -> list[Claim]:
    claims = [at_most(table, who, theirs, "ms", _TIMES) for who in ours]
    if size is not None:
        claims += [at_most(table, who, theirs, "MB", size) for who in ours]
    return claims
