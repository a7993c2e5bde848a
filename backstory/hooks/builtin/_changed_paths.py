"""Changed paths: the parts in which two values differ."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from backstory.domain.paths import render_path

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
    elif type(one) is not type(other) or one != other or repr(one) != repr(other):
        yield at
