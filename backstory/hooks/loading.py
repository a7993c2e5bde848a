"""Loading hooks that the configuration names: import, make and register them.

Everything that can be wrong is found before the store is opened, and only modules that are allowed are imported. What
the log names is never imported.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from backstory.domain.errors import ConfigError
from backstory.hooks.configured import ConfiguredHook, configured_hooks, naming
from backstory.hooks.registry import Registry


@dataclass(frozen=True, slots=True)
class LoadedHook:
    """A hook that is there, and where it is to hang."""

    hook: Callable[..., Any]
    points: tuple[str, ...]
    arguments: Mapping[str, Any]

    def register(self, register: Callable[..., object]) -> None:
        """Register it at its points with a store's `hooks.register`."""
        for point in self.points:
            register(point, self.hook, **self.arguments)


def load_hooks(table: object) -> list[LoadedHook]:
    """Import and make the hooks of the table `hooks`; raises `ConfigError` that names the key."""
    registry = Registry()
    found = []
    for each in configured_hooks(table):
        hook = _made(each, _imported(each))
        points = each.points or _own_points(each, hook)
        each.check(hook, points, registry)
        found.append(LoadedHook(hook, points, each.arguments))
    return found


def _imported(wanted: ConfiguredHook) -> Any:
    """Return what the configuration names; it must come from where it may, wherever its name stands."""
    key = f"{wanted.place}.hook"
    try:
        module = importlib.import_module(wanted.module)
    except (Exception, SystemExit) as error:
        raise ConfigError(
            f"{key}: importing {wanted.module} failed: {type(error).__name__}: {error}",
            key=key,
            hint="Install what is missing, or correct the module or its name.",
        ) from error
    try:
        found = getattr(module, wanted.attribute)
    except AttributeError as error:
        raise ConfigError(
            f"{key}: {wanted.module} holds no {wanted.attribute}", key=key, hint="Correct the name."
        ) from error
    home = getattr(found, "__module__", None) if inspect.isroutine(found) or inspect.isclass(found) else None
    if home is not None and not wanted.may_come_from(home):
        raise ConfigError(
            f"{key}: {wanted.attribute} is of {home}, which hooks may not come from",
            key=key,
            hint=f'Add "{home}" to hooks.allow, if its code may run here.',
        )
    return found


def _made(wanted: ConfiguredHook, found: Any) -> Callable[..., Any]:
    key = f"{wanted.place}.options"
    if inspect.isclass(found):
        found = _instance(found, wanted.options or {}, key)
    elif wanted.options is not None:
        raise ConfigError(f"{key}: {wanted.hook} is no class", key=key, hint="Leave options out, or name a class.")
    made: Callable[..., Any] = found
    return made


def _instance(kind: type, options: Mapping[str, Any], key: str) -> Any:
    try:
        with naming(key):
            return kind(**options)
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(
            f"{key}: {kind.__name__} cannot be made: {type(error).__name__}: {error}",
            key=key,
            hint="Give the keyword arguments that the class takes.",
        ) from error


def _own_points(wanted: ConfiguredHook, hook: Any) -> tuple[str, ...]:
    points = getattr(hook, "points", None)
    if not isinstance(points, tuple) or not points:
        key = f"{wanted.place}.point"
        raise ConfigError(
            f"{key} is missing, and {wanted.hook} does not say where it belongs",
            key=key,
            hint='Write one, such as point = "before_state_write".',
        )
    return points


__all__ = ["LoadedHook", "load_hooks"]
