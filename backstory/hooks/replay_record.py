"""A recorded run as the world of its replay: what the hook took then it gets now, in its order, and nothing else."""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from backstory.domain.errors import HookError, InvalidValueError
from backstory.domain.events import MISSING
from backstory.domain.redaction import Redaction
from backstory.domain.scopes import Scope
from backstory.infrastructure import codec

_REDACTION: Final = Redaction()
_UNTOLD: Final = ", and what it says cannot be told"


@dataclass(frozen=True, slots=True)
class Divergence:
    """The first step that a replay asked for otherwise, counted from 0.

    `recorded` is None where the record had ended, `asked` where the hook asked for nothing more. Both are as the log
    holds steps: redacted.
    """

    index: int
    recorded: dict[str, Any] | None
    asked: dict[str, Any] | None


class DivergedError(HookError):
    """A hook asked its context for something else than what is recorded."""


class StalledError(BaseException):
    """A hook has come to where its time was up when it was recorded. It passes `except Exception`."""


class Recording:
    """Answers from recorded steps, in order. The first that differs is kept, whatever the hook makes of the error.

    `timed_out` says that the run was left behind when its time was up: its steps end there, the hook does not.
    """

    def __init__(
        self, steps: Sequence[Mapping[str, Any]], hook: str, *, asynchronous: bool, timed_out: bool = False
    ) -> None:
        self._steps = steps
        self._hook = hook
        self._asynchronous = asynchronous
        self._timed_out = timed_out
        self._at = 0
        self.divergence: Divergence | None = None

    def _next(self, asked: dict[str, Any]) -> Mapping[str, Any]:
        step = self._steps[self._at] if self._at < len(self._steps) else None
        if self.divergence is None:
            if step is None and self._timed_out:
                raise StalledError
            asked = _REDACTION.redact(asked)
            if step is None or not _fits(step, asked):
                self.divergence = Divergence(self._at, None if step is None else dict(step), asked)
        if self.divergence is not None or step is None:
            at = self._at if self.divergence is None else self.divergence.index
            raise DivergedError(
                f"step {at} is not what was recorded",
                hook=self._hook,
                hint="The hook's code, or its input, is not what it was; look at the divergence.",
            )
        self._at += 1
        return step

    def end(self) -> None:
        """Note steps that were recorded and not asked for."""
        if self.divergence is None and self._at < len(self._steps):
            self.divergence = Divergence(self._at, dict(self._steps[self._at]), None)

    def now(self) -> datetime:
        """Return the recorded instant."""
        found: datetime = self._next({"kind": "now"})["value"]
        return found

    def random(self) -> float:
        """Return the recorded number."""
        found: float = self._next({"kind": "random"})["value"]
        return found

    def uuid(self) -> UUID:
        """Return the recorded id."""
        found: UUID = self._next({"kind": "uuid"})["value"]
        return found

    def call(self, name: str, fn: Callable[..., Any], args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Return the recorded answer, or raise the recorded error; nothing is called."""
        asked: dict[str, Any] = {"kind": "call", "fn": name, "args": list(args)}
        step = self._next({**asked, "named": named} if named else asked)
        # A sync hook gets what an async function answers at once, and needs no loop for it.
        later = self._asynchronous and step.get("awaitable", False)
        return self._later(step, fn) if later else self._answered(step, fn)

    def read(self, scope: Scope, key: str) -> Any:
        """Return the recorded value and its position."""
        step = self._next({"kind": "read", "scope": str(scope), "key": key})
        return self._read_later(step) if self._asynchronous else self._read(step)

    def _read(self, step: Mapping[str, Any]) -> tuple[Any, Any]:
        if "error" in step:
            raise _revived(str(step["error"]), None)
        return step.get("value", MISSING), step.get("position")

    async def _read_later(self, step: Mapping[str, Any]) -> tuple[Any, Any]:
        return self._read(step)

    def _answered(self, step: Mapping[str, Any], fn: object) -> Any:
        if "error" in step:
            raise _revived(str(step["error"]), fn)
        if "value" not in step and self._timed_out:
            raise StalledError
        return step.get("value")

    async def _later(self, step: Mapping[str, Any], fn: object) -> Any:
        if "value" not in step and "error" not in step:
            # It had not answered when the run ended, or was cancelled: nor does it now.
            await asyncio.get_running_loop().create_future()
        return self._answered(step, fn)


def _fits(step: Mapping[str, Any], asked: Mapping[str, Any]) -> bool:
    """Return whether a recorded step is the one that is asked for: equal in all but its answer."""
    return all(_same(step.get(part), asked.get(part)) for part in ("kind", "fn", "args", "named", "scope", "key"))


def _same(one: Any, other: Any) -> bool:
    try:
        return one is other or codec.canonical(one) == codec.canonical(other)
    except InvalidValueError:
        return False


# Errors of calls


def _revived(text: str, fn: object) -> BaseException:
    """Return an error of the recorded type that says what is recorded; its other attributes are in no record."""
    name, colon, message = text.partition(": ")
    untold = not colon and text.endswith(_UNTOLD)
    if untold:
        name = text.removesuffix(_UNTOLD)

    def said(_: BaseException) -> str:
        if untold:
            raise ValueError(text)
        return message

    def made(*_: object) -> None:
        """Take nothing: some errors want arguments that nobody recorded."""

    error = type(name, (_kind_of(name, fn),), {"__init__": made, "__str__": said, "__module__": __name__})
    revived: BaseException = error(message)
    return revived


def _kind_of(name: str, fn: object) -> type[BaseException]:
    """Return the type of this name: a built-in one, one that the function's module knows, or the only one there is."""
    around = getattr(fn, "__globals__", {})
    for found in (getattr(builtins, name, None), around.get(name) if isinstance(around, dict) else None):
        if isinstance(found, type) and issubclass(found, (Exception, SystemExit)):
            return found
    known = {kind for kind in _kinds(Exception) if kind.__name__ == name and kind.__module__ != __name__}
    return known.pop() if len(known) == 1 else HookError


def _kinds(kind: type[Exception]) -> Iterator[type[Exception]]:
    seen, todo = {kind}, [kind]
    while todo:
        for inner in todo.pop().__subclasses__():
            if inner not in seen:
                seen.add(inner)
                todo.append(inner)
                yield inner


__all__ = ["DivergedError", "Divergence", "Recording", "StalledError"]
