"""Users in three versions of their schema, with ways between them, and what tests of migrations ask of a store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from backstory import Field, Migration, Schema
from backstory import transforms as t
from backstory.infrastructure import codec
from tests.support.on_a_loop import FACES

if TYPE_CHECKING:
    from backstory import RecordedEvent

S: Final = "agent:a"

NAME: Final = Field("string", required=True)
AGE: Final = Field("integer", min=0)
FIRST: Final = Schema("user", "1.0.0", {"name": NAME, "age": AGE})
SECOND: Final = Schema("user", "1.1.0", {"name": NAME, "age": AGE, "email": Field("string")})
THIRD: Final = Schema(
    "user",
    "2.0.0",
    {"name": NAME, "email": Field("string"), "profile": Field("object", required=True, fields={"age": AGE})},
)
TO_SECOND: Final = Migration("user", "1.0.0", "1.1.0", [t.default("email", "")], down=[t.remove("email")])
TO_THIRD: Final = Migration(
    "user",
    "1.1.0",
    "2.0.0",
    [t.default("profile", {}), t.move("age", "profile.age")],
    down=[t.move("profile.age", "age"), t.remove("profile")],
    description="ages go into profiles",
)


def places(on_postgres: str) -> list[Any]:
    """Return (face, engine) as parameters: both faces in memory and on SQLite, and one on PostgreSQL."""
    found: list[Any] = [(face, engine) for engine in ("memory", "sqlite") for face in FACES]
    return [*found, pytest.param((on_postgres, "postgres"), marks=pytest.mark.postgres)]


def with_users(store: Any, count: int = 10, *, bound: bool = True) -> Any:
    """Register three versions and the ways between them; write users of the first one, bound to it."""
    for schema in (FIRST, SECOND, THIRD):
        store.schemas.register(schema)
    if bound:
        store.schemas.bind("user", version="1.0.0", keys="user/*")
    for migration in (TO_SECOND, TO_THIRD):
        store.migrations.register(migration)
    if count:
        store.set_many(S, {f"user/{number:03}": {"name": f"n{number}", "age": number} for number in range(count)})
    return store


def migrated(number: int) -> dict[str, Any]:
    """Return what a user of the first version is in the third."""
    return {"name": f"n{number}", "email": "", "profile": {"age": number}}


def up(store: Any, **options: Any) -> Any:
    """Migrate all users to the third version; return the report."""
    return store.migrations.run(store.migrations.plan("user", "2.0.0"), **options)


def texts(store: Any, as_of: Any = None) -> dict[tuple[str, str], bytes]:
    """Return what every key holds, as the bytes that stand for it."""
    return {
        (str(scope), key): codec.encode_value(value)
        for scope, held in store.snapshot(as_of=as_of).items()
        for key, value in held.items()
    }


def written_since(store: Any, position: int) -> list[RecordedEvent]:
    """Return the writes of state after a position."""
    return list(store.log(since=position, types="state.set"))


def kinds(events: Any) -> list[str]:
    """Return the types of events."""
    return [event.type for event in events]
