"""The laws of transforms, on any plan and any value: what is compiled does what the rules say, and inverses undo it."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from backstory import transforms
from backstory.domain.errors import InvalidValueError, MigrationError
from backstory.domain.events import MISSING
from backstory.domain.transformers_built_in import BUILT_IN
from backstory.transforms import Transform
from tests.support.interpreted_transforms import RefusedError, interpret


class Context:
    """A time and an id, always the same."""

    def now(self) -> datetime:
        return datetime(2026, 3, 1, 12, tzinfo=UTC)

    def uuid(self) -> UUID:
        return UUID(int=7)


NAMES = ("a", "b", "c.d")
LEAVES = st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["", "1", "x,y", "x", "true", 1.5, 2.0])
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
    max_leaves=8,
)
INNER = st.dictionaries(st.sampled_from(NAMES), LEAVES, max_size=2)
OBJECTS = st.fixed_dictionaries(
    {}, optional={"a": INNER | st.lists(INNER, max_size=2) | LEAVES, "b": INNER | VALUES, "c.d": LEAVES}
)
STEPS = st.sampled_from(["a", "b", '["c.d"]', "a", "b", "[0]", "[*]"])


USUAL = st.sampled_from(
    ["a", "b", '["c.d"]', "new", "a.b", "a.a", "b.a", "b.new", "a[*]", "a[*].a", "a[*].b", "b[0]", "$"]
)


@st.composite
def odd_paths(draw: st.DrawFn) -> str:
    text = ""
    for step in draw(st.lists(STEPS, max_size=3)):
        text += step if step.startswith("[") or not text else f".{step}"
    return text or "$"


def paths() -> st.SearchStrategy[str]:
    return USUAL | USUAL | USUAL | odd_paths()


def targets() -> st.SearchStrategy[str]:
    """Return paths where mostly nothing is yet, at places that mostly have an object around them."""
    return st.sampled_from(["new", "newer", "new", "newer", "b.new", "a.new", "a[*].new"]) | paths()


CONDITIONS = st.recursive(
    st.builds(transforms.where, paths(), st.sampled_from(["exists", "absent"]))
    | st.builds(transforms.where, paths(), st.just("equals"), LEAVES)
    | st.builds(transforms.where, paths(), st.just(">"), st.integers(-1, 1)),
    lambda inner: (
        st.builds(lambda one: {"not": one}, inner)
        | st.builds(lambda many: {"all": many}, st.lists(inner, max_size=2))
        | st.builds(lambda many: {"any": many}, st.lists(inner, max_size=2))
    ),
    max_leaves=2,
)
NAMED = st.sampled_from(["collect", "concat", "first_non_null", "sum", "upper", "now_iso8601", "uuid"])
FEW = st.lists(paths(), min_size=1, max_size=2)
NEW = st.lists(targets(), min_size=1, max_size=2)


def made(kind: str, draw: st.DrawFn, *, depth: int, kinds: tuple[str, ...]) -> Transform:  # noqa: PLR0911 - one case a kind
    inner = kinds if depth == 0 else tuple(kind for kind in kinds if kind not in {"when", "each"})
    match kind:
        case "copy" | "move" | "rename":
            function = getattr(transforms, kind)
            found: Transform = function(draw(paths()), draw(targets()))
            return found
        case "default":
            return transforms.default(draw(paths()), draw(VALUES))
        case "remove":
            return transforms.remove(draw(paths()))
        case "convert":
            return transforms.convert(draw(paths()), draw(st.sampled_from(["string", "integer", "boolean", "array"])))
        case "split":
            return transforms.split(draw(paths()), draw(NEW))
        case "merge":
            return transforms.merge(draw(FEW), draw(targets()))
        case "compute":
            return transforms.compute(draw(targets()), draw(NAMED), draw(st.lists(paths(), max_size=2)))
        case "custom":
            return transforms.custom("collect", draw(FEW), draw(NEW))
        case "when":
            return transforms.when(draw(CONDITIONS), draw(plans(depth + 1, inner)), draw(plans(depth + 1, inner)))
        case _:
            return transforms.each(draw(paths()), draw(plans(depth + 1, inner)))


KINDS = ("copy", "move", "rename", "default", "remove", "convert", "split", "merge", "compute", "custom")
NESTED = (*KINDS, "when", "each")


UNDOABLE = ("copy", "move", "rename", "split", "merge", "compute", "custom", "when", "each")


@st.composite
def plans(draw: st.DrawFn, depth: int = 0, kinds: tuple[str, ...] = NESTED) -> list[Transform]:
    found = []
    for kind in draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=3)):
        try:
            found.append(made(kind, draw, depth=depth, kinds=kinds))
        except InvalidValueError:
            continue
    return found


@settings(max_examples=400, deadline=None)
@given(plans(), OBJECTS | VALUES)
def test_compiled_transforms_do_what_the_rules_say(plan: list[Transform], value: Any) -> None:
    before = copy.deepcopy(value)
    try:
        expected = interpret(plan, value, BUILT_IN, Context())
    except RefusedError:
        expected = MISSING
    event("refused" if expected is MISSING else "taken")
    try:
        got = transforms.compile(plan).apply(value, Context())
    except MigrationError:
        got = MISSING

    assert _typed(expected) == _typed(got)
    assert before == value


def _typed(value: Any) -> str:
    return "refused" if value is MISSING else json.dumps(value, sort_keys=True)


@settings(max_examples=500, deadline=None)
@given(plans(kinds=UNDOABLE), OBJECTS)
def test_there_and_back_again_is_the_same(plan: list[Transform], value: Any) -> None:
    back = transforms.inverse(plan)
    assume(back is not None)
    assert back is not None
    try:
        there = transforms.compile(plan).apply(value, Context())
    except MigrationError:
        assume(False)
    event("changed" if there != value else "as it was")

    assert _typed(value) == _typed(transforms.compile(back).apply(there, Context()))


@settings(deadline=None)
@given(plans())
def test_a_plan_goes_through_a_document_and_back(plan: list[Transform]) -> None:
    text = json.dumps(transforms.to_documents(plan))

    assert tuple(plan) == transforms.from_documents(json.loads(text))
    assert all(transform.describe() for transform in plan)
