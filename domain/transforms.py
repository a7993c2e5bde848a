"""Transforms: the steps of a migration as frozen data, checked when made; each says in words what it does.

`transform_documents` turns them into plain data and back, `transform_compiling` into code, `transform_inverses` round.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, ClassVar, Final, NoReturn

from backstory.domain.conditions import Condition
from backstory.domain.conversions import CONVERSIONS
from backstory.domain.errors import InvalidValueError, shown
from backstory.domain.paths import EACH
from backstory.domain.transform_paths import (
    Steps,
    path_text,
    rendered,
    shown_at,
    split_at_last_star,
    starts_with,
    steps_of,
)
from backstory.domain.transform_values import storable

__all__ = [
    "Compute",
    "Convert",
    "Copy",
    "Custom",
    "Default",
    "EachElement",
    "Merge",
    "Move",
    "Remove",
    "Rename",
    "Split",
    "Transform",
    "When",
]

_MOST_NAME: Final = 128


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy of what is at `from_` to `to`, where nothing may be."""

    from_: str
    to: str
    kind: ClassVar[str] = "copy"

    def __post_init__(self) -> None:
        """Check the paths."""
        from_, to = _keep_paths(self, "from_", "to")
        _pair(to, from_)
        if starts_with(from_, to):
            _refuse(self, f"{self.to} holds {self.from_}", "Move it, or copy it elsewhere.")

    def describe(self) -> str:
        """Return it in words."""
        return f"copy {self.from_} to {self.to}"


@dataclass(frozen=True, slots=True)
class Move:
    """What is at `from_` goes to `to`, where nothing may be; or goes deeper, or comes up, in its own place."""

    from_: str
    to: str
    kind: ClassVar[str] = "move"

    def __post_init__(self) -> None:
        """Check the paths."""
        from_, to = _keep_paths(self, "from_", "to")
        base = _pair(to, from_)
        if from_ == to:
            _refuse(self, f"{self.to} is where it is", "Give another path.")
        deeper = to[len(from_) :] if starts_with(to, from_) else from_[len(to) :] if starts_with(from_, to) else ()
        if any(isinstance(step, int) and step for step in deeper):
            _refuse(self, "an array made around a value has one element", "Write `[0]`.")
        if not deeper and (not from_[len(base) :] or not to[len(base) :]):
            _refuse(self, "an element of an array stays in its place", "Move what is in it, or compute a new array.")

    def describe(self) -> str:
        """Return it in words."""
        return f"move {self.from_} to {self.to}"


@dataclass(frozen=True, slots=True)
class Rename:
    """What is at `from_` gets another name beside it."""

    from_: str
    to: str
    kind: ClassVar[str] = "rename"

    def __post_init__(self) -> None:
        """Check the paths."""
        from_, to = _keep_paths(self, "from_", "to")
        if (
            not from_
            or not to
            or from_[:-1] != to[:-1]
            or not isinstance(from_[-1], str)
            or not isinstance(to[-1], str)
        ):
            _refuse(self, f"{self.to} is no other name beside {self.from_}", "Give both paths whole, or use move.")
        if from_ == to:
            _refuse(self, f"{self.to} is its name", "Give another name.")

    def describe(self) -> str:
        """Return it in words."""
        return f"rename {self.from_} to {self.to}"


@dataclass(frozen=True, slots=True)
class Default:
    """`value` at `path`, where nothing is; null is something."""

    path: str
    value: Any
    kind: ClassVar[str] = "default"

    def __post_init__(self) -> None:
        """Check the path and the value, of which a copy is kept."""
        [steps] = _keep_paths(self, "path")
        object.__setattr__(self, "value", storable(self.value))
        if not _below_its_base(steps):
            _refuse(self, f"{self.path} is never absent", "Give the path of a field.")

    def describe(self) -> str:
        """Return it in words."""
        return f"set {self.path} to {shown_at(steps_of(self.path), self.value)} where it is absent"


@dataclass(frozen=True, slots=True)
class Remove:
    """Nothing at `path` any more."""

    path: str
    kind: ClassVar[str] = "remove"

    def __post_init__(self) -> None:
        """Check the path."""
        [steps] = _keep_paths(self, "path")
        if not steps:
            _refuse(self, "the whole value cannot be removed", "Delete the key from the store.")
        if steps[-1] is EACH:
            _refuse(self, "elements are not removed one by one", "Remove the array, or compute a shorter one.")

    def describe(self) -> str:
        """Return it in words."""
        return f"remove {self.path}"


