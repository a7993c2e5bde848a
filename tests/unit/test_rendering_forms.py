"""Forms: one entry, six answers, whatever the events hold."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings

from backstory.domain.errors import InvalidValueError
from backstory.replay.picture import Picture
from backstory.replay.rendering import FORMS, render
from tests.support.pictures import event, large, picture, pictures, written

each_form = pytest.mark.parametrize("form", FORMS)


def test_the_forms_are_those_of_the_contract() -> None:
    assert ("text", "json", "mermaid", "dot", "html", "prov") == FORMS


@pytest.mark.parametrize("form", ["svg", "", "TEXT", None, 3])
def test_another_form_is_refused_and_the_forms_are_named(form: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        render(picture([]), form)

    assert caught.value.path == "form"
    assert str(caught.value).endswith("Use one of text, json, mermaid, dot, html, prov.")


def test_text_is_what_is_not_asked_for() -> None:
    one = picture([event(1)])

    assert render(one) == render(one, "text")


@each_form
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(pictures())
def test_anything_that_a_log_holds_comes_out_as_utf8_and_twice_the_same(form: str, drawn: Picture) -> None:
    made = render(drawn, form)

    assert made.encode()
    assert made.endswith("\n")
    assert made == render(drawn, form)
    assert "\x00" not in made
    assert "\r" not in made


@each_form
def test_a_picture_of_nothing_comes_out(form: str) -> None:
    assert render(picture([], title=""), form)


@each_form
def test_a_lone_surrogate_in_the_words_does_not_stop_it(form: str) -> None:
    assert render(picture([event(1)], title="\ud800", sentences=["\udfff"]), form).encode()


@pytest.mark.parametrize("form", ["text", "mermaid", "dot", "html"])
def test_of_a_value_of_a_megabyte_only_the_beginning_is_drawn(form: str) -> None:
    values = ("x" * 2**20, ["y"] * 2**18, {f"k{n}": n for n in range(2**16)}, 10**5_000, [[[["z" * 2**20]]]])
    made = render(picture([written(at, "k", value) for at, value in enumerate(values, 1)]), form)

    assert len(made) < 200_000


@each_form
def test_five_hundred_events_come_out(form: str) -> None:
    assert "500" in render(large(), form)


@each_form
def test_an_event_that_is_there_twice_breaks_nothing(form: str) -> None:
    assert render(picture([event(1), event(1)]), form)
