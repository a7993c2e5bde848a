"""The blocking face: schedules of backups, which `store.backups` takes in.

Made from `async_schedules.py` by `tools/unasync.py`: change that one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from os import PathLike
from typing import Any
from uuid import UUID

from backstory.backups import giving_up
from backstory.backups.aside import Progress
from backstory.backups.ordering import check_encryption
from backstory.backups.scheduled import BACKUP_BOOK, BackupRun, completed, made
from backstory.backups.standing_orders import BackupOrder, order_of
from backstory.context import context
from backstory.core import Core
from backstory.domain.errors import BackstoryError
from backstory.domain.retention import RetentionPolicy
from backstory.domain.scopes import Scope
from backstory.infrastructure.archives.encryption import Encryption
from backstory.runners import Runner
from backstory.scheduler import Scheduler
from backstory.schedules import Schedule, When, schedule, schedules, unschedule


class BackupSchedules:
    """The schedules of a store's backups. They run where somebody asks for it: `run_due`, or `backstory serve`."""

    def __init__(self, core: Core, runner: Runner) -> None:
        self._core = core
        self._runner = runner

    def schedule(
        self,
        name: str,
        when: When,
        *,
        kind: str = "full",
        target: str | PathLike[str] | None = None,
        scopes: Iterable[Scope | str] | None = None,
        compression: str = "zstd",
        level: int | None = None,
        encryption_from: Mapping[str, Any] | None = None,
        policy: RetentionPolicy | None = None,
        importance: int = 0,
        full_every: int | None = None,
    ) -> Schedule:
        """Keep in the log that backups are to be made; return the schedule. One of the same name is replaced.

        `when` is `Once`, `At`, `Every` or `Cron`. An incremental schedule makes a full backup where there is none to
        build on in its target, and, with `full_every`, each time that so many stand in a row: of seven a full one and
        six that build on it. `encryption_from` is `{"key_file": path}` or `{"key_command": text}`, perhaps with
        `"algorithm"`: the log is told where a key is to be had, never a key. `policy` is pruned by after each backup
        that was made. All else is as `create` has it.

        Raises `InvalidValueError`, `InvalidScopeError`, `ConfigError`, and `ReadOnlyError`.
        """
        order = order_of(
            kind=kind,
            target=target,
            scopes=scopes,
            compression=compression,
            level=level,
            encryption_from=encryption_from,
            policy=policy,
            importance=importance,
            full_every=full_every,
        )
        return self._runner.run(schedule(self._core, BACKUP_BOOK, name, when, order.as_dict()))

    def schedules(self) -> list[Schedule]:
        """Return the schedules that stand, by name: what they ask for, how often they ran, when they come due next."""
        return self._runner.run(schedules(self._core, BACKUP_BOOK))

    def unschedule(self, name: str) -> bool:
        """Take a schedule away; False where there is none of this name. What it made stays."""
        return self._runner.run(unschedule(self._core, BACKUP_BOOK, name))

    def run_due(self, *, encryption: Encryption | None = None, progress: Progress | None = None) -> list[BackupRun]:
        """Make the backups that are due, each schedule's at most once; return what the runs came to, by name.

        What another process has begun is not made again: it is not in the list. A run that goes wrong says so, in the
        list and in the log, and those after it go on. What was missed is made up for by one. `encryption` is for the
        schedules that name no key of their own. `progress` gets how many events of the backup under way are done, and
        how many there are. Raises `StoreUnavailableError` and `ReadOnlyError`, where nothing was run, and
        `EncryptionError`.
        """
        check_encryption(encryption)

        def run(due: Schedule, begun: bytes) -> BackupRun:
            return self._run(due, begun, encryption, progress)

        return Scheduler(self._core, self._runner, BACKUP_BOOK, run).round()

    def _run(self, due: Schedule, begun: bytes, encryption: Encryption | None, progress: Progress | None) -> BackupRun:
        with context(cause=UUID(bytes=begun)):
            run = self._made(due, encryption, progress)
        with suppress(BackstoryError):  # of a store that is away by now, the list says it
            self._runner.run(completed(self._core, begun, run))
        return run

    def _made(self, due: Schedule, encryption: Encryption | None, progress: Progress | None) -> BackupRun:
        """Make a backup, and prune; what goes wrong is in the answer."""
        backup = pruned = error = None
        try:
            order = BackupOrder.of(due.arguments)
            backup = self._runner.run(made(self._core, order, encryption, progress))
            if order.policy is not None:
                pruned = self._runner.run(giving_up.prune(self._core, order.policy, dry_run=False))
        except (BackstoryError, OSError) as failure:
            error = str(failure) if backup is None else f"{backup.id} was made, but pruning failed: {failure}"
        return BackupRun(due, backup, pruned, error)


__all__ = ["BackupSchedules"]
