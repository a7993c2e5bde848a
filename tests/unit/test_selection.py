"""Selections: text may be a pattern, a scope is itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backstory.domain.scopes import Scope
from backstory.domain.selection import Selection, selection_of

IDS = st.text(st.sampled_from("ab*?%/2A"), min_size=1, max_size=5)


@given(chosen=IDS, other=IDS)
def test_a_scope_selects_itself_and_no_other(chosen: str, other: str) -> None:
    selection = selection_of(Scope.custom(chosen))
    assert selection.fits_scope(str(Scope.custom(chosen)))
    assert (chosen == other) == selection.fits_scope(str(Scope.custom(other)))
    assert str(Scope.custom(chosen)) == selection.one_scope
    assert Scope.custom(chosen) == Scope.parse(str(selection)), "and its text names it"


@given(chosen=IDS)
def test_a_selection_is_the_same_when_it_is_read_as_it_was_written(chosen: str) -> None:
    selection = selection_of(Scope.custom(chosen))
    assert selection == selection_of(selection.scope) == Selection(selection.scope, selection.keys)
    assert selection_of("custom:*").covers(selection)
    assert selection.covers(selection)


@pytest.mark.parametrize("pattern", ["custom:a*", "custom:a?", "*"])
def test_text_may_be_a_pattern(pattern: str) -> None:
    selection = selection_of(pattern)
    assert selection.fits_scope("custom:ab")
    assert selection.one_scope is None
    assert not selection_of(Scope.custom("a*")).covers(selection)
