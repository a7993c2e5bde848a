"""Installing: a hook is registered at each of the points that it is made for."""

from __future__ import annotations

from typing import Any

__all__ = ["install"]


def install(store: Any, hook: Any, **options: Any) -> list[Any]:
    """Register a built-in hook at its `points`, with the options of `store.hooks.register`; return the handles.

    The store is of either face. All or none: where one point is refused, the hook is taken from the others.
    """
    handles: list[Any] = []
    try:
        for point in hook.points:
            handles.append(store.hooks.register(point, hook, **options))  # noqa: PERF401 - those made so far are needed
    except BaseException:
        for handle in handles:
            store.hooks.unregister(handle)
        raise
    return handles
