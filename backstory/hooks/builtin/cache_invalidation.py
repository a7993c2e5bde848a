"""Cache invalidation: whoever keeps copies of values is told that they are out of date."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Final

from backstory.hooks.builtin import _options
from backstory.hooks.builtin._asking import Asking, Steps
from backstory.hooks.builtin._places import AFTER_CHANGES, scope_text
from backstory.hooks.run_context import HookContext

__all__ = ["CacheInvalidation"]


class CacheInvalidation(Asking):
    """Calls `invalidate(scope, key)` after each change, with the scope as text; of a clear the key is None.

    The function may be async. What it returns and raises is recorded.
    """

    points: ClassVar[tuple[str, ...]] = AFTER_CHANGES

    def __init__(self, invalidate: Callable[..., Any], /, *, name: str = "cache-invalidation") -> None:
        self.name: Final = _options.name_of(name)
        self._invalidate = _options.function("invalidate", invalidate)

    def steps(self, context: HookContext) -> Steps:
        """Tell."""
        yield context.call(self._invalidate, scope_text(context), context.key)
        return None
