"""Hooks: the points they hang on, what they may answer, and the one table of what each answer does."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Final, Literal, NamedTuple, final

from backstory.domain.durations import YEAR_S, seconds
from backstory.domain.errors import InvalidValueError, shown
from backstory.domain.events import MISSING
from backstory.domain.keys import normalise_key
from backstory.domain.scopes import Scope, as_scope

Kind = Literal["continue", "modified", "cancel", "redirect", "replace", "retry", "fork", "cache", "skipped"]
Stage = Literal["write", "delete", "clear", "read", "answer", "fired", "after"]
Effect = Literal["next", "value", "final", "cancel", "target", "again", "join", "cache"]
Operation = tuple[Literal["set"], Scope, str, Any] | tuple[Literal["delete"], Scope, str]

FAMILIES: Final = ("agent", "tool", "workflow", "session", "migration", "backup")
STATE_VERBS: Final = ("read", "write", "delete", "clear")
_LONGEST_NAME: Final = 128
_OWN: Final = re.compile(rf"(before|after)_({'|'.join(FAMILIES)})_[a-z][a-z0-9_]*")

HOOK_REGISTERED: Final = "hook.registered"
HOOK_EXECUTED: Final = "hook.executed"
HOOK_FAILED: Final = "hook.failed"
HOOK_COMPACTED: Final = "hook.compacted"

#: The aggregation rule, all of it: what an answer does at a stage. What is not here is nonsense there, and a failure.
#:   next    the next hook runs                        final   this is the value, and no more hooks run
#:   value   the next hook and the operation get it    cancel  no more hooks run, and the operation is refused
#:   target  the operation goes on with another key    again   after a delay everything begins anew, so many times
#:   join    these operations join the same commit     cache   the answer is kept, and later reads get it
RULES: Final[Mapping[Kind, Mapping[Stage, Effect]]] = MappingProxyType(
    {
        "continue": dict.fromkeys(("write", "delete", "clear", "read", "answer", "fired", "after"), "next"),
        "skipped": dict.fromkeys(("write", "delete", "clear", "read", "answer", "fired", "after"), "next"),
        "modified": dict.fromkeys(("write", "answer", "fired"), "value"),
        "replace": dict.fromkeys(("write", "read", "answer", "fired"), "final"),
        "cancel": dict.fromkeys(("write", "delete", "clear", "read", "answer", "fired"), "cancel"),
        "redirect": dict.fromkeys(("write", "delete", "clear", "read"), "target"),
        "retry": dict.fromkeys(("write", "delete", "clear", "read", "answer", "fired", "after"), "again"),
        "fork": dict.fromkeys(("write", "delete", "clear", "read", "answer", "fired", "after"), "join"),
        "cache": {"read": "cache"},
    }
)


class HookPoint(NamedTuple):
    """A point, taken apart. `verb` is read, write, delete or clear at state's points, else empty."""

    name: str
    after: bool
    verb: str

    @property
    def state(self) -> bool:
        """Whether the store itself fires it when state is read or changed."""
        return bool(self.verb)

    def stage(self, *, background: bool) -> Stage:
        """Return the column of the table that answers here fall under."""
        if background:
            return "after"
        if not self.state:
            return "fired"
        if not self.after:
            return self.verb  # type: ignore[return-value]
        return "answer" if self.verb == "read" else "after"


def hook_point(name: object) -> HookPoint:
    """Return the point of this name; raises `InvalidValueError`."""
    found = _POINTS.get(name) if isinstance(name, str) else None
    if found is not None:
        return found
    if isinstance(name, str) and len(name) <= _LONGEST_NAME:
        if name.startswith("custom:") and len(name) > len("custom:") and name.isprintable():
            return HookPoint(name, after=False, verb="")
        if _OWN.fullmatch(name):
            return HookPoint(name, after=name.startswith("after_"), verb="")
    raise InvalidValueError(
        "point",
        rule=f"is no point that hooks hang on: {shown(name)}",
        hint=f"Use one of {', '.join(_POINTS)}; `before_` or `after_` with one of {', '.join(FAMILIES)} and what "
        "happens to it, such as `before_agent_save`; or `custom:<name>`.",
    )


