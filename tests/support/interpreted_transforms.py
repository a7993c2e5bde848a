"""Transforms done slowly and plainly: the rules read aloud, held against what is compiled.

Nothing here is shared with the compiler but the descriptions of transforms: values are never changed, only made anew.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, cast

from backstory.domain.conversions import CONVERSIONS, LossyError
from backstory.domain.events import MISSING
from backstory.domain.paths import EACH
from backstory.domain.transform_paths import steps_of
from backstory.domain.transforms import (
    Compute,
    Convert,
    Copy,
    Custom,
    Default,
    EachElement,
    Merge,
    Move,
    Remove,
    Rename,
    Split,
    Transform,
    When,
)

Place = tuple[str | int, ...]


class RefusedError(Exception):
    """The transforms do not take this value."""


def interpret(
    transforms: Sequence[Transform], value: Any, functions: dict[str, Callable[..., Any]], context: Any
) -> Any:
    """Return what the transforms make of a value; raises `RefusedError`."""
    for transform in transforms:
        value = _done(transform, copy.deepcopy(value), functions, context)
    return value


def _done(transform: Transform, value: Any, functions: dict[str, Callable[..., Any]], context: Any) -> Any:  # noqa: C901, PLR0911, PLR0912 - one case a kind
    match transform:
        case EachElement():
            for place in _places(value, steps_of(transform.path)):
                value = _with(value, place, interpret(transform.transforms, _at(value, place), functions, context))
            return value
        case When():
            way = transform.then if _holds(transform.condition.to_document(), value) else transform.otherwise
            return interpret(way, value, functions, context)
        case Copy():
            for source, target in _pairs(value, transform.from_, transform.to):
                value = _fill(value, target, _at(value, source))
            return value
        case Move() | Rename():
            for source, target in _pairs(value, transform.from_, transform.to):
                value = _moved(value, source, target)
            return value
        case Default():
            for [place] in _together(value, transform.path):
                value = _fill(value, place, transform.value) if _at(value, place) is MISSING else value
            return value
        case Remove():
            for [place] in _together(value, transform.path):
                value = value if _at(value, place) is MISSING else _without(value, place)
            return value
        case Convert():
            for [place] in _together(value, transform.path):
                value = _converted(value, place, transform.to_type)
            return value
        case Split():
            for source, *targets in _together(value, transform.path, *transform.into):
                value = _split(value, source, targets, transform.separator)
            return value
        case Merge():
            for target, *sources in _together(value, transform.to, *transform.paths):
                texts = [text for source in sources if (text := _at(value, source)) is not MISSING and text is not None]
                if not all(isinstance(text, str) for text in texts):
                    raise RefusedError
                value = _fill(value, target, transform.separator.join(texts) if texts else MISSING)
            return value
        case Compute():
            return _called(transform, (transform.to,), value, functions, context)
        case Custom():
            return _called(transform, transform.to, value, functions, context)


# -- Places: paths without stars


def _places(value: Any, steps: tuple[Any, ...]) -> list[Place]:
    if EACH not in steps:
        return [steps]
    at = steps.index(EACH)
    array = _at(value, steps[:at])
    if array is MISSING or array is None:
        return []
    if not isinstance(array, list):
        raise RefusedError
    found: list[Place] = []
    for index, element in enumerate(array):
        found += [(*steps[:at], index, *rest) for rest in _places(element, steps[at + 1 :])]
    return found


def _together(value: Any, *paths: str) -> list[list[Place]]:
    """Return the places of paths that go over the same arrays, element by element."""
    steps = [cast("tuple[Any, ...]", steps_of(path)) for path in paths]
    stars = steps[0].count(EACH)
    if not stars:
        return [[tuple(each) for each in steps]]
    ends = [len(each) - each[::-1].index(EACH) for each in steps]
    bases = _places(value, steps[0][: ends[0]])
    return [[(*base, *each[end:]) for each, end in zip(steps, ends, strict=True)] for base in bases]


def _pairs(value: Any, source: str, target: str) -> list[list[Place]]:
    return _together(value, source, target)


def _at(value: Any, place: Place) -> Any:
    step: Any
    for step in place:
        if value is None:
            return MISSING
        if isinstance(step, str):
            if not isinstance(value, dict):
                raise RefusedError
            if step not in value:
                return MISSING
        else:
            if not isinstance(value, list):
                raise RefusedError
            if step >= len(value):
                return MISSING
        value = value[step]
    return value


def _with(value: Any, place: Place, part: Any) -> Any:
    if not place:
        return part
    step, *rest = place
    if isinstance(step, str):
        if not isinstance(value, dict):
            raise RefusedError
        inner = value.get(step, _empty(rest))
        return {**value, step: _with(inner, tuple(rest), part)}
    if not isinstance(value, list) or step > len(value):
        raise RefusedError
    inner = value[step] if step < len(value) else _empty(rest)
    return [*value[:step], _with(inner, tuple(rest), part), *value[step + 1 :]]


def _empty(rest: Sequence[str | int]) -> Any:
    return None if not rest else {} if isinstance(rest[0], str) else []


def _without(value: Any, place: Place) -> Any:
    outer = copy.deepcopy(_at(value, place[:-1]))
    del outer[place[-1]]
    return _with(value, place[:-1], outer)


def _fill(value: Any, place: Place, part: Any) -> Any:
    if _at(value, place) is not MISSING:
        raise RefusedError
    return value if part is MISSING else _with(value, place, copy.deepcopy(part))


# -- What is done there


def _moved(value: Any, source: Place, target: Place) -> Any:
    part = _at(value, source)
    if target[: len(source)] == source:
        for step in reversed(target[len(source) :]):
            part = part if part is MISSING else {step: part} if isinstance(step, str) else [part]
        return value if part is MISSING else _with(value, source, part)
    if source[: len(target)] == target:
        part = _at(value, target)
        for step in cast("tuple[Any, ...]", source[len(target) :] if part is not MISSING else ()):
            if not isinstance(part, dict if isinstance(step, str) else list) or len(part) != 1:
                raise RefusedError
            if isinstance(step, str) and step not in part:
                raise RefusedError
            part = part[step]
        return value if part is MISSING else _with(value, target, part)
    if part is MISSING:
        return _fill(value, target, MISSING)
    return _without(_fill(value, target, part), source)


def _converted(value: Any, place: Place, to_type: str) -> Any:
    part = _at(value, place)
    try:
        return value if part is MISSING else _with(value, place, CONVERSIONS[to_type](part))
    except LossyError:
        raise RefusedError from None


def _split(value: Any, source: Place, targets: Sequence[Place], separator: str) -> Any:
    text = _at(value, source)
    if text is MISSING or text is None:
        pieces: list[Any] = [MISSING] * len(targets)
    elif isinstance(text, str):
        pieces = text.split(separator)
    else:
        raise RefusedError
    if len(pieces) != len(targets):
        raise RefusedError
    for target, piece in zip(targets, pieces, strict=True):
        value = _fill(value, target, piece)
    return value


def _called(
    transform: Any, to: Sequence[str], value: Any, functions: dict[str, Callable[..., Any]], context: Any
) -> Any:
    first = steps_of(to[0])
    base = first[: len(first) - first[::-1].index(EACH)] if EACH in first else ()
    sources = [steps_of(path) for path in transform.from_]
    outer = {steps: _gathered(value, steps) for steps in sources if steps[: len(base)] != base}
    for targets in _together(value, *to):
        element = targets[0][: len(base)]
        values = [
            outer[steps] if steps in outer else _gathered(value, (*element, *steps[len(base) :])) for steps in sources
        ]
        for path, target in zip(to, targets, strict=True):
            if path not in transform.from_ and _at(value, target) is not MISSING:
                raise RefusedError
        try:
            made = functions[transform.transformer](tuple(copy.deepcopy(values)), context, **transform.config)
        except Exception:  # noqa: BLE001 - whatever a transformer raises
            raise RefusedError from None
        results = (made,) if len(to) == 1 else made
        if not isinstance(results, (list, tuple)) or len(results) != len(to):
            raise RefusedError
        for target, result in zip(targets, results, strict=True):
            if result is not MISSING:
                value = _filled_or_replaced(value, target, copy.deepcopy(result))
    return value


def _filled_or_replaced(value: Any, target: Place, result: Any) -> Any:
    there = not target or _at(value, target) is not MISSING
    return _with(value, target, result) if there else _fill(value, target, result)


def _gathered(value: Any, steps: tuple[Any, ...]) -> Any:
    if EACH not in steps:
        return _at(value, steps)
    at = steps.index(EACH)
    array = _at(value, steps[:at])
    if array is None or array is MISSING:
        return MISSING
    if not isinstance(array, list):
        raise RefusedError
    parts = [part for element in array if (part := _gathered(element, steps[at + 1 :])) is not MISSING]
    return [each for part in parts for each in part] if EACH in steps[at + 1 :] else parts


def _holds(document: dict[str, Any], value: Any) -> bool:  # noqa: PLR0911 - one case an operator
    if "not" in document:
        return not _holds(document["not"], value)
    if "all" in document:
        return all(_holds(each, value) for each in document["all"])
    if "any" in document:
        return any(_holds(each, value) for each in document["any"])
    try:
        part = _at(value, cast("Place", steps_of(document["path"])))
    except RefusedError:
        part = MISSING
    wanted = document.get("value")
    alike = type(part) is type(wanted) or (type(part) in {int, float} and type(wanted) in {int, float})
    match document["op"]:
        case "exists":
            return part is not MISSING
        case "absent":
            return part is MISSING
        case "equals":
            return alike and bool(part == wanted)
        case "greater":
            return alike and part is not None and not isinstance(part, bool) and part > wanted
        case other:
            raise AssertionError(other)
