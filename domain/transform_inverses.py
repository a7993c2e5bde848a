"""Inverses: transforms that undo others exactly, on every value that those take.

An inverse is offered where "there and back again is the same" does not depend on data. What fills or drops (`default`,
`remove`), and what may have been so before (`convert`), has none. What writes to a new place is undone by removing it,
where the object around that place is sure to have been there: else nobody could tell afterwards whether to remove that
too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from backstory.domain.transform_paths import Steps, overlap, split_at_last_star, starts_with, steps_of
from backstory.domain.transforms import (
    Compute,
    Copy,
    Custom,
    EachElement,
    Merge,
    Move,
    Remove,
    Rename,
    Split,
    Transform,
    When,
)

__all__ = ["inverse"]

Inverse = tuple[Transform, ...] | None


def inverse(transforms: Sequence[Transform]) -> Inverse:
    """Return the transforms that undo these, or None where there are none that always do."""
    undone: list[Transform] = []
    for transform in reversed(tuple(transforms)):
        steps = _inverse(transform)
        if steps is None:
            return None
        undone += steps
    return tuple(undone)


def _inverse(transform: Transform) -> Inverse:
    undo: Callable[[Any], Inverse] | None = _INVERSES.get(type(transform))
    return None if undo is None else undo(transform)


def _of_copy(transform: Copy) -> Inverse:
    return _removes((transform.to,), (transform.from_,))


def _of_move(transform: Move) -> Inverse:
    from_, to = steps_of(transform.from_), steps_of(transform.to)
    in_its_place = starts_with(from_, to) or starts_with(to, from_)
    if not in_its_place and (not isinstance(from_[-1], str) or _removes((transform.to,), (transform.from_,)) is None):
        return None
    return (Move(transform.to, transform.from_),)


def _of_rename(transform: Rename) -> Inverse:
    return (Rename(transform.to, transform.from_),)


def _of_split(transform: Split) -> Inverse:
    return _removes(transform.into, (transform.path,))


def _of_merge(transform: Merge) -> Inverse:
    return _removes((transform.to,), transform.paths)


def _of_compute(transform: Compute) -> Inverse:
    return None if transform.to in transform.from_ else _removes((transform.to,), ())


def _of_custom(transform: Custom) -> Inverse:
    return None if set(transform.to) & set(transform.from_) else _removes(transform.to, ())


def _of_when(transform: When) -> Inverse:
    """Return the inverses of both ways, if nothing they touch can change which way was taken."""
    looked_at = transform.condition.paths()
    if any(overlap(seen, done) for seen in looked_at for done in _touched((*transform.then, *transform.otherwise))):
        return None
    then, otherwise = inverse(transform.then), inverse(transform.otherwise)
    return None if then is None or otherwise is None else (When(transform.condition, then, otherwise),)


def _of_each(transform: EachElement) -> Inverse:
    undone = inverse(transform.transforms)
    return None if undone is None else (EachElement(transform.path, undone),)


def _removes(targets: Iterable[str], sources: Iterable[str]) -> Inverse:
    """Return what removes targets, last first, if that leaves what was before; of `sources` one was there."""
    paths = list(map(steps_of, sources))
    if all(_is_sure(steps_of(target), paths) for target in targets):
        return tuple(Remove(target) for target in reversed(tuple(targets)))
    return None


def _is_sure(target: Steps, sources: Sequence[Steps]) -> bool:
    """Return whether a target is a field of what was there before: of the value, of an element, around all sources."""
    around = target[:-1]
    if not target or not isinstance(target[-1], str):
        return False
    below = split_at_last_star(around)[1]
    return not below or (bool(sources) and all(starts_with(source, around) for source in sources))


def _touched(transforms: Iterable[Transform]) -> list[Steps]:
    """Return where transforms that have an inverse write, or take from."""
    return [steps for transform in transforms for steps in _touched_by(transform)]


def _touched_by(transform: Transform) -> list[Steps]:
    if isinstance(transform, EachElement):
        base = steps_of(transform.path)
        return [(*base, *steps) for steps in _touched(transform.transforms)]
    if isinstance(transform, When):
        return _touched((*transform.then, *transform.otherwise))
    if isinstance(transform, (Move, Rename)):
        return [steps_of(transform.from_), steps_of(transform.to)]
    if isinstance(transform, (Split, Custom)):
        return [steps_of(path) for path in (transform.into if isinstance(transform, Split) else transform.to)]
    if isinstance(transform, (Copy, Merge, Compute)):
        return [steps_of(transform.to)]
    return [steps_of(transform.path)]


_INVERSES: dict[type, Callable[[Any], Inverse]] = {
    Copy: _of_copy,
    Move: _of_move,
    Rename: _of_rename,
    Split: _of_split,
    Merge: _of_merge,
    Compute: _of_compute,
    Custom: _of_custom,
    When: _of_when,
    EachElement: _of_each,
}
