"""Reading one value: what `backstory get` does, apart from everything that other commands need."""

from __future__ import annotations

from backstory.cli import values
from backstory.cli.render import pretty
from backstory.cli.session import Session
from backstory.domain.errors import NotFoundError
from backstory.domain.events import MISSING


def get(
    session: Session,
    scope: str,
    *,
    key: str,
    as_of: str | None = None,
    default: str | None = None,
    schema_version: str | None = None,
    raw: bool = False,
) -> None:
    """Print a value, or the default; raises `NotFoundError` where there is neither."""
    point = values.optional_point(as_of)
    fallback = MISSING if default is None else values.value(default)
    with session.open() as store:
        value = store.get(scope, key, fallback, as_of=point, schema_version=schema_version)
    if value is MISSING:
        raise NotFoundError("key", key, hint=f"`backstory keys {scope}` lists what is there.")
    if raw and isinstance(value, (str, bytes)):
        session.out.raw(value.encode() if isinstance(value, str) else value)
    elif session.out.json:
        session.out.value(value)
    else:
        for line in pretty(value):
            session.out.line(line)
