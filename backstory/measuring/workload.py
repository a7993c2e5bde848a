"""The workload: values of 200 bytes, written by agents' sessions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

PAYLOAD_BYTES: Final = 200
"""Length of each value's JSON text."""
_DISTINCT: Final = 256


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


def keys_of(events: int, keys: int, *, each: int) -> Iterator[tuple[str, list[str]]]:
    """Yield (scope, keys) batches of `each` keys that write every key in turn until `events` are written.

    `keys` and `events` are multiples of `each`.
    """
    scopes = keys // each
    names = [key(number) for number in range(each)]
    for batch in range(events // each):
        yield session(batch % scopes), names
