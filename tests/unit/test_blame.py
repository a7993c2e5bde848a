"""Paths into values, as blame reads them: the other way round of how they are written."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backstory.domain.errors import InvalidValueError
from backstory.domain.events import MISSING
from backstory.domain.paths import render_path
from backstory.replay.blame import inside, parse_path

STEPS = st.lists(st.text() | st.integers(0, 10**6))


@given(STEPS)
@example(["a\n\x00\u2028", '"', "\\", "\ud800", "", "0", 0, "é", "a.b", "a-b"])
def test_a_written_path_is_read_back(steps: list[str | int]) -> None:
    assert tuple(steps) == parse_path(render_path(steps))


@pytest.mark.parametrize("path", ["a[", "a]", "a..b", ".", "a.", "[x]", "[-1]", '["a]', '["\\q"]', "a[0", "[]"])
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        parse_path(path)

    assert caught.value.path == path
    assert str(caught.value).endswith('Write paths as `items[0].price` or `a["odd key"]`.')


@given(st.text())
def test_any_text_is_a_path_or_refused(text: str) -> None:
    try:
        steps = parse_path(text)
    except InvalidValueError:
        return
    assert steps == parse_path(render_path(steps))


def test_nothing_lies_beside_the_path() -> None:
    value = {"items": [{"price": 3}], "0": "zero", "text": "abc"}

    assert inside(value, ("items", 0, "price")) == 3
    assert inside(value, ()) == value
    for steps in (("items", 1), ("items", "0"), ("text", 0), ("items", 0, "price", "x"), ("none",)):
        assert inside(value, steps) is MISSING
