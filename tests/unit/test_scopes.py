"""The rules of scopes: their text, their equality, their parents, and what is refused."""

from __future__ import annotations

import copy
import pickle
import re
import unicodedata
from enum import Enum

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backstory.domain.errors import InvalidScopeError
from backstory.domain.keys import normalise_key
from backstory.domain.scopes import KINDS, Scope, as_scope

# Any text that may be an id once it is normalised; with more of what is escaped than chance would bring.
ids = st.text(
    st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from("%/:\x00\x1f\x7f\x85\x9f.2Fe\u0301\u2028")),
    min_size=1,
    max_size=80,
)
scopes = st.one_of(
    st.just(Scope.GLOBAL),
    st.builds(Scope.step, ids, ids),
    st.builds(Scope, st.sampled_from([kind for kind in KINDS if kind not in {"global", "step"}]), ids),
)

TEXTS = {
    "global": Scope.GLOBAL,
    "agent:gpt-4": Scope.agent("gpt-4"),
    "workflow:wf": Scope.workflow("wf"),
    "step:wf/validate": Scope.step("wf", "validate"),
    "step:a%2Fb/c:d": Scope.step("a/b", "c:d"),
    "session:s 1": Scope.session("s 1"),
    "tool:search": Scope.tool("search"),
    "user:zo\u00eb": Scope.user("zo\u00eb"),
    "hook:audit": Scope.hook("audit"),
    "custom:a:b": Scope.custom("a:b"),
    "custom:100%25": Scope.custom("100%"),
    "custom:a%00b%0A%7F%C2%85": Scope.custom("a\0b\n\x7f\x85"),
}


@pytest.mark.parametrize(("text", "scope"), TEXTS.items())
def test_a_scope_has_one_text_and_the_text_names_the_scope(text: str, scope: Scope) -> None:
    assert text == str(scope)
    assert scope == Scope.parse(text)


@given(scopes)
def test_the_text_of_any_scope_parses_to_an_equal_scope(scope: Scope) -> None:
    again = Scope.parse(str(scope))

    assert (scope, scope.kind, scope.ids, hash(scope)) == (again, again.kind, again.ids, hash(again))
    assert str(scope) == str(again)


@given(scopes, scopes)
@example(Scope.agent("a:b"), Scope.agent("a"))
@example(Scope.step("a/b", "c"), Scope.step("a", "b/c"))
@example(Scope.agent("a%2Fb"), Scope.agent("a/b"))
@example(Scope.custom("global"), Scope.GLOBAL)
def test_two_scopes_share_a_text_only_if_kind_and_ids_are_equal(one: Scope, other: Scope) -> None:
    assert ((one.kind, one.ids) == (other.kind, other.ids)) == (str(one) == str(other)) == (one == other)


@given(scopes, scopes, st.text(max_size=8), st.text(max_size=8))
@example(Scope.agent("a"), Scope.agent("a:b"), "b:c", "c")
def test_no_two_pairs_of_scope_and_key_share_scope_text_and_key(one: Scope, other: Scope, a: str, b: str) -> None:
    try:
        pairs = {(one, normalise_key(a)), (other, normalise_key(b))}
    except ValueError:
        return

    assert len(pairs) == len({(str(scope), key) for scope, key in pairs})


@given(st.one_of(st.text(st.characters()), st.builds("{}:{}".format, st.sampled_from(KINDS), st.text(st.characters()))))
@example("agent:%ED%A0%80")
@example("step:a/b/c")
@example("custom:%C3")
def test_any_text_either_names_a_scope_with_a_stable_text_or_is_refused(text: str) -> None:
    try:
        scope = Scope.parse(text)
    except InvalidScopeError:
        return

    assert scope == Scope.parse(str(scope))
    assert all(unicodedata.is_normalized("NFC", each) and 1 <= len(each) <= 256 for each in scope.ids)
    assert not re.search(r"[\x00-\x1f\x7f-\x9f]", str(scope))


@pytest.mark.parametrize("text", ["user_1", "a.b-c", "Zo\u00eb", "Zoe\u0308", "42", "agent"])
def test_a_bare_word_is_a_custom_scope(text: str) -> None:
    assert Scope.custom(text) == Scope.parse(text)


@pytest.mark.parametrize("text", ["agent:%61", "agent:%c3%a9", "agent:\u00e9", "agent:e\u0301", "agent:e%CC%81"])
def test_escapes_are_decoded_also_where_they_are_not_needed(text: str) -> None:
    assert str(Scope.parse(text)) in {"agent:a", "agent:\u00e9"}


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "without a kind"),
        ("two words", "without a kind"),
        ("a/b", "without a kind"),
        ("a%62", "without a kind"),
        ("agents:a", "before the colon"),
        ("Agent:a", "before the colon"),
        (":a", "before the colon"),
        ("global:x", "before the colon"),
        ("agent:", "1 to 256"),
        ("step:/b", "1 to 256"),
        ("agent:" + "x" * 257, "1 to 256"),
        ("x" * 257, "1 to 256"),
        ("agent:a/b", "raw `/`"),
        ("step:a", "step:workflow/name"),
        ("step:a/b/c", "step:workflow/name"),
        ("agent:100%", "broken escape"),
        ("agent:%2", "broken escape"),
        ("agent:%zz", "broken escape"),
        ("agent:%C3", "broken escape"),
        ("agent:%ED%A0%80", "broken escape"),
        ("agent:%\uff12\uff16", "broken escape"),
        ("agent:\ud800", "surrogate"),
    ],
)
def test_a_text_that_names_no_scope_is_refused_with_the_rule_and_advice(text: str, rule: str) -> None:
    with pytest.raises(InvalidScopeError, match=rule) as caught:
        Scope.parse(text)

    assert rule in caught.value.rule
    assert str(caught.value).endswith(caught.value.hint)


