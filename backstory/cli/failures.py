"""Failures: exit codes, and how an error is told to a person or to a program."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from enum import IntEnum
from typing import Any, Final

from backstory.domain.errors import (
    AccessDeniedError,
    BackstoryError,
    BackupError,
    ConfigError,
    ConflictError,
    EncryptionError,
    IntegrityError,
    InvalidKeyError,
    InvalidPointError,
    InvalidScopeError,
    InvalidValueError,
    ReadOnlyError,
    SchemaError,
    StoreClosedError,
    StoreUnavailableError,
    StoreVersionError,
    ValueTooLargeError,
)


class Exit(IntEnum):
    """What the process ends with."""

    DONE = 0
    NO = 1
    USAGE = 2
    CONFLICT = 3
    DENIED = 4
    DAMAGED = 5
    UNAVAILABLE = 6
    #: A fault of the program itself.
    FAULT = 70
    INTERRUPTED = 130
    BROKEN_PIPE = 141
    TERMINATED = 143


class UsageError(BackstoryError):
    """The command line says something that the program does not take."""

    def __init__(self, message: str, *, hint: str = "See `backstory --help`.") -> None:
        super().__init__(message, hint=hint)


class OutputError(BackstoryError):
    """What was to be printed, or put into a file, could not be."""

    def __init__(self, error: OSError, *, path: str | None = None) -> None:
        self.path = path
        where = "the output" if path is None else path
        super().__init__(
            f"cannot write {where}: {error.strerror or error}", hint="Make room for it, or write it elsewhere."
        )


class FaultError(BackstoryError):
    """The program itself is at fault."""

    def __init__(self, error: Exception) -> None:
        super().__init__(
            f"internal error: {type(error).__name__}: {error}",
            hint="Report it, with what BACKSTORY_TRACEBACK=1 in the environment shows.",
        )


_CODES: Final[tuple[tuple[type[BackstoryError], Exit], ...]] = (
    (ConflictError, Exit.CONFLICT),
    (AccessDeniedError, Exit.DENIED),
    (ReadOnlyError, Exit.DENIED),
    (IntegrityError, Exit.DAMAGED),
    (StoreVersionError, Exit.DAMAGED),
    (StoreUnavailableError, Exit.UNAVAILABLE),
    (StoreClosedError, Exit.UNAVAILABLE),
    (UsageError, Exit.USAGE),
    (OutputError, Exit.USAGE),
    (ConfigError, Exit.USAGE),
    (InvalidKeyError, Exit.USAGE),
    (InvalidPointError, Exit.USAGE),
    (InvalidScopeError, Exit.USAGE),
    (InvalidValueError, Exit.USAGE),
    (SchemaError, Exit.USAGE),
    (ValueTooLargeError, Exit.USAGE),
)


def exit_code(error: BackstoryError) -> Exit:
    """Return the exit code of an error; what is not listed is an answer: no."""
    if isinstance(error, (BackupError, EncryptionError)) and isinstance(error.__cause__, OSError):
        return Exit.USAGE  # a file that cannot be read or written
    return next((code for kind, code in _CODES if isinstance(error, kind)), Exit.NO)


def described(error: BackstoryError) -> dict[str, Any]:
    """Return an error as `--json` prints it: class, message, hint, and its facts."""
    facts = {"error": type(error).__name__, "message": error.message, "hint": error.hint, **vars(error)}
    return {name: _fact(value) for name, value in facts.items()}


def _fact(value: object) -> object:
    if isinstance(value, tuple):
        return [_fact(each) for each in value]
    if callable(report := getattr(value, "as_dict", None)):
        return report()
    if is_dataclass(value):
        return {part.name: _fact(getattr(value, part.name)) for part in fields(value)}
    return value if value is None or isinstance(value, (bool, int, float)) else unicode(str(value))


def unicode(text: str) -> str:
    """Return text that can be encoded: bytes of an argument that are no UTF-8 as escapes."""
    return text.encode("utf-8", "backslashreplace").decode()
