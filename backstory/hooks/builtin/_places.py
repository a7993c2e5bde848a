"""Places: the points of state's changes, and the one text for the key that an operation is about."""

from __future__ import annotations

from typing import Any, Final

from backstory.domain.events import MISSING
from backstory.domain.redaction import Redaction
from backstory.hooks.run_context import HookContext

BEFORE_CHANGES: Final = ("before_state_write", "before_state_delete", "before_state_clear")
AFTER_CHANGES: Final = ("after_state_write", "after_state_delete", "after_state_clear")


def scope_text(context: HookContext) -> str:
    """Return the scope's text; empty at points that are about none."""
    return "" if context.scope is None else str(context.scope)


def place(context: HookContext) -> str:
    """Return `scope/key`, as patterns of the built-in hooks are compared with; of a clear `scope/`."""
    return f"{scope_text(context)}/{context.key or ''}"


def places(context: HookContext) -> list[str]:
    """Return `scope/key` of each key that the operation is about: at a clear, of those that are there."""
    if context.key is None and isinstance(context.before, list):
        return [f"{scope_text(context)}/{key}" for key in context.before]
    return [place(context)]


def as_member(key: str | None, value: Any) -> dict[str, Any]:
    """Return a value as the member of an object that its key names: `user/password` is the field `password`."""
    return {(key or "").rpartition("/")[2] or "value": value}


def redacted(redaction: Redaction, key: str | None, value: Any) -> Any:
    """Return a value without its secrets, where the name of its key counts as a field's name."""
    if value is MISSING:
        return value
    (clean,) = redaction.redact(as_member(key, value)).values()
    return clean
