"""DOT: every statement is one of ours, and what events hold stays inside the quotes."""

from __future__ import annotations

import re

from hypothesis import HealthCheck, given, settings

from backstory.replay.picture import Picture
from backstory.replay.rendering import render
from backstory.replay.rendering.columns import safe
from backstory.replay.rendering.dot import quoted
from tests.support.pictures import TEXTS, edge, event, picture, pictures, written

_QUOTED = r'"(?:[^"\\\n]|\\.)*"'
_ATTRIBUTES = rf"[a-z]+=(?:{_QUOTED}|[A-Za-z0-9]+)(?:, [a-z]+=(?:{_QUOTED}|[A-Za-z0-9]+))*"
_LINES = (
    re.compile(rf"digraph {_QUOTED} {{"),
    re.compile(rf"    (?:graph|node|edge|e\d+) \[{_ATTRIBUTES}\]"),
    re.compile(rf"    e\d+ -> e\d+(?: \[{_ATTRIBUTES}\])?"),
    re.compile(r"}"),
)
_NOTE = (
    r'    e1 [label="1  note.taken\lagent:a1\l\"say \\\"a\\\\b\\\" &amp; c\"\l", '
    'tooltip="2026-09-21 14:13:21.500 by ada", fillcolor="#f3f4f6", color="#6b7280"]'
)
_VALUE = (
    r'    e2 [label="2  state.set  [derivation]\lagent:a1 a\l1\l", '
    'tooltip="2026-09-21 14:13:23.000", fillcolor="#dbeafe", color="#2563eb", penwidth=3]'
)


def test_a_graph_is_drawn() -> None:
    drawn = picture(
        [event(1, "note.taken", 'say "a\\b" & c', actor="ada"), written(2, "a", 1, causes=[1])],
        [edge(1, 2), edge(1, 2, "read"), edge(1, 2, strength=0.5)],
        marks={2: "derivation"},
    )
    lines = render(drawn, "dot").splitlines()

    assert 'digraph "A title" {' == lines[0]
    assert lines[4:] == [
        _NOTE,
        _VALUE,
        "    e1 -> e2",
        '    e1 -> e2 [label="read", style=dashed]',
        '    e1 -> e2 [label="(0.5)"]',
        "}",
    ]


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(pictures())
def test_no_event_adds_a_statement_or_leaves_its_quotes(drawn: Picture) -> None:
    lines = render(drawn, "dot").removesuffix("\n").split("\n")

    assert [line for line in lines if not any(known.fullmatch(line) for known in _LINES)] == []
    assert [f"e{each.position}" for each in drawn.events] == re.findall(
        r"^    (e\d+) \[", "\n".join(lines), re.MULTILINE
    )


@given(TEXTS)
def test_a_quoted_text_says_what_it_was_given(text: str) -> None:
    text = safe(text)

    assert text == re.sub(r"\\(.)", r"\1", quoted(text)[1:-1]).replace("&amp;", "&")
