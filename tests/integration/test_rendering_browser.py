"""The page in a real browser, where there is one: `apt install chromium`. `.ci/run` brings it along."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import sync_playwright

from backstory.replay.picture import Picture
from backstory.replay.rendering import render
from tests.support.pictures import NASTY, edge, event, large, picture, written

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

Open = Callable[[Picture], Any]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def open_page(browser: Any, tmp_path: Path) -> Iterator[Open]:
    """Opens pictures; in the end nothing may have gone wrong, and nothing have been asked for."""
    wrong: list[str] = []
    context = browser.new_context(viewport={"width": 1300, "height": 900})

    def opened(drawn: Picture) -> Any:
        file = tmp_path / "page.html"
        file.write_text(render(drawn, "html"), encoding="utf-8")
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
        page.on("console", lambda message: wrong.append(f"console: {message.text}"))
        page.on("dialog", lambda dialog: wrong.append(f"dialog: {dialog.message}"))
        page.on("request", lambda request: None if request.url == file.as_uri() else wrong.append(request.url))
        page.goto(file.as_uri())
        return page

    yield opened
    context.close()
    assert wrong == []


STORY = picture(
    [
        event(1, "message.user", {"content": "go"}),
        event(2, "tool.called", {"name": "f", "arguments": {}}, causes=[1]),
        written(3, "a", 1, causes=[2]),
        written(4, "b", 1, causes=[1]),
        event(5, "note.taken"),
    ],
    [edge(1, 2), edge(2, 3, "read"), edge(1, 4)],
)


def lit(page: Any, kind: str) -> list[str]:
    names: list[str] = page.eval_on_selector_all(f"tr.{kind}", "all => all.map(each => each.id)")
    return names


def test_choosing_an_event_shows_it_with_its_causes_and_effects(open_page: Open) -> None:
    page = open_page(STORY)
    page.click("#e2 button")

    assert (["e1"], ["e2"], ["e3"]) == (lit(page, "cause"), lit(page, "chosen"), lit(page, "effect"))
    assert '"name": "f"' in page.inner_text("#details")
    page.keyboard.press("Escape")
    assert [] == lit(page, "chosen")


def test_pointing_at_a_box_lights_its_row(open_page: Open) -> None:
    page = open_page(STORY)
    page.hover(".box[data-event=e1]")

    assert (["e1"], ["e2", "e3", "e4"]) == (lit(page, "chosen"), lit(page, "effect"))


def test_the_keyboard_walks_along_causes_and_effects(open_page: Open) -> None:
    page = open_page(STORY)
    page.focus(".box[data-event=e1]")
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert ["e3"] == lit(page, "chosen")
    assert "e3" == page.evaluate("document.activeElement.dataset.event")

    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    assert ["e4"] == lit(page, "chosen")


def test_choosing_a_box_scrolls_to_its_row_but_leaves_the_page_where_it_is(open_page: Open) -> None:
    page = open_page(large())
    page.evaluate("document.querySelector('.box[data-event=e400]').dispatchEvent(new Event('click', {bubbles: true}))")

    assert 0 == page.evaluate("scrollY")
    assert page.evaluate(
        "byRow => { const [a, b] = byRow.map(each => document.querySelector(each).getBoundingClientRect());"
        " return a.top >= b.top && a.bottom <= b.bottom; }",
        ["#e400 button", "#rows"],
    )


def test_types_that_are_not_ticked_are_hidden(open_page: Open) -> None:
    page = open_page(STORY)
    page.uncheck("input[value='state.set']")

    assert ["e1", "e2", "e5"] == page.eval_on_selector_all("tr:not([hidden])[id]", "all => all.map(each => each.id)")
    assert 3 == page.locator(".box:visible").count()
    assert 1 == page.locator(".edge:not([hidden])").count()
    assert "3 of 5 events" == page.inner_text("#found")


def test_nasty_text_runs_nothing_and_is_shown(open_page: Open) -> None:
    events = [event(at, text or "x", text, key=text, stream=text, actor=text) for at, text in enumerate(NASTY, 1)]
    page = open_page(picture(events, [edge(at, at + 1, NASTY[at]) for at in range(1, len(NASTY))], sentences=NASTY))

    for at in range(1, len(NASTY) + 1):
        page.click(f"#e{at} button")
        assert [f"e{at}"] == lit(page, "chosen")
    page.uncheck("input >> nth=3")


def test_five_hundred_events_and_none_can_be_looked_at(open_page: Open) -> None:
    page = open_page(large())
    page.click("#e250 button")
    page.click("[data-zoom=fit]")
    assert ["e250"] == lit(page, "chosen")

    assert "no events" in open_page(picture([])).inner_text("body")
