"""Compiling transforms: a plan becomes closures that know their paths, checked once and run for each item."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from backstory.domain.conditions import AllOf, Condition, Not, Where, holds
from backstory.domain.conversions import CONVERSIONS, LossyError
from backstory.domain.errors import MigrationError
from backstory.domain.events import MISSING
from backstory.domain.paths import EACH
from backstory.domain.transform_calls import call_step
from backstory.domain.transform_paths import Steps, rendered, split_at_last_star, starts_with, steps_of
from backstory.domain.transform_places import (
    Exact,
    TransformRefusedError,
    already_there,
    dig,
    getter,
    looker,
    nest,
    putter,
    remover,
    replacer,
    require_array,
)
from backstory.domain.transform_values import fresh, type_name
from backstory.domain.transformers import TransformContext, Transformers
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
from backstory.domain.validation import shown_safely

__all__ = ["Compiled", "compile_transforms"]

Step = Callable[[Any, TransformContext], Any]
"""What changes a value in place, and returns it or what takes its place."""


class Compiled:
    """Transforms made ready: they do the same for the same value and context, however often."""

    def __init__(self, transforms: Sequence[Transform], transformers: Transformers) -> None:
        """Compile them; raises `NotFoundError` for an unknown transformer, `InvalidValueError` for wrong options."""
        self.transforms = tuple(transforms)
        self._run = _sequence(self.transforms, transformers)

    def apply(self, value: Any, context: TransformContext) -> Any:
        """Return what the transforms make of a value, which stays as it is. Raises `MigrationError`, with the path."""
        return self.apply_in_place(fresh(value), context)

    def apply_in_place(self, value: Any, context: TransformContext) -> Any:
        """As `apply`, with a value of plain dicts and lists that is nobody else's, such as one just decoded.

        It may be changed, and after an error is half done.
        """
        try:
            return self._run(value, context)
        except TransformRefusedError as refused:
            raise _told(refused) from refused.__cause__


def compile_transforms(transforms: Sequence[Transform], transformers: Transformers) -> Compiled:
    """Return transforms made ready; raises `NotFoundError` for an unknown transformer."""
    return Compiled(transforms, transformers)


def _told(refused: TransformRefusedError) -> MigrationError:
    """Return the error that a caller sees: in words, and without secrets."""
    path = rendered(refused.steps)
    words = f"{path} {refused.reason}"
    if refused.value is not MISSING:
        words += f" ({shown_safely(refused.steps, refused.value)})"
    return MigrationError(f"cannot {refused.transform.describe()}: {words}", path=path, hint=refused.hint)


# -- Sequences, and the elements of arrays


def _sequence(transforms: Sequence[Transform], transformers: Transformers) -> Step:
    steps = [_compiled(transform, transformers) for transform in transforms]
    transform_of = dict(zip(map(id, steps), transforms, strict=True))

    def run(value: Any, context: TransformContext) -> Any:
        step = None
        try:
            for step in steps:
                value = step(value, context)
        except TransformRefusedError as refused:
            if refused.transform is None:
                refused.transform = transform_of[id(step)]
            raise
        return value

    return run


def over_elements(base: Steps, step: Step) -> Step:
    """Return what does a step for all elements that `base` leads to, which is empty or ends with `[*]`."""
    if not base:
        return step
    at = base.index(EACH)
    array_steps = cast("Exact", base[:at])
    array = getter(array_steps)
    inner = over_elements(base[at + 1 :], step)

    def each(value: Any, context: TransformContext) -> Any:
        elements = array(value)
        if elements is MISSING or elements is None:
            return value
        require_array(elements, array_steps)
        index = 0
        try:
            for index, element in enumerate(elements):
                elements[index] = inner(element, context)
        except TransformRefusedError as refused:
            refused.steps = (*array_steps, index, *refused.steps)
            raise
        return value

    return each


def _compiled(transform: Transform, transformers: Transformers) -> Step:
    compile_one: Callable[[Any, Transformers], Step] = _COMPILERS[type(transform)]
    return compile_one(transform, transformers)


def _apart(*paths: str) -> tuple[Steps, list[Exact]]:
    """Return the arrays that paths go over together, and the rest of each."""
    parts = [split_at_last_star(steps_of(path)) for path in paths]
    return parts[0][0], [cast("Exact", rest) for _, rest in parts]


# -- One compiler for each kind


def _copy(transform: Copy, _: Transformers) -> Step:
    base, (from_, to) = _apart(transform.from_, transform.to)
    get, put, at_target = getter(from_), putter(to), getter(to)

    def step(value: Any, _: TransformContext) -> Any:
        part = get(value)
        if part is not MISSING:
            return put(value, fresh(part) if type(part) in {dict, list} else part)
        _require_absent(at_target(value), to)
        return value

    return over_elements(base, step)


def _move(transform: Move | Rename, _: Transformers) -> Step:
    base, (from_, to) = _apart(transform.from_, transform.to)
    if starts_with(to, from_):
        return over_elements(base, _deeper(from_, to[len(from_) :]))
    if starts_with(from_, to):
        return over_elements(base, _up(to, from_[len(to) :]))
    get, put, at_target, remove = getter(from_), putter(to), getter(to), remover(from_)
    name = from_[0] if len(from_) == 1 and isinstance(from_[0], str) else None

    def step(value: Any, _: TransformContext) -> Any:
        part = get(value)
        if part is MISSING:
            _require_absent(at_target(value), to)
            return value
        put(value, part)
        if name is None:
            return remove(value)
        del value[name]
        return value

    return over_elements(base, step)


def _require_absent(part: Any, at: Exact) -> None:
    if part is not MISSING:
        raise already_there(at, part)


def _deeper(at: Exact, into: Exact) -> Step:
    get, replace = getter(at), replacer(at)

    def step(value: Any, _: TransformContext) -> Any:
        part = get(value)
        return value if part is MISSING else replace(value, nest(into, part))

    return step


def _up(at: Exact, out_of: Exact) -> Step:
    get, replace = getter(at), replacer(at)

    def step(value: Any, _: TransformContext) -> Any:
        part = get(value)
        return value if part is MISSING else replace(value, dig(out_of, part, at))

    return step


def _default(transform: Default, _: Transformers) -> Step:
    base, (to,) = _apart(transform.path)
    get, put, default = getter(to), putter(to), transform.value
    name = to[0] if len(to) == 1 and isinstance(to[0], str) and type(default) not in {dict, list} else None

    def step(value: Any, _: TransformContext) -> Any:
        if name is not None and type(value) is dict:
            value.setdefault(name, default)
            return value
        return put(value, fresh(default)) if get(value) is MISSING else value

    return over_elements(base, step)


def _remove(transform: Remove, _: Transformers) -> Step:
    base, (at,) = _apart(transform.path)
    remove = remover(at)
    name = at[0] if len(at) == 1 and isinstance(at[0], str) else None

    def step(value: Any, _: TransformContext) -> Any:
        if type(value) is not dict:
            return remove(value)
        value.pop(name, None)
        return value

    return over_elements(base, (lambda value, _: remove(value)) if name is None else step)


def _convert(transform: Convert, _: Transformers) -> Step:
    base, (at,) = _apart(transform.path)
    get, replace, convert, wanted = getter(at), replacer(at), CONVERSIONS[transform.to_type], transform.to_type

    def step(value: Any, _: TransformContext) -> Any:
        part = get(value)
        if part is MISSING:
            return value
        try:
            return replace(value, convert(part))
        except LossyError as lossy:
            reason = f"is of type {type_name(part)} {lossy}"
            hint = f"Correct the value, or compute the {wanted} with a transformer."
            raise TransformRefusedError(at, reason, value=part, hint=hint) from None

    return over_elements(base, step)


def _split(transform: Split, _: Transformers) -> Step:
    base, (source, *targets) = _apart(transform.path, *transform.into)
    get, separator, count = getter(source), transform.separator, len(targets)
    puts = [putter(target) for target in targets]
    at_targets = [(getter(target), target) for target in targets]

    def step(value: Any, _: TransformContext) -> Any:
        text = get(value)
        if text is MISSING or text is None:
            for at_target, target in at_targets:
                _require_absent(at_target(value), target)
            return value
        if not isinstance(text, str):
            raise TransformRefusedError(source, f"is of type {type_name(text)}, no text", value=text)
        pieces = text.split(separator)
        if len(pieces) != count:
            reason = f"has {len(pieces)} pieces, for {count} places"
            raise TransformRefusedError(source, reason, value=text, hint="Use a transformer that knows what to do.")
        for put, piece in zip(puts, pieces, strict=True):
            put(value, piece)
        return value

    return over_elements(base, step)


def _merge(transform: Merge, _: Transformers) -> Step:
    base, (target, *sources) = _apart(transform.to, *transform.paths)
    gets = [(getter(source), source) for source in sources]
    put, at_target, separator = putter(target), getter(target), transform.separator

    def step(value: Any, _: TransformContext) -> Any:
        texts = []
        for get, source in gets:
            text = get(value)
            if isinstance(text, str):
                texts.append(text)
            elif text is not MISSING and text is not None:
                hint = "Convert it to string first."
                raise TransformRefusedError(source, f"is of type {type_name(text)}, no text", value=text, hint=hint)
        if texts:
            return put(value, separator.join(texts))
        _require_absent(at_target(value), target)
        return value

    return over_elements(base, step)


def _compute(transform: Compute, transformers: Transformers) -> Step:
    function = transformers.get(transform.transformer, transform.config)
    return call_step(transform, (transform.to,), function, over=over_elements)


def _custom(transform: Custom, transformers: Transformers) -> Step:
    function = transformers.get(transform.transformer, transform.config)
    return call_step(transform, transform.to, function, over=over_elements)


def _when(transform: When, transformers: Transformers) -> Step:
    holds_of = _condition(transform.condition)
    then, otherwise = _sequence(transform.then, transformers), _sequence(transform.otherwise, transformers)

    def step(value: Any, context: TransformContext) -> Any:
        return then(value, context) if holds_of(value) else otherwise(value, context)

    return step


def _condition(condition: Condition) -> Callable[[Any], bool]:
    if isinstance(condition, Where):
        look, test = looker(cast("Exact", steps_of(condition.path))), holds(condition)
        return lambda value: test(look(value))
    if isinstance(condition, Not):
        positive = _condition(condition.condition)
        return lambda value: not positive(value)
    parts = [_condition(each) for each in condition.conditions]
    if isinstance(condition, AllOf):
        return lambda value: all(part(value) for part in parts)
    return lambda value: any(part(value) for part in parts)


def _each(transform: EachElement, transformers: Transformers) -> Step:
    return over_elements(steps_of(transform.path), _sequence(transform.transforms, transformers))


_COMPILERS: dict[type, Callable[..., Step]] = {
    Copy: _copy,
    Move: _move,
    Rename: _move,
    Default: _default,
    Remove: _remove,
    Convert: _convert,
    Split: _split,
    Merge: _merge,
    Compute: _compute,
    Custom: _custom,
    When: _when,
    EachElement: _each,
}
