"""Durations: which numbers of seconds are taken."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backstory.domain.durations import FINITE_S, LONGEST_S, seconds
from backstory.domain.errors import InvalidValueError

numbers = st.one_of(st.integers(), st.floats(), st.sampled_from([0, -0.0, 1e-6, LONGEST_S, 10**400, FINITE_S]))
bounds = st.sampled_from([(0, LONGEST_S), (1e-6, 10), (0, FINITE_S)])


@given(numbers, bounds, st.booleans())
def test_a_number_within_the_bounds_is_taken_as_it_is_and_any_other_refused(
    number: float, within: tuple[float, float], above: bool
) -> None:
    least, most = within
    if least <= number <= most and not (above and number == least):
        assert number == seconds("here", number, least=least, most=most, above=above)
    else:
        with pytest.raises(InvalidValueError) as caught:
            seconds("here", number, least=least, most=most, above=above)

        assert "here" == caught.value.path


@pytest.mark.parametrize("given", [True, None, "1", 1j, math.nan, [1]])
def test_what_is_no_number_is_no_duration(given: object) -> None:
    with pytest.raises(InvalidValueError):
        seconds("here", given, most=FINITE_S)


@pytest.mark.parametrize(
    ("told", "options"),
    [
        ("Give a number from 0, up to 1000000000.", {}),
        ("Give a number above 0.", {"above": True, "most": FINITE_S}),
        ("Give a number from 0.000001, up to 5, or None.", {"least": 1e-6, "most": 5, "hint": ", or None"}),
    ],
)
def test_a_refusal_says_what_may_be_given(told: str, options: dict[str, object]) -> None:
    with pytest.raises(InvalidValueError, match=rf"is no number of seconds: -1\. {told}$"):
        seconds("here", -1, **options)  # type: ignore[arg-type]
