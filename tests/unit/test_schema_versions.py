"""Semantic versions: what is one, and which comes first."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backstory.domain.errors import SchemaError
from backstory.domain.versions import is_version, version_of

ORDERED = [
    "0.9.9", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.2", "1.0.0-alpha.10", "1.0.0-alpha.beta", "1.0.0-beta",
    "1.0.0-rc.1", "1.0.0", "1.0.1", "1.2.0", "1.10.0", "2.0.0-0", "2.0.0",
]  # fmt: skip


def test_versions_are_ordered_by_precedence_pre_releases_included() -> None:
    assert max(ORDERED, key=version_of) == ORDERED[-1]
    assert all(version_of(one) < version_of(two) for one, two in pairwise(ORDERED))


def test_build_metadata_has_no_part_in_the_order() -> None:
    assert version_of("1.0.0+a") == version_of("1.0.0+b")
    assert hash(version_of("1.0.0+a")) == hash(version_of("1.0.0+b"))


@pytest.mark.parametrize("text", [*ORDERED, "1.0.0-rc.1+build.5", "1.0.0+001"])
def test_a_version_gives_its_text_back(text: str) -> None:
    assert str(version_of(text)) == text
    assert is_version(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2",
        "2.0",
        "v1.0.0",
        "1.0.0\n",
        " 1.0.0",
        "01.0.0",
        "1.0.0-01",
        "1.0.0.0",
        "1.0.0-",
        "\u0661.0.0",
        "9" * 5000,
    ],
)
def test_anything_else_is_refused_with_the_rule(text: str) -> None:
    with pytest.raises(SchemaError, match="a version ") as caught:
        version_of(text)
    assert caught.value.rule is not None
    assert "2.0.0" in caught.value.hint
    assert not is_version(text)


@pytest.mark.parametrize("value", [1, None, 1.0, b"1.0.0"])
def test_what_is_no_text_is_no_version(value: object) -> None:
    assert not is_version(value)  # type: ignore[arg-type]


@given(st.tuples(*[st.integers(0, 99)] * 3), st.tuples(*[st.integers(0, 99)] * 3))
def test_without_pre_releases_the_order_is_that_of_the_numbers(one: tuple[int, ...], two: tuple[int, ...]) -> None:
    first, second = (version_of(".".join(map(str, numbers))) for numbers in (one, two))
    assert (one < two) == (first < second)
