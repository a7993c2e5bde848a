"""Columns: printable text that fits."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backstory.replay.rendering.columns import cut, filled, safe, width, wrapped
from tests.support.pictures import TEXTS


@given(st.text() | TEXTS)
@example("\ud800")
def test_what_is_safe_is_printable_and_stays_as_it_is(text: str) -> None:
    made = safe(text)

    assert made.isprintable()
    assert made == safe(made)


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126)))
def test_plain_text_is_left_alone_and_as_wide_as_long(text: str) -> None:
    assert text == safe(text)
    assert len(text) == width(text)


@pytest.mark.parametrize(
    ("columns", "text"),
    [(0, ""), (3, "abc"), (4, "東京"), (1, "e\u0301"), (2, "👍"), (4, "한국"), (2, "\uff21"), (2, "❤️"), (4, "שלום")],
)
def test_a_width_is_what_a_terminal_takes(columns: int, text: str) -> None:
    assert columns == width(text)


@pytest.mark.parametrize(
    ("made", "text"),
    [
        ("a\\nb", "a\nb"),
        ("\\x1b[31m", "\x1b[31m"),
        ("\\x00", "\x00"),
        ("\\u202eabc", "\u202eabc"),
        ("\\u2028", "\u2028"),
        ("\\ud800", "\ud800"),
        ("z\u0300\u0300\u0300\u0300\\u0300", "z" + 5 * "\u0300"),
    ],
)
def test_what_moves_the_cursor_is_escaped(made: str, text: str) -> None:
    assert made == safe(text)


@given(TEXTS, st.integers(3, 60))
def test_what_is_cut_fits_and_begins_as_it_did(text: str, columns: int) -> None:
    short = cut(text, columns)

    assert columns >= width(short)
    assert short == text or (short.endswith("...") and text.startswith(short.removesuffix("...")))
    assert short == text or columns < width(text)
    assert columns == width(filled(text, columns))


@given(TEXTS, st.integers(3, 60))
def test_wrapped_lines_fit_and_keep_the_words(text: str, columns: int) -> None:
    lines = wrapped(text, columns)

    assert all(columns >= width(line) for line in lines)
    if all(columns >= width(word) for word in text.split(" ")):
        assert text.split() == " ".join(lines).split()
