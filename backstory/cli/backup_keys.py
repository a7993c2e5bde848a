"""Keys of backups on the command line: from files, commands, the environment or a terminal, never from an argument.

Arguments stand in the list of processes and in the shell's history, so that no option takes a key or a passphrase.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

import typer
from typer import Option

from backstory.cli import values
from backstory.cli.failures import UsageError
from backstory.cli.output import is_terminal
from backstory.domain.errors import shown

if TYPE_CHECKING:
    from backstory.infrastructure.archives.encryption import Encryption

__all__ = [
    "ENVIRONMENT",
    "NEW_ENVIRONMENT",
    "Keys",
    "MakingKeys",
    "NewKeys",
    "environment_key",
    "keys",
    "making_keys",
    "new_keys",
]

ENVIRONMENT: Final = "BACKSTORY_BACKUP_PASSPHRASE"
NEW_ENVIRONMENT: Final = "BACKSTORY_BACKUP_NEW_PASSPHRASE"

_KEY_FILE: Final = "A file that holds a key: 32 bytes, raw, as hexadecimal digits or as Base64."
_KEY_COMMAND: Final = "A command that prints a key; it runs without a shell."
_ONE_LINE: Final = "A file of one line, the passphrase; `-` is standard input."
_KDF: Final = "How a passphrase becomes a key: argon2id or pbkdf2."


class Keys(NamedTuple):
    """What a backup that is there is opened with."""

    #: What options give, if they give anything.
    given: Encryption | None
    #: What the environment gives where no option does.
    around: Encryption | None = None

    def opening(self, encrypted: Callable[[], bool]) -> Encryption | None:
        """Return what opens a backup; where nothing was given and it needs something, a terminal is asked."""
        if self.given is not None:
            # A key where nothing is encrypted is refused there: somebody may have put a file of theirs in its place.
            return self.given
        # The environment's is for whatever is encrypted: it was not given for this backup.
        if (self.around is not None or is_terminal(sys.stdin)) and encrypted():
            return self.asked()
        return None

    def asked(self) -> Encryption:
        """Return what opens an encrypted backup; raises `UsageError` where it is not given and nobody can be asked."""
        return self.given or self.around or _encryption({"passphrase": _asked("Passphrase of the backup", ENVIRONMENT)})


def keys(
    key_file: Annotated[str | None, Option("--key-file", metavar="FILE", help=_KEY_FILE)] = None,
    key_command: Annotated[str | None, Option("--key-command", metavar="COMMAND", help=_KEY_COMMAND)] = None,
    passphrase_file: Annotated[
        str | None,
        Option(
            "--passphrase-file",
            metavar="FILE",
            help=f"{_ONE_LINE} Without any of these: {ENVIRONMENT}, or a terminal is asked.",
        ),
    ] = None,
) -> Keys:
    """Return what a backup that is there is opened with."""
    names = ("--key-file", "--key-command", "--passphrase-file")
    found, around = _source(names, key_file, key_command, passphrase_file), _from_environment(ENVIRONMENT)
    return Keys(_encryption(found) if found else None, _encryption(around) if around and not found else None)


class MakingKeys(NamedTuple):
    """What a new backup is encrypted with; None: it is not."""

    encryption: Encryption | None


def making_keys(
    *,
    encrypt: Annotated[
        bool, Option("--encrypt", help="Encrypt it; without another source of a key, a terminal is asked.")
    ] = False,
    key_file: Annotated[str | None, Option("--key-file", metavar="FILE", help=f"Encrypt it. {_KEY_FILE}")] = None,
    key_command: Annotated[
        str | None, Option("--key-command", metavar="COMMAND", help=f"Encrypt it. {_KEY_COMMAND}")
    ] = None,
    passphrase_file: Annotated[
        str | None,
        Option(
            "--passphrase-file",
            metavar="FILE",
            help=f"Encrypt it. {_ONE_LINE} {ENVIRONMENT} does the same without a file.",
        ),
    ] = None,
    algorithm: Annotated[
        str | None, Option("--algorithm", metavar="NAME", help="AES-256-GCM, as by itself, or ChaCha20-Poly1305.")
    ] = None,
    kdf: Annotated[str | None, Option("--kdf", metavar="NAME", help=f"{_KDF} By itself, argon2id.")] = None,
) -> MakingKeys:
    """Return what a new backup is encrypted with."""
    names = ("--key-file", "--key-command", "--passphrase-file")
    found = _source(names, key_file, key_command, passphrase_file) or _from_environment(ENVIRONMENT)
    how = {name: given for name, given in (("algorithm", algorithm), ("kdf", kdf)) if given is not None}
    if not found and encrypt:
        found = {"passphrase": _asked("Passphrase for the backup", ENVIRONMENT, twice=True)}
    if not found and how:
        raise UsageError(
            f"--{next(iter(how))} is of no use where nothing is encrypted", hint="Give --encrypt, or a key."
        )
    return MakingKeys(_encryption(found | how) if found else None)


def environment_key() -> Encryption | None:
    """Return what the environment has backups encrypted with that nobody gives a key for."""
    found = _from_environment(ENVIRONMENT)
    return _encryption(found) if found else None


class NewKeys(NamedTuple):
    """What a backup is to be opened with from now on: a function, for a terminal is asked for the old key first."""

    encryption: Callable[[], Encryption]


def new_keys(
    new_key_file: Annotated[str | None, Option("--new-key-file", metavar="FILE", help=_KEY_FILE)] = None,
    new_key_command: Annotated[str | None, Option("--new-key-command", metavar="COMMAND", help=_KEY_COMMAND)] = None,
    new_passphrase_file: Annotated[
        str | None,
        Option(
            "--new-passphrase-file",
            metavar="FILE",
            help=f"{_ONE_LINE} Without any of these: {NEW_ENVIRONMENT}, or a terminal is asked.",
        ),
    ] = None,
    new_kdf: Annotated[str | None, Option("--new-kdf", metavar="NAME", help=f"{_KDF} By itself, argon2id.")] = None,
) -> NewKeys:
    """Return what a backup is to be opened with from now on."""
    names = ("--new-key-file", "--new-key-command", "--new-passphrase-file")
    found = _source(names, new_key_file, new_key_command, new_passphrase_file) or _from_environment(NEW_ENVIRONMENT)
    how = {} if new_kdf is None else {"kdf": new_kdf}
    if found:
        made = _encryption(found | how)
        return NewKeys(lambda: made)
    return NewKeys(lambda: _encryption({"passphrase": _asked("New passphrase", NEW_ENVIRONMENT, twice=True), **how}))


def _source(
    names: tuple[str, str, str], key_file: str | None, key_command: str | None, passphrase_file: str | None
) -> dict[str, Any]:
    """Return the one source that was given, as an `Encryption` takes it, or nothing; raises `UsageError`."""
    given = [
        name for name, each in zip(names, (key_file, key_command, passphrase_file), strict=True) if each is not None
    ]
    if len(given) > 1:
        raise UsageError(f"there are {len(given)} sources of one key: {', '.join(given)}", hint="Give one of them.")
    if key_file is not None:
        return {"key_file": key_file}
    if key_command is not None:
        return {"key_command": key_command}
    return {} if passphrase_file is None else {"passphrase": _from_file(passphrase_file)}


def _from_file(file: str) -> str:
    """Return the one line of a file; raises `UsageError` and `InvalidValueError`, neither of which quotes it."""
    text = values.read(file if file == "-" else f"@{file}").removesuffix("\n").removesuffix("\r")
    if not text or "\n" in text:
        name = "standard input" if file == "-" else shown(file)
        what = "is empty" if not text else "has several lines"
        raise UsageError(f"{name} {what}, and should be a passphrase", hint="Write it there, on one line.")
    return text


def _from_environment(variable: str) -> dict[str, Any]:
    found = os.environ.get(variable)
    return {"passphrase": found} if found else {}


def _asked(what: str, variable: str, *, twice: bool = False) -> str:
    """Ask a person for a passphrase, unseen; raises `UsageError`, with a variable to set, where nobody is."""
    if not is_terminal(sys.stdin):
        raise UsageError(
            f"nobody can be asked for the {what[0].lower()}{what[1:]} here: standard input is no terminal",
            hint=f"Name a file or a command that holds it, as `--help` tells, or put it into {variable}.",
        )
    found: str = typer.prompt(what, hide_input=True, confirmation_prompt="Once more" if twice else False, err=True)
    return found


def _encryption(arguments: dict[str, Any]) -> Encryption:
    from backstory.infrastructure.archives.encryption import Encryption

    return Encryption(**arguments)
