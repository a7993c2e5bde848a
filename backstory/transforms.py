"""Transforms of migrations: `from backstory import transforms`, then `transforms.move("age", "profile.age")`.

Each function returns a frozen description, checked when it is made, that migrations are built of. What each does is in
`docs/migrations.md`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

from backstory.domain.conditions import condition_from_document, where
from backstory.domain.errors import ConfigError
from backstory.domain.transform_compiling import Compiled
from backstory.domain.transform_documents import from_document, from_documents, to_document, to_documents
from backstory.domain.transform_inverses import inverse
from backstory.domain.transformers import TransformContext, Transformer, Transformers
from backstory.domain.transformers_built_in import BUILT_IN
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

__all__ = [
    "GROUP",
    "Compiled",
    "Transform",
    "TransformContext",
    "Transformer",
    "compile",
    "compute",
    "convert",
    "copy",
    "custom",
    "default",
    "each",
    "from_document",
    "from_documents",
    "inverse",
    "merge",
    "move",
    "remove",
    "rename",
    "split",
    "to_document",
    "to_documents",
    "transformer",
    "transformers",
    "when",
    "where",
]

GROUP: Final = "backstory.transformers"
"""The group of entry points in which installed packages offer transformers, each by its name."""

_T = TypeVar("_T", bound=Transformer)
_Many = Transform | Iterable[Transform]


def _installed(name: str) -> Transformer | None:
    """Return the transformer that an installed package offers under this name; nothing else is imported."""
    from importlib.metadata import entry_points  # noqa: PLC0415 - takes its time, and most plans never ask

    offers = tuple(entry_points(group=GROUP, name=name))
    if not offers:
        return None
    if len({offer.value for offer in offers}) > 1:
        raise ConfigError(
            f"several packages offer the transformer {name}: {', '.join(sorted(offer.value for offer in offers))}",
            key=GROUP,
            hint="Uninstall all but one of them.",
        )
    try:
        found: Transformer = offers[0].load()
    except Exception as error:
        raise ConfigError(
            f"the transformer {name} cannot be loaded: {type(error).__name__}: {error}",
            key=GROUP,
            hint="Install what is missing, or correct the package's entry point.",
        ) from error
    return found


transformers: Final = Transformers(BUILT_IN, find=_installed)
"""The transformers of this process, by name: those built in, those registered, and those that packages offer."""


def copy(from_: str, to: str) -> Transform:
    """Copy what is at a path to another, where nothing may be yet. Where the source is absent nothing happens."""
    return Copy(from_, to)


def move(from_: str, to: str) -> Transform:
    """Move what is at a path to another, where nothing may be yet. Where the source is absent nothing happens."""
    return Move(from_, to)


def rename(from_: str, to: str) -> Transform:
    """Give a field another name in the same object; both paths are whole, as of `move`."""
    return Rename(from_, to)


def default(path: str, value: Any) -> Transform:
    """Set a path to a value where nothing is; null is something."""
    return Default(path, value)


def remove(path: str) -> Transform:
    """Remove what is at a path, if there is anything."""
    return Remove(path)


def convert(path: str, to_type: str) -> Transform:
    """Convert what is at a path to `string`, `integer`, `number`, `boolean`, `timestamp`, `array` or `object`.

    It goes without loss, or not at all; null stays null.
    """
    return Convert(path, to_type)


def split(path: str, into: Sequence[str], separator: str = ",") -> Transform:
    """Split the text at a path into as many others as it has pieces; the text stays."""
    return Split(path, tuple(into) if not isinstance(into, str) else (into,), separator)


def merge(paths: Sequence[str], to: str, separator: str = " ") -> Transform:
    """Join the texts at several paths at another; null and absent ones are left out, and all of them stay."""
    return Merge(tuple(paths) if not isinstance(paths, str) else (paths,), to, separator)


def compute(to: str, transformer: str, from_: str | Sequence[str] = (), **config: Any) -> Transform:
    """Set a path to what a transformer makes of the values at others.

    The path may be one of these, and is else one where nothing is yet.
    """
    return Compute(to, transformer, _paths(from_), config=config)


def when(condition: Mapping[str, Any], then: _Many, otherwise: _Many = ()) -> Transform:
    """Do some transforms where a condition holds, and others where it does not; `where` makes conditions."""
    return When(condition_from_document(condition), _transforms(then), _transforms(otherwise))


def each(path: str, transforms: _Many) -> Transform:
    """Do the same transforms with each element of an array; their paths begin at the element."""
    return EachElement(path, _transforms(transforms))


def custom(transformer: str, from_: str | Sequence[str] = (), to: str | Sequence[str] = (), **config: Any) -> Transform:
    """Set paths to what a transformer makes of the values at others, one for each; these stay."""
    return Custom(transformer, _paths(from_), _paths(to), config=config)


def transformer(name: str) -> Callable[[_T], _T]:
    """Register the decorated function as a transformer, in this process.

    It is `fn(values, context, **config) -> value(s)`: `values` is a tuple, with `MISSING` for what is absent; it
    returns a value, for several targets a list of them, and `MISSING` for what is to stay absent. Time and ids come
    from `context.now()` and `context.uuid()` only, so that they are recorded.

    Raises `InvalidValueError` for a name that stands for another function.
    """
    return lambda function: transformers.register(name, function)


def compile(transforms: Iterable[Transform], transformers: Transformers = transformers) -> Compiled:  # noqa: A001 - its name
    """Return transforms made ready to `apply`; raises `NotFoundError` for a transformer that there is not."""
    return Compiled(tuple(transforms), transformers)


def _paths(given: str | Sequence[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def _transforms(given: _Many) -> tuple[Transform, ...]:
    return tuple(given) if isinstance(given, Iterable) else (given,)
