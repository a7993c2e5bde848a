"""Changed paths: the parts in which two values differ."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from backstory.domain.paths import render_path
from backstory.infrastructure import codec

# Of these, equal ones have the same JSON text; 0.0 and -0.0, and 1.0 and 1.00 as Decimal, are equal and have not.
_PLAIN: Final = frozenset({str, int, bool, bytes})
_Steps = tuple[str | int, ...]


def changed_paths(before: Any, after: Any) -> Iterator[str]:
    """Yield the path of each part that is different, added or gone, the outermost of each; "" is the whole value.

    Parts are different where their types are: 1, 1.0 and True are three values.
    """
    for steps in _differing(before, after, ()):
        yield render_path(steps)


def _differing(one: Any, other: Any, at: _Steps) -> Iterator[_Steps]:
    if isinstance(one, dict) and isinstance(other, dict):
        for name in (*one, *(name for name in other if name not in one)):
            if name in one and name in other:
                yield from _differing(one[name], other[name], (*at, name))
            else:
                yield (*at, name)
    elif isinstance(one, list) and isinstance(other, list):
        for index in range(max(len(one), len(other))):
            if index < min(len(one), len(other)):
                yield from _differing(one[index], other[index], (*at, index))
            else:
                yield (*at, index)
    elif not _same(one, other):
        yield at


def _same(one: Any, other: Any) -> bool:
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    return bool(one == other) if type(one) in _PLAIN else codec.canonical(one) == codec.canonical(other)