@dataclass(frozen=True, slots=True)
class Convert:
    """What is at `path` in another type, without loss; see `domain.conversions`."""

    path: str
    to_type: str
    kind: ClassVar[str] = "convert"

    def __post_init__(self) -> None:
        """Check path and type."""
        _keep_paths(self, "path")
        if not isinstance(self.to_type, str) or self.to_type not in CONVERSIONS:
            _refuse(self, f"nothing converts to {shown(self.to_type)}", f"Take one of {', '.join(CONVERSIONS)}.")

    def describe(self) -> str:
        """Return it in words."""
        return f"convert {self.path} to {self.to_type}"


@dataclass(frozen=True, slots=True)
class Split:
    """The pieces of the text at `path`, one for each path of `into`; the text stays."""

    path: str
    into: tuple[str, ...]
    separator: str = ","
    kind: ClassVar[str] = "split"

    def __post_init__(self) -> None:
        """Check the paths and the separator."""
        [source] = _keep_paths(self, "path")
        targets = _keep_many(self, "into")
        _check_separator(self, self.separator)
        if not self.separator:
            _refuse(self, "a text is not split at nothing", "Give a separator.")
        _check_apart(self, targets)
        for target in targets:
            _pair(target, source)
            if starts_with(target, source) or starts_with(source, target):
                _refuse(self, f"{rendered(target)} is where the text stays", "Split into other places.")

    def describe(self) -> str:
        """Return it in words."""
        return f"split {self.path} at {self.separator!r} into {', '.join(self.into)}"


@dataclass(frozen=True, slots=True)
class Merge:
    """The texts at `paths`, joined, at `to`; absent and null ones are left out, and all of them stay."""

    paths: tuple[str, ...]
    to: str
    separator: str = " "
    kind: ClassVar[str] = "merge"

    def __post_init__(self) -> None:
        """Check the paths and the separator."""
        sources = _keep_many(self, "paths")
        [target] = _keep_paths(self, "to")
        _check_separator(self, self.separator)
        for source in sources:
            _pair(target, source)
            if starts_with(target, source) or starts_with(source, target):
                _refuse(self, f"{self.to} is where {rendered(source)} stays", "Merge into another place.")

    def describe(self) -> str:
        """Return it in words."""
        return f"merge {', '.join(self.paths)} with {self.separator!r} into {self.to}"


@dataclass(frozen=True, slots=True)
class Compute:
    """What a transformer makes of the values at `from_`, at `to`; only what it read may have been there."""

    to: str
    transformer: str
    from_: tuple[str, ...] = ()
    _: KW_ONLY
    config: Mapping[str, Any] = field(default_factory=dict)
    kind: ClassVar[str] = "compute"

    def __post_init__(self) -> None:
        """Check everything but whether there is such a transformer, which compiling does."""
        [target] = _keep_paths(self, "to")
        _check_call(self, (target,), _keep_many(self, "from_", least=0))

    def describe(self) -> str:
        """Return it in words."""
        return f"compute {self.to} by {_call(self)}"


@dataclass(frozen=True, slots=True)
class Custom:
    """What a transformer makes of the values at `from_`, one for each path of `to`; its sources stay."""

    transformer: str
    from_: tuple[str, ...] = ()
    to: tuple[str, ...] = ()
    _: KW_ONLY
    config: Mapping[str, Any] = field(default_factory=dict)
    kind: ClassVar[str] = "custom"

    def __post_init__(self) -> None:
        """Check everything but whether there is such a transformer, which compiling does."""
        targets = _keep_many(self, "to")
        _check_apart(self, targets)
        _check_call(self, targets, _keep_many(self, "from_", least=0))

    def describe(self) -> str:
        """Return it in words."""
        return f"set {', '.join(self.to)} by {_call(self)}"


@dataclass(frozen=True, slots=True)
class When:
    """The transforms of `then` where `condition` holds, and those of `otherwise` where it does not."""

    condition: Condition
    then: tuple[Transform, ...]
    otherwise: tuple[Transform, ...] = ()
    kind: ClassVar[str] = "when"

    def __post_init__(self) -> None:
        """Check that there is something to do."""
        _keep_transforms(self, "then")
        _keep_transforms(self, "otherwise")
        if not self.then and not self.otherwise:
            _refuse(self, "it does nothing in either case", "Give a transform.")

    def describe(self) -> str:
        """Return it in words."""
        words = f"when {self.condition.describe()}: {_described(self.then)}"
        return f"{words}; otherwise: {_described(self.otherwise)}" if self.otherwise else words


