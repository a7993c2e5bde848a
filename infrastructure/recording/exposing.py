"""Exposing factories: `PERSISTENCE_MODULE` names an engine's package and looks into its `__dict__`.

A package that imported its factory would make everybody who opens a store import `eventsourcing`
(30 ms). So the factory is imported when somebody looks.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any, Final

_NAME: Final = "Factory"
_own_names: Final = vars(ModuleType)["__dict__"].__get__


class _PersistenceModule(ModuleType):
    """A package whose `__dict__` holds the `Factory` of its module `factory`."""

    @property
    def __dict__(self) -> dict[str, Any]:  # type: ignore[override]
        names: dict[str, Any] = _own_names(self)
        if _NAME not in names:
            names[_NAME] = getattr(import_module(f"{self.__name__}.factory"), _NAME)
        return names

    def __getattr__(self, name: str) -> Any:
        if name == _NAME:
            return self.__dict__[_NAME]
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")


def expose_factory(package: str) -> None:
    """Let a package be named as `PERSISTENCE_MODULE`."""
    sys.modules[package].__class__ = _PersistenceModule
