"""Retry: a write waits until what it depends on is ready."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Final

from backstory.domain.errors import InvalidValueError
from backstory.domain.hooks import HookResult
from backstory.hooks.builtin import _options
from backstory.hooks.builtin._asking import Asking, Steps
from backstory.hooks.builtin._places import scope_text
from backstory.hooks.run_context import HookContext

__all__ = ["Retry"]


class Retry(Asking):
    """Has a write tried again while `ready(scope, key)` answers false, or raises.

    The scope is given as text. The function may be async. Between attempts there are `delay_s` seconds; after
    `max_attempts` of them the caller gets `HookError`, and nothing is written.

    Raises `InvalidValueError` for options that make no sense.
    """

    points: ClassVar[tuple[str, ...]] = ("before_state_write",)

    def __init__(
        self,
        ready: Callable[..., Any],
        /,
        *,
        delay_s: float = 0.1,
        max_attempts: int = 5,
        name: str = "retry",
    ) -> None:
        self.name: Final = _options.name_of(name)
        self._ready = _options.function("ready", ready)
        self._delay_s = _options.seconds("delay_s", delay_s, least=0)
        self._attempts = _options.count("max_attempts", max_attempts)

    def steps(self, context: HookContext) -> Steps:
        """Ask, and say whether to try again."""
        try:
            ready = yield context.call(self._ready, scope_text(context), context.key)
        except InvalidValueError:
            raise  # What it answered cannot be recorded: trying again would not help.
        except Exception:  # noqa: BLE001 - whatever it raises, it is not ready
            ready = False
        return None if ready else HookResult.retry(self._delay_s, self._attempts)
