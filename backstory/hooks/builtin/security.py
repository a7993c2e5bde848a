"""Security: secrets do not get into the store, nor anything into places that are closed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Final, Literal

from backstory.domain.events import MISSING
from backstory.domain.hooks import HookResult
from backstory.domain.patterns import any_match
from backstory.domain.redaction import Redaction
from backstory.hooks.builtin import _options
from backstory.hooks.builtin._places import as_member, place, redacted
from backstory.hooks.run_context import HookContext

__all__ = ["Security"]

_MODES: Final[tuple[Literal["cancel", "redact"], ...]] = ("cancel", "redact")
_MOST_TOLD: Final = 5


class Security:
    """Refuses a write whose value holds secrets, or with `mode="redact"` writes it without them.

    The last part of the key counts as a field's name: a text under `user/password` is a secret. The reason names the
    paths and kinds of what was found, never the secrets. A key that holds a secret itself is refused in either mode.
    `deny` are patterns of `scope/key`, where `*` is any text, that nothing may be written to.

    Raises `InvalidValueError` for options that make no sense.
    """

    points: ClassVar[tuple[str, ...]] = ("before_state_write",)

    def __init__(
        self,
        *,
        mode: Literal["cancel", "redact"] = "cancel",
        redaction: Redaction = Redaction(),  # noqa: B008 - frozen
        deny: str | Iterable[str] = (),
        name: str = "security",
    ) -> None:
        self.name: Final = _options.name_of(name)
        self._mode = _options.one_of("mode", mode, _MODES)
        self._redaction = _options.instance("redaction", redaction, Redaction)
        self._deny = _options.texts("deny", deny)

    def __call__(self, context: HookContext) -> HookResult | None:
        """Refuse the write, or go on with a value that holds no secrets."""
        answer = self._answer(context)

        def found() -> dict[str, Any] | None:
            return None if answer is None else answer.as_data()

        # The record of this run will not hold the secrets: a repetition finds none, and goes by what was found then.
        then = context.call(found)
        return answer if then is None else HookResult.from_data(then)

    def _answer(self, context: HookContext) -> HookResult | None:
        if kinds := sorted({found.kind for found in self._redaction.find(context.key)}):
            return HookResult.cancel(f"the key holds a secret ({', '.join(kinds)})")
        if any_match(self._deny, place(context)):
            return HookResult.cancel(f"nothing may be written to {place(context)}")
        if context.after is MISSING:
            return None
        found = self._redaction.find(as_member(context.key, context.after))
        if not found:
            return None
        if self._mode == "redact":
            return HookResult.modified(redacted(self._redaction, context.key, context.after))
        told = [f"{each.path} ({each.kind})" for each in found[:_MOST_TOLD]]
        if len(found) > _MOST_TOLD:
            told.append(f"{len(found) - _MOST_TOLD} more")
        return HookResult.cancel(f"the value holds secrets: {', '.join(told)}")
