"""Calls of transformers: their values gathered, what they make checked and put in its places."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, cast

from backstory.domain.events import MISSING
from backstory.domain.redaction import Redaction
from backstory.domain.transform_paths import Steps, split_at_last_star, starts_with, steps_of
from backstory.domain.transform_places import (
    Exact,
    Get,
    Put,
    TransformRefusedError,
    already_there,
    gatherer,
    getter,
    putter,
    replacer,
)
from backstory.domain.transform_values import fresh
from backstory.domain.transformers import TransformContext, Transformer
from backstory.domain.transforms import Compute, Custom

__all__ = ["call_step"]

Step = Callable[[Any, TransformContext], Any]
_Call = Callable[[tuple[Any, ...], TransformContext], Any]
_CONTAINERS: Final = frozenset({dict, list, tuple})
_REDACTION: Final = Redaction()


def call_step(
    transform: Compute | Custom, to: Sequence[str], function: Transformer, *, over: Callable[[Steps, Step], Step]
) -> Step:
    """Return the step that calls a transformer, once for each element where its targets have `[*]`.

    A source under the same `[*]` is of the same element; another one is read from the whole value, before anything is
    written. `over(base, step)` makes the step for all elements.
    """
    base = split_at_last_star(steps_of(to[0]))[0]
    sources = [steps_of(path) for path in transform.from_]
    own = [source[len(base) :] for source in sources if starts_with(source, base)]
    targets = [cast("Exact", steps_of(path)[len(base) :]) for path in to]
    call = _caller(transform, function, targets)
    write = _writer(targets, own)
    own_gets = [gatherer(steps) for steps in own]
    if len(own) == len(sources):
        return over(base, _element_step(call, write, own_gets))
    outer_gets = [None if starts_with(source, base) else gatherer(source) for source in sources]

    def step(value: Any, context: TransformContext) -> Any:
        own_here = iter(own_gets)
        gets = [next(own_here) if get is None else _constantly(get(value)) for get in outer_gets]
        return over(base, _element_step(call, write, gets))(value, context)

    return step


def _constantly(part: Any) -> Get:
    return lambda _: part


def _element_step(call: _Call, write: _Writer, gets: Sequence[Get]) -> Step:
    check, put = write

    def step(value: Any, context: TransformContext) -> Any:
        check(value)
        return put(value, call(tuple([get(value) for get in gets]), context))

    return step


def _caller(transform: Compute | Custom, function: Transformer, targets: Sequence[Exact]) -> _Call:
    """Return what calls the function with copies, so that it cannot change the value behind the plan's back."""
    config = dict(transform.config)
    name, at = transform.transformer, targets[0]

    def call(values: tuple[Any, ...], context: TransformContext) -> Any:
        for value in values:
            if type(value) in _CONTAINERS:
                values = tuple(map(fresh, values))
                break
        try:
            return function(values, context, **fresh(config)) if config else function(values, context)
        except Exception as error:
            reason = f"is not made, for {name} failed: {type(error).__name__}: {_REDACTION.text(str(error))}"
            raise TransformRefusedError(at, reason) from error

    return call


# -- What is made, and where it goes

_Writer = tuple[Callable[[Any], None], Callable[[Any, Any], Any]]
"""What refuses a value whose targets are taken, and what puts a result into it."""


def _writer(targets: Sequence[Exact], own_sources: Sequence[Steps]) -> _Writer:
    taken = [(getter(target), target) for target in targets if target not in own_sources]
    puts = [_in_place(target) if target in own_sources else putter(target) for target in targets]

    def check(value: Any) -> None:
        for get, target in taken:
            if (part := get(value)) is not MISSING:
                raise already_there(target, part)

    def put(value: Any, results: Any) -> Any:
        for one, result in zip(puts, _results(results, targets), strict=True):
            if result is not MISSING:
                value = one(value, fresh(result) if type(result) in _CONTAINERS else result)
        return value

    def put_one(value: Any, result: Any) -> Any:
        if result is MISSING:
            return value
        return puts[0](value, fresh(result) if type(result) in _CONTAINERS else result)

    return check, put_one if len(targets) == 1 else put


def _in_place(target: Exact) -> Put:
    get, replace = getter(target), replacer(target)
    put = putter(target) if target else replace

    def put_or_replace(value: Any, part: Any) -> Any:
        return (put if get(value) is MISSING else replace)(value, part)

    return put_or_replace


def _results(results: Any, targets: Sequence[Exact]) -> Sequence[Any]:
    if not isinstance(results, (list, tuple)) or len(results) != len(targets):
        got = f"{len(results)} values" if isinstance(results, (list, tuple)) else f"a {type(results).__name__}"
        hint = "Have the transformer return one value for each path of `to`, in order; MISSING writes nothing there."
        raise TransformRefusedError(targets[0], f"is one of {len(targets)} places, and was given {got}", hint=hint)
    return results
