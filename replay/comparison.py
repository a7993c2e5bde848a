"""Comparison of two values: what differs, where, how badly, and how much is the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, localcontext
from typing import Any, Final, Literal, get_args

from backstory.domain.errors import InvalidValueError
from backstory.domain.events import MISSING
from backstory.domain.paths import render_path
from backstory.replay.comparison_lists import aligned, paired
from backstory.replay.comparison_paths import exact_steps
from backstory.replay.comparison_trees import Node, Path, Planter, steps_of

__all__ = ["TOLERANCE", "Comparison", "Kind", "Severity", "ValueDifference", "apply", "compare"]

Kind = Literal["removed", "changed", "type_changed", "added"]
Severity = Literal["critical", "major", "minor"]

TOLERANCE: Final = Decimal("0.01")
"""How far numbers may lie apart, as a share of the larger one, for a change to count as minor."""


@dataclass(frozen=True, slots=True)
class ValueDifference:
    """One part that differs. `before` and `after` are new values without ignored parts, or `MISSING`.

    `path` leads through the value before; only the index of an element that was added is the one that it has after.
    """

    path: str
    before: Any
    after: Any
    severity: Severity
    kind: Kind

    def as_dict(self) -> dict[str, Any]:
        """Return the parts by name; `before` is left out of what was added, `after` of what was removed."""
        sides = {name: side for name, side in (("before", self.before), ("after", self.after)) if side is not MISSING}
        return {"path": self.path, "kind": self.kind, "severity": self.severity, **sides}


@dataclass(frozen=True, slots=True)
class Comparison:
    """How two values differ: `differences` in the order of their paths.

    `similarity` is from 0 to 1: of the leaves of both values (numbers, texts, ..., empty containers), the share that
    stands at the matching place in the other one. It is 1.0 for identical values only, and the same in either
    direction. `summary` says it all in one sentence.
    """

    identical: bool
    similarity: float
    differences: list[ValueDifference] = field(default_factory=list)

    @property
    def summary(self) -> str:
        """One sentence for a person."""
        if self.identical:
            return "The values are identical."
        counts = Counter(each.severity for each in self.differences)
        told = ", ".join(f"{counts[severity]} {severity}" for severity in _SEVERITIES if counts[severity])
        worst = min(self.differences, key=lambda each: _SEVERITIES.index(each.severity))
        noun = "difference" if len(self.differences) == 1 else "differences"
        which = "" if len(self.differences) == 1 else "the gravest "
        where = f"at {worst.path}" if worst.path else "in the value as a whole"
        return f"{len(self.differences)} {noun} ({told}), {which}{where}; {int(self.similarity * 100)} % is the same."

    def as_dict(self) -> dict[str, Any]:
        """Return all parts by name, as `--json` prints them; values of special types stay what they are."""
        return {
            "identical": self.identical,
            "similarity": self.similarity,
            "summary": self.summary,
            "differences": [each.as_dict() for each in self.differences],
        }


def compare(a: object, b: object, *, ignore: Iterable[str] = (), unordered: Iterable[str] = ()) -> Comparison:
    """Return how `b` differs from `a`; both are values as a store holds them, or `MISSING`.

    Equal is what is stored as equal: the order of keys does not count, types do (1 is neither True nor 1.0), and a
    tuple is a list. A member of a dict that is `MISSING` is absent.

    `ignore` and `unordered` are patterns of paths: `metadata.timestamp`, `items[*].id`, `*.id` (of every member),
    `*_at` in a name for any text, `**.updated_at` (at any depth), `a["odd.key"]`; `""` is the value itself. What is
    ignored is neither compared nor counted nor shown, with all that is inside. Lists named by `unordered` are equal
    where they hold the same elements equally often. Where a pattern has an element's number, `items[0].id`, that list
    is compared place by place, for only so has the number a meaning on both sides.

    Lists are compared by what was inserted and removed, not by place; elements between equal ones that are alike
    are compared with each other (`comparison_lists` says how, and the bounds). An element that moved is one removed
    and one added.

    Severity:

    - critical: a field, or the whole value, was removed; or its type changed.
    - major: something changed; an element of a list was removed; the type changed from or to None.
    - minor: something was added; a number changed by no more than 1 % of the larger one, or only how it is written
      did (1 to 1.0), or how an instant is (its offset from UTC).

    Raises `InvalidValueError` for what no store can hold, for what is no pattern, and for a pattern that names a
    number in a list without order.
    """
    planter = Planter(ignore, unordered)
    x, y = planter.tree(a), planter.tree(b)
    # What matches what must not depend on the direction: the one of the two that comes first is always the left one.
    flipped = x is not None and y is not None and y.digest < x.digest
    shared, found = _walked(y, x) if flipped else _walked(x, y)
    if not found:
        return Comparison(identical=True, similarity=1.0)
    differences = sorted((_oriented(each, flipped=flipped) for each in found), key=lambda each: each[0])
    leaves = sum(side.leaves for side in (x, y) if side is not None)
    return Comparison(identical=False, similarity=2 * shared / leaves, differences=[each for _, each in differences])


# A part on the left and on the right, None where there is none, and its path on either side.
_Task = tuple[Node | None, Node | None, Path, Path]


def _walked(x: Node | None, y: Node | None) -> tuple[int, list[_Task]]:
    """Return how many leaves are the same, and the parts that differ."""
    shared = 0
    found: list[_Task] = []
    tasks: list[_Task] = [(x, y, None, None)]
    while tasks:
        task = tasks.pop()
        one, other, path, other_path = task
        if one is None or other is None:
            if one is not other:
                found.append(task)
        elif one.digest == other.digest:
            shared += one.leaves
        elif one.kind == other.kind and one.parts is not None and other.parts is not None:
            tasks += [
                (one_part, other_part, (path, step), (other_path, other_step))
                for one_part, other_part, step, other_step in _parts(one.parts, other.parts, unordered=one.unordered)
            ]
        else:
            found.append(task)
    return shared, found


def _parts(
    one: dict[Any, Node] | list[Node], other: dict[Any, Node] | list[Node], *, unordered: bool
) -> Iterator[tuple[Node | None, Node | None, str | int, str | int]]:
    """Yield which parts of two containers belong together, and the step to them on either side."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in {**one, **other}:
            yield one.get(key), other.get(key), key, key
    elif isinstance(one, list) and isinstance(other, list):
        for i, j in (paired if unordered else aligned)(one, other):
            if i is not None and j is not None:
                yield one[i], other[j], i, j
            elif i is not None:
                yield one[i], None, i, i
            elif j is not None:
                yield None, other[j], j, j


