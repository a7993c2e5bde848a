"""Topics: which class a stored text may name.

`eventsourcing` imports whatever module a topic names, and makes an object of whatever class it
finds there. A log's bytes must not decide what a process imports, so the log's mappers ask
here first.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, Final

from eventsourcing import utils
from eventsourcing.domain import BaseAggregate, HasOriginatorIDVersion
from eventsourcing.utils import TopicError, get_topic

from backstory.domain.errors import BackstoryError


class UnregisteredTopicError(BackstoryError, TopicError):
    """A stored event names a class that this process may not make an object of."""

    def __init__(self, topic: str, *, hint: str) -> None:
        """Take the topic, and what to do about it."""
        self.topic = topic
        super().__init__(f"topic {topic!r} is not resolved", hint=hint)


class Topics:
    """Topics that `find` knows, and that name a domain event or an aggregate."""

    def __init__(self, find: Callable[[str], object], *, hint: str) -> None:
        self._find = find
        self._hint = hint
        self._events: set[str] = set()
        self._aggregates: set[str] = set()

    def check_event(self, topic: str) -> None:
        """Raise `UnregisteredTopicError` unless a topic names a known class of domain events."""
        if topic not in self._events:
            self._refuse_unless(_is_event(self._find(topic)), topic)
            self._events.add(topic)

    def check_aggregate(self, topic: str) -> None:
        """Raise `UnregisteredTopicError` unless a topic names a known class of aggregates."""
        if topic not in self._aggregates:
            self._refuse_unless(_is_a(self._find(topic), BaseAggregate), topic)
            self._aggregates.add(topic)

    def _refuse_unless(self, known: bool, topic: str) -> None:  # noqa: FBT001 - told in the name
        if not known:
            raise UnregisteredTopicError(topic, hint=self._hint)


class Registry(Topics):
    """Topics that were registered one by one: for what knows all its classes, as Backstory itself does."""

    def __init__(self) -> None:
        self._classes: dict[str, type] = {}
        super().__init__(self._classes.get, hint="Register the class that the topic belongs to.")

    def register(self, *classes: type) -> None:
        """Let the topics of these classes, and of the classes defined inside them, resolve."""
        for cls in classes:
            self._classes[get_topic(cls)] = cls
            inner = (value for value in vars(cls).values() if isinstance(value, type))
            self.register(*(value for value in inner if value.__qualname__.startswith(f"{cls.__qualname__}.")))


def find_loaded(topic: str) -> object:
    """Return what a topic names in modules that are already imported, or that `register_topic` made known; or None."""
    known: Mapping[str, Any] = utils._topic_cache  # noqa: SLF001 - no public function asks without importing
    if topic in known:
        return known[topic]
    module, _, path = topic.partition(":")
    names = path.split(".") if path else []
    for count in range(len(names) - 1, 0, -1):
        outer = known.get(f"{module}:{'.'.join(names[:count])}")
        if outer is not None:
            return _inside(outer, names[count:])
    return _inside(_module(module, known), names)


def _module(name: str, known: Mapping[str, Any]) -> object:
    if name in known:
        return known[name]
    parts = name.split(".")
    for count in range(len(parts) - 1, 0, -1):
        outer = known.get(".".join(parts[:count]))
        if isinstance(outer, ModuleType):
            name = ".".join([outer.__name__, *parts[count:]])
            break
    return sys.modules.get(name)


def _inside(outer: object, names: list[str]) -> object:
    """Return the attribute of an attribute; of a module only what it has, for it may import what it is asked for."""
    for name in names:
        outer = vars(outer).get(name) if isinstance(outer, ModuleType) else getattr(outer, name, None)
    return outer


def _is_event(found: object) -> bool:
    if _is_a(found, HasOriginatorIDVersion):
        return True
    bases = found.__mro__ if isinstance(found, type) else ()
    return any("originator_id" in vars(base).get("__annotations__", ()) for base in bases)


def _is_a(found: object, base: type) -> bool:
    return isinstance(found, type) and issubclass(found, base)


LOADED: Final = Topics(
    find_loaded,
    hint="Import the module of its class first; for a class that moved, call `eventsourcing.utils.register_topic`.",
)
"""What the process has imported: right for applications, whose classes are there before their events are read."""

OWN: Final = Registry()
"""Backstory's own aggregates and their events."""
