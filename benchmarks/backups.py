"""Row 13: backups and restores beside what engines bring along, in SQLite and in PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import backstory
from backstory.domain.backup_manifests import Backup
from backstory.infrastructure.archives.encryption import Encryption
from backstory.measuring import writing
from backstory.testing.postgres import PostgresServer
from benchmarks import peer_backups, peer_postgres
from benchmarks.backing_up import MEGA, Source, check_count, copied, created, events_of, restored, seconds_of, timed
from benchmarks.contest import Claim, Measure, Result, Run, Table, at_most

_OURS: Final = "ours"
_ENCRYPTED: Final = "ours, AES-256-GCM"
_PACKED: Final = "back up, SQLite's backup and zstd"
_UNPACKED: Final = "restore, zstd -d"
_DUMPED: Final = "back up, pg_dump -Fc"
_LOADED: Final = "restore, pg_restore"
_TIMES: Final = 2.0
_SIZE: Final = 1.0
_NO_CIPHER: Final = "no cryptography: what is encrypted is left out; install the extra `backups`"


def ciphers() -> dict[str, Encryption | None]:
    """Return who of ours backs up, and how it is encrypted: one as it comes, and one with a key."""
    one: dict[str, Encryption | None] = {_OURS: None}
    return {**one, _ENCRYPTED: Encryption(key=bytes(range(32)))} if find_spec("cryptography") else one


# SQLite


def on_sqlite(run: Run) -> Result:
    """Row 13: a store in SQLite, backed up while it is open, and brought back to a new file."""
    path = copied(run, run.folder)
    with backstory.open(f"sqlite:///{path}") as store:
        source = Source(store, events_of(run), path.stat().st_size)
        made = {f"back up, {who}": partial(_made, source, cipher) for who, cipher in ciphers().items()}
        made[_PACKED] = partial(_by_hand, source, lambda file: peer_backups.of_sqlite(path, file))
        table = run.contest("row 13, back up", made)
        claims = _claims(table, [who for who in made if who != _PACKED], _PACKED, _SIZE)
        back = _back_to_sqlite(run, source, path)
        table_back = run.contest("row 13, restore", back)
    claims += _claims(table_back, [who for who in back if who != _UNPACKED], _UNPACKED)
    notes = () if find_spec("cryptography") else (_NO_CIPHER,)
    title = f"SQLite, {source.events:,} events, {source.taken_bytes / MEGA:.1f} MB on disk, backed up and restored"
    return Result(13, title, table.figures + table_back.figures, tuple(claims), notes)


def _made(source: Source, cipher: Encryption | None, folder: Path) -> dict[str, float]:
    backup, seconds = timed(lambda: created(source.store, folder, encryption=cipher))
    if backup.position < source.events or backup.encrypted != (cipher is not None):
        msg = f"not all of the log is in the backup, or not as it was to be: {backup}"
        raise AssertionError(msg)
    return {**source.figures(seconds), "MB": backup.size_bytes / MEGA}


def _by_hand(source: Source, make: Callable[[Path], None], folder: Path) -> dict[str, float]:
    file = folder / "made"
    seconds = seconds_of(lambda: make(file))
    return {**source.figures(seconds), "MB": file.stat().st_size / MEGA}


def _back_to_sqlite(run: Run, source: Source, path: Path) -> dict[str, Measure]:
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
        check_count(peer_backups.events_in(file), events)
        return source.figures(seconds)

    return {**contenders, _UNPACKED: by_zstd}


def _restored_to_sqlite(source: Source, backup: Backup, cipher: Encryption | None, folder: Path) -> dict[str, float]:
    return restored(source, backup, f"sqlite:///{folder / 'new.db'}", cipher)


# PostgreSQL


def on_postgres(run: Run) -> Result:
    """Row 13: a store in PostgreSQL, backed up while it is open, and brought back to an empty database."""
    with peer_postgres.server() as server:
        if server is None:
            return Result(13, "PostgreSQL, backed up and restored", (), notes=(peer_postgres.ABSENT,))
        with server.database() as url, backstory.open(url) as store:
            events = events_of(run)
            writing.fill(store, events=events, keys=events // 10)
            return _on_postgres(run, server, url, Source(store, events, store.metrics().bytes))


def _on_postgres(run: Run, server: PostgresServer, url: str, source: Source) -> Result:
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
    title = f"PostgreSQL, {source.events:,} events, {source.taken_bytes / MEGA:.1f} MB on disk, backed up and restored"
    notes = () if programs is not None else (peer_backups.NO_PROGRAMS,)
    return Result(13, title, table.figures + table_back.figures, tuple(claims), notes)


def _restored_to_postgres(source: Source, backup: Backup, server: PostgresServer, _: Path) -> dict[str, float]:
    with server.database() as url:
        return restored(source, backup, url, None)


def _by_pg_restore(
    source: Source, server: PostgresServer, bring_back: Callable[[str], None], _: Path
) -> dict[str, float]:
    with server.database() as url:
        seconds = seconds_of(lambda: bring_back(url))
        check_count(peer_backups.events_at(url), source.events)
        return source.figures(seconds)


def _claims(table: Table, ours: list[str], theirs: str, size: float | None = None) -> list[Claim]:
    claims = [at_most(table, who, theirs, "ms", _TIMES) for who in ours]
    if size is not None:
        claims += [at_most(table, who, theirs, "MB", size) for who in ours]
    return claims
