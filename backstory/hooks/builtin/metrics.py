"""Metrics: how many operations there were, of what kind, and how much they wrote."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any, ClassVar, Final

from backstory.domain.events import MISSING
from backstory.hooks.builtin import _options
from backstory.hooks.builtin._places import AFTER_CHANGES
from backstory.hooks.run_context import HookContext
from backstory.infrastructure import codec

__all__ = ["Metrics"]


class Metrics:
    """Counts what it is run for: by point, by operation, by kind of scope, and the bytes of values written.

    Only `after_state_write` counts bytes. Counts are this process's, from when the hook was made; any number of threads
    may count and look.
    """

    points: ClassVar[tuple[str, ...]] = AFTER_CHANGES

    def __init__(self, *, name: str = "metrics") -> None:
        self.name: Final = _options.name_of(name)
        self._lock = threading.Lock()
        self._total = 0
        self._points: Counter[str] = Counter()
        self._operations: Counter[str] = Counter()
        self._scopes: Counter[str] = Counter()
        self._bytes = 0

    def __call__(self, context: HookContext) -> None:
        """Count."""
        written = context.point == "after_state_write" and context.after is not MISSING
        size = len(codec.encode_value(context.after)) if written else 0
        kind = None if context.scope is None else context.scope.kind
        context.call(self._count, context.point, context.operation, kind, size)

    def _count(self, point: str, operation: str, kind: str | None, size: int) -> None:
        with self._lock:
            self._total += 1
            self._points[point] += 1
            self._operations[operation] += 1
            if kind is not None:
                self._scopes[kind] += 1
            self._bytes += size

    def snapshot(self) -> dict[str, Any]:
        """Return `total`, `points`, `operations`, `scopes` (counts by name) and `bytes_written`, all of one moment."""
        with self._lock:
            return {
                "total": self._total,
                "points": dict(sorted(self._points.items())),
                "operations": dict(sorted(self._operations.items())),
                "scopes": dict(sorted(self._scopes.items())),
                "bytes_written": self._bytes,
            }
