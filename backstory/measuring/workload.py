"""The workload: values of 200 bytes, written by agents' sessions."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any, Final

PAYLOAD_BYTES: Final = 200
"""Length of each value's JSON text."""
KEYS_A_SCOPE: Final = 1000
_DISTINCT: Final = 256
_AT_RANDOM: Final = 100


def value(number: int) -> dict[str, Any]:
    """Return a value whose JSON text, without blanks, is `PAYLOAD_BYTES` long."""
    found = {
        "step": number,
        "status": "running",
        "score": 0.875,
        "done": False,
        "tools": ["search", "read", "write"],
        "note": "",
    }
    missing = PAYLOAD_BYTES - len(json.dumps(found, separators=(",", ":")))
    words = "the model asked for another look at the second source because the first was out of date "
    return {**found, "note": (words * 3)[:missing]}


def values() -> list[dict[str, Any]]:
    """Return some distinct values to go round."""
    return [value(number) for number in range(_DISTINCT)]


def session(number: int) -> str:
    """Return the text of a session's scope."""
    return f"session:run-{number:05d}"


def key(number: int) -> str:
    """Return the name of a key."""
    return f"key-{number:04d}"


def batches_of(events: int, keys: int) -> Iterator[tuple[str, list[str]]]:
    """Yield (scope, keys) batches: every key once, then keys at random until `events` are written.

    A scope has `KEYS_A_SCOPE` keys; `keys` and `events` are multiples of it.
    """
    draw = random.Random(3)  # noqa: S311 - a workload, the same in every run
    names = [key(number) for number in range(KEYS_A_SCOPE)]
    for number in range(keys // KEYS_A_SCOPE):
        yield session(number), names
    for _ in range((events - keys) // _AT_RANDOM):
        scope = session(draw.randrange(keys // KEYS_A_SCOPE))
        yield scope, draw.sample(names, _AT_RANDOM)