_POINTS: Final = {
    f"{when}_state_{verb}": HookPoint(f"{when}_state_{verb}", after=when == "after", verb=verb)
    for verb in STATE_VERBS
    for when in ("before", "after")
}


@final
@dataclass(frozen=True, slots=True)
class HookResult:
    """What a hook answers. Make one with `CONTINUE` or a constructor; `None` from a hook is `CONTINUE` too.

    Which parts are set depends on the kind; the rest is None (`value`: `MISSING`).
    """

    kind: Kind
    value: Any = MISSING
    reason: str | None = None
    scope: Scope | None = None
    key: str | None = None
    delay_s: float | None = None
    max_attempts: int | None = None
    ttl_s: float | None = None
    operations: tuple[Operation, ...] = ()

    CONTINUE: ClassVar[HookResult]

    def __post_init__(self) -> None:
        """Refuse a result that lacks a part of its kind, however it is made: `InvalidValueError`."""
        if not isinstance(self.kind, str) or self.kind not in RULES:
            raise InvalidValueError(
                "kind", rule=f"is no kind of result: {shown(self.kind)}", hint=f"Use one of {', '.join(RULES)}."
            )
        check = _CHECKS.get(self.kind)
        if check is not None:
            check(self)

    @classmethod
    def modified(cls, value: Any) -> HookResult:
        """Go on with another value: the next hook sees it, and the operation writes or answers it."""
        return cls("modified", value)

    @classmethod
    def replace(cls, value: Any) -> HookResult:
        """End the chain: this is what is written, or what a read is answered with."""
        return cls("replace", value)

    @classmethod
    def cancel(cls, reason: str) -> HookResult:
        """Refuse the operation; the caller gets `HookCancelledError` with the reason."""
        return cls("cancel", reason=reason)

    @classmethod
    def skipped(cls, reason: str) -> HookResult:
        """Say that this hook left the operation alone, and why."""
        return cls("skipped", reason=reason)

    @classmethod
    def redirect(cls, scope: Scope | str, key: str | None = None) -> HookResult:
        """Go on with another scope, and another key where one is given; a clear has no key to redirect."""
        return cls("redirect", scope=as_scope(scope), key=None if key is None else normalise_key(key))

    @classmethod
    def retry(cls, delay_s: float, max_attempts: int) -> HookResult:
        """Begin the operation anew after a delay in seconds; give up with `HookError` after so many attempts in all."""
        return cls("retry", delay_s=seconds("delay_s", delay_s, most=YEAR_S), max_attempts=max_attempts)

    @classmethod
    def fork(cls, operations: Sequence[Sequence[Any]]) -> HookResult:
        """Have these join the operation's commit: `("set", scope, key, value)` and `("delete", scope, key)`."""
        if isinstance(operations, str) or not isinstance(operations, Sequence):
            raise InvalidValueError("operations", rule="is no list", hint=_OPERATIONS)
        return cls("fork", operations=tuple(_operation(each, at) for at, each in enumerate(operations)))

    @classmethod
    def cache(cls, key: str, ttl_s: float) -> HookResult:
        """Answer this read from what an earlier one left under `key`; else read, and keep the answer for `ttl_s`."""
        return cls("cache", key=key, ttl_s=seconds("ttl_s", ttl_s, most=YEAR_S, above=True))

    def as_data(self) -> dict[str, Any]:
        """Return the result as hook events record it."""
        data: dict[str, Any] = {"kind": self.kind}
        if self.value is not MISSING:
            data["value"] = self.value
        if self.scope is not None:
            data["scope"] = str(self.scope)
        for name in ("reason", "key", "delay_s", "max_attempts", "ttl_s"):
            if (part := getattr(self, name)) is not None:
                data[name] = part
        if self.kind == "fork":
            data["operations"] = [[verb, str(scope), *rest] for verb, scope, *rest in self.operations]
        return data

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> HookResult:
        """Return the result that `as_data` described."""
        kind = data["kind"]
        if kind == "continue":
            return cls.CONTINUE
        if kind == "fork":
            return cls.fork(data["operations"])
        parts = {name: part for name, part in data.items() if name not in {"kind", "hit"}}
        made: HookResult = getattr(cls, kind)(**parts)
        return made


