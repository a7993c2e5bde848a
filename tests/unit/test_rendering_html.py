"""HTML: one page, well formed, that loads nothing and runs nothing but what we wrote."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from backstory.replay.picture import Picture
from backstory.replay.rendering import render
from backstory.replay.rendering.columns import safe
from tests.support.pictures import NASTY, edge, event, large, picture, pictures, written

_VOID = {"meta", "input"}
_TAGS = {
    *("html", "head", "meta", "title", "style", "body", "header", "h1", "h2", "p", "bdi", "details", "summary", "ol"),
    *("li", "form", "label", "input", "fieldset", "legend", "output", "div", "main", "section", "span", "button"),
    *("table", "thead", "tbody", "tr", "th", "td", "time", "a", "aside", "script"),
    *("svg", "defs", "marker", "path", "g", "rect", "text"),
}
_ATTRIBUTES = {
    *("lang", "charset", "http-equiv", "content", "name", "id", "class", "open", "hidden", "type", "value", "checked"),
    *("aria-label", "aria-labelledby", "aria-live", "role", "tabindex", "href", "scope", "datetime", "title"),
    *("data-event", "data-type", "data-cause", "data-effect", "data-zoom"),
    *("width", "height", "viewbox", "refx", "refy", "markerwidth", "markerheight", "orient", "d", "marker-end"),
    *("transform", "x", "y", "rx"),
}


class Page(HTMLParser):
    """A page, taken apart: it must be well formed."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.styles: list[str] = []
        self.text: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs)
        self.elements.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert tag == self.open.pop()

    def handle_data(self, data: str) -> None:
        inside = self.open[-1] if self.open else ""
        {"script": self.scripts, "style": self.styles}.get(inside, self.text).append(data)

    def handle_comment(self, data: str) -> None:
        pytest.fail(f"a comment: {data}")

    @property
    def data(self) -> Any:
        return json.loads(self.scripts[0])

    def having(self, name: str) -> list[str]:
        return [str(attributes[name]) for _, attributes in self.elements if name in attributes]


HOSTILE = picture(
    [
        event(at, text or "x", {"value": text, "op": text}, key=text, stream=text, actor=text)
        for at, text in enumerate(NASTY, 1)
    ],
    [edge(at, at + 1, text) for at, text in enumerate(NASTY[:-1], 1)],
    title=" ".join(NASTY),
    sentences=NASTY,
    marks=dict(enumerate(NASTY, 1)),
)


def check(drawn: Picture) -> Page:
    page = Page(render(drawn, "html"))
    assert {tag for tag, _ in page.elements} <= _TAGS
    assert {name for _, attributes in page.elements for name in attributes} <= _ATTRIBUTES
    assert all(re.fullmatch(r"#e\d+", link) for link in page.having("href"))
    assert ["application/json"] == [each["type"] for tag, each in page.elements if tag == "script" and "type" in each]
    assert 2 == len(page.scripts)
    ids = page.having("id")
    assert len(ids) == len(set(ids))
    return page


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(pictures())
def test_whatever_events_hold_the_page_is_made_of_our_elements_alone(drawn: Picture) -> None:
    page = check(drawn)

    names = [f"e{each.position}" for each in drawn.events]
    assert sorted(names) == sorted(page.data["details"])
    assert names == [name for name in page.having("id") if re.fullmatch(r"e\d+", name)]


def test_nasty_text_is_text() -> None:
    page = check(HOSTILE)
    shown = "".join(page.text)

    for text in NASTY:
        assert safe(text) in shown
    assert [json.loads(details)["data"]["value"] for details in page.data["details"].values()] == list(NASTY)


def test_the_script_cannot_be_left_by_what_it_reads() -> None:
    made = render(HOSTILE, "html")

    assert 2 == made.count("</script>")
    assert 2 == len(re.findall("<script", made))
    assert "<!--" not in made


def test_the_policy_forbids_all_but_our_script_and_style() -> None:
    page = check(large())
    [policy] = [each["content"] for _, each in page.elements if each.get("http-equiv") == "Content-Security-Policy"]
    hashes = [
        "sha256-" + b64encode(sha256(text.encode()).digest()).decode() for text in (page.scripts[1], page.styles[0])
    ]

    assert (
        f"default-src 'none'; script-src '{hashes[0]}'; style-src '{hashes[1]}'; base-uri 'none'; form-action 'none'"
        == policy
    )


def test_nothing_is_loaded_from_anywhere() -> None:
    made = render(large(), "html")

    assert (
        re.findall(r"https?:|//[a-z]|@import|url\((?!#tip\))|\bsrc=|fetch\(|XMLHttpRequest|import\(|eval\(", made) == []
    )


def test_our_files_never_end_their_own_element() -> None:
    folder = Path(__file__).resolve().parents[2] / "replay" / "rendering"
    for name in ("page.js", "page.css"):
        text = (folder / name).read_text(encoding="utf-8")
        assert "</" not in text
        assert "<!--" not in text
        assert text.isascii()


def test_a_page_tells_its_title_its_words_and_its_events() -> None:
    drawn = picture(
        [event(1, "note.taken", {"n": 1}, actor="ada"), written(2, "a", "x", causes=[1, 9])],
        [edge(1, 2), edge(1, 2, "read")],
        title="Why a?",
        sentences=["So it was."],
        marks={2: "derivation"},
    )
    page = check(drawn)
    words = " ".join("".join(page.text).split())

    assert "Why a?" in words
    assert "2 events, 2026-09-21 14:13:21 to 14:13:23 UTC" in words
    assert "So it was." in words
    assert {"e1", "e2"} == page.data["details"].keys()
    assert [["e1", "e2", "caused by"], ["e1", "e2", "read"]] == page.data["edges"]
    assert ["#e1", "#e1"] == page.having("href")
    assert "1 elsewhere" in words
    assert "derivation" in words


def test_every_box_and_every_row_can_be_reached_and_has_a_name() -> None:
    page = check(large(60))
    boxes = [each for tag, each in page.elements if tag == "g"]

    assert 60 == len(boxes)
    assert all(each["role"] == "button" and each["aria-label"] and "tabindex" in each for each in boxes)
    assert 60 == len([tag for tag, each in page.elements if tag == "button" and "data-zoom" not in each])


def test_long_details_are_cut_and_say_so() -> None:
    page = check(picture([written(1, "a", "x" * 50_000)]))
    [details] = page.data["details"].values()

    assert len(details) < 20_100
    assert re.search(r"\.\.\. and \d+ more characters$", details)


def test_five_hundred_events_make_a_page_of_a_few_megabytes() -> None:
    page = check(large())

    assert 500 == len(page.data["details"])
    assert len(render(large(), "html")) < 3_000_000
