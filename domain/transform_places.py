"""Places inside a value, compiled: what reads, fills and empties one, each fast where objects are objects.

A part is absent where the path ends at null or at nothing. A path through anything else that has no such parts, such
as a text, is refused: the value is not what the plan was made for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

from backstory.domain.events import MISSING
from backstory.domain.paths import EACH
from backstory.domain.transform_paths import Steps
from backstory.domain.transform_values import type_name

__all__ = [
    "Exact",
    "Get",
    "Put",
    "TransformRefusedError",
    "already_there",
    "dig",
    "gatherer",
    "getter",
    "looker",
    "nest",
    "putter",
    "remover",
    "replacer",
    "require_array",
]

Exact = tuple[str | int, ...]
"""The steps to one part."""

Get = Callable[[Any], Any]
"""What returns the part of a value, or `MISSING`."""

Put = Callable[[Any, Any], Any]
"""What takes a value and a new part, and returns the value with the part in it."""


class TransformRefusedError(Exception):
    """A transform cannot be done here. `steps` lead to the culprit `value`; `transform` is the innermost one."""

    def __init__(self, steps: Exact, reason: str, *, value: Any = MISSING, hint: str | None = None) -> None:
        """Say why, to follow the path."""
        super().__init__(reason)
        self.steps = steps
        self.reason = reason
        self.value = value
        self.hint = hint
        self.transform: Any = None


# -- Reading


def getter(steps: Exact) -> Get:
    """Return what reads a part; a path through what has no parts is refused."""
    if len(steps) == 1 and isinstance(steps[0], str):
        return _field_getter(steps[0])

    def get(value: Any) -> Any:
        part = value
        for step in steps:
            if type(part) is not dict or step not in part:
                return _get(value, steps)
            part = part[step]
        return part

    return get


def _field_getter(name: str) -> Get:
    steps = (name,)

    def get(value: Any) -> Any:
        return value.get(name, MISSING) if type(value) is dict else _get(value, steps)

    return get


def _get(value: Any, steps: Exact) -> Any:
    for depth, step in enumerate(steps):
        if value is None:
            return MISSING
        _require_container(value, step, steps[:depth])
        if step not in value if isinstance(step, str) else step >= len(value):
            return MISSING
        value = value[step]
    return value


def _require_container(value: Any, step: str | int, at: Exact) -> None:
    wanted: type = dict if isinstance(step, str) else list
    if not isinstance(value, wanted):
        has = "field" if isinstance(step, str) else "element"
        raise TransformRefusedError(at, f"is of type {type_name(value)}, and has no {has} {step!r}", value=value)


def looker(steps: Exact) -> Get:
    """Return what reads a part for a condition: through what has no parts lies nothing."""

    def look(value: Any) -> Any:
        part = value
        for step in steps:
            if type(step) is str:
                if type(part) is not dict or step not in part:
                    return MISSING
            elif type(part) is not list or cast("int", step) >= len(part):
                return MISSING
            part = part[step]
        return part

    return look


def gatherer(steps: Steps) -> Get:
    """Return what reads a part, or with `[*]` in the path the list of all there are; of an absent array, `MISSING`."""
    if EACH not in steps:
        return getter(cast("Exact", steps))
    at = steps.index(EACH)
    array = getter(cast("Exact", steps[:at]))
    rest = gatherer(steps[at + 1 :])
    flat = EACH in steps[at + 1 :]

    def gather(value: Any) -> Any:
        elements = array(value)
        if elements is MISSING or elements is None:
            return MISSING
        require_array(elements, cast("Exact", steps[:at]))
        found = [part for part in _parts(elements, rest, cast("Exact", steps[:at])) if part is not MISSING]
        return [part for parts in found for part in parts] if flat else found

    return gather


def _parts(elements: list[Any], get: Get, at: Exact) -> Iterator[Any]:
    for index, element in enumerate(elements):
        try:
            yield get(element)
        except TransformRefusedError as refused:
            refused.steps = (*at, index, *refused.steps)
            raise


def require_array(value: Any, at: Exact) -> None:
    """Refuse what is no array."""
    if type(value) is not list:
        raise TransformRefusedError(at, f"is of type {type_name(value)}, no array", value=value)


# -- Writing


def putter(steps: Exact) -> Put:
    """Return what fills a part that must be absent, and makes the objects and arrays that lead to it."""
    *outer, last = steps
    if not all(isinstance(step, str) for step in steps):
        return lambda value, part: _put(value, steps, part)

    def put(value: Any, part: Any) -> Any:
        node = value
        for step in outer:
            if type(node) is not dict:
                return _put(value, steps, part)
            if step not in node:
                node[step] = {}
            node = node[step]
        if type(node) is not dict or last in node:
            return _put(value, steps, part)
        node[last] = part
        return value

    return put


def _put(value: Any, steps: Exact, part: Any) -> Any:
    node = value
    for depth, step in enumerate(steps[:-1]):
        if not _is_there(node, step, steps[:depth]):
            _add(node, step, {} if isinstance(steps[depth + 1], str) else [], steps[: depth + 1])
        node = node[step]
    if _is_there(node, steps[-1], steps[:-1]):
        raise already_there(steps, node[steps[-1]])
    _add(node, steps[-1], part, steps)
    return value


def _is_there(node: Any, step: Any, at: Exact) -> bool:
    """Return whether a container has a part; whatever else is there is not made one."""
    if node is None:
        hint = "Put the transform inside when(where(path, ...), ...), or remove the null first."
        raise TransformRefusedError(at, "is null, and nothing is written over it", value=node, hint=hint)
    _require_container(node, step, at)
    return bool(step in node if isinstance(step, str) else step < len(node))


def _add(node: Any, step: Any, part: Any, at: Exact) -> None:
    if isinstance(step, str):
        node[step] = part
    elif step == len(node):
        node.append(part)
    else:
        raise TransformRefusedError(at, f"lies beyond the end of an array of {len(node)}", hint="Arrays have no gaps.")


def already_there(steps: Exact, value: Any) -> TransformRefusedError:
    """Return the refusal of what would write over a value."""
    hint = 'Remove one of the two first, or do it only when(where(path, "absent"), ...).'
    return TransformRefusedError(steps, "is there already, and nothing is dropped silently", value=value, hint=hint)


def replacer(steps: Exact) -> Put:
    """Return what puts another part in the place of one that is there."""
    if not steps:
        return lambda _, part: part
    *outer, last = steps

    def replace(value: Any, part: Any) -> Any:
        node = value
        for step in outer:
            node = node[step]
        node[last] = part
        return value

    return replace


def remover(steps: Exact) -> Get:
    """Return what takes a part out of a value and returns the value; the elements after one move up."""
    *outer, last = steps
    get = getter(tuple(outer))

    def remove(value: Any) -> Any:
        node = get(value)
        if node is MISSING or node is None:
            return value
        _require_container(node, last, tuple(outer))
        if last in node if isinstance(last, str) else last < len(node):
            del node[last]
        return value

    return remove


# -- Going deeper, and coming up


def nest(steps: Exact, part: Any) -> Any:
    """Return objects and arrays with nothing in them but the way to a part."""
    for step in reversed(steps):
        part = {step: part} if isinstance(step, str) else [part]
    return part


def dig(steps: Exact, value: Any, at: Exact) -> Any:
    """Return the part that `nest` was given; refuse a value, which lies at `at`, that holds anything else."""
    for depth, step in enumerate(steps):
        here = (*at, *steps[:depth])
        if value is None:
            raise TransformRefusedError(here, f"is null, and has no part {step!r}", value=value)
        _require_container(value, step, here)
        if len(value) != 1 or (step not in value if isinstance(step, str) else step != 0):
            reason = f"holds something else than {step!r}, which would be dropped"
            raise TransformRefusedError(here, reason, value=value, hint="Move or remove the rest of it first.")
        value = value[step]
    return value
