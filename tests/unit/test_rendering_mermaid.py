"""Mermaid: every line is one of ours, and what events hold stays inside the labels."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import HealthCheck, given, settings

from backstory.replay.picture import Picture
from backstory.replay.rendering import render
from backstory.replay.rendering.columns import safe
from backstory.replay.rendering.mermaid import escaped
from tests.support.pictures import NASTY, TEXTS, edge, event, picture, pictures, written

# What a label may hold: words, our line breaks, numbered characters, and dots and the like inside of words.
_WORDS = r"(?:[^\W_]|[ ]|(?<=[^\W_])[.:/=-](?=[^\W_])|#\d+;|<br/>)*"
_LINES = (
    re.compile(r"---"),
    re.compile(r'title: "(?:[A-Za-z0-9 ]|\\u[0-9a-f]{4}|\\U[0-9a-f]{8})*"'),
    re.compile(r"flowchart TD"),
    re.compile(rf'    (?:none|e\d+)\["{_WORDS}"\]'),
    re.compile(rf'    e\d+ -\.?->(?:\|"{_WORDS}"\|)? e\d+'),
    re.compile(r"    classDef [a-z]+ [a-z0-9#,:-]+"),
    re.compile(r"    class e\d+(?:,e\d+)* [a-z]+"),
)


def test_a_flowchart_is_drawn() -> None:
    drawn = picture(
        [event(1, "note.taken", {"n": 1}), written(2, "a", "x", op="update", causes=[1])],
        [edge(1, 2), edge(1, 2, "read"), edge(1, 2, "part_of", 0.5)],
        title="Why?",
        marks={2: "derivation"},
    )

    assert render(drawn, "mermaid").splitlines() == [
        "---",
        'title: "Why\\u003f"',
        "---",
        "flowchart TD",
        '    e1["1 note.taken<br/>agent:a1<br/>#123;#34;n#34;#58; 1#125;"]',
        '    e2["2 state.set #91;derivation#93;<br/>agent:a1 a<br/>#34;x#34; #40;update#41;"]',
        "    e1 --> e2",
        '    e1 -.->|"read"| e2',
        '    e1 -.->|"part of #40;0.5#41;"| e2',
        "    classDef state fill:#dbeafe,stroke:#2563eb,color:#111827",
        "    class e2 state",
        "    classDef other fill:#f3f4f6,stroke:#6b7280,color:#111827",
        "    class e1 other",
        "    classDef marked stroke-width:3px",
        "    class e2 marked",
    ]


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(pictures())
def test_no_event_adds_a_line_or_leaves_its_label(drawn: Picture) -> None:
    lines = render(drawn, "mermaid").removesuffix("\n").split("\n")

    assert [line for line in lines if not any(known.fullmatch(line) for known in _LINES)] == []
    nodes = [line.split("[")[0].strip() for line in lines if '["' in line]
    assert nodes == ([f"e{each.position}" for each in drawn.events] or ["none"])


@given(TEXTS)
def test_a_label_says_what_it_was_given(text: str) -> None:
    text = safe(text)

    assert text == re.sub(r"#(\d+);", lambda found: chr(int(found[1])), escaped(text))


@pytest.mark.parametrize("text", NASTY)
def test_a_title_is_one_text_of_yaml(text: str) -> None:
    title = render(picture([], title=text), "mermaid").splitlines()[1].removeprefix("title: ")

    if "\\U" not in title:  # JSON's texts are YAML's, but for this escape
        assert json.loads(title).removesuffix("...") == safe(text)[: len(json.loads(title).removesuffix("..."))]
