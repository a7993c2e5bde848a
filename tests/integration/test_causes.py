"""The stored way from causes to effects: checked, made anew, and short however long the log is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import apsw
import psycopg
import pytest

import backstory
from backstory import StoreVersionError
from backstory.domain.branches import MAIN_LINEAGE
from backstory.infrastructure.postgres.statements import placeholders
from backstory.verification import Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backstory import StateStore

EVENTS = 3000
EACH = 10


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def stored_url(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


def rows_of(url: str, statement: str, params: Any = None) -> Sequence[tuple[Any, ...]]:
    """Run a statement behind the store's back."""
    if url.startswith("sqlite"):
        connection = apsw.Connection(url.removeprefix("sqlite:///"))
        try:
            return connection.execute(statement, params).fetchall()
        finally:
            connection.close()
    with psycopg.connect(url, autocommit=True, options="-c search_path=backstory") as session:
        cursor = session.execute(placeholders(statement), params)
        return cursor.fetchall() if cursor.description else []


def fill(store: StateStore) -> None:
    first, second = store.set("global", "a", 1), store.set("global", "b", 2)
    store.set("global", "c", 3, cause=[first, second, first])
    store.set("global", "d", 4, cause=second)


@pytest.mark.parametrize(
    ("statement", "wrong"),
    [
        ("DELETE FROM causes", [3, 4]),
        ("DELETE FROM causes WHERE cause = 2", [3, 4]),
        ("UPDATE causes SET effect = 4 WHERE cause = 1", [3, 4]),
        ("INSERT INTO causes VALUES (1, 4)", [4]),
        ("INSERT INTO causes VALUES (7, 9)", [9]),
    ],
)
def test_an_index_that_says_something_else_is_reported_and_made_anew(
    stored_url: str, statement: str, wrong: list[int]
) -> None:
    with backstory.open(stored_url) as store:
        fill(store)
        rows_of(stored_url, statement)

        problems = store.verify().problems
        assert [(at, "projection") for at in wrong] == [problem[:2] for problem in problems]
        assert all(isinstance(problem, Problem) and "rebuild" in problem.message for problem in problems)

        assert [("causes", 4, 3)] == store.rebuild("causes")
        assert store.verify().ok
        assert [(1, 3), (2, 3), (2, 4)] == sorted(rows_of(stored_url, "SELECT cause, effect FROM causes"))


def test_what_a_transaction_writes_has_its_causes(store_url: str) -> None:
    with backstory.open(store_url) as store:
        cause = store.set("global", "a", 1)
        with store.transaction() as tx:
            inner = tx.set("global", "b", 2, cause=cause)
            tx.set("global", "c", 3, cause=inner)
            tx.increment("global", "a", cause=[cause, inner])
        runner = store._runner
        assert [(1, 2), (1, 4), (2, 3), (2, 4)] == runner.run(runner.engine.effects(MAIN_LINEAGE, [1, 2], 9))
        assert store.verify().ok


def test_the_way_to_causes_and_effects_is_short_in_a_long_log(stored_url: str) -> None:
    with backstory.open(stored_url) as store:
        for start in range(0, EVENTS, EVENTS // EACH):
            with store.transaction() as tx:
                cause = tx.set("global", "cause", start)
                for number in range(1, EVENTS // EACH):
                    cause = tx.set("global", "k", number, cause=cause)
        store.verify()
        rows_of(stored_url, "ANALYZE")
        engine = store._runner.engine
        some = list(range(1, EVENTS // 2, 2))
        ids = [event.event_id.bytes for event in store.log(limit=3)]
        programs: list[Any] = [
            engine.effects(MAIN_LINEAGE, some, EVENTS),
            engine.named_as_cause(some),
            engine.events(ids),
            engine.events_at([1, 2, 3]),
        ]
        for program in programs:
            ask = next(program)
            program.close()
            explain = "EXPLAIN QUERY PLAN " if stored_url.startswith("sqlite") else "EXPLAIN "
            plan = [str(row[-1]).strip(" ->") for row in rows_of(stored_url, explain + ask.sql, ask.params)]
            assert plan
            assert [] == [
                line
                for line in plan
                if line.split()[:2] in (["SCAN", "c"], ["SCAN", "e"], ["SCAN", "events"]) or _scans(line)
            ]


def _scans(line: str) -> bool:
    return line.startswith(("Seq Scan on events", "Seq Scan on causes"))


def test_a_database_of_another_version_is_refused(stored_url: str) -> None:
    backstory.open(stored_url).close()
    if stored_url.startswith("sqlite"):
        rows_of(stored_url, "PRAGMA user_version = 1")
    else:
        rows_of(stored_url, "UPDATE store SET value = '1' WHERE name = 'version'")
    with pytest.raises(StoreVersionError) as caught:
        backstory.open(stored_url)
    assert (1, 2) == (caught.value.found, caught.value.supported)
