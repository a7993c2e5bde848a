"""The registry: which hooks hang where, and which of them an operation meets, in their order."""

from __future__ import annotations

import functools
import hashlib
import inspect
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from backstory.domain.breaker import Breaker, Circuit
from backstory.domain.durations import seconds
from backstory.domain.errors import InvalidValueError, shown
from backstory.domain.hooks import HookPoint, hook_point
from backstory.domain.keys import match_keys
from backstory.domain.scopes import Scope
from backstory.domain.selection import fits_scope, key_pattern, scope_pattern
from backstory.hooks.telling import described

Hook = Callable[..., Any]
_LONGEST_NAME: Final = 200


@dataclass(frozen=True, slots=True)
class HookInfo:
    """A registered hook. `scope` and `key` are the patterns that it is limited to; `circuit` is its breaker's state."""

    name: str
    point: str
    priority: int
    background: bool
    scope: str | None
    key: str | None
    tags: tuple[str, ...]
    enabled: bool
    required: bool
    timeout_s: float | None
    circuit: str | None


@dataclass(slots=True, eq=False)
class Registration:
    """A hook at a point, with everything that was said of it."""

    name: str
    point: HookPoint
    hook: Hook
    priority: int
    order: int
    background: bool
    timeout_s: float | None
    required: bool
    scope: str | None
    key: str | None
    tags: tuple[str, ...]
    circuit: Circuit | None
    asynchronous: bool
    enabled: bool = True
    announced: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def fits(self, stream: str | None, key: str | None) -> bool:
        """Return whether an operation there is one that the hook is limited to."""
        if self.scope is not None and (stream is None or not fits_scope(self.scope, stream)):
            return False
        return self.key is None or (key is not None and match_keys(self.key, key))

    def info(self) -> HookInfo:
        """Return what users see of it."""
        return HookInfo(
            self.name,
            self.point.name,
            self.priority,
            self.background,
            self.scope,
            self.key,
            self.tags,
            self.enabled,
            self.required,
            self.timeout_s,
            None if self.circuit is None else self.circuit.state,
        )

    def as_data(self) -> dict[str, Any]:
        """Return what `hook.registered` records: enough to see later that the hook was another one then."""
        return {
            "hook": self.name,
            "point": self.point.name,
            "priority": self.priority,
            "background": self.background,
            "required": self.required,
            "timeout_s": self.timeout_s,
            "scope": self.scope,
            "key": self.key,
            "tags": list(self.tags),
            "code": code_of(self.hook),
        }


