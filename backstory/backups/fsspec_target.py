"""Backups wherever fsspec has a file system for: written under another name and moved, read where they lie."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any, BinaryIO, Final, cast

from fsspec import get_filesystem_class  # type: ignore[import-untyped] # has none
from fsspec.core import url_to_fs  # type: ignore[import-untyped] # has none

from backstory.backups.target import LEFTOVER_AGE, Stamp, checked_name, is_archive, is_leftover, partial_name
from backstory.domain.errors import BackstoryError, BackupError, ConfigError, shown

__all__ = ["FsspecTarget", "check_url", "fsspec_target"]

#: What the file systems call the times and tags that change with a file.
_CHANGES: Final = (
    "created", "mtime", "ino", "modified", "LastModified", "last_modified", "updated", "ETag", "etag", "md5Hash",
    "content_md5", "generation", "version_id", "VersionId",
)  # fmt: skip
_BUFFER_BYTES: Final = 256 * 1024


def fsspec_target(url: str) -> FsspecTarget:
    """Return the target that a URL means; raises `ConfigError` for one that fsspec does not understand.

    Raises `BackupError` where the file system connects at once, and fails.
    """
    check_url(url)
    scheme, _, rest = url.partition("://")
    with _understanding(url):
        system, root = url_to_fs(url)
    return FsspecTarget(system, root.rstrip("/"), place=f"{scheme}://{rest.rstrip('/')}")


def check_url(url: str) -> None:
    """Raise `ConfigError` for a URL that fsspec does not understand, or has no package for; nothing is connected to."""
    schemes, _, rest = url.partition("://")
    if any(each in rest for each in "*?["):
        raise _misunderstood(url, "it holds a pattern")
    with _understanding(url):
        for scheme in schemes.split("::"):
            get_filesystem_class(scheme)


@contextmanager
def _understanding(url: str) -> Iterator[None]:
    """Say what is wrong with a URL, where fsspec finds fault with it."""
    scheme = url.partition("://")[0]
    try:
        yield
    except ImportError as error:
        raise ConfigError(
            f"backups at {scheme}:// need a package that is not installed: {error}",
            key="target",
            hint="Install what fsspec names; fsspec itself is there.",
        ) from error
    except (ValueError, TypeError, KeyError) as error:
        raise _misunderstood(url, str(error)) from error
    except Exception as error:
        raise _fault("reach", url, error) from error


class FsspecTarget:
    """A folder of a file system of fsspec's; a `Target`.

    As durable as the file system is: what it says is written, counts as written.
    """

    def __init__(self, system: Any, root: str, *, place: str) -> None:
        """Take the file system, the folder as it names it, and the folder's URL."""
        self._system = system
        self._root = root
        self._place = place

    @property
    def place(self) -> str:
        """The URL."""
        return self._place

    @property
    def identity(self) -> str:
        """The file system, as fsspec tells one from another, and the folder there: URLs may be spelled in many ways."""
        return f"{type(self._system).__name__}:{hash(self._system)}:{self._root}"

    def names(self) -> dict[str, Stamp]:
        """Return what is named `*.bsa` there."""
        return {name: _stamp(info) for name, info in self._listed() if is_archive(name)}

    def path_of(self, name: str) -> str:
        """Return the URL that a file of this name has."""
        return self._url(checked_name(name, place=self._place))

    @contextmanager
    def writing(self, name: str) -> Iterator[BinaryIO]:
        """Give a file to write, which has its name once the block has ended."""
        url = self.path_of(name)
        with _faults("write", url):
            self._make()
            taken = self._system.exists(self._at(name))
        if taken:
            raise BackupError(f"{url} exists already", path=url, hint="Choose another name, or remove it first.")
        with self._moved(name) as file:
            yield file

    @contextmanager
    def reading(self, name: str) -> Iterator[BinaryIO]:
        """Give a file that can seek."""
        url = self.path_of(name)
        with _faults("read", url):
            file = self._system.open(self._at(name), "rb")
        with io.BufferedReader(_Reading(file, url), _BUFFER_BYTES) as buffered:
            yield cast("BinaryIO", buffered)

    def delete(self, name: str) -> None:
        """Delete a file."""
        url = self.path_of(name)
        with _faults("delete", url):
            self._system.invalidate_cache()
            # Object stores are content to delete what is not there.
            if not self._system.exists(self._at(name)):
                raise FileNotFoundError("it is not there")
            self._system.rm_file(self._at(name))

    def sweep(self, now: datetime) -> list[str]:
        """Delete what killed writers left behind more than a day before `now`, where times of change are kept."""
        swept = []
        for name, _ in self._listed():
            with _faults("delete", self._url(name)):
                changed = self._changed(name) if is_leftover(name) else None
                if changed is not None and changed < now - LEFTOVER_AGE:
                    self._system.rm_file(self._at(name))
                    swept.append(name)
        return sorted(swept)

    def read_text(self, name: str) -> bytes | None:
        """Return a small file; None if there is none."""
        with _faults("read", self.path_of(name)):
            try:
                return bytes(self._system.cat_file(self._at(name)))
            except FileNotFoundError:
                return None

    def write_text(self, name: str, data: bytes) -> None:
        """Write a small file, in place of one that is there."""
        with _faults("write", self.path_of(name)):
            self._make()
        with self._moved(name) as file:
            file.write(data)

    @contextmanager
    def _moved(self, name: str) -> Iterator[BinaryIO]:
        """Give a file that is moved to its name once the block has ended, and is gone if anything fails."""
        url, partial = self._url(name), self._at(partial_name(name))
        doubtful = [partial]
        with _faults("write", url):
            file = self._system.open(partial, "wb")
        sink = _Writing(file, url)
        try:
            yield cast("BinaryIO", sink)
            with _faults("write", url):
                file.close()
                doubtful.append(self._at(name))
                self._system.mv(partial, self._at(name))
                self._check_size(name, sink.written)
        except BaseException:
            with suppress(Exception):
                file.close()
            for path in doubtful:
                with suppress(Exception):
                    self._system.rm_file(path)
            raise

    def _check_size(self, name: str, written: int) -> None:
        self._system.invalidate_cache()
        found = self._system.size(self._at(name))
        if found is not None and found != written:
            raise OSError(f"{written} bytes were written, and {found} are there")

    def _make(self) -> None:
        self._system.invalidate_cache()
        if self._root:
            self._system.makedirs(self._root, exist_ok=True)

    def _listed(self) -> list[tuple[str, dict[str, Any]]]:
        with _faults("list", self._place):
            self._system.invalidate_cache()
            try:
                found = self._system.ls(self._root, detail=True)
            except FileNotFoundError:
                return []
            if [str(info["name"]).rstrip("/") for info in found if info.get("type") == "file"] == [self._root]:
                raise NotADirectoryError("it is a file")
            return [(str(info["name"]).rpartition("/")[2], info) for info in found]

    def _changed(self, name: str) -> datetime | None:
        try:
            changed: datetime = self._system.modified(self._at(name))
        except (NotImplementedError, FileNotFoundError):
            return None
        return changed if changed.tzinfo is not None else changed.replace(tzinfo=UTC)

    def _at(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _url(self, name: str) -> str:
        return f"{self._place}/{name}"


class _Reading(io.RawIOBase):
    """A file of fsspec's for reading, whose errors are ours."""

    def __init__(self, file: Any, url: str) -> None:
        self._file = file
        self.name = url

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with _faults("read", self.name):
            found = self._file.read(len(buffer))
        buffer[: len(found)] = found
        return len(found)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        with _faults("read", self.name):
            return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def close(self) -> None:
        if not self.closed:
            super().close()
            with suppress(Exception):  # nothing was written
                self._file.close()


class _Writing(io.RawIOBase):
    """A file of fsspec's for writing, whose errors are ours; takes all that it is given, and counts it."""

    def __init__(self, file: Any, url: str) -> None:
        self._file = file
        self.name = url
        self.written = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        taken = bytes(data)
        with _faults("write", self.name):
            self._file.write(taken)
        self.written += len(taken)
        return len(taken)

    def tell(self) -> int:
        return self.written


def _stamp(info: dict[str, Any]) -> Stamp:
    size = info.get("size")
    changed = " ".join(f"{key}={info[key]}" for key in _CHANGES if info.get(key) is not None)
    return Stamp(-1 if size is None else int(size), changed)


@contextmanager
def _faults(doing: str, url: str) -> Iterator[None]:
    """Make ours whatever a file system raises: each has errors of its own, and not all are OSErrors."""
    try:
        yield
    except BackstoryError:
        raise
    except Exception as error:
        raise _fault(doing, url, error) from error


def _fault(doing: str, url: str, error: Exception) -> BackupError:
    what = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return BackupError(
        f"cannot {doing} {url}: {what}", path=url, hint="Check that it is there, and that this account may use it."
    )


def _misunderstood(url: str, why: str) -> ConfigError:
    return ConfigError(
        f"{shown(url)} is no URL of a folder that fsspec understands: {why}",
        key="target",
        hint="Give the path of a folder, or a URL such as `s3://bucket/folder`.",
    )
