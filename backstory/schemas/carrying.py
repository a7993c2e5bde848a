"""Carrying: a value from one version of its schema to another, and what was generated on the way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from backstory import transforms
from backstory.domain.errors import BackstoryError, MigrationError
from backstory.domain.events import from_micros
from backstory.domain.transformers import TransformContext
from backstory.domain.transforms import Transform
from backstory.infrastructure.clock import new_id
from backstory.infrastructure.codec import encode_value as _encode


class Generated:
    """What transformers take from outside, kept in order: an event that rests on it says so."""

    __slots__ = ("_now_us", "given")

    def __init__(self, now_us: Callable[[], int]) -> None:
        self._now_us = now_us
        self.given: list[dict[str, Any]] = []

    def now(self) -> datetime:
        """Return the time, aware UTC."""
        found = from_micros(self._now_us())
        self.given.append({"kind": "now", "value": found})
        return found

    def uuid(self) -> UUID:
        """Return an id that nobody else was given."""
        found = UUID(bytes=new_id())
        self.given.append({"kind": "uuid", "value": found})
        return found

    def encoded(self) -> bytes:
        """Return what was given as `codec.encode_value` has it, without the walk; nothing where nothing was given."""
        if not self.given:
            return b""
        parts = [b'{"kind":"%b","value":%b}' % (each["kind"].encode(), _encode(each["value"])) for each in self.given]
        return b"[%b]" % b",".join(parts)


class Carrier:
    """The steps from one version to another, compiled once. Raises `MigrationError` where they cannot be."""

    def __init__(self, steps: Sequence[Sequence[Transform]]) -> None:
        try:
            self._steps: Final = [transforms.compile(step).apply_in_place for step in steps]
        except BackstoryError as error:
            raise MigrationError(
                f"the transforms cannot be made ready: {error.message}",
                hint="Import the module that registers the transformer, or install the package that offers it.",
            ) from error

    @classmethod
    def of_documents(cls, steps: Sequence[Any]) -> Carrier:
        """Return the carrier of steps as they stand in the log."""
        return cls([transforms.from_documents(step) for step in steps])

    def carry(self, value: Any, context: TransformContext) -> Any:
        """Return what becomes of a value that is nobody else's.

        Raises `CarryingError` for a value that cannot be carried.
        """
        for number, step in enumerate(self._steps):
            try:
                value = step(value, context)
            except MigrationError as error:
                raise CarryingError(number, error.path, error.message) from error
            except Exception as error:  # a transformer of the caller's may raise anything
                raise CarryingError(number, None, f"{type(error).__name__}: {error}") from error
        return value


class CarryingError(Exception):
    """A value could not be carried: the number of the step, the path in the value, and why."""

    def __init__(self, step: int, path: str | None, reason: str) -> None:
        """Take the facts."""
        self.step = step
        self.path = path
        self.reason = reason
        super().__init__(reason)


__all__ = ["Carrier", "CarryingError", "Generated"]
