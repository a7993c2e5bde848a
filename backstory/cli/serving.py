"""The command that stays and runs what comes due, backups and replays: serve."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from typer import Typer

from backstory.cli import backup_keys, backup_schedules, schedules
from backstory.cli.commands import command
from backstory.cli.due_times import left_s
from backstory.cli.failures import FaultError
from backstory.cli.output import safe, to_stderr
from backstory.cli.render import counted
from backstory.cli.session import Session
from backstory.domain.errors import BackstoryError, StoreClosedError, StoreUnavailableError

if TYPE_CHECKING:
    from backstory.store import StateStore, Subscription

app: Final = Typer()
_CHANGES: Final = ("backup.scheduled", "backup.unscheduled", "replay.scheduled", "replay.unscheduled")
#: How long a store that is away is left alone before it is tried again, seconds: at first, and at most.
_AGAIN_S: Final = (1.0, 60.0)


@command(app, "serve")
def serve(session: Session) -> None:
    """Stay, and run the backups and replays that come due, until SIGINT or SIGTERM. A line for each run."""
    server = Server(session)
    with _woken() as (reader, writer):
        server.start(writer)
        # A handler may interrupt anything, so that it does nothing but wake this thread, which holds no lock.
        while not server.ended and not (set(os.read(reader, 64)) & {signal.SIGINT, signal.SIGTERM}):
            pass
        # Whoever asks again is in a hurry: an archive is whole or not there, whenever the process ends.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        server.stop()


@contextmanager
def _woken() -> Iterator[tuple[int, int]]:
    """Give the ends of a pipe into which the number of each signal goes, for as long as the block lasts."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    handlers = {number: signal.signal(number, _noticed) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield reader, writer
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(before)
        os.close(reader)
        os.close(writer)


def _noticed(_number: int, _frame: object) -> None:
    """Do nothing: the signal's number is in the pipe."""


class Server:
    """Runs what comes due in a thread of its own, and sleeps until the next: a new schedule wakes it, and `stop`."""

    def __init__(self, session: Session) -> None:
        """Take the session; nothing is opened yet."""
        self._session = session
        self._encryption = backup_keys.environment_key()
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._changes: Subscription | None = None
        self._failure: BaseException | None = None
        self._worker: threading.Thread | None = None
        self.ended = False

    def start(self, writer: int) -> None:
        """Begin; a byte goes to `writer` when it ends by itself."""

        def work() -> None:
            try:
                self._serve()
            except BaseException as failure:  # noqa: BLE001 - it is raised where the program ends
                self._failure = failure
            finally:
                self.ended = True
                os.write(writer, b"\0")

        self._worker = threading.Thread(target=work, name="backstory-serve", daemon=True)
        self._worker.start()

    def stop(self) -> None:
        """Let what is under way end, and nothing more begin; raises what ended it, if it was no signal."""
        self._stopping.set()
        with self._lock:
            if self._changes is not None:
                self._changes.close()
        assert self._worker is not None
        self._worker.join()
        if self._failure is not None:
            raise self._failure if isinstance(self._failure, BackstoryError) else _fault(self._failure)

    def _serve(self) -> None:
        served = False
        wait_s = _AGAIN_S[0]
        while not self._stopping.is_set():
            try:
                with self._session.open(write=True) as store, store.subscribe(types=_CHANGES) as changes:
                    self._tell_ready(store)
                    served, wait_s = True, _AGAIN_S[0]
                    self._follow(store, changes)
            except (StoreUnavailableError, StoreClosedError) as error:
                if not served:
                    raise  # whoever started it sees at once that there is no such store
                to_stderr(f"backstory: {safe(str(error))} Trying again in {wait_s:g} s.")
                self._stopping.wait(wait_s)
                wait_s = min(2 * wait_s, _AGAIN_S[1])

    def _follow(self, store: StateStore, changes: Subscription) -> None:
        """Run what comes due until somebody stops it."""
        with self._lock:
            self._changes = changes
        try:
            while not self._stopping.is_set():
                backup_schedules.tell(self._session, store.backups.run_due(encryption=self._encryption))
                self._session.out.flush()
                if not self._stopping.is_set():
                    schedules.tell(self._session, store.replay.run_due(), in_short=True)
                    self._session.out.flush()
                known = [*store.backups.schedules(), *store.replay.schedules()]
                if not self._stopping.is_set():
                    changes.poll(left_s(known))
        finally:
            with self._lock:
                self._changes = None

    def _tell_ready(self, store: StateStore) -> None:
        if not self._session.out.json:
            backups, replays = len(store.backups.schedules()), len(store.replay.schedules())
            known = f"{counted(backups, 'schedule')} of backups, {replays} of replays"
            to_stderr(f"backstory: serving since {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}: {known}")


def _fault(failure: BaseException) -> BaseException:
    return FaultError(failure) if isinstance(failure, Exception) else failure
