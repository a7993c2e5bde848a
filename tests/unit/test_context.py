"""The context of a write: arguments first, then the inner block, then the outer, then the store's actor."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

import backstory
from backstory import Event, InvalidValueError
from backstory.context import author_of, context
from backstory.domain.context import NOBODY, Author
from backstory.domain.events import pack_correlation, unpack_correlation

correlations = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=128)


@given(correlations | st.uuids().map(str) | st.uuids().map(lambda one: str(one).upper()))
def test_a_correlation_comes_back_as_it_was_given(text: str) -> None:
    assert text == unpack_correlation(pack_correlation(text))


@given(correlations, correlations)
def test_two_correlations_are_never_kept_alike(one: str, other: str) -> None:
    assert (one == other) == (pack_correlation(one) == pack_correlation(other))


def test_without_any_context_a_write_is_nobodys_or_the_stores_actors() -> None:
    assert NOBODY == author_of({}, None)
    assert Author(actor=b"ann") == author_of({}, "ann")


def test_arguments_win_over_blocks_and_inner_blocks_over_outer_ones() -> None:
    with context(actor="outer", correlation_id="c"), context(actor="inner"):
        assert Author(pack_correlation("c"), actor=b"inner") == author_of({}, "store")
        assert b"argument" == author_of({"actor": "argument"}, "store").actor
        assert b"inner" == author_of({"actor": None}, "store").actor
    assert NOBODY == author_of({}, None)


def test_none_in_a_block_takes_back_what_an_outer_one_said() -> None:
    with context(actor="outer", correlation_id="c"), context(actor=None, correlation_id=None):
        assert Author(actor=b"store") == author_of({}, "store")


def test_a_block_that_is_left_by_an_error_is_left() -> None:
    with pytest.raises(ZeroDivisionError), context(actor="a"):
        raise ZeroDivisionError
    assert NOBODY == author_of({}, None)


@pytest.mark.parametrize(
    "given",
    [
        {"actor": ""},
        {"actor": 5},
        {"actor": "\ud800"},
        {"correlation_id": ""},
        {"correlation_id": "c" * 129},
        {"correlation_id": 5},
        {"cause": 5},
        {"cause": "no id"},
        {"cause": Event("a.b")},
        {"tags": "one"},
        {"tags": [5]},
        {"metadata": [1]},
        {"metadata": {1: 2}},
        {"artifacts": "one"},
        {"traceparent": 5},
    ],
)
def test_what_no_event_can_carry_is_refused_where_the_block_begins(given: Any) -> None:
    with pytest.raises(InvalidValueError), context(**given):
        pass


def test_an_unknown_name_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(TypeError, match="colour"), context(colour="red"):  # type: ignore[call-arg]
        pass


def test_causes_are_named_by_event_by_id_or_by_text_and_each_counts_once() -> None:
    with backstory.open("memory://") as store:
        one, other = store.set("global", "k", 1), store.set("global", "k", 2)
        causes: list[backstory.RecordedEvent | Event | UUID | str] = [
            one,
            one.event_id,
            str(other.event_id),
            Event("a.b", event_id=other.event_id),
        ]
        event = store.set("global", "k", 3, cause=causes, tags=("x", "y"), metadata={"m": 1}, artifacts=["a"])

    assert (one.event_id, other.event_id) == event.causation_ids
    assert ("x", "y") == event.tags
    assert {"m": 1, "artifacts": ["a"]} == event.metadata


def test_a_view_into_an_event_is_the_callers_own() -> None:
    with backstory.open("memory://") as store:
        event = store.set("global", "k", {"inner": [1]}, metadata={"m": [1]})
        event.data["value"]["inner"].append(2)
        event.metadata["m"].append(2)
        store.get("global", "k")["inner"].append(2)

        assert {"inner": [1]} == store.get("global", "k") == event.data["value"]
        assert {"m": [1]} == event.metadata
        with pytest.raises(AttributeError):
            event.position = 2  # type: ignore[misc]
        assert event == store.event(UUID(str(event.event_id)))
