"""Folds of one key's events, and when two values differ."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from backstory.domain.events import MISSING
from backstory.infrastructure.codec import canonical
from backstory.projections.history import differs

json = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from((0.5, 1.0)) | st.sampled_from(("", "a", "1")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)


@given(json, json)
def test_values_differ_as_their_canonical_texts_do(one: object, other: object) -> None:
    assert (canonical(one) != canonical(other)) == differs(one, other) == differs(other, one)


@given(json)
def test_a_value_differs_from_nothing_and_not_from_itself(value: object) -> None:
    assert differs(value, MISSING)
    assert not differs(value, value)
    assert not differs(MISSING, MISSING)
