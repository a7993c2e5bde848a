"""Revaluing: a write of another value than its operation had in mind."""

from __future__ import annotations

from typing import Final

from backstory.domain.commits import Draft
from backstory.domain.events import from_micros
from backstory.infrastructure import codec

#: What came about by these no longer did so once the value is another one.
_RELATIVE: Final = frozenset({"increment", "copy", "move"})


def revalued(draft: Draft, value: bytes, *, another: bool = True) -> Draft:
    """Return a `state.set` with this encoded value; where it is another one, it is a plain set of it."""
    data = codec.decode_value(draft.data)
    op = data["op"]
    if op not in _RELATIVE or not another:
        extra = {name: part for name, part in data.items() if name not in {"value", "op"}}
    else:
        op, extra = "set", {}
        if draft.expires_us is not None:
            extra["expires_at"] = from_micros(draft.expires_us)
        draft = draft._replace(source=0)
    return draft._replace(data=codec.encode_set(value, op, extra))
