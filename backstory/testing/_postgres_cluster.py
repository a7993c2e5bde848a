"""One PostgreSQL server of our own: its files in a temporary folder, its process a child of this one.

As root, the server runs as an unprivileged user (PostgreSQL refuses root); nothing is created or changed outside the
temporary folder. A guard process removes server and folder should this process die without a word.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from backstory.domain.errors import StoreUnavailableError
from backstory.testing._postgres_binaries import exposed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["ROLE", "Cluster"]

ROLE: Final = "backstory"
"""The superuser of every cluster made here."""

_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 30.0
_POLL_S = 0.01
_PORT_ATTEMPTS = 5
_LONGEST_FOLDER = 60  # a socket's path has room for about 100 bytes, and the socket's own name takes some of them
_LOG_TAIL = 2000

_DURABLE: Mapping[str, str] = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
_HASTY: Mapping[str, str] = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}

# Waits until this process is gone (its end of the pipe closes), then stops the server if it still runs, and cleans up.
_GUARD = """
cat >/dev/null
[ -d "$1" ] || exit 0
if [ -f "$1/data/postmaster.pid" ]; then
    pid=$(head -n 1 "$1/data/postmaster.pid")
    kill -INT "$pid" 2>/dev/null
    tries=0
    while [ -f "$1/data/postmaster.pid" ] && [ "$tries" -lt 100 ]; do sleep 0.1; tries=$((tries + 1)); done
    [ -f "$1/data/postmaster.pid" ] && kill -QUIT "$pid" 2>/dev/null
fi
rm -rf "$1"
"""


@dataclass(frozen=True, slots=True)
class _User:
    """Who runs the server's programs: None is whoever runs this process."""

    uid: int | None
    gid: int | None

    @classmethod
    def fitting(cls) -> _User:
        """Choose somebody who is not root: PostgreSQL wants an account with a name in the user database."""
        if os.geteuid() != 0:
            return cls(None, None)
        for name in ("nobody", "daemon", "postgres"):
            with suppress(KeyError):
                account = pwd.getpwnam(name)
                return cls(account.pw_uid, account.pw_gid)
        message = "PostgreSQL does not run as root, and there is no account `nobody` to run it as"
        raise StoreUnavailableError(message, hint="Run as an ordinary user, or set BACKSTORY_TEST_POSTGRES.")

    def give(self, path: Path) -> None:
        """Make `path` this user's own."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)

    def spawn(self, command: Sequence[str | Path], *, folder: Path, log: Path) -> subprocess.Popen[bytes]:
        """Start `command` as this user, away from the terminal's Ctrl-C, its output added to `log`."""
        with log.open("ab") as output:
            return subprocess.Popen(
                command,
                user=self.uid,
                group=self.gid,
                extra_groups=None if self.uid is None else [],
                cwd=folder,
                env={"LC_ALL": "C", "TZ": "UTC", "PATH": os.defpath},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )


