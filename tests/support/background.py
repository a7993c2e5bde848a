"""What tests of background hooks ask of a store, on either face, and hooks that they steer."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE_S: Final = 60.0
HOME: Final = "agent:a"
WRITES: Final = "after_state_write"


def queue_of(store: Any) -> Any:
    """Return the background of an open store."""
    return getattr(store, "inner", store)._core.gate.path.after.queue


def after_of(store: Any) -> Any:
    """Return what runs hooks behind the commits of an open store."""
    return getattr(store, "inner", store)._core.gate.path.after


def engine_of(store: Any) -> Any:
    """Return the engine of an open store."""
    return getattr(store, "inner", store)._core.engine


def marks_of(store: Any) -> dict[str, int]:
    """Return the marks of all writers."""
    inner = getattr(store, "inner", store)
    answer = inner._runner.run(inner._core.engine.trackings("hooks:"))
    marks: dict[str, int] = answer if isinstance(answer, dict) else store._wait(answer)
    return marks


def executions(store: Any, name: str | None = None) -> list[Any]:
    """Return the recorded runs, in the order of the log."""
    return list(store.hooks.history(name=name))


def noting(into: list[Any]) -> Callable[[Any], None]:
    """Return a hook that notes the keys that it ran for."""

    def note(run: Any) -> None:
        into.append(run.key)

    return note


class Gate:
    """A hook that waits to be let go, and says when it runs."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.open = threading.Event()
        self.keys: list[str] = []

    def __call__(self, run: Any) -> None:
        self.keys.append(run.key)
        self.reached.set()
        assert self.open.wait(PATIENCE_S)
