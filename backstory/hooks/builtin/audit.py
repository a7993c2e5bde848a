"""Audit: one line for each operation, saying who did what, where, when, and as part of what."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

from backstory.domain.events import MISSING
from backstory.domain.redaction import Redaction
from backstory.hooks.builtin import _options
from backstory.hooks.builtin._places import AFTER_CHANGES, redacted
from backstory.hooks.run_context import HookContext
from backstory.infrastructure import codec
from backstory.infrastructure.telemetry_lines import lines

__all__ = ["Audit"]

Write = Callable[[Mapping[str, Any]], None]


class Audit:
    """Tells of each operation it is run for: as a structlog event, or as a line of JSON at the end of a file.

    A line says `at` (when it was told), `point`, `operation`, `scope`, `key`, `actor`, `operation_id` and
    `correlation_id`; `tags`, `before` and `after` where there are any; `attempt` where the operation was begun anew;
    and `redelivered` where it may have been told before, in a process that died. Values are redacted; `values=False`
    leaves them out, `redaction=None` takes them as they are. In a file each line is one write, so that many processes
    may tell to the same one; with `fsync` it is on the disk when the hook returns.

    Raises `InvalidValueError` for options that make no sense.
    """

    points: ClassVar[tuple[str, ...]] = AFTER_CHANGES

    def __init__(
        self,
        to: str | os.PathLike[str] = "structlog",
        *,
        values: bool = True,
        redaction: Redaction | None = Redaction(),  # noqa: B008 - frozen
        fsync: bool = False,
        name: str = "audit",
    ) -> None:
        self.name: Final = _options.name_of(name)
        self._values = _options.flag("values", values)
        self._redaction = None if redaction is None else _options.instance("redaction", redaction, Redaction)
        durable = _options.flag("fsync", fsync)
        self._write: Write = _tell if to == "structlog" else _File(_path(to), fsync=durable).append

    def __call__(self, context: HookContext) -> None:
        """Tell, unless this is a repetition, which takes nothing to the outside."""
        line = self._line(context)

        def write() -> None:
            self._write(line)

        context.call(write)

    def _line(self, context: HookContext) -> dict[str, Any]:
        line: dict[str, Any] = {
            "at": context.now().isoformat(),
            "point": context.point,
            "operation": context.operation,
            "scope": None if context.scope is None else str(context.scope),
            "key": self._clean(context.key),
            "actor": self._clean(context.actor),
            "operation_id": str(context.operation_id),
            "correlation_id": self._clean(context.correlation_id),
        }
        if context.tags:
            line["tags"] = self._clean(list(context.tags))
        if context.attempt > 1:
            line["attempt"] = context.attempt
        if context.redelivered:
            line["redelivered"] = True
        if self._values:
            for part, value in (("before", context.before), ("after", context.after)):
                if value is not MISSING:
                    line[part] = value if self._redaction is None else redacted(self._redaction, context.key, value)
        return line

    def _clean(self, value: Any) -> Any:
        return value if self._redaction is None else self._redaction.redact(value)


def _path(to: object) -> Path:
    return Path(to) if isinstance(to, os.PathLike) else Path(_options.text("to", to))


def _tell(line: Mapping[str, Any]) -> None:
    """Tell by structlog: the event is `audit`, the level info, the values as they are in Python."""
    lines("backstory.audit").info("audit", **line)


class _File:
    """A file that lines are appended to, by any number of threads and processes."""

    def __init__(self, path: Path, *, fsync: bool) -> None:
        self._path = path
        self._fsync = fsync
        self._lock = threading.Lock()
        self._torn = False

    def append(self, line: Mapping[str, Any]) -> None:
        """Append a line in one write; raises `OSError`, and then begins the next one on a line of its own."""
        data = codec.encode_value(line) + b"\n"
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
        with self._lock:
            # Opened each time: whoever rotates the file needs to tell nobody, and no fork shares it.
            file = os.open(self._path, flags, 0o600)
            try:
                data = b"\n" + data if self._torn else data
                written = os.write(file, data)
                self._torn = written < len(data) if written else self._torn
                if written < len(data):
                    raise OSError(f"only {written} of {len(data)} bytes of an audit line were written to {self._path}")
                if self._fsync:
                    os.fsync(file)
            finally:
                os.close(file)
