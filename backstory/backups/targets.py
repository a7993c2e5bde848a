"""Finding the target that somebody means: a folder, by path or `file://`, or what fsspec makes of another URL."""

from __future__ import annotations

import os
import re
from os import PathLike
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from backstory.backups.folder_target import FolderTarget
from backstory.backups.target import Stamp, Target
from backstory.domain.errors import ConfigError, shown

__all__ = ["Stamp", "Target", "check_target", "is_local_url", "target_of"]

_FOLDER_SCHEMES: Final = ("file", "local")
_PASSWORD: Final = re.compile(r"://[^/@]*:[^/]*@")


def target_of(given: str | PathLike[str]) -> Target:
    """Return where backups lie, given a folder, a `file://` URL, or a URL that fsspec knows, such as `s3://` or `sftp://`.

    Nothing is written yet, though some file systems connect. Raises `ConfigError` for what is none of these, for a
    password inside a URL, and for packages that are missing; `BackupError` where a server cannot be reached.
    """
    text = check_target(given)
    if isinstance(text, Path):
        return FolderTarget(text)
    from backstory.backups.fsspec_target import fsspec_target

    return fsspec_target(text)


def check_target(given: str | PathLike[str]) -> Path | str:
    """Return the folder or URL that is meant, and connect to nothing; raises `ConfigError` as `target_of` does."""
    text = os.fspath(given) if isinstance(given, str | PathLike) else given
    if not isinstance(text, str) or not text or "\0" in text or text.startswith("://"):
        raise _refused(given, "is neither a folder nor a URL")
    if "://" not in text or not isinstance(given, str):
        # A shell leaves it as it is behind `=`, and a file of settings is read by none.
        return _absolute(os.path.expanduser(text), given)  # noqa: PTH111 - Path.expanduser fails without a home
    if is_local_url(text):
        return _folder_of(text)
    scheme = text.partition("://")[0]
    if _PASSWORD.search(text):
        # The path of a backup is told in the log and in messages: a password in it would be, too.
        raise ConfigError(
            f"the {scheme} URL of the backups holds a password",
            key="target",
            hint=f"Leave it out, and give it to fsspec: the variable FSSPEC_{scheme.upper()}_PASSWORD, or its files.",
        )
    try:
        from backstory.backups.fsspec_target import check_url
    except ImportError as error:
        raise ConfigError(
            f"backups at {scheme}:// need a package that is not installed: {error.name}",
            key="target",
            hint="Install it: pip install backstory[fsspec].",
        ) from error
    check_url(text)
    return text


def is_local_url(text: str) -> bool:
    """Return whether a text is a URL of a file or folder on this machine."""
    scheme, is_url, _ = text.partition("://")
    return bool(is_url) and scheme.lower() in _FOLDER_SCHEMES


def _folder_of(url: str) -> Path:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise _refused(url, f"is no URL: {error}") from error
    if parts.netloc not in {"", "localhost"} or not parts.path.startswith("/") or parts.query or parts.fragment:
        raise _refused(url, "is no URL of a folder on this machine")
    path = unquote(parts.path)
    if "\0" in path:
        raise _refused(url, "is no URL of a folder on this machine")
    return _absolute(path, url)


def _absolute(path: str, given: object) -> Path:
    try:
        return Path(os.path.abspath(path))  # noqa: PTH100 - Path.absolute keeps the dots
    except OSError as error:
        raise _refused(given, f"leads nowhere: {error.strerror or error}") from error


def _refused(given: object, rule: str) -> ConfigError:
    return ConfigError(
        f"{shown(given)} {rule}",
        key="target",
        hint="Give the path of a folder, `file:///a/folder`, or a URL such as `s3://bucket/folder`.",
    )