# -- What is said about a part that differs.

_KINDS: Final = get_args(Kind)
_SEVERITIES: Final = get_args(Severity)
_NUMBERS: Final = frozenset(("int", "float", "Decimal"))
_Place = tuple[list[tuple[bool, str | int]], int]


def _oriented(task: _Task, *, flipped: bool) -> tuple[_Place, ValueDifference]:
    """Return a difference from the first value to the second, and where it belongs among the others."""
    one, other, path, other_path = task
    if flipped:
        one, other, path = other, one, other_path
    steps = steps_of(path)
    kind = _kind(one, other)
    difference = ValueDifference(
        path=render_path(steps),
        before=MISSING if one is None else one.value(),
        after=MISSING if other is None else other.value(),
        severity=_severity(one, other, in_list=bool(steps) and isinstance(steps[-1], int)),
        kind=kind,
    )
    return ([(isinstance(step, str), step) for step in steps], _KINDS.index(kind)), difference


def _kind(one: Node | None, other: Node | None) -> Kind:
    if one is None or other is None:
        return "added" if one is None else "removed"
    return "changed" if one.kind == other.kind else "type_changed"


def _severity(one: Node | None, other: Node | None, *, in_list: bool) -> Severity:
    if one is None:
        return "minor"
    if other is None:
        return "major" if in_list else "critical"
    if {one.kind, other.kind} <= _NUMBERS:
        return "minor" if _close(one.leaf, other.leaf) else "major"
    if one.kind != other.kind:
        return "major" if "None" in (one.kind, other.kind) else "critical"
    return "minor" if one.kind == "datetime" and one.leaf == other.leaf else "major"


def _close(one: Any, other: Any) -> bool:
    """Return whether two numbers lie close together; decimals can take any two of them, whatever their size."""
    with localcontext(_CONTEXT) as context:
        left, right = Decimal(one), Decimal(other)
        return context.abs(left - right) <= TOLERANCE * context.max(context.abs(left), context.abs(right))


_CONTEXT: Final = Context(prec=28, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[])


# -- The way back.


def apply(differences: Iterable[ValueDifference], a: object) -> Any:
    """Return the value that differs from `a` so: `apply(compare(a, b).differences, a)` equals `b`.

    With patterns it equals `b` as far as was compared: what was ignored stays as it is in `a`, and the order of a list
    without order is one of many. It shares with `a` what does not differ. Raises `InvalidValueError` for differences
    that `a` has no place for.
    """
    top = _Plan()
    for each in differences:
        plan = top
        *outer, last = (0, *exact_steps(each.path))
        for step in outer:
            plan = plan.inner.setdefault(step, _Plan())
        (plan.added if each.kind == "added" else plan.final)[last] = each
    after = _rebuilt([] if a is MISSING else [a], top, None)
    return after[0] if after else MISSING


@dataclass(slots=True)
class _Plan:
    """What becomes of the parts of a container, by step."""

    inner: dict[str | int, _Plan] = field(default_factory=dict)
    final: dict[str | int, ValueDifference] = field(default_factory=dict)
    added: dict[str | int, ValueDifference] = field(default_factory=dict)


def _rebuilt(value: Any, plan: _Plan, path: Path) -> Any:
    """Return a container as it is afterwards."""
    if not isinstance(value, (dict, list, tuple)):
        raise _misfit(path)
    kept: list[tuple[Any, Any]] = []
    wanted = plan.inner.keys() | plan.final.keys()
    for step, part in value.items() if isinstance(value, dict) else enumerate(value):
        wanted.discard(step)
        if step not in plan.final:
            kept.append((step, _rebuilt(part, plan.inner[step], (path, step)) if step in plan.inner else part))
        elif plan.final[step].kind != "removed":
            kept.append((step, plan.final[step].after))
    for step in wanted:
        raise _misfit((path, step))
    if isinstance(value, dict):
        return {**dict(kept), **{key: each.after for key, each in plan.added.items()}}
    return _inserted([part for _, part in kept], plan.added)


def _inserted(kept: list[Any], added: dict[str | int, ValueDifference]) -> list[Any]:
    """Return elements with others between them, which are at their indices afterwards."""
    after: list[Any] = []
    taken = 0
    for index, each in sorted(((int(step), each) for step, each in added.items()), key=lambda each: each[0]):
        upto = taken + max(index - len(after), 0)
        after += kept[taken:upto]
        after.append(each.after)
        taken = upto
    return after + kept[taken:]


def _misfit(path: Path) -> InvalidValueError:
    hint = "Apply differences to the value that they start from."
    return InvalidValueError(render_path(steps_of(path)[1:]), rule="has no place for a difference", hint=hint)
