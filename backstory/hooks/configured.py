"""Hooks in the configuration: the table `[hooks]`, checked as far as that goes without importing anything.

[hooks]
allow = ["my_agent.hooks"]              modules, and what is below them, that hooks may come from
[[hooks.load]]
hook = "my_agent.hooks:check_price"     a function, an object, or a class that `options` are for
point = "before_state_write"            or several; left out, those that the hook says it is made for
name, priority, background, timeout_s, required, scope, key, tags, breaker: as `store.hooks.register` takes them
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from keyword import iskeyword
from typing import Any, Final

from backstory.domain.breaker import Breaker
from backstory.domain.errors import (
    BackstoryError,
    ConfigError,
    InvalidKeyError,
    InvalidScopeError,
    InvalidValueError,
    shown,
)
from backstory.domain.hooks import hook_point
from backstory.hooks.registry import Registry

#: Where hooks may come from without being allowed.
OURS: Final = "backstory.hooks.builtin"

_TABLE: Final = ("allow", "load")
_ARGUMENTS: Final = (
    "name",
    "priority",
    "background",
    "timeout_s",
    "required",
    "scope",
    "key",
    "tags",
    "breaker",
)
_FIELDS: Final = ("hook", "point", "options", *_ARGUMENTS)
_DEFAULTS: Final[Mapping[str, Any]] = {
    "name": None,
    "priority": 0,
    "background": None,
    "timeout_s": None,
    "required": False,
    "scope": None,
    "key": None,
    "tags": (),
    "breaker": True,
}
_BREAKER: Final = Breaker()


@dataclass(frozen=True, slots=True)
class ConfiguredHook:
    """An entry of `hooks.load`, `place` its key. `points` is None where the hook itself says which it is for."""

    place: str
    module: str
    attribute: str
    points: tuple[str, ...] | None
    options: Mapping[str, Any] | None
    arguments: Mapping[str, Any]
    allowed: tuple[str, ...]

    @property
    def hook(self) -> str:
        """Where the hook is found: `module:attribute`."""
        return f"{self.module}:{self.attribute}"

    def may_come_from(self, module: str) -> bool:
        """Return whether a module is one that hooks may come from."""
        return any(module == name or module.startswith(f"{name}.") for name in self.allowed)

    def check(self, hook: Any, points: tuple[str, ...], registry: Registry) -> None:
        """Register the hook where nothing comes of it; raises the `ConfigError` that names what is wrong."""
        for point in points:
            with naming(self.place):
                registry.add(point, hook, **self.arguments, default=_BREAKER)


def configured_hooks(table: object) -> list[ConfiguredHook]:
    """Return the entries of the table `hooks`; raises `ConfigError` that names the key."""
    if table is None:
        return []
    if not isinstance(table, Mapping):
        raise ConfigError(
            f"hooks is {shown(table)}, not a table", key="hooks", hint="Write [hooks] and [[hooks.load]]."
        )
    _refuse_unknown(table, "hooks", _TABLE)
    allowed = (OURS, *_modules(table.get("allow", [])))
    entries = table.get("load", [])
    if not isinstance(entries, list):
        raise ConfigError("hooks.load is no list of tables", key="hooks.load", hint="Write [[hooks.load]] for each.")
    return [_entry(entry, f"hooks.load[{number}]", allowed) for number, entry in enumerate(entries)]


def _refuse_unknown(table: Mapping[Any, Any], place: str, known: tuple[str, ...]) -> None:
    for name in table:
        if name not in known:
            raise ConfigError(
                f"{place}.{name} is unknown",
                key=f"{place}.{name}",
                hint="Known: " + ", ".join(sorted(known)) + ".",
            )


def _modules(given: object) -> Iterator[str]:
    if not isinstance(given, (list, tuple)):
        raise ConfigError("hooks.allow is no list", key="hooks.allow", hint='Write allow = ["my_agent.hooks"].')
    for number, name in enumerate(given):
        if not isinstance(name, str) or not _is_dotted(name):
            raise ConfigError(
                f"hooks.allow[{number}] is no module's name: {shown(name)}",
                key=f"hooks.allow[{number}]",
                hint='Write it as "my_agent.hooks"; what is below a module is allowed with it.',
            )
        yield name


def _is_dotted(name: str) -> bool:
    return all(part.isidentifier() and not iskeyword(part) for part in name.split("."))


def _entry(entry: object, place: str, allowed: tuple[str, ...]) -> ConfiguredHook:
    if not isinstance(entry, Mapping):
        raise ConfigError(f"{place} is no table: {shown(entry)}", key=place, hint="Write [[hooks.load]] for each hook.")
    _refuse_unknown(entry, place, _FIELDS)
    module, attribute = _path(entry.get("hook"), f"{place}.hook")
    arguments = {name: entry.get(name, default) for name, default in _DEFAULTS.items()}
    arguments["tags"] = _tags(arguments["tags"], f"{place}.tags")
    arguments["breaker"] = _breaker(arguments["breaker"], f"{place}.breaker")
    found = ConfiguredHook(
        place,
        module,
        attribute,
        _points(entry["point"], f"{place}.point") if "point" in entry else None,
        _options(entry.get("options"), f"{place}.options"),
        arguments,
        allowed,
    )
    if not found.may_come_from(module):
        raise ConfigError(
            f"{place}.hook is in {module}, which hooks may not come from",
            key=f"{place}.hook",
            hint=f'Add "{module}" to hooks.allow, if its code may run here.',
        )
    found.check(_stand_in, found.points or (), Registry())
    return found


def _stand_in(_: object) -> None:
    """Stand for a hook while its arguments are checked."""


def _path(given: object, place: str) -> tuple[str, str]:
    """Return the module and the name of `module:name` or `module.name`."""
    if isinstance(given, str):
        module, _, attribute = given.partition(":") if ":" in given else given.rpartition(".")
        if _is_dotted(module) and _is_dotted(attribute) and "." not in attribute:
            return module, attribute
    what = "is missing" if given is None else f"is no path of a hook: {shown(given)}"
    raise ConfigError(f"{place} {what}", key=place, hint='Write it as "my_agent.hooks:check_price".')


def _points(given: object, place: str) -> tuple[str, ...]:
    points = (given,) if isinstance(given, str) else tuple(given) if isinstance(given, (list, tuple)) else ()
    if not points:
        raise ConfigError(f"{place} is no point", key=place, hint='Write one, such as "before_state_write", or a list.')
    with naming(place.rpartition(".")[0]):
        return tuple(hook_point(point).name for point in points)


def _options(given: object, place: str) -> Mapping[str, Any] | None:
    if given is not None and not (isinstance(given, Mapping) and all(isinstance(name, str) for name in given)):
        raise ConfigError(f"{place} is no table: {shown(given)}", key=place, hint="Write options = {limit = 5}.")
    return given


def _tags(given: object, place: str) -> tuple[str, ...]:
    if not isinstance(given, (list, tuple)) or not all(isinstance(tag, str) for tag in given):
        raise ConfigError(f"{place} is no list of texts: {shown(given)}", key=place, hint='Write tags = ["prices"].')
    return tuple(given)


def _breaker(given: object, place: str) -> Breaker | bool:
    if isinstance(given, bool):
        return given
    if not isinstance(given, Mapping):
        raise ConfigError(
            f"{place} is no table and no bool: {shown(given)}", key=place, hint="Write false, or {failures = 3}."
        )
    _refuse_unknown(given, place, tuple(Breaker.__dataclass_fields__))
    with naming(place):
        return Breaker(**given)


@contextmanager
def naming(place: str) -> Iterator[None]:
    """Turn a refusal of a value into a `ConfigError` that names the key, below this place, that it came from."""
    try:
        yield
    except (InvalidValueError, InvalidScopeError, InvalidKeyError) as error:
        key = f"{place}.{_field_of(error)}"
        what = error.rule if isinstance(error, InvalidValueError) else error.message
        raise ConfigError(f"{key}: {what}", key=key, hint=error.hint) from error


def _field_of(error: BackstoryError) -> str:
    if isinstance(error, InvalidValueError):
        return error.path
    return "scope" if isinstance(error, InvalidScopeError) else "key"


__all__ = ["OURS", "ConfiguredHook", "configured_hooks", "naming"]
