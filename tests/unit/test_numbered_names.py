"""Numbered names: the same numbers in memory and on disk, each name once, in the order in which they came."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backstory.domain.errors import BackupError
from backstory.infrastructure.sqlite.numbered_names import NumberedNames

_names = st.tuples(st.integers(1, 3), st.sampled_from(("", "a", "A", "b/c", "k\x00", "ß", "\N{SNOWMAN}")))


@given(st.lists(_names, max_size=60), st.integers(1, 6))
def test_each_name_has_the_number_of_its_first_coming_in_memory_and_on_disk(
    given_names: list[tuple[int, str]], most: int
) -> None:
    wanted: dict[tuple[int, str], int] = {}
    for name in given_names:
        wanted.setdefault(name, len(wanted) + 1)
    in_memory: NumberedNames[tuple[int, str]] = NumberedNames("home", "name")
    on_disk: NumberedNames[tuple[int, str]] = NumberedNames("home", "name", most=most)
    for names in (in_memory, on_disk):
        assert [wanted[name] for name in given_names] == [names.number(name) for name in given_names]
        assert len(wanted) == names.count
        assert names is in_memory or len(names.recent) <= most
        rows = [(number, *name) for name, number in wanted.items()]
        assert rows == list(names.rows())
        assert rows == list(names.rows()), "who reads them again finds others"
        assert [*wanted.values()] == [names.number(name) for name in wanted]
        names.close()
        names.close()


def test_names_that_have_no_room_on_disk_are_told_as_that() -> None:
    names: NumberedNames[tuple[int, str]] = NumberedNames("home", "name", most=1)
    for at in range(2):
        names.number((at, "a"))
    assert names._spilled is not None
    names._spilled.execute("PRAGMA max_page_count = 4")
    with pytest.raises(BackupError, match="temporary file"):
        assert [names.number((at, f"{at}" * 900)) for at in range(90)]
    names.close()
