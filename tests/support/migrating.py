"""Documents to be migrated from one form to another: what is declared, what is stored, and what must hold of it.

A document is `{"n": 3, "tag": "7"}` at 1.0.0 and `{"count": {"n": 3}, "tag": 7}` at 2.0.0. Both forms keep what
`read` gives, so that whoever changes a document can, in whatever form it finds it.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from backstory import Field, Migration, Schema, transforms

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

HOME: Final = "agent:documents"
OLD: Final = "1.0.0"
NEW: Final = "2.0.0"
#: What meets the older version, and cannot be carried to the newer one.
POISON: Final = {"n": -1, "tag": "no number"}
LAST: Final = "doc/zz"
_WHOLE: Final = Field("integer", required=True)


def declare(store: Any, *, migration: Migration | None = None) -> None:
    """Register both versions and the way between them, and bind the older one."""
    store.schemas.register(Schema("doc", OLD, {"n": _WHOLE, "tag": Field("string", required=True)}))
    count = Field("object", required=True, fields={"n": _WHOLE})
    store.schemas.register(Schema("doc", NEW, {"count": count, "tag": _WHOLE}))
    store.schemas.bind("doc", version=OLD, keys="doc/*")
    store.migrations.register(migration or way())


def way(*more: Any) -> Migration:
    """Return the way between the versions, with more transforms behind it."""
    return Migration("doc", OLD, NEW, [transforms.move("n", "count.n"), transforms.convert("tag", "integer"), *more])


def old(n: int, tag: int = 0) -> dict[str, Any]:
    """Return a document in the older form."""
    return {"n": n, "tag": str(tag)}


def new(n: int, tag: int = 0) -> dict[str, Any]:
    """Return a document in the newer form."""
    return {"count": {"n": n}, "tag": tag}


def key(number: int) -> str:
    """Return the key of a document."""
    return f"doc/{number:03}"


def fill(store: Any, documents: int) -> dict[str, Any]:
    """Store documents in the older form; return them."""
    values = {key(number): old(number, number) for number in range(documents)}
    store.set_many(HOME, values)
    return values


def is_new(value: Mapping[str, Any]) -> bool:
    """Return whether a document is in the newer form."""
    return "count" in value


def read(value: Mapping[str, Any]) -> int:
    """Return the number in a document of either form."""
    found: int = value["count"]["n"] if is_new(value) else value["n"]
    return found


def plus_one(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document with a number one higher, in the form that it has."""
    if is_new(value):
        return {**value, "count": {"n": value["count"]["n"] + 1}}
    return {**value, "n": value["n"] + 1}


def carried(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return what becomes of a document in the older form."""
    return new(value["n"], int(value["tag"]))


def versions(store: Any) -> dict[str, str | None]:
    """Return the version that the last write of each document carries, by the log alone."""
    found: dict[str, str | None] = {}
    for event in store.log():
        if event.stream == HOME and event.key is not None:
            if event.type == "state.set":
                said = event._extra("schema")
                found[event.key] = None if said is None else said[1]
            else:
                found.pop(event.key, None)
    return found


def assert_at(store: Any, version: str) -> None:
    """Assert that all documents are of a version, and carry it, and the log is whole."""
    items = store.items(HOME)
    assert {is_new(value) for value in items.values()} <= {version == NEW}
    assert dict.fromkeys(items, version) == versions(store)
    assert store.verify().ok


def written_by(store: Any, migration_id: str) -> dict[str, Counter[str]]:
    """Return how often a run wrote each key, by what it did there."""
    found: dict[str, Counter[str]] = {"migrate": Counter(), "restore": Counter()}
    for event in store.log(types=["state.set"]):
        said = event._extra("carried" if event.data["op"] == "migrate" else "restored")
        if event.data["op"] in found and said["migration"] == migration_id:
            found[event.data["op"]][event.key] += 1
    return found


def run(store: Any, **named: Any) -> Any:
    """Migrate all documents."""
    return store.migrations.run(store.migrations.plan("doc", NEW), **named)


def at_batch(number: int, then: Callable[[], object]) -> Callable[[int, int], None]:
    """Return a progress function that does something when so many batches are done."""
    calls = 0

    def progress(_done: int, _total: int) -> None:
        nonlocal calls
        if calls == number:
            then()
        calls += 1

    return progress
