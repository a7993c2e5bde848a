"""Change log: each change of state as a value of its own, in a scope that can be listed, shown and cleared."""

from __future__ import annotations

import itertools
import threading
from typing import Any, ClassVar, Final

from backstory.domain.errors import InvalidScopeError, InvalidValueError
from backstory.domain.events import MISSING
from backstory.domain.hooks import HookResult
from backstory.domain.redaction import Redaction
from backstory.domain.scopes import Scope, as_scope
from backstory.hooks.builtin import _options
from backstory.hooks.builtin._changed_paths import changed_paths
from backstory.hooks.builtin._places import AFTER_CHANGES, redacted
from backstory.hooks.run_context import HookContext
from backstory.infrastructure import codec

__all__ = ["ChangeLog"]

_MOST_PATHS: Final = 100
_NEXT: Final = "next"


class ChangeLog:
    """Writes an entry for each change, an object under a key of its own, in a scope for them.

    It has `scope`, `key`, `operation`, `operation_id`, `at`, `actor`, `before`, `after` and `paths`: the parts that
    changed, the first hundred of them, "" being the whole value. `before` and `after` are left out where there is
    nothing, and where they take more than `max_bytes` of JSON text together (then `left_out` is true); of a clear there
    is `keys` instead. They are redacted; `redaction=None` takes them as they are. Changes in the scope of the entries
    themselves are not entered.

    Without `keep` an entry's key is the id of the operation, so that keys sort by time. With it there are no more than
    `keep` entries, under `000000`, `000001` and so on in a ring, and `next` counts all that there ever were. One
    process at a time should keep a ring: those that share one overwrite each other's newest entries.

    Raises `InvalidValueError` for options that make no sense.
    """

    points: ClassVar[tuple[str, ...]] = AFTER_CHANGES

    def __init__(
        self,
        scope: Scope | str = "custom:changes",
        *,
        keep: int | None = None,
        max_bytes: int = 262_144,
        redaction: Redaction | None = Redaction(),  # noqa: B008 - frozen
        name: str = "change-log",
    ) -> None:
        self.name: Final = _options.name_of(name)
        self._scope = _scope(scope)
        self._keep = None if keep is None else _options.count("keep", keep)
        self._max_bytes = _options.count("max_bytes", max_bytes)
        self._redaction = None if redaction is None else _options.instance("redaction", redaction, Redaction)
        self._lock = threading.Lock()
        self._next: int | None = None

    def __call__(self, context: HookContext) -> HookResult | None:
        """Have the entry written together with the record of this run."""
        if context.scope is None or context.scope == self._scope:
            return None
        entry = self._entry(context)
        if self._keep is None:
            return HookResult.fork([("set", self._scope, str(context.operation_id), entry)])
        number = self._number(context)
        slot = f"{number % self._keep:06d}"
        return HookResult.fork([("set", self._scope, slot, entry), ("set", self._scope, _NEXT, number + 1)])

    def _entry(self, context: HookContext) -> dict[str, Any]:
        entry: dict[str, Any] = {
            "scope": str(context.scope),
            "key": context.key,
            "operation": context.operation,
            "operation_id": str(context.operation_id),
            "at": context.now(),
            "actor": context.actor,
        }
        if context.key is None:
            return {**entry, "keys": [] if context.before is MISSING else context.before}
        values = {"before": self._clean(context.key, context.before), "after": self._clean(context.key, context.after)}
        present = {part: value for part, value in values.items() if value is not MISSING}
        if len(codec.encode_value(present)) > self._max_bytes:
            entry["left_out"] = True
        else:
            entry |= present
        entry["paths"] = self._paths(context)
        return entry

    def _clean(self, key: str, value: Any) -> Any:
        return value if self._redaction is None else redacted(self._redaction, key, value)

    def _paths(self, context: HookContext) -> list[str]:
        paths = list(itertools.islice(changed_paths(context.before, context.after), _MOST_PATHS))

        def changed() -> list[str]:
            return paths

        # The record of this run holds no secrets: where one changed, a repetition goes by what was found then.
        return context.call(changed) or paths

    def _number(self, context: HookContext) -> int:
        """Return the entry's number: this process counts on from where the store says an earlier one ended."""
        number = context.call(self._count)
        if number is None:
            number = context.call(self._count, context.read(self._scope, _NEXT, 0))
        taken: int = number
        return taken

    def _count(self, start: int | None = None) -> int | None:
        with self._lock:
            number = self._next
            if number is None:
                if start is None:
                    return None
                number = start
            self._next = number + 1
            return number


def _scope(given: Scope | str) -> Scope:
    try:
        return as_scope(given)
    except InvalidScopeError as error:
        raise InvalidValueError("scope", rule=error.rule, hint=error.hint) from error