_OPERATIONS: Final = 'Give a list of ("set", scope, key, value) and ("delete", scope, key).'
_LENGTHS: Final = {"set": 4, "delete": 3}


def _operation(given: object, at: int) -> Operation:
    path = f"operations[{at}]"
    if not isinstance(given, Sequence) or isinstance(given, str) or not given:
        raise InvalidValueError(path, rule="is no operation", hint=_OPERATIONS)
    verb, *rest = given
    if not isinstance(verb, str) or _LENGTHS.get(verb) != len(given):
        raise InvalidValueError(path, rule=f"is no operation: {shown(verb)} with {len(rest)} parts", hint=_OPERATIONS)
    return (verb, as_scope(rest[0]), normalise_key(rest[1]), *rest[2:])


def _text(path: str, given: object) -> str:
    if not isinstance(given, str) or not given:
        raise InvalidValueError(path, rule=f"is no text: {shown(given)}", hint="Give a non-empty str.")
    try:
        given.encode()
    except UnicodeEncodeError as error:
        raise InvalidValueError(path, rule="holds a lone surrogate", hint="Give valid Unicode text.") from error
    return given


def _check_value(result: HookResult) -> None:
    if result.value is MISSING:
        raise InvalidValueError(
            "value", rule="is MISSING", hint="Give a value; `cancel` refuses an operation, and None is a value too."
        )


def _check_reason(result: HookResult) -> None:
    _text("reason", result.reason)


def _check_redirect(result: HookResult) -> None:
    if not isinstance(result.scope, Scope) or (result.key is not None and normalise_key(result.key) != result.key):
        raise InvalidValueError("scope", rule="is no place", hint="Use `HookResult.redirect(scope, key)`.")


def _check_retry(result: HookResult) -> None:
    seconds("delay_s", result.delay_s, most=YEAR_S)
    count = result.max_attempts
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise InvalidValueError("max_attempts", rule=f"is no count: {shown(count)}", hint="Give 1 or more.")


def _check_fork(result: HookResult) -> None:
    for at, each in enumerate(result.operations):
        _, scope, key, *_ = _operation(each, at)
        if (scope, key) != tuple(each[1:3]) or not isinstance(each[1], Scope):
            raise InvalidValueError(f"operations[{at}]", rule="is not checked", hint="Use `HookResult.fork`.")


def _check_cache(result: HookResult) -> None:
    _text("key", result.key)
    seconds("ttl_s", result.ttl_s, most=YEAR_S, above=True)


_CHECKS: Final[Mapping[str, Callable[[HookResult], None]]] = {
    "modified": _check_value,
    "replace": _check_value,
    "cancel": _check_reason,
    "skipped": _check_reason,
    "redirect": _check_redirect,
    "retry": _check_retry,
    "fork": _check_fork,
    "cache": _check_cache,
}
HookResult.CONTINUE = HookResult("continue")


def effect_of(result: HookResult, stage: Stage) -> Effect:
    """Return what an answer does at a stage; raises `InvalidValueError` where it is nonsense."""
    effect = RULES[result.kind].get(stage)
    if effect is None or (effect == "target" and stage == "clear" and result.key is not None):
        raise InvalidValueError(
            "result",
            rule=f"`{result.kind}` does nothing here" if effect is None else "names a key, and a clear has none",
            hint="The table of results in docs/hooks.md says which result does what at which point.",
        )
    return effect
