"""Debugging: the last operations, each with everything that hooks can see of it."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Final
from uuid import UUID

from backstory.domain.errors import shown
from backstory.domain.events import MISSING
from backstory.domain.hooks import STATE_VERBS
from backstory.domain.scopes import Scope
from backstory.hooks.builtin import _options
from backstory.hooks.run_context import HookContext

__all__ = ["Debugging", "Trace"]


@dataclass(frozen=True, slots=True)
class Trace:
    """What a hook could see of one operation. `before` and `after` are values, or `MISSING`."""

    at: datetime
    point: str
    operation: str
    operation_id: UUID
    scope: Scope | None
    key: str | None
    before: Any
    after: Any
    actor: str | None
    correlation_id: str | None
    metadata: dict[str, Any]
    tags: tuple[str, ...]
    as_of: str | None
    attempt: int
    redelivered: bool

    def render(self) -> str:
        """Return the trace as one line of text, its values cut short."""
        where = " ".join(str(part) for part in (self.scope, self.key) if part is not None)
        parts = [self.at.isoformat(), self.point, self.operation, where]
        if self.before is not MISSING:
            parts.append(f"before={shown(self.before)}")
        if self.after is not MISSING:
            parts.append(f"after={shown(self.after)}")
        parts += [f"{name}={shown(part)}" for name in ("actor", "as_of") if (part := getattr(self, name)) is not None]
        if self.attempt > 1:
            parts.append(f"attempt={self.attempt}")
        if self.redelivered:
            parts.append("redelivered")
        return " ".join(part for part in parts if part)


class Debugging:
    """Keeps the last `keep` traces in memory. Values are in them as they are: this is for the one who debugs.

    Raises `InvalidValueError` for options that make no sense.
    """

    points: ClassVar[tuple[str, ...]] = tuple(
        f"{when}_state_{verb}" for verb in STATE_VERBS for when in ("before", "after")
    )

    def __init__(self, keep: int = 1000, *, name: str = "debugging") -> None:
        self.name: Final = _options.name_of(name)
        self._lock = threading.Lock()
        self._traces: deque[Trace] = deque(maxlen=_options.count("keep", keep))

    def __call__(self, context: HookContext) -> None:
        """Keep a trace."""
        trace = Trace(
            context.now(),
            context.point,
            context.operation,
            context.operation_id,
            context.scope,
            context.key,
            context.before,
            context.after,
            context.actor,
            context.correlation_id,
            context.metadata,
            context.tags,
            context.as_of,
            context.attempt,
            context.redelivered,
        )

        def keep() -> None:
            with self._lock:
                self._traces.append(trace)

        context.call(keep)

    def traces(self) -> list[Trace]:
        """Return the traces, the oldest first."""
        with self._lock:
            return list(self._traces)

    def render(self) -> str:
        """Return the traces as text, one a line."""
        return "\n".join(trace.render() for trace in self.traces())