@dataclass(frozen=True, slots=True)
class EachElement:
    """The same transforms for each element of the arrays at `path`; their paths begin at the element."""

    path: str
    transforms: tuple[Transform, ...]
    kind: ClassVar[str] = "each"

    def __post_init__(self) -> None:
        """Check the path, which is kept as that of the elements."""
        [steps] = _keep_paths(self, "path")
        if not steps or steps[-1] is not EACH:
            object.__setattr__(self, "path", rendered((*steps, EACH)))
        _keep_transforms(self, "transforms")
        if not self.transforms:
            _refuse(self, "it does nothing", "Give a transform.")

    def describe(self) -> str:
        """Return it in words."""
        return f"for each {self.path}: {_described(self.transforms)}"


Transform = Copy | Move | Rename | Default | Remove | Convert | Split | Merge | Compute | Custom | When | EachElement


# -- What all of them check


def _refuse(transform: Any, rule: str, hint: str) -> NoReturn:
    raise InvalidValueError(transform.kind, rule=rule, hint=hint)


def _keep_paths(transform: Any, *names: str) -> list[Steps]:
    """Write paths in their one form, and return their steps."""
    for name in names:
        object.__setattr__(transform, name, path_text(getattr(transform, name)))
    return [steps_of(getattr(transform, name)) for name in names]


def _keep_many(transform: Any, name: str, *, least: int = 1) -> list[Steps]:
    given = getattr(transform, name)
    if isinstance(given, str):
        given = (given,)
    if not isinstance(given, Sequence) or len(given) < least:
        _refuse(
            transform, f"{name} is no list of {least or 'no'} or more paths: {shown(given)}", "Give a list of paths."
        )
    object.__setattr__(transform, name, tuple(map(path_text, given)))
    return [steps_of(path) for path in given]


def _keep_transforms(transform: Any, name: str) -> None:
    given = getattr(transform, name)
    given = (given,) if isinstance(given, _ALL) else tuple(given) if isinstance(given, Iterable) else (given,)
    for each in given:
        if not isinstance(each, _ALL):
            _refuse(transform, f"{shown(each)} in {name} is no transform", "Make it with a function of `transforms`.")
    object.__setattr__(transform, name, given)


def _pair(target: Steps, source: Steps) -> Steps:
    """Return the arrays whose elements both paths go over in step; raises unless they are the same."""
    base = split_at_last_star(target)[0]
    if base != split_at_last_star(source)[0]:
        raise InvalidValueError(
            rendered(target),
            rule=f"does not go over the same arrays as {rendered(source)}",
            hint='Pair `items[*].a` with `items[*].b`; gather values with compute(to, "collect", from_="items[*].a").',
        )
    return base


def _below_its_base(steps: Steps) -> Steps:
    return split_at_last_star(steps)[1]


def _check_apart(transform: Any, targets: Sequence[Steps]) -> None:
    for index, one in enumerate(targets):
        for other in targets[:index]:
            if starts_with(one, other) or starts_with(other, one):
                _refuse(transform, f"{rendered(one)} and {rendered(other)} are one place", "Give places apart.")


def _check_separator(transform: Any, separator: Any) -> None:
    if not isinstance(separator, str):
        _refuse(transform, f"the separator {shown(separator)} is no text", "Give a text.")
    storable(separator)


def _check_call(transform: Any, targets: Sequence[Steps], sources: Sequence[Steps]) -> None:
    name = transform.transformer
    if not isinstance(name, str) or not name or len(name) > _MOST_NAME:
        _refuse(transform, f"{shown(name)} is no name of a transformer", "Give the name it is registered with.")
    if not isinstance(transform.config, Mapping) or not all(isinstance(key, str) for key in transform.config):
        _refuse(transform, "config is no mapping by name", "Give the options by name.")
    object.__setattr__(transform, "config", storable(dict(transform.config)))
    base = split_at_last_star(targets[0])[0]
    for target in targets:
        _pair(target, targets[0])
        if not _below_its_base(target) and target not in sources:
            _refuse(transform, f"{rendered(target)} would be dropped", "Name it among its sources too.")
    for source in sources:
        if not starts_with(source, base) and EACH in base and EACH in source and _shares_arrays(source, base):
            _pair(base, source)


def _shares_arrays(source: Steps, base: Steps) -> bool:
    """Return whether a source goes over some of the arrays of a target, and not over all: pairs would be ambiguous."""
    first = base[: base.index(EACH) + 1]
    return starts_with(source, first)


def _call(transform: Compute | Custom) -> str:
    words = transform.transformer
    if transform.config:
        words += "(" + ", ".join(f"{name}={shown_at((name,), value)}" for name, value in transform.config.items()) + ")"
    return f"{words} from {', '.join(transform.from_)}" if transform.from_ else words


def _described(transforms: Iterable[Transform]) -> str:
    return ", then ".join(each.describe() for each in transforms) or "nothing"


_ALL: Final = (Copy, Move, Rename, Default, Remove, Convert, Split, Merge, Compute, Custom, When, EachElement)
