"""Caching: reads that were answered a moment ago are answered again without reading."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Final

from backstory.domain.hooks import HookResult
from backstory.hooks.builtin import _options
from backstory.hooks.builtin._places import place
from backstory.hooks.run_context import HookContext

__all__ = ["Caching"]


class Caching:
    """Has a read answered from a cache, for `ttl_s` seconds from the read that filled it.

    `key` is the name that the answer is kept under: a text, or a function of the context; by default each key, at each
    point in time that is asked for, has its own. What is written meanwhile is not seen until the time is up: register
    it for keys that may be that old.

    Raises `InvalidValueError` for options that make no sense.
    """

    points: ClassVar[tuple[str, ...]] = ("before_state_read",)

    def __init__(
        self, ttl_s: float, *, key: str | Callable[[HookContext], str] | None = None, name: str = "caching"
    ) -> None:
        self.name: Final = _options.name_of(name)
        self._ttl_s = _options.seconds("ttl_s", ttl_s)
        self._key: Callable[[HookContext], str] = _own_place
        if isinstance(key, str):
            fixed = _options.text("key", key)
            self._key = lambda _: fixed
        elif key is not None:
            self._key = _options.function("key", key)

    def __call__(self, context: HookContext) -> HookResult:
        """Answer from the cache, or have the answer kept."""
        return HookResult.cache(self._key(context), self._ttl_s)


def _own_place(context: HookContext) -> str:
    # A tab cannot stand in a scope or a key, so no two of these texts are equal by chance.
    return place(context) if context.as_of is None else f"{place(context)}\t{context.as_of}"
