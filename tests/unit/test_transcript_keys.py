"""Keys of imported names: always valid, readable where they can be, and never shared."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backstory.domain.keys import normalise_key
from backstory.domain.transcript_keys import object_key, tool_key

ODD = st.text(st.sampled_from("ab._/\\$%2EF\n\x00\x7f\ud800é\u0301~ "), max_size=12)
NAMES = st.one_of(ODD, st.text(st.characters(exclude_categories=()), max_size=300))


@pytest.mark.parametrize(
    ("what", "name", "key"),
    [
        ("reservation", "EHGLP3", "reservation/EHGLP3"),
        ("user", "mia_li_3668", "user/mia_li_3668"),
        ("file", "a/b.txt", "file/a/b.txt"),
        ("file", "../etc", "file/.%2E/etc"),
        ("file", "...", "file/.%2E%2E"),
        ("file", "/root//x/", "file/%2Froot/%2Fx/"),
        ("a/b", "c", "a%2Fb/c"),
        ("__x", "1", "%5F_x/1"),
        ("$$x", "1", "%24$x/1"),
        ("_", "1", "_/1"),
        ("n", "50%", "n/50%"),
        ("n", "50%25", "n/50%2525"),
        ("n", "a\\b\n", "n/a%5Cb%0A"),
        ("n", "\ud800", "n/%ED%A0%80"),
        ("n", "e\u0301", "n/é"),
        ("n", "", "n/"),
    ],
)
def test_a_name_stands_in_its_key_but_for_what_a_key_may_not_hold(what: str, name: str, key: str) -> None:
    assert key == object_key(what, name)


def test_a_tool_keeps_its_slashes() -> None:
    assert tool_key("tools", "mcp/files/read") == "tools/mcp/files/read"
    assert tool_key("result", "/__x") == "result/%2F__x"


def test_a_key_that_grows_too_long_keeps_its_beginning_and_ends_in_its_hash() -> None:
    one, other = object_key("note", "x" * 300 + "1"), object_key("note", "x" * 300 + "2")

    assert re.fullmatch(r"note/x{218}~[0-9a-f]{32}", one)
    assert one != other
    assert len(object_key("note", "x" * 251)) == 256
    assert "~" not in object_key("note", "x" * 251)


@given(NAMES, NAMES)
@example("", "")
@example("a.", ".b")
@example("\n\u0301", "/\u0338")
def test_any_names_make_a_valid_key(what: str, name: str) -> None:
    for key in (object_key(what, name), tool_key("tools", name)):
        assert key == normalise_key(key)


@given(st.lists(st.tuples(ODD, ODD), max_size=30))
def test_names_that_differ_never_share_a_key(pairs: list[tuple[str, str]]) -> None:
    plain = [pair for pair in pairs if "\u0301" not in "".join(pair)]

    assert len(set(plain)) == len({object_key(*pair) for pair in plain})
