"""Drawing hooks: hooks as data, which answer the same to a store and to the model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from hypothesis import strategies as st

from backstory.domain.events import MISSING
from backstory.domain.hooks import HookResult
from backstory.testing.drawing import KEYS, SCOPES, values

__all__ = ["Answer", "DrawnHook", "hooks", "suites"]

_CACHED_S = 2.0


@dataclass(frozen=True)
class Answer:
    """What a hook answers, and when: always, where the value's text is odd in length, where nothing was there."""

    kind: str
    when: str
    scope: str
    key: str
    value: Any
    count: int

    def to(self, context: Any) -> Any:
        """Answer a context, the store's or the model's."""
        seen = context.before if context.after is MISSING else context.after
        if (self.when == "odd" and len(repr(seen)) % 2 == 0) or (self.when == "new" and context.before is not MISSING):
            return None
        return getattr(self, f"_{self.kind}")(context)

    def _proceed(self, _: Any) -> HookResult:
        return HookResult.CONTINUE

    def _wrap(self, context: Any) -> HookResult:
        return HookResult.modified(["wrapped", None if context.after is MISSING else context.after])

    def _same(self, context: Any) -> HookResult:
        return HookResult.modified(None if context.after is MISSING else context.after)

    def _modify(self, _: Any) -> HookResult:
        return HookResult.modified(self.value)

    def _look(self, context: Any) -> HookResult:
        return HookResult.modified([context.read(self.scope, self.key, "absent")])

    def _replace(self, _: Any) -> HookResult:
        return HookResult.replace(self.value)

    def _cancel(self, _: Any) -> HookResult:
        return HookResult.cancel("not now")

    def _skip(self, _: Any) -> HookResult:
        return HookResult.skipped("not mine")

    def _redirect(self, _: Any) -> HookResult:
        return HookResult.redirect(self.scope, self.key)

    def _elsewhere(self, _: Any) -> HookResult:
        return HookResult.redirect(self.scope)

    def _retry(self, context: Any) -> HookResult:
        """Wait for the third attempt, in vain where `count` is less."""
        return HookResult.retry(0.0, self.count) if context.attempt <= 2 else HookResult.CONTINUE  # noqa: PLR2004

    def _fork(self, context: Any) -> HookResult:
        there = (self.scope, self.key)
        asked = [
            ("set", *there, self.value),
            ("delete", self.scope, KEYS[self.count]),
            ("set", *there, context.attempt),
        ]
        return HookResult.fork(asked[: self.count])

    def _cache(self, context: Any) -> HookResult:
        return HookResult.cache("all" if self.count == 1 else f"{context.scope} {context.key}", _CACHED_S)

    def _raise(self, _: Any) -> HookResult:
        raise RuntimeError(self.key)

    def _nonsense(self, _: Any) -> object:
        return self.value


@dataclass(frozen=True)
class DrawnHook:
    """A hook with everything that is said when it is registered; as a hook, what is called."""

    name: str
    point: str
    answer: Answer
    priority: int = 0
    scope: str | None = None
    key: str | None = None
    required: bool = False
    background: bool = False

    def said(self) -> dict[str, Any]:
        """Return what is said of it when it is registered, and in the log."""
        said = {"hook": self.name, "point": self.point, "priority": self.priority, "background": self.background}
        return said | {"required": self.required, "scope": self.scope, "key": self.key, "tags": []}

    def __call__(self, context: Any) -> Any:
        """Answer, as a store's hook."""
        return self.answer.to(context)


_WRITING = (
    "proceed", "wrap", "wrap", "same", "modify", "look", "replace", "cancel", "skip", "redirect", "elsewhere",
    "retry", "fork", "fork", "fork", "cache", "raise", "nonsense",
)  # fmt: skip
_READING = (
    "proceed", "modify", "replace", "cancel", "skip", "redirect", "elsewhere", "retry", "fork", "fork",
    "cache", "cache", "cache", "raise",
)  # fmt: skip
_BEHIND = ("proceed", "skip", "retry", "fork", "fork", "fork", "raise", "modify", "cancel")


def _answers(kinds: tuple[str, ...]) -> st.SearchStrategy[Answer]:
    return st.builds(
        Answer, st.sampled_from(kinds), st.sampled_from(("always", "always", "odd", "new")),
        st.sampled_from(SCOPES), st.sampled_from(KEYS), values, st.integers(1, 3),
    )  # fmt: skip


def _hooks(points: tuple[str, ...], kinds: tuple[str, ...], **more: st.SearchStrategy[Any]) -> Any:
    return st.builds(
        DrawnHook, st.sampled_from(("h1", "h2", "h3")), st.sampled_from(points), _answers(kinds),
        priority=st.sampled_from((0, 0, -1, 5)), scope=st.sampled_from((None, None, None, None, "agent:*", *SCOPES)),
        key=st.sampled_from((None, None, None, None, "a*", "n")), **more,
    )  # fmt: skip


_WRITES = ("before_state_write", "before_state_write", "before_state_delete", "before_state_clear")
_AFTER = ("after_state_write", "after_state_write", "after_state_delete", "after_state_clear")
hooks: st.SearchStrategy[DrawnHook] = st.one_of(
    _hooks(_WRITES, _WRITING, required=st.booleans()),
    _hooks(_WRITES, _WRITING, required=st.booleans()),
    _hooks(("before_state_read",), _READING, required=st.booleans()),
    _hooks(("after_state_read",), _WRITING, background=st.just(value=False)),
    _hooks((*_AFTER, "after_state_read"), _BEHIND, background=st.just(value=True)),
    _hooks(_AFTER, _BEHIND, background=st.booleans()),
)


def _chain(point: str, kinds: tuple[str, ...]) -> st.SearchStrategy[list[DrawnHook]]:
    """Draw hooks that meet at one point: order, and what is passed on, only show there."""
    drawn = _hooks((point,), kinds, required=st.booleans() if point.startswith("before") else st.just(value=False))
    return st.lists(drawn, min_size=2, max_size=4)


_chains = st.sampled_from(
    [("before_state_write", _WRITING)] * 6
    + [("before_state_delete", _WRITING), ("before_state_clear", _WRITING)]
    + [("before_state_read", _READING), ("after_state_read", _WRITING)]
).flatmap(lambda drawn: _chain(*drawn))
suites: st.SearchStrategy[list[DrawnHook]] = st.builds(
    lambda some, more: [replace(hook, name=f"h{number}") for number, hook in enumerate(some + more)],
    _chains, st.lists(hooks, max_size=4),
)  # fmt: skip
