"""Sums: exact, or refused; whatever decimal context the caller has."""

from __future__ import annotations

from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

import backstory
from backstory import InvalidValueError

NUMBERS = st.decimals(allow_nan=False, allow_infinity=False, places=20) | st.integers()


@given(NUMBERS, NUMBERS)
def test_decimals_and_whole_numbers_are_added_exactly(one: Decimal | int, other: Decimal | int) -> None:
    with backstory.open("memory://") as store, localcontext() as context:
        context.prec = 3
        store.set("global", "n", one)
        total = store.increment("global", "n", other)

    with localcontext() as context:
        context.prec = 5000
        assert one + other == total


@pytest.mark.parametrize(
    ("value", "by"),
    [
        (Decimal(1), Decimal("sNaN")),
        (Decimal(1), Decimal("1e-99999")),
        (Decimal("9e999999"), Decimal("9e999999")),
        (Decimal(1), 0.5),
        (0.5, Decimal(1)),
        (0.5, 10**400),
        (1e308, 1e308),
    ],
)
def test_a_sum_that_cannot_be_told_exactly_is_refused_and_harms_no_other_write(value: object, by: object) -> None:
    with backstory.open("memory://") as store:
        store.set("global", "n", value)
        with pytest.raises(InvalidValueError):
            store.increment("global", "n", by)

        assert store.position() == 1
