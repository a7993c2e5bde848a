"""Results of hooks: what can be made, what they are as data, and the table that the documents show."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from backstory.domain.errors import BackstoryError, InvalidKeyError, InvalidScopeError, InvalidValueError
from backstory.domain.hooks import FAMILIES, RULES, HookResult, effect_of, hook_point
from backstory.domain.scopes import Scope
from backstory.infrastructure import codec

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "hooks.md"
COLUMNS = {
    "write": "write",
    "delete": "delete",
    "clear": "clear",
    "read": "read",
    "after a read": "answer",
    "fired": "fired",
    "behind": "after",
}

MADE = [
    HookResult.CONTINUE,
    HookResult.modified({"n": [1, None]}),
    HookResult.modified(None),
    HookResult.replace(0),
    HookResult.cancel("no"),
    HookResult.skipped("not mine"),
    HookResult.redirect("agent:b"),
    HookResult.redirect(Scope.GLOBAL, "k"),
    HookResult.retry(0.5, 3),
    HookResult.fork([]),
    HookResult.fork([("set", "agent:a", "k", {"n": 1}), ["delete", Scope.user("u"), "k"]]),
    HookResult.cache("k", 60),
]

WRONG: list[tuple[str, tuple[Any, ...], type[BackstoryError]]] = [
    ("cancel", ("",), InvalidValueError),
    ("cancel", (None,), InvalidValueError),
    ("cancel", ("\ud800",), InvalidValueError),
    ("skipped", (5,), InvalidValueError),
    ("redirect", ("bogus:a",), InvalidScopeError),
    ("redirect", (None,), InvalidScopeError),
    ("redirect", ("agent:a", ""), InvalidKeyError),
    ("redirect", ("agent:a", 5), InvalidKeyError),
    *[("retry", (delay, 1), InvalidValueError) for delay in (-1, "1", True, None, float("nan"), 10**400, 1e9)],
    *[("retry", (0, count), InvalidValueError) for count in (0, -1, 1.5, True, "2", None)],
    *[("fork", (given,), InvalidValueError) for given in (None, "set", 5, [5], ["set"], [()], [("set",)])],
    ("fork", ([("set", "agent:a", "k")],), InvalidValueError),
    ("fork", ([("delete", "agent:a", "k", 1)],), InvalidValueError),
    ("fork", ([("clear", "agent:a", "k")],), InvalidValueError),
    ("fork", ([(None, "agent:a", "k")],), InvalidValueError),
    ("fork", ([("set", "agent:", "k", 1)],), InvalidScopeError),
    ("fork", ([("set", "agent:a", "..", 1)],), InvalidKeyError),
    *[("cache", ("k", span), InvalidValueError) for span in (0, -1, None, True, float("inf"))],
    *[("cache", (key, 1), InvalidValueError) for key in ("", None, 5, "\ud800")],
]

BARE: list[dict[str, Any]] = [
    {"kind": "nonsense"},
    {"kind": None},
    {"kind": ["continue"]},
    {"kind": "modified"},
    {"kind": "replace"},
    {"kind": "cancel"},
    {"kind": "skipped"},
    {"kind": "redirect"},
    {"kind": "redirect", "scope": "agent:a"},
    {"kind": "retry"},
    {"kind": "retry", "delay_s": 0.0},
    {"kind": "cache"},
    {"kind": "cache", "key": "k"},
    {"kind": "fork", "operations": (("set", "agent:a", "k", 1),)},
    {"kind": "fork", "operations": (5,)},
]


def test_the_documents_table_is_the_codes() -> None:
    lines = [line for line in DOCUMENT.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    begin = next(at for at, line in enumerate(lines) if line.startswith("| result | write"))
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[begin : begin + 2 + len(RULES)]]
    heads = [COLUMNS[name] for name in rows[0][1:]]
    shown = {
        row[0].strip("`"): {stage: cell for stage, cell in zip(heads, row[1:], strict=True) if cell} for row in rows[2:]
    }

    assert shown == {kind: dict(row) for kind, row in RULES.items()}


def test_the_document_explains_every_effect() -> None:
    explained = set(re.findall(r"^- \*\*(\w+)\*\*:", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE))

    assert explained == {effect for row in RULES.values() for effect in row.values()}


@pytest.mark.parametrize("result", MADE, ids=str)
def test_a_result_comes_back_from_its_data(result: HookResult) -> None:
    data = codec.decode_value(codec.encode_value(result.as_data()))

    assert result == HookResult.from_data(data)
    assert data["kind"] == result.kind


@pytest.mark.parametrize(("kind", "arguments", "error"), WRONG)
def test_a_result_of_wrong_parts_cannot_be_made(kind: str, arguments: tuple[Any, ...], error: type[Exception]) -> None:
    with pytest.raises(error):
        getattr(HookResult, kind)(*arguments)


@pytest.mark.parametrize("parts", BARE, ids=str)
def test_nor_one_without_the_parts_of_its_kind(parts: dict[str, Any]) -> None:
    with pytest.raises(InvalidValueError):
        HookResult(**parts)


def test_a_result_is_a_value() -> None:
    assert HookResult.cancel("no") == HookResult.cancel("no") != HookResult.cancel("yes")
    assert HookResult("continue") == HookResult.CONTINUE
    with pytest.raises(AttributeError):
        HookResult.CONTINUE.kind = "cancel"  # type: ignore[misc]


def test_a_clear_is_redirected_to_a_scope_alone() -> None:
    assert effect_of(HookResult.redirect("agent:a"), "clear") == "target"
    assert effect_of(HookResult.redirect("agent:a", "k"), "delete") == "target"
    with pytest.raises(InvalidValueError, match="a clear has none"):
        effect_of(HookResult.redirect("agent:a", "k"), "clear")


def test_a_point_falls_under_one_column() -> None:
    expected = {
        ("before_state_write", False): "write",
        ("before_state_delete", False): "delete",
        ("before_state_clear", False): "clear",
        ("before_state_read", False): "read",
        ("after_state_read", False): "answer",
        ("after_state_read", True): "after",
        ("after_state_write", False): "after",
        ("after_state_clear", True): "after",
        ("custom:x", False): "fired",
        ("custom:x", True): "after",
        ("before_agent_save", False): "fired",
        ("after_tool_call", False): "fired",
    }

    assert expected == {at: hook_point(at[0]).stage(background=at[1]) for at in expected}


def test_families_have_points_of_any_verb() -> None:
    for family in FAMILIES:
        assert hook_point(f"after_{family}_made_2").after
    for name in (
        "before_agent_",
        "before_agent_Save",
        "agent_save",
        "before_agents_save",
        "before_agent_save\n",
        "custom:",
    ):
        with pytest.raises(InvalidValueError):
            hook_point(name)
