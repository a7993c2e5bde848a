"""Validation: values that do not pass a check are refused before they are written."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Final

from backstory.domain.errors import InvalidValueError, shown
from backstory.domain.events import MISSING
from backstory.domain.hooks import HookResult
from backstory.hooks.builtin import _options
from backstory.hooks.builtin._asking import is_async
from backstory.hooks.run_context import HookContext
from backstory.infrastructure import codec

__all__ = ["Validation"]

_KNOWN: Final = "a str, bool, int, float, list, dict, bytes, datetime, UUID, Decimal, or type(None)"


class Validation:
    """Cancels a write whose value does not pass.

    `check` is a function of the value, or of the value and the context; True and None let it pass, False or a text,
    which is the reason, does not. A check that looks at anything but the value takes it through the context.
    Without a function: `types`, one or several that the value must be of (True is no int); `max_bytes`, of its JSON
    text; `keys`, which it must have, as an object. `message` is the reason where the check gives none.

    Raises `InvalidValueError` for options that make no sense.
    """

    points: ClassVar[tuple[str, ...]] = ("before_state_write",)

    def __init__(
        self,
        check: Callable[..., Any] | None = None,
        *,
        types: type | Iterable[type] | None = None,
        max_bytes: int | None = None,
        keys: Iterable[str] | None = None,
        message: str | None = None,
        name: str = "validation",
    ) -> None:
        self.name: Final = _options.name_of(name)
        self._check = None if check is None else _of_two(check)
        self._types = None if types is None else _types(types)
        self._max_bytes = None if max_bytes is None else _options.count("max_bytes", max_bytes)
        self._keys = () if keys is None else _options.texts("keys", keys)
        self._message = "the value is refused" if message is None else _options.text("message", message)
        if check is None and types is None and max_bytes is None and not self._keys:
            raise InvalidValueError(
                "check", rule="there is nothing to check", hint="Give a function, types, max_bytes or keys."
            )

    def __call__(self, context: HookContext) -> HookResult | None:
        """Cancel what does not pass."""
        if context.after is MISSING:
            return None
        reason = self._form(context.after) or self._verdict(context)
        return None if reason is None else HookResult.cancel(reason)

    def _form(self, value: Any) -> str | None:
        """Return what is wrong with the form of a value, never the value itself."""
        if self._types is not None and not _is_of(value, self._types):
            wanted = " or ".join(each.__name__ for each in self._types)
            return f"the value is of type {type(value).__name__}, not {wanted}"
        if self._max_bytes is not None and (size := len(codec.encode_value(value))) > self._max_bytes:
            return f"the value takes {size} bytes, at most {self._max_bytes} are allowed"
        if not self._keys:
            return None
        if not isinstance(value, dict):
            return f"the value is of type {type(value).__name__}, not an object"
        lacking = [key for key in self._keys if key not in value]
        return f"the value lacks {', '.join(lacking)}" if lacking else None

    def _verdict(self, context: HookContext) -> str | None:
        if self._check is None:
            return None
        verdict = self._check(context.after, context)
        if verdict is True or verdict is None:
            return None
        if verdict is False:
            return self._message
        if isinstance(verdict, str) and verdict:
            return verdict
        raise InvalidValueError(
            "check",
            rule=f"answered {shown(verdict)}",
            hint="Return True or None where the value is fine, False or the reason where it is not.",
        )


def _of_two(check: object) -> Callable[[Any, HookContext], Any]:
    """Return the check as a function of value and context."""
    function = _options.function("check", check)
    if is_async(function):
        raise InvalidValueError("check", rule="is async", hint="Write a hook of your own that awaits it.")
    if _takes(function, 1):
        return lambda value, _: function(value)
    if _takes(function, 2):
        return function
    raise InvalidValueError(
        "check", rule="takes other arguments", hint="Give a function of the value, or of the value and the context."
    )


def _takes(function: Callable[..., Any], arguments: int) -> bool:
    try:
        inspect.signature(function).bind(*range(arguments))
    except TypeError:
        return False
    except ValueError:  # Some functions in C do not say what they take.
        return arguments == 1
    return True


def _types(given: object) -> tuple[type, ...]:
    types = (given,) if isinstance(given, type) else tuple(given) if isinstance(given, Iterable) else ()
    if not types or not all(isinstance(each, type) for each in types):
        raise InvalidValueError("types", rule=f"is no type: {shown(given)}", hint=f"Give {_KNOWN}, or several.")
    return types


def _is_of(value: object, types: tuple[type, ...]) -> bool:
    if isinstance(value, bool):  # A bool is an int for Python, and is none for JSON.
        return bool in types or object in types
    return isinstance(value, types)
