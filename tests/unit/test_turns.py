"""Turns: one after the other at a place, in the order of coming, and nobody is left waiting."""

from __future__ import annotations

import pytest

from backstory.turns import Turns


def taken(turns: Turns, place: str) -> bool:
    """Return whether who comes to a place has it at once."""
    try:
        turns.take(place).send(None)
    except StopIteration:
        return True
    return False


def test_a_place_is_taken_until_it_is_given() -> None:
    turns = Turns()
    assert [True, False, True] == [taken(turns, "a"), taken(turns, "a"), taken(turns, "b")]
    turns.give("b")
    assert taken(turns, "b")


def test_who_waits_gets_the_place_in_the_order_of_coming() -> None:
    turns = Turns()
    assert taken(turns, "a")
    waiting = [turns.take("a") for _ in range(3)]
    requests = [program.send(None) for program in waiting]
    for program, request in zip(waiting, requests, strict=True):
        turns.give("a")
        request.blocking(None)
        with pytest.raises(StopIteration):
            program.send(None)
    turns.give("a")
    assert taken(turns, "a")


def test_who_gives_up_waiting_is_passed_over() -> None:
    turns = Turns()
    assert taken(turns, "a")
    first, second = turns.take("a"), turns.take("a")
    first.send(None)
    request = second.send(None)
    with pytest.raises(KeyboardInterrupt):
        first.throw(KeyboardInterrupt)
    turns.give("a")
    request.blocking(None)


def test_who_gives_up_when_the_turn_has_come_passes_it_on() -> None:
    turns = Turns()
    assert taken(turns, "a")
    first, second = turns.take("a"), turns.take("a")
    first.send(None)
    request = second.send(None)
    turns.give("a")
    with pytest.raises(KeyboardInterrupt):
        first.throw(KeyboardInterrupt)
    request.blocking(None)
    with pytest.raises(StopIteration):
        second.send(None)
    turns.give("a")
    assert taken(turns, "a")
