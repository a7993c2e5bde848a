"""The rules of keys: what is refused and why, their normal form, and the patterns that select them."""

from __future__ import annotations

import re
import unicodedata
from enum import Enum

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backstory.domain.errors import InvalidKeyError
from backstory.domain.keys import match_keys, normalise_key, validate_prefix

texts = st.text(st.one_of(st.characters(), st.sampled_from("./\\_$\x00\u0301e")), max_size=300)


@pytest.mark.parametrize(
    "key",
    ["k", "user/profile", "a.b", "a.", ".a", "/a", "a/", "_a", "$a", "a__b", "a$$b", "items[0]", "a b", "%2F", ":"],
)
def test_a_key_of_ordinary_characters_stays_as_it_is(key: str) -> None:
    assert key == normalise_key(key)


@pytest.mark.parametrize(
    ("key", "rule"),
    [
        ("", "1 to 256"),
        ("x" * 257, "1 to 256"),
        ("a..b", "`..`"),
        ("../a", "`..`"),
        ("a//b", "`//`"),
        ("a\\b", "backslash"),
        ("a\0b", "U+0000"),
        ("a\nb", "U+000A"),
        ("a\x7f", "U+007F"),
        ("a\x85", "U+0085"),
        ("a\ud800", "surrogate"),
        ("\udfffa", "surrogate"),
        ("__a", "`__`"),
        ("$$a", "`$$`"),
        (None, "not NoneType"),
        (1, "not int"),
        (b"a", "not bytes"),
        (["a"], "not list"),
    ],
)
def test_a_key_that_breaks_a_rule_is_refused_with_the_rule_and_advice(key: object, rule: str) -> None:
    with pytest.raises(InvalidKeyError, match=re.escape(rule)) as caught:
        normalise_key(key)

    assert key == caught.value.key
    assert rule in caught.value.rule
    assert str(caught.value).endswith(caught.value.hint)


@given(texts)
@example("e\u0301")
def test_any_text_is_either_refused_or_has_a_normal_form_that_is_its_own(text: str) -> None:
    try:
        key = normalise_key(text)
    except InvalidKeyError:
        return

    assert unicodedata.normalize("NFC", text) == key == normalise_key(key)
    assert 1 <= len(key) <= 256
    assert not re.search(r"\.\.|//|\\|[\x00-\x1f\x7f-\x9f\ud800-\udfff]|\A__|\A\$\$", key)


@given(texts)
def test_a_text_that_keeps_all_rules_is_a_key(text: str) -> None:
    normal = unicodedata.normalize("NFC", text)
    if re.search(r"\.\.|//|\\|[\x00-\x1f\x7f-\x9f\ud800-\udfff]|\A__|\A\$\$", normal) or not 1 <= len(normal) <= 256:
        return

    assert normal == normalise_key(text)


def test_the_length_of_a_key_is_counted_after_normalisation() -> None:
    assert "\u00e9" * 256 == normalise_key("e\u0301" * 256)
    with pytest.raises(InvalidKeyError):
        normalise_key("\u0958" * 200)  # Its normal form has two characters each.


def test_the_key_of_a_member_of_a_text_enum_is_its_text() -> None:
    class Name(str, Enum):  # noqa: UP042 - a StrEnum hashes as its text, this one does not
        FIRST = "a"

    assert "a" == normalise_key(Name.FIRST)
    assert str is type(normalise_key(Name.FIRST))


def test_a_text_that_claims_to_equal_all_others_is_read_for_itself() -> None:
    class Odd(str):
        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return 0

    assert ["a", "b"] == [normalise_key(Odd("a")), normalise_key(Odd("b"))]


@pytest.mark.parametrize("prefix", ["", "a", "user/", "a.", "a.b", "/", "_", "$"])
def test_a_prefix_may_be_empty_or_anything_a_key_may_begin_with(prefix: str) -> None:
    assert prefix == validate_prefix(prefix)


def test_a_prefix_is_normalised() -> None:
    assert "\u00e9" == validate_prefix("e\u0301")


@pytest.mark.parametrize("prefix", ["a//", "a..", "__", "a\n", "\\", "x" * 257, None, 0, b""])
def test_a_prefix_that_no_key_could_have_is_refused(prefix: object) -> None:
    with pytest.raises(InvalidKeyError):
        validate_prefix(prefix)


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("*", ["a", "a/b"], []),
        ("user/*", ["user/", "user/a", "user/a/b"], ["user", "users/a"]),
        ("*.json", ["a.json", "b/c.json"], ["a.jsonx", "ajson"]),
        ("a?c", ["abc", "a/c"], ["ac", "abbc"]),
        ("items[0]", ["items[0]"], ["items0"]),
        ("[!a]*", ["[!a]b"], ["b"]),
        ("Ab", ["Ab"], ["ab", "AB"]),
        ("a.b", ["a.b"], ["axb"]),
        ("a", ["a"], ["a\n", "aa", "ba"]),
        ("e\u0301*", ["\u00e9t\u00e9"], ["e"]),
        ("", [], ["a"]),
    ],
)
def test_a_pattern_selects_keys_by_star_and_question_mark_only(
    pattern: str, matching: list[str], other: list[str]
) -> None:
    assert matching == [key for key in matching + other if match_keys(pattern, key)]


@given(texts)
def test_every_key_without_wildcards_matches_itself_as_a_pattern(text: str) -> None:
    try:
        key = normalise_key(text)
    except InvalidKeyError:
        return

    assert match_keys(key, key)
    assert match_keys(key[:1] + "*", key)


def test_a_pattern_of_many_stars_takes_no_exponential_time() -> None:
    assert not match_keys("*a" * 60 + "b", "a" * 256)


def test_a_pattern_that_is_no_text_is_refused() -> None:
    with pytest.raises(InvalidKeyError, match="a pattern is text"):
        match_keys(None, "a")  # type: ignore[arg-type]
