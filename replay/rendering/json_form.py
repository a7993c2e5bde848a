"""JSON: a picture for programs."""

from __future__ import annotations

from typing import Any

from backstory.replay.picture import Picture
from backstory.replay.rendering.plain import json_of


def json_form(picture: Picture) -> dict[str, Any]:
    """Return a picture as a dict.

    - `title`: text. `sentences`: texts that tell the whole.
    - `events`: in the picture's order, each as `RecordedEvent.as_dict()` has it, with `depth` (the longest way from a
      root, where it is known, else null) and `mark` (its role, such as `derivation`, or null).
    - `edges`: `cause` and `effect` (event ids), `kind`, `strength`; an end may lie outside of `events`.

    Values of special types stand in `data` as they are in Python: whoever prints them tags them.
    """
    return {
        "title": picture.title,
        "sentences": list(picture.sentences),
        "events": [
            {
                **event.as_dict(),
                "depth": picture.depths.get(event.event_id),
                "mark": picture.marks.get(event.event_id),
            }
            for event in picture.events
        ],
        "edges": [
            {"cause": str(edge.cause), "effect": str(edge.effect), "kind": edge.kind, "strength": edge.strength}
            for edge in picture.edges
        ],
    }


def json_text(picture: Picture) -> str:
    """Return a picture as one line of JSON; special types are tagged as `--json` tags them."""
    return json_of(json_form(picture)) + "\n"
