"""The rules of paths into a value."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backstory.domain.errors import InvalidValueError
from backstory.domain.paths import EACH, parse_path, path_tokens, render_path

steps = st.lists(st.one_of(st.integers(min_value=0, max_value=99), st.text(max_size=5)), max_size=4)


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("", []),
        ("a", ["a"]),
        ("[3]", [3]),
        ("items[0].price", ["items", 0, "price"]),
        ('a["odd key"]', ["a", "odd key"]),
        ('["odd key"].b', ["odd key", "b"]),
        ('a["0"]', ["a", "0"]),
        ('[""]', [""]),
        ('["a.b"]', ["a.b"]),
        ('["quote\\"d"]', ['quote"d']),
        ("gr\u00f6\u00dfe.user-id", ["gr\u00f6\u00dfe", "user-id"]),
        ('["\\ud800\\n"]', ["\ud800\n"]),
    ],
)
def test_a_path_reads_as_python_would_write_it(path: str, parts: list[str | int]) -> None:
    assert path == render_path(parts)


@given(steps, steps)
def test_two_paths_with_the_same_text_are_the_same(one: list[str | int], other: list[str | int]) -> None:
    assert (one == other) == (render_path(one) == render_path(other))


@given(steps)
def test_a_path_can_be_printed(parts: list[str | int]) -> None:
    assert isinstance(render_path(parts).encode(), bytes)
    assert len(render_path(parts).splitlines()) <= 1


@pytest.mark.parametrize("path", ["a[0]b", '["a"]b', "a[*]", "[*]", "[" + "9" * 5_000 + "]"])
def test_a_path_to_one_part_has_dots_before_names_and_no_star(path: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        parse_path(path)

    assert path == caught.value.path


def test_a_step_to_every_element_is_told_from_a_key_that_is_a_star() -> None:
    tokens = path_tokens('a[*]["*"].*[2]', hint="")

    assert [("name", "a"), (EACH, None), ("key", "*"), ("name", "*"), ("index", 2)] == list(tokens)
    assert 'a[*]["*"][2]' == render_path(["a", EACH, "*", 2])
