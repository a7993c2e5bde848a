"""The asyncio face: `store.backups`, where backups are made, listed, looked at, restored and given up.

`face.py` is made from this file by `tools/unasync.py`: change this one.
"""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike

from backstory.backups import bringing_back, finding, giving_up, ordering, rotating, taking_back
from backstory.backups.aside import Progress
from backstory.backups.async_schedules import AsyncBackupSchedules
from backstory.backups.reports import BackupUsage, BackupValidation, RestoreReport
from backstory.domain.backup_manifests import Backup
from backstory.domain.retention import RetentionPolicy, RetentionReport
from backstory.domain.scopes import Scope
from backstory.infrastructure.archives.encryption import Encryption
from backstory.projections.points import Point


class AsyncBackups(AsyncBackupSchedules):
    """The backups of a store, as one of its branches sees it. `docs/backups.md` tells what they can do."""

    @property
    def log_id(self) -> str:
        """The id of the store's log, in hexadecimal digits: its backups have it as their `log_id`."""
        return self._core.engine.log_id.hex()

    async def create(
        self,
        kind: str = "full",
        *,
        target: str | PathLike[str] | None = None,
        parent: str | Backup | None = None,
        scopes: Iterable[Scope | str] | None = None,
        compression: str = "zstd",
        level: int | None = None,
        encryption: Encryption | None = None,
        importance: int = 0,
        progress: Progress | None = None,
    ) -> Backup:
        """Make a backup of the store as it is at one position, while others go on writing; return it.

        `kind` is `full`, or `incremental`: only what came since the `parent`, by default the newest backup that it can
        be made on. `target` is a folder or a URL (by default the store's own place, see `open(..., backups=...)`).
        `scopes` selects some scopes; otherwise everything is in it: every scope, branch, hook, schema and replay.
        `compression` is `zstd`, `gzip`, `lz4`, `brotli` or `none`, each with its `level`. `importance` is kept for
        `prune`. `progress` gets how many events are done, and how many there are.

        Raises `BackupError` where it cannot be written or has no parent, `ConfigError` without a target or a package,
        `EncryptionError`, `InvalidValueError`, `InvalidScopeError`, and `HookCancelledError` where a hook at
        `before_backup_create` cancels. Whatever is raised, no file is left behind.
        """
        return await self._runner.run(
            ordering.make(
                self._core,
                kind,
                target=target,
                parent=parent,
                scopes=scopes,
                compression=compression,
                level=level,
                encryption=encryption,
                importance=importance,
                progress=progress,
            )
        )

    async def list(self) -> list[Backup]:
        """Return the backups that are there, newest first: in the store's own place, and where the log knows of some.

        Raises `BackupError` where its own place cannot be looked at; others are passed over then, and `usage` names
        them.
        """
        return await self._runner.run(finding.listed(self._core))

    async def info(self, id_or_path: str | PathLike[str]) -> Backup:
        """Return a backup by its id (eight digits of it are enough) or path.

        Raises `NotFoundError`, and `BackupError` for one whose file is gone or damaged.
        """
        return await self._runner.run(finding.informed(self._core, id_or_path))

    async def usage(self) -> BackupUsage:
        """Return how many backups there are and what they take; which are missing, damaged, or cannot be read."""
        return await self._runner.run(finding.usage(self._core))

    async def validate(
        self,
        id_or_path: str | PathLike[str],
        *,
        encryption: Encryption | None = None,
        trial_restore: bool = True,
        progress: Progress | None = None,
    ) -> BackupValidation:
        """Find out whether a backup can be restored; what is wrong is in the report, and nothing is raised for it.

        All checksums of it and of what it builds on, the chain of hashes along the log, the state that it must give;
        with `trial_restore` a real restore into a temporary store, which is verified. Of an encrypted one the key is
        needed.
        Raises `NotFoundError`.
        """
        return await self._runner.run(
            bringing_back.validate(self._core, id_or_path, encryption, trial_restore=trial_restore, progress=progress)
        )

    async def restore(
        self,
        id_or_path: str | PathLike[str],
        *,
        as_of: Point | str | None = None,
        scope: Scope | str | None = None,
        keys: str | None = None,
        into: str | None = None,
        dry_run: bool = False,
        encryption: Encryption | None = None,
        progress: Progress | None = None,
    ) -> RestoreReport:
        """Bring back what a backup holds: into this store by appending, or `into` a new one.

        `scope` and `keys` select, both may be patterns (a `Scope` is that one alone). Keys that came later disappear.
        `as_of` is any position, instant or event id, earlier than the backup or later: then the live log carries on
        from it, or later backups.

        The live store gets there in one commit, which says what was restored from what; `rollback` takes it back, given
        the `rollback_point` in the report. A new store gets the log itself, with its positions, ids and hashes, up to
        `as_of`; of a selection, or of a backup of some scopes, it gets the values. With `dry_run` the report says what
        would be done, and nothing is. `progress` gets how many events are done, and how many there are.

        Raises `NotFoundError`, `InvalidPointError`, `BackupError` for a lost file, a missing link, or a new store that
        is there already, `IntegrityError` for damage, `EncryptionError` for a wrong or missing key,
        `HookCancelledError` where a hook at `before_backup_restore` cancels. Whatever is raised, no state has changed.
        """
        return await self._runner.run(
            bringing_back.restore(
                self._core,
                id_or_path,
                as_of=as_of,
                scope=scope,
                keys=keys,
                into=into,
                dry_run=dry_run,
                encryption=encryption,
                progress=progress,
            )
        )

    async def rollback(self, rollback_point: int, *, dry_run: bool = False) -> RestoreReport:
        """Take a restore into this store back: what it was about becomes what it was at its `rollback_point`.

        That is what its scope, keys and backup selected, on this branch; keys that came since disappear. It is done as
        a restore is, in one commit, and can be taken back itself: the report has a `rollback_point` of its own.

        Raises `BackupError` where no restore has this rollback point, naming those there are, `InvalidPointError` for
        what is no position, and `HookCancelledError` where a hook at `before_backup_restore` cancels.
        """
        return await self._runner.run(taking_back.rollback(self._core, rollback_point, dry_run=dry_run))

    async def prune(self, policy: RetentionPolicy, *, dry_run: bool = False) -> RetentionReport:
        """Delete the backups of this store that a policy does not keep; return each decision with its reason.

        No backup is deleted that another one needs, and the newest that can be restored always stays. Those of another
        store that went on from a backup of this one are left alone. With `dry_run` nothing is deleted. Raises
        `BackupError` where a file cannot be deleted.
        """
        return await self._runner.run(giving_up.prune(self._core, policy, dry_run=dry_run))

    async def rewrap(self, id_or_path: str | PathLike[str], old: Encryption, new: Encryption) -> Backup:
        """Have an encrypted backup need another key or passphrase; what it holds is not encrypted again.

        Named by its id, every copy that is known gets the new key; by its path, that file alone. The log says so.
        Raises `NotFoundError`, `EncryptionError` for a wrong key, `IntegrityError`, `ReadOnlyError`, and `BackupError`
        where it could not be done to every copy; no file has changed then, but for those before one that is damaged.
        """
        return await self._runner.run(rotating.rewrapped(self._core, id_or_path, old, new))


__all__ = ["AsyncBackups"]
