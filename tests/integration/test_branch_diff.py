"""The difference between two branches: what their states differ in, wherever they parted."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import backstory
from backstory import MISSING, NotFoundError, Scope

SCOPES = ("custom:a", "custom:b")
KEYS = ("x", "y")

writes = st.one_of(
    st.tuples(st.just("set"), st.sampled_from(SCOPES), st.sampled_from(KEYS), st.integers(0, 3)),
    st.tuples(st.just("delete"), st.sampled_from(SCOPES), st.sampled_from(KEYS)),
    st.tuples(st.just("clear"), st.sampled_from(SCOPES)),
)
steps = st.lists(st.tuples(st.sampled_from(("write", "fork", "switch")), writes, st.integers(0, 5)), max_size=25)


def written(store: Any, write: tuple[Any, ...]) -> None:
    verb, *rest = write
    getattr(store, verb)(*rest)


def expected(here: Any, there: Any) -> list[tuple[str, str, Any, Any]]:
    one = {(str(scope), key): value for scope, values in here.snapshot().items() for key, value in values.items()}
    other = {(str(scope), key): value for scope, values in there.snapshot().items() for key, value in values.items()}
    places = sorted({*one, *other})
    pairs = [(*place, one.get(place, MISSING), other.get(place, MISSING)) for place in places]
    return [pair for pair in pairs if pair[2] != pair[3]]


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=steps)
def test_the_difference_of_two_branches_is_that_of_their_states(store_url: str, steps: list[Any]) -> None:
    with backstory.open(store_url) as main:
        for scope in SCOPES:
            main.clear(scope)
        stores, count = [main], len(main.branches())
        current: Any = main
        for what, write, number in steps:
            if what == "fork":
                count += 1
                stores.append(current.fork(f"b{main.position()}-{count}"))
            elif what == "switch":
                current = stores[number % len(stores)]
            else:
                written(current, write)
        for one in stores:
            for other in stores[-2:]:
                found = one.diff_branch(other.branch_name) if other is not main else one.diff_branch("main")
                assert expected(one, other) == [(str(d.scope), d.key, d.before, d.after) for d in found]
        for store in stores[1:]:
            main.drop_branch(store.branch_name)


async def test_the_asyncio_face_tells_a_scope_of_two_branches_apart(store_url: str) -> None:
    async with backstory.open_async(store_url) as store:
        await store.set("custom:a", "x", 1)
        fork = await store.fork("other")
        await fork.set("custom:a", "x", 2)
        await fork.set("custom:b", "y", 3)
        (found,) = await store.diff_branch("other", scope="custom:a")
        assert (Scope.custom("a"), "x", 1, 2) == (found.scope, found.key, found.before, found.after)


def test_the_difference_to_no_branch_is_refused() -> None:
    with backstory.open("memory://") as store, pytest.raises(NotFoundError):
        store.diff_branch("nowhere")
