"""Row 9: transforms alone, migrations end to end, and what a bound schema costs a write."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import backstory
from backstory import Field, Migration, Schema, StateStore, transforms
from backstory.domain.transforms import Transform
from backstory.measuring.samples import MICROSECOND, percentile
from backstory.measuring.workload import KEYS_A_SCOPE, PAYLOAD_BYTES, key, session
from backstory.testing.postgres import PostgresServer
from benchmarks import peer_postgres
from benchmarks.appending import url_in
from benchmarks.contest import Claim, Measure, Result, Run, below
from benchmarks.raw_migrations import on_postgres, on_sqlite

Steps = list[Transform]
_BATCH: Final = 100
_ALONE_US: Final = 5.0
_WHOLE_US: Final = 60.0
_NAME: Final = "user"
_TO: Final = "2.0.0"
_WORDS: Final = "the model asked for another look at the second source because the first was out of date "
_PLANS: Final[dict[str, Steps]] = {
    "move, default, rename, compute the time": [
        transforms.move("age", "profile.age"),
        transforms.default("status", "active"),
        transforms.rename("mail", "email"),
        transforms.compute("created_at", "now_iso8601"),
    ],
    "copy, remove, default, compute a score": [
        transforms.copy("age", "profile.age"),
        transforms.remove("age"),
        transforms.default("status", "active"),
        transforms.compute("level", "normalize_score", "score"),
    ],
    "move, convert, split, when": [
        transforms.move("mail", "contact.email"),
        transforms.convert("age", "string"),
        transforms.split("name", ["first", "last"], separator=" "),
        transforms.when(transforms.where("score", ">", 3), transforms.default("high", value=True)),
    ],
    "default and sum over elements, rename, remove": [
        transforms.default("items[*].currency", "EUR"),
        transforms.compute("total", "sum", "items[*].price"),
        transforms.rename("items", "lines"),
        transforms.remove("score"),
    ],
}
#: The end-to-end plan: two steps, with the four transforms of the first of these plans.
_FIRST: Final = [transforms.rename("mail", "email"), transforms.default("status", "active")]
_SECOND: Final = [transforms.move("age", "profile.age"), transforms.compute("created_at", "now_iso8601")]
_COMMON: Final = {
    "name": Field("string", required=True, max_length=100),
    "score": Field("number", min=0, max=100),
    "items": Field("array", items=Field("object", fields={"price": Field("integer", min=0)})),
    "note": Field("string", max_length=500),
}
_AGE: Final = Field("integer", min=0, max=150)
_EMAIL: Final = Field("string", max_length=100)
_STATUS: Final = Field("string", required=True, default="active", enum=["active", "away"])
_VERSIONS: Final = (
    Schema(_NAME, "1.0.0", {**_COMMON, "age": _AGE, "mail": _EMAIL}),
    Schema(_NAME, "1.1.0", {**_COMMON, "age": _AGE, "email": _EMAIL, "status": _STATUS}),
    Schema(
        _NAME,
        _TO,
        {
            **_COMMON,
            "email": Field("string", required=True, max_length=100),
            "status": _STATUS,
            "profile": Field("object", required=True, fields={"age": _AGE}),
            "created_at": Field("timestamp", required=True),
        },
    ),
)


class _Context:
    """What transformers get outside of a store."""

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC)

    def uuid(self) -> UUID:
        return UUID(int=1)


def value(number: int) -> dict[str, Any]:
    """Return a value of `PAYLOAD_BYTES` as the older version has it."""
    found: dict[str, Any] = {
        "name": "Ada Lovelace",
        "mail": f"ada{number:06}@example.com",
        "age": number % 90,
        "score": 87.5,
        "items": [{"price": each} for each in (12, 15, 31)],
        "note": "",
    }
    missing = PAYLOAD_BYTES - len(json.dumps(found, separators=(",", ":")))
    return {**found, "note": (_WORDS * 3)[:missing]}


def check(number: int, found: dict[str, Any]) -> None:
    """Raise `AssertionError` unless this is what the newer version makes of a value."""
    before = value(number)
    wanted = {
        **{name: before[name] for name in ("name", "score", "items", "note")},
        "email": before["mail"],
        "status": "active",
        "profile": {"age": before["age"]},
    }
    made_at = datetime.fromisoformat(found["created_at"])
    if made_at.tzinfo is None or {name: part for name, part in found.items() if name != "created_at"} != wanted:
        msg = f"value {number} was migrated to {found}"
        raise AssertionError(msg)


# Transforms alone


def alone(run: Run) -> Result:
    """Row 9: plans of four transforms on decoded objects, changed in place."""
    contenders = {name: partial(_alone, plan, run.scaled(5000)) for name, plan in _PLANS.items()}
    table = run.contest("row 9, transforms", contenders)
    claims = [
        below(f"{name}, {metric}", table.of(name, metric).samples, _ALONE_US, "us")
        for name in contenders
        for metric in ("mean us", "p50 us")
    ]
    title = f"Plans of four transforms on objects of {PAYLOAD_BYTES} bytes, decoded, in place"
    return Result(9, title, table.figures, tuple(claims))


def _alone(plan: Steps, count: int, _: Path) -> dict[str, float]:
    apply, context = transforms.compile(plan).apply_in_place, _Context()
    whole = 0
    calls: list[int] = []
    clock = time.perf_counter_ns
    for at in range(0, count, _BATCH):  # no more objects are there at once than in a run
        for_all, for_each = ([value(number) for number in range(at, at + _BATCH)] for _ in range(2))
        started = time.thread_time_ns()  # nothing here waits but for whoever else wants the processor
        for each in for_all:
            apply(each, context)
        whole += time.thread_time_ns() - started
        for each in for_each:
            begun = clock()
            apply(each, context)
            calls.append(clock() - begun)
        if for_all != for_each or for_all[0] == value(at):
            msg = f"transforms make different values of equal ones, or none: {for_all[0]}"
            raise AssertionError(msg)
    calls.sort()
    return {"mean us": whole / count / MICROSECOND, "p50 us": percentile(calls, 50) / MICROSECOND}


# End to end


def end_to_end(run: Run) -> Result:
    """Row 9: a bound store carried over two versions, and back."""
    items = run.scaled(10_000)
    figures, notes = list(_whole(run, "memory", items, lambda _: _given("memory://"), None)), []
    figures += _whole(run, "SQLite", items, lambda folder: _given(url_in(folder)), partial(on_sqlite, items=items))
    with peer_postgres.server() as server:
        if server is None:
            notes.append(peer_postgres.ABSENT)
        else:
            figures += _whole(run, "PostgreSQL", items, lambda _: server.database(), _raw_on(server, items))
    ours = next(figure for figure in figures if (figure.who, figure.metric) == ("SQLite, run", "us an item"))
    claims: tuple[Claim, ...] = (below("SQLite, run, us an item", ours.samples, _WHOLE_US, "us"),)
    notes.append(
        "`run`: validation strict, 100 a batch, durable; each is checked, and so is what a rollback brings back"
    )
    return Result(
        9, f"{items:,} values carried over two versions by four transforms", tuple(figures), claims, tuple(notes)
    )


@contextmanager
def _given(url: str) -> Iterator[str]:
    yield url


def _whole(run: Run, engine: str, items: int, place: Callable[[Path], Any], raw: Measure | None) -> Sequence[Any]:
    """Return the figures of an engine."""

    def ours(**options: Any) -> Measure:
        def measure(folder: Path) -> dict[str, float]:
            with place(folder) as url, backstory.open(url) as store:
                return migrated(store, items, options)

        return measure

    def by_loop(folder: Path) -> dict[str, float]:
        with place(folder) as url, backstory.open(url) as store:
            return _looped(store, items)

    contenders: dict[str, Measure] = {
        f"{engine}, run": ours(),
        f"{engine}, validation none": ours(validation="none"),
        f"{engine}, validation paranoid": ours(validation="paranoid"),
        f"{engine}, 10 a batch": ours(batch_size=10),
        f"{engine}, 1000 a batch": ours(batch_size=1000),
        f"{engine}, a loop with set_many": by_loop,
    }
    if raw is not None:
        contenders[f"{engine}, one UPDATE of JSON text"] = raw
    return run.contest(f"row 9, {engine}", contenders, warm_up=False).figures


def _raw_on(server: PostgresServer, items: int) -> Measure:
    def measure(_: Path) -> Mapping[str, float]:
        with server.database() as url:
            return on_postgres(url, items=items)

    return measure


def declare(store: StateStore) -> None:
    """Register the versions and the ways between them, and bind the oldest one."""
    for version in _VERSIONS:
        store.schemas.register(version)
    store.migrations.register(Migration(_NAME, "1.0.0", "1.1.0", _FIRST))
    store.migrations.register(Migration(_NAME, "1.1.0", _TO, _SECOND))
    store.schemas.bind(_NAME, version="1.0.0", keys="*")


def batches(items: int, size: int = KEYS_A_SCOPE) -> Iterator[tuple[str, range]]:
    """Yield scopes, and the numbers of up to so many of their values."""
    for start in range(0, items, KEYS_A_SCOPE):
        end = min(start + KEYS_A_SCOPE, items)
        for at in range(start, end, size):
            yield session(start // KEYS_A_SCOPE), range(at, min(at + size, end))


def _fill(store: StateStore, items: int) -> None:
    for scope, numbers in batches(items):
        store.set_many(scope, {key(number): value(number) for number in numbers})


def _check_all(store: StateStore, items: int) -> None:
    for scope, numbers in batches(items):
        found = store.items(scope)
        for number in numbers:
            check(number, found[key(number)])


def migrated(store: StateStore, items: int, options: Mapping[str, Any]) -> dict[str, float]:
    """Return what an item takes, there and back; raises `AssertionError` where values are not what they must be."""
    declare(store)
    _fill(store, items)
    before = store.snapshot()
    plan = store.migrations.plan(_NAME, _TO)
    started, worked = time.perf_counter(), time.process_time()
    report = store.migrations.run(plan, **options)
    worked_s, seconds = time.process_time() - worked, time.perf_counter() - started
    _check_all(store, items)
    started = time.perf_counter()
    back = store.migrations.rollback(report.migration_id)
    back_s = time.perf_counter() - started
    if store.snapshot() != before or (report.items_migrated, back.items_restored) != (items, items):
        msg = f"what was is not back: {report} {back}"
        raise AssertionError(msg)
    taken = {"us an item": seconds, "CPU us": worked_s, "rollback us": back_s}
    return {name: taken_s / items * 1e6 for name, taken_s in taken.items()}


def _looped(store: StateStore, items: int) -> dict[str, float]:
    """Do the same by hand: no schema, no way back, nothing said; what others write meanwhile is lost."""
    _fill(store, items)
    started = time.perf_counter()
    for scope in store.scopes():
        values = list(store.items(scope).items())
        for at in range(0, len(values), _BATCH):
            store.set_many(scope, {name: _by_hand(each) for name, each in values[at : at + _BATCH]})
    seconds = time.perf_counter() - started
    _check_all(store, items)
    return {"us an item": seconds / items * 1e6}


def _by_hand(found: dict[str, Any]) -> dict[str, Any]:
    found["email"] = found.pop("mail")
    found.setdefault("status", "active")
    found["profile"] = {"age": found.pop("age")}
    found["created_at"] = datetime.now(UTC).isoformat()
    return found


# A bound schema


def bound(run: Run) -> Result:
    """Row 9: one `set` at a time where a schema is bound, and where none is."""
    count = run.scaled(5000)
    contenders: dict[str, Measure] = {}
    for engine, url in (("memory", lambda _: "memory://"), ("SQLite", url_in)):
        for how in ("unbound", "bound"):
            contenders[f"{engine}, {how}"] = partial(_set, url, bind=how == "bound", count=count)
    table = run.contest("row 9, set", contenders)
    return Result(9, "One caller, `set` under a bound schema and without", table.figures)


def _set(url: Callable[[Path], str], folder: Path, *, bind: bool, count: int) -> dict[str, float]:
    payload = [value(number) for number in range(count)]
    names = [key(number) for number in range(KEYS_A_SCOPE)]
    calls: list[int] = []
    with backstory.open(url(folder)) as store:
        if bind:
            declare(store)
        clock, scope = time.perf_counter_ns, session(0)
        for number, each in enumerate(payload):
            started = clock()
            store.set(scope, names[number % KEYS_A_SCOPE], each)
            calls.append(clock() - started)
        schema = store.history(scope, names[0])[0].schema
        if (schema is not None) != bind or store.get(scope, names[(count - 1) % KEYS_A_SCOPE]) != payload[-1]:
            msg = f"what was written carries {schema}"
            raise AssertionError(msg)
    calls.sort()
    return {"p50 us": percentile(calls, 50) / MICROSECOND, "p99 us": percentile(calls, 99) / MICROSECOND}
