"""Paths: how people name a backup by its file, when two names lead to one file, and which target holds it."""

from __future__ import annotations

import os
from os import PathLike
from pathlib import Path
from typing import Final, TypeGuard

from backstory.backups.target import Target
from backstory.backups.targets import check_target, is_local_url, target_of
from backstory.domain.errors import InvalidValueError, shown

__all__ = ["SHORTEST_PREFIX", "canonical", "folder_of", "is_path", "names", "same_file", "target_holding", "text_of"]

#: So many digits of an id name a backup, if no other begins with them.
SHORTEST_PREFIX: Final = 8


def text_of(wanted: object) -> str:
    """Return what names a backup as text, the URL of a file on this machine as its path; raises `InvalidValueError`.

    Raises `ConfigError` for a URL of this kind that leads nowhere here.
    """
    if not isinstance(wanted, (str, PathLike)) or not str(wanted):
        raise InvalidValueError("id_or_path", rule=f"names no backup: {shown(wanted)}", hint="Give an id, or a path.")
    text = str(wanted)
    return str(check_target(text)) if is_local_url(text) else text


def is_path(wanted: object) -> TypeGuard[str | PathLike[str]]:
    """Return whether what names a backup is a path or URL, and no id: ids have neither a slash nor a dot."""
    return isinstance(wanted, PathLike) or (isinstance(wanted, str) and ("/" in wanted or "." in wanted))


def names(wanted: object, backup_id: str, path: str) -> bool:
    """Return whether a backup of this id and path is meant: by its id, the beginning of it, or its path."""
    text = text_of(wanted)
    if is_path(wanted):
        return same_file(path, text)
    return text == backup_id or (len(text) >= SHORTEST_PREFIX and backup_id.startswith(text))


def canonical(path: str) -> str:
    """Return the path of a file as it is without links and dots; a URL stays as it is."""
    return path if "://" in path else os.path.realpath(path)


def same_file(path: str, other: str) -> bool:
    """Return whether two paths or URLs lead to one file, there or not."""
    return path == other or canonical(path) == canonical(other)


def folder_of(path: str) -> str:
    """Return the folder, or its URL, in which the log says that a file lies."""
    return path.rpartition("/")[0] or "/"


def target_holding(path: str | PathLike[str]) -> Target:
    """Return the target in which a file lies."""
    text = text_of(path)
    if "://" in text:
        return target_of(text.rsplit("/", 1)[0])
    return target_of(Path(text).absolute().parent)
