"""Backup on critical change: what matters most is backed up as soon as it changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Final

from backstory.domain.hooks import hook_point
from backstory.domain.patterns import any_match
from backstory.hooks.builtin import _options
from backstory.hooks.builtin._asking import Asking, Steps
from backstory.hooks.builtin._places import AFTER_CHANGES, places, scope_text
from backstory.hooks.run_context import HookContext

__all__ = ["BackupOnCriticalChange"]


class BackupOnCriticalChange(Asking):
    """Fires a point of its own after a change of something critical; the hooks there make the backup.

    `fire` is `store.hooks.fire`, of either face. `critical` says what is: patterns of `scope/key`, where `*` is any
    text, or a function of the context. The data are `scope`, `key` (None of a clear), `operation` and `operation_id`.

    Raises `InvalidValueError` for options that make no sense.
    """

    points: ClassVar[tuple[str, ...]] = AFTER_CHANGES

    def __init__(
        self,
        fire: Callable[..., Any],
        /,
        *,
        critical: str | Iterable[str] | Callable[[HookContext], bool],
        point: str = "custom:backup",
        name: str = "backup-on-critical-change",
    ) -> None:
        self.name: Final = _options.name_of(name)
        self._fire = _options.function("fire", fire)
        self._critical = _predicate(critical)
        self._point = hook_point(point).name

    def steps(self, context: HookContext) -> Steps:
        """Fire, if it was critical."""
        if self._critical(context):
            data = {
                "scope": scope_text(context),
                "key": context.key,
                "operation": context.operation,
                "operation_id": str(context.operation_id),
            }
            yield context.call(self._fire, self._point, data)
        return None


def _predicate(critical: object) -> Callable[[HookContext], bool]:
    if callable(critical):
        return critical
    patterns = _options.texts("critical", critical)
    return lambda context: any(any_match(patterns, each) for each in places(context))
