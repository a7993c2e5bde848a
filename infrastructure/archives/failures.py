"""The errors of archives, in one voice: which file, which byte, what to do."""

from __future__ import annotations

from backstory.domain.errors import BackupError, IntegrityError

__all__ = ["BrokenError", "damaged", "not_written", "truncated", "unreadable"]

_OTHER = "Nothing of it was used from there on; take another copy of the file, or another backup."


class BrokenError(Exception):
    """Something in an archive is not what was written; whoever knows the file's name makes it an error of ours."""

    def __init__(self, kind: str, offset: int, message: str) -> None:
        """Take the kind of damage, the byte where it was met, and what is wrong there."""
        super().__init__(message)
        self.kind = kind
        self.offset = offset
        self.message = message

    def told(self, name: str) -> IntegrityError:
        """Return the error for callers."""
        return damaged(name, self.offset, self.message, kind=self.kind)


def damaged(name: str, offset: int, what: str, *, kind: str = "damaged") -> IntegrityError:
    """Return the error for an archive that is not what was written."""
    return IntegrityError(f"{name} is damaged at byte {offset}: {what}", kind=kind, hint=_OTHER)


def truncated(size: int) -> BrokenError:
    """Return the error for an archive without its end."""
    return BrokenError("truncated", size, "the end is missing; it was cut short, or never written to its end")


def unreadable(name: str, error: OSError) -> BackupError:
    """Return the error for a file that the system does not let us read."""
    return BackupError(
        f"cannot read {name}: {error.strerror or error}", path=name, hint="Check that the file is there, and readable."
    )


def not_written(name: str, error: OSError) -> BackupError:
    """Return the error for a file that the system does not let us write."""
    return BackupError(
        f"cannot write {name}: {error.strerror or error}",
        path=name,
        hint="Nothing was left behind; make room, or choose another folder, and try again.",
    )