class Cluster:
    """A PostgreSQL server with one database folder: made by the constructor, run by `start`, gone after `remove`."""

    def __init__(self, binaries: Path, *, durable: bool = True, settings: Mapping[str, str] | None = None) -> None:
        """Make the files of a new server with the programs in `binaries`.

        `durable=False` is for work that measures something else: faster, and any crash may lose data. `settings` are
        added to the server's configuration, and win.

        Raises:
            StoreUnavailableError: `initdb` failed; the message ends with what it said.
        """
        self._folder = _short_temporary_folder()
        self.data: Final = self._folder / "data"
        self.socket_folder: Final = self._folder / "s"
        self.port = 0
        self.password: Final = secrets.token_hex(16)
        self._settings = {**(_DURABLE if durable else _HASTY), **(settings or {})}
        self._log = self._folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self._guard = _start_guard(self._folder)
        try:
            self._user = _User.fitting()
            self._binaries = binaries if self._user.uid is None else exposed(binaries, self._folder / "programs")
            self._initialise()
        except BaseException:
            self.remove()
            raise

    @property
    def pid(self) -> int | None:
        """The server's process id, or None while it does not run."""
        return self._process.pid if self._process is not None else None

    @property
    def guard_pid(self) -> int:
        """The process id of the guard, which ends after it has cleaned up."""
        return self._guard.pid

    @property
    def folder(self) -> Path:
        """The temporary folder that holds all of the server's files."""
        return self._folder

    def start(self) -> None:
        """Run the server and return when it takes connections: on a socket in `socket_folder`, and on loopback.

        Raises:
            StoreUnavailableError: it did not come up; the message ends with the server's log.
        """
        for _ in range(_PORT_ATTEMPTS):
            self.port = self.port or _free_port()
            if self._came_up():
                return
            self.port = 0  # somebody may have taken the port between the choice and the server's start
        raise StoreUnavailableError(f"PostgreSQL did not start: {self._tail()}", hint="See the server's words above.")

    def stop(self) -> None:
        """Shut the server down fast (connections are cut, nothing is lost) and wait until it is gone."""
        self._end(signal.SIGINT)

    def crash(self) -> None:
        """Cut the server off as a power failure would; the next `start` recovers from the write-ahead log."""
        self._end(signal.SIGQUIT)

    def remove(self) -> None:
        """Stop the server and delete its files. May be called again."""
        try:
            self.stop()
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)
            if self._guard.stdin is not None:
                self._guard.stdin.close()
            self._guard.wait()

    def _initialise(self) -> None:
        for folder in (self.data, self.socket_folder):
            folder.mkdir(mode=stat.S_IRWXU)
            self._user.give(folder)
        self._log.touch()
        secret = self._folder / "password"
        secret.write_text(self.password)
        secret.chmod(stat.S_IRUSR)
        self._user.give(secret)
        command: list[str | Path] = [self._binaries / "initdb", "-D", self.data, "-U", ROLE, f"--pwfile={secret}"]
        # The socket's folder is closed to other users, so it asks no password; loopback is open to all, so it does.
        command += ["--auth-local=trust", "--auth-host=scram-sha-256", "--locale=C", "--encoding=UTF8", "--no-sync"]
        if self._user.spawn(command, folder=self._folder, log=self._log).wait() != 0:
            message = f"initdb failed: {self._tail()}"
            raise StoreUnavailableError(message, hint="See the program's words above.")

    def _came_up(self) -> bool:
        settings = {
            "listen_addresses": "127.0.0.1",
            "max_connections": "200",
            "port": str(self.port),
            "timezone": "UTC",
            "unix_socket_directories": str(self.socket_folder),
            **self._settings,
        }
        command: list[str | Path] = [self._binaries / "postgres", "-D", self.data]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        process = self._process = self._user.spawn(command, folder=self._folder, log=self._log)
        for _ in range(round(_START_TIMEOUT_S / _POLL_S)):
            with suppress(subprocess.TimeoutExpired):
                process.wait(_POLL_S)
                self._process = None
                return False
            if self._ready():
                return True
        self.crash()
        return False

    def _ready(self) -> bool:
        """Read the server's own word: the last line of its pid file."""
        with suppress(FileNotFoundError):
            lines = (self.data / "postmaster.pid").read_text().splitlines()
            return lines[:1] == [str(self.pid)] and lines[-1].strip() == "ready"
        return False

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        for attempt in (how, signal.SIGQUIT, signal.SIGKILL):
            process.send_signal(attempt)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_STOP_TIMEOUT_S)
                return

    def _tail(self) -> str:
        return self._log.read_text(errors="replace")[-_LOG_TAIL:].strip()


def _start_guard(folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["/bin/sh", "-c", _GUARD, "sh", folder],
        cwd="/",
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _short_temporary_folder() -> Path:
    """Make a folder that another user may pass through, with a path short enough for a socket's address."""
    for parent in (tempfile.gettempdir(), "/tmp", "/var/tmp"):  # noqa: S108 - mkdtemp makes a fresh folder inside
        passable = all(p.stat().st_mode & stat.S_IXOTH for p in (Path(parent), *Path(parent).parents))
        if os.geteuid() != 0 or passable:
            folder = Path(tempfile.mkdtemp(prefix="backstory-pg-", dir=parent)).resolve()
            if len(os.fsencode(folder)) <= _LONGEST_FOLDER:
                folder.chmod(stat.S_IRWXU | stat.S_IXGRP | stat.S_IXOTH)
                return folder
            folder.rmdir()
    message = "no temporary folder has a path short enough for a socket"
    raise StoreUnavailableError(message, hint="Set TMPDIR to a short path.")