class Registry:
    """Hooks by point. Readers look at tuples that are replaced whole, so that nobody waits for anybody."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0
        self._at: dict[str, tuple[Registration, ...]] = {}
        #: Whether any hook stands in the path of writes, of reads, and behind writes.
        self.before_writes = False
        self.reads = False
        self.after_writes = False
        self.background: dict[str, tuple[Registration, ...]] = {}

    def add(
        self,
        point: object,
        hook: object,
        *,
        name: str | None,
        priority: int,
        background: bool | None,
        timeout_s: float | None,
        required: bool,
        scope: Scope | str | None,
        key: str | None,
        tags: Iterable[str],
        breaker: Breaker | bool,
        default: Breaker,
    ) -> Registration:
        """Register a hook; raises `InvalidValueError` and, for a scope, `InvalidScopeError`."""
        where = hook_point(point)
        if not callable(hook) or inspect.isclass(hook):
            raise InvalidValueError(
                "hook", rule=f"cannot be called: {described(hook)}", hint="Give a function, or an object with __call__."
            )
        if not where.state and (scope is not None or key is not None):
            raise InvalidValueError(
                "scope" if key is None else "key",
                rule=f"{where.name} is fired for no scope and no key",
                hint="Leave `scope` and `key` out here, and have the hook look at `context.after`.",
            )
        later = where.after if background is None else _flag("background", background)
        settings = default if breaker is True else breaker
        _check(where, background=later, required=required, priority=priority, timeout_s=timeout_s)
        circuit = None if settings is False else Circuit(_breaker(settings))
        with self._lock:
            self._count += 1
            made = Registration(
                self._name(hook, name, where),
                where,
                hook,
                priority,
                self._count,
                later,
                timeout_s,
                _flag("required", required),
                None if scope is None else scope_pattern(scope),
                None if key is None else key_pattern(key),
                _tags(tags),
                circuit,
                _asynchronous(hook),
            )
            there = (*self._at.get(where.name, ()), made)
            self._at[where.name] = tuple(sorted(there, key=lambda each: (each.priority, each.order)))
            self._look()
        return made

    def _name(self, hook: Hook, given: str | None, where: HookPoint) -> str:
        taken = {each.name for each in self._at.get(where.name, ())}
        if given is not None:
            name = _checked_name(given)
            if name in taken:
                raise InvalidValueError(
                    "name",
                    rule=f"{name!r} is registered at {where.name} already",
                    hint="Choose another name, or unregister that hook first.",
                )
            return name
        base = _checked_name(_derived(hook))
        name, number = base, 1
        while name in taken:
            number += 1
            name = f"{base}-{number}"
        return name

    def remove(self, wanted: Registration | str) -> int:
        """Take a hook, or all of a name, away; return how many there were."""
        with self._lock:
            count = 0
            for point, there in list(self._at.items()):
                left = tuple(each for each in there if each is not wanted and each.name != wanted)
                count += len(there) - len(left)
                self._at[point] = left
            self._look()
        return count

    def switch(self, registration: Registration, *, enabled: bool) -> None:
        """Let a hook run, or not."""
        with self._lock:
            registration.enabled = enabled
            self._look()

    def _look(self) -> None:
        """Note what is there at all: most operations ask no more than this."""
        on = {point: [each for each in there if each.enabled] for point, there in self._at.items()}
        path = [f"before_state_{verb}" for verb in ("write", "delete", "clear")]
        behind = [f"after_state_{verb}" for verb in ("write", "delete", "clear")]
        self.before_writes = any(on.get(point) for point in path)
        self.after_writes = any(on.get(point) for point in behind)
        self.reads = any(on.get(point) for point in ("before_state_read", "after_state_read"))
        self.background = {
            point: tuple(each for each in there if each.background)
            for point, there in on.items()
            if any(each.background for each in there)
        }

    @property
    def any(self) -> bool:
        """Whether there is any hook."""
        return any(self._at.values())

    def all(self) -> list[Registration]:
        """Return every hook, by point and in order."""
        return [each for point in sorted(self._at) for each in self._at[point]]

    def named(self, name: str) -> list[Registration]:
        """Return the hooks of a name."""
        return [each for each in self.all() if each.name == name]

    def at(self, point: str, inside: Sequence[str] = ()) -> tuple[Registration, ...]:
        """Return the hooks that run at a point, in order: those that are on, without those inside whose run we are.

        So a hook is not run for what it writes itself, and no two can call each other for ever.
        """
        there = self._at.get(point, ())
        return tuple(each for each in there if each.enabled and each.name not in inside) if there else ()


def _flag(path: str, given: object) -> bool:
    if not isinstance(given, bool):
        raise InvalidValueError(path, rule=f"is no bool: {shown(given)}", hint="Give True or False.")
    return given


def _check(where: HookPoint, *, background: bool, required: bool, priority: object, timeout_s: object) -> None:
    if background and not where.after and where.name.startswith("before_"):
        raise InvalidValueError(
            "background", rule="before-hooks run in the operation's path", hint="Register it at the `after_` point."
        )
    if required and (where.after or background):
        raise InvalidValueError(
            "required",
            rule="what is done already cannot be refused any more",
            hint="Register the hook at the `before_` point, or without `required`.",
        )
    if isinstance(priority, bool) or not isinstance(priority, int):
        raise InvalidValueError("priority", rule=f"is no whole number: {shown(priority)}", hint="Lower runs first.")
    check_span(timeout_s)


def check_span(timeout_s: object, *, least: int = 1) -> None:
    """Raise `InvalidValueError` unless a timeout is None or seconds: above 0, or with `least=0` from 0 on."""
    if timeout_s is not None:
        seconds("timeout_s", timeout_s, above=least > 0, hint=", or None for no bound")


def _breaker(given: object) -> Breaker:
    if not isinstance(given, Breaker):
        raise InvalidValueError(
            "breaker", rule=f"is no Breaker: {shown(given)}", hint="Give a Breaker, or False for none at all."
        )
    return given


def _checked_name(name: object) -> str:
    if not isinstance(name, str) or not 1 <= len(name) <= _LONGEST_NAME or not name.isprintable():
        raise InvalidValueError(
            "name",
            rule=f"is no name for a hook: {shown(name)}",
            hint=f"Give 1 to {_LONGEST_NAME} printable characters.",
        )
    Scope.hook(name)
    return name


def _derived(hook: Any) -> str:
    """Return a hook's own name, or its function's, or its class's."""
    own = getattr(hook, "name", None)
    if isinstance(own, str) and own:
        return own
    while isinstance(hook, functools.partial):
        hook = hook.func
    name = getattr(hook, "__name__", None) or type(hook).__name__
    return "lambda" if name == "<lambda>" else str(name)


def _asynchronous(hook: Any) -> bool:
    while isinstance(hook, functools.partial):
        hook = hook.func
    return inspect.iscoroutinefunction(hook) or inspect.iscoroutinefunction(getattr(hook, "__call__", None))  # noqa: B004


def _tags(given: object) -> tuple[str, ...]:
    tags = (given,) if isinstance(given, str) else tuple(given) if isinstance(given, Iterable) else (given,)
    for tag in tags:
        if not isinstance(tag, str) or not tag or not tag.isprintable():
            raise InvalidValueError("tags", rule=f"{shown(tag)} is no tag", hint="Give printable texts, as a list.")
    return tags


def code_of(hook: Any) -> str | None:
    """Return a digest of a hook's code, equal for equal code wherever it stands; None where there is none."""
    while isinstance(hook, functools.partial):
        hook = hook.func
    if not inspect.isroutine(hook):
        hook = type(hook).__call__
    code = getattr(inspect.unwrap(hook), "__code__", None) or getattr(getattr(hook, "__func__", None), "__code__", None)
    return None if code is None else hashlib.sha256(_text_of(code).encode()).hexdigest()[:32]


def _text_of(code: Any) -> str:
    constants = [_text_of(each) if hasattr(each, "co_code") else repr(each) for each in code.co_consts]
    return repr((code.co_code.hex(), constants, code.co_names, code.co_varnames, code.co_freevars))