@pytest.mark.parametrize("value", [None, 1, b"agent:a", ["agent:a"], ("agent", "a"), object()])
def test_what_is_no_text_is_no_scope(value: object) -> None:
    for make in (Scope.parse, as_scope, Scope.agent):
        with pytest.raises(InvalidScopeError, match=r"not \w+\. "):
            make(value)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", ["", "x" * 257, "\ud800", None, 3])
def test_an_id_is_text_of_1_to_256_characters(value: str) -> None:
    for make in (Scope.agent, lambda wrong: Scope.step("wf", wrong), lambda wrong: Scope.step(wrong, "name")):
        with pytest.raises(InvalidScopeError) as caught:
            make(value)

        assert value == caught.value.scope


def test_the_length_of_an_id_is_counted_after_normalisation() -> None:
    assert 256 == len(Scope.agent("e\u0301" * 256).ids[0])


def test_kinds_and_numbers_of_ids_are_checked() -> None:
    for wrong in (("planet", "a"), ("agent",), ("agent", "a", "b"), ("step", "a"), ("global", "a")):
        with pytest.raises(InvalidScopeError):
            Scope(*wrong)


def test_every_scope_but_the_global_one_has_a_parent() -> None:
    assert Scope.GLOBAL.parent is None
    assert Scope.workflow("wf/1") == Scope.step("wf/1", "a").parent
    assert Scope.user("u") == Scope.session("s", user="u").parent
    assert Scope.user("u") == Scope.session("s", user=Scope.user("u")).parent
    for scope in (Scope.session("s"), Scope.agent("a"), Scope.workflow("w"), Scope.tool("t"), Scope.user("u")):
        assert Scope.GLOBAL is scope.parent


def test_the_user_is_no_part_of_a_sessions_identity() -> None:
    assert Scope.session("s") == Scope.session("s", user="u")
    assert hash(Scope.session("s")) == hash(Scope.session("s", user="u"))


def test_only_a_user_may_be_the_parent_of_a_session() -> None:
    with pytest.raises(InvalidScopeError, match="only a session"):
        Scope.session("s", user=Scope.agent("a"))
    with pytest.raises(InvalidScopeError, match="only a session"):
        Scope("agent", "a", parent=Scope.user("u"))


@given(scopes)
def test_a_scope_contains_itself_and_the_global_one_contains_all(scope: Scope) -> None:
    assert scope.contains(scope)
    assert Scope.GLOBAL.contains(scope)
    assert scope.contains(Scope.GLOBAL) == (scope == Scope.GLOBAL)


def test_a_scope_contains_what_lies_under_it_and_nothing_else() -> None:
    assert Scope.workflow("wf").contains("step:wf/a")
    assert Scope.user("u").contains(Scope.session("s", user="u"))
    assert not Scope.user("u").contains(Scope.session("s"))
    assert not Scope.workflow("wf").contains(Scope.step("wf2", "a"))
    assert not Scope.agent("a").contains(Scope.agent("a:b"))


@given(scopes)
def test_copies_and_pickles_are_equal_and_the_global_scope_stays_one(scope: Scope) -> None:
    for again in (copy.copy(scope), copy.deepcopy(scope), pickle.loads(pickle.dumps(scope))):  # noqa: S301 - our own
        assert scope == again
        assert scope.parent == again.parent
        assert (scope is Scope.GLOBAL) == (again is Scope.GLOBAL)


def test_a_pickled_session_keeps_its_user() -> None:
    again = pickle.loads(pickle.dumps(Scope.session("s", user="u")))  # noqa: S301 - our own bytes

    assert Scope.user("u") == again.parent


def test_a_scope_is_frozen() -> None:
    scope = Scope.agent("a")
    with pytest.raises(AttributeError, match="frozen"):
        scope.anything = 1
    with pytest.raises(AttributeError, match="frozen"):
        scope._text = "agent:b"
    with pytest.raises(AttributeError, match="frozen"):
        del scope._text


def test_a_scope_is_not_equal_to_its_text() -> None:
    assert Scope.agent("a") != "agent:a"


def test_scopes_sort_by_their_text() -> None:
    assert ["agent:a", "global", "user:u"] == [
        str(each) for each in sorted(map(as_scope, ["user:u", "global", "agent:a"]))
    ]
    with pytest.raises(TypeError):
        _ = Scope.GLOBAL < "x"  # type: ignore[operator]


def test_the_representation_of_a_scope_makes_it_again() -> None:
    assert "Scope.parse('step:a%2Fb/c')" == repr(Scope.step("a/b", "c"))


def test_as_scope_takes_a_scope_as_it_is_and_reads_a_text() -> None:
    scope = Scope.session("s", user="u")

    assert scope is as_scope(scope)
    assert Scope.agent("a") == as_scope("agent:a")
    assert Scope.GLOBAL is as_scope("global")


def test_as_scope_reads_the_text_of_a_member_of_a_text_enum() -> None:
    class Name(str, Enum):  # noqa: UP042 - a StrEnum hashes as its text, this one does not
        FIRST = "agent:a"

    assert Scope.agent("a") == as_scope(Name.FIRST)


def test_a_text_that_claims_to_equal_all_others_is_read_for_itself() -> None:
    class Odd(str):
        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return 0

    assert [Scope.agent("a"), Scope.agent("b")] == [as_scope(Odd("agent:a")), as_scope(Odd("agent:b"))]
