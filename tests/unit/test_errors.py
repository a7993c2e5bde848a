"""The rules of the errors: one root, facts as attributes, advice at the end, and copies that keep all of it."""

from __future__ import annotations

import copy
import inspect
import pickle

import pytest

from backstory.domain import errors
from backstory.domain.errors import (
    AccessDeniedError,
    BackstoryError,
    BackupError,
    ConfigError,
    ConflictError,
    EncryptionError,
    ErasedError,
    HookCancelledError,
    HookError,
    IntegrityError,
    InvalidKeyError,
    InvalidPointError,
    InvalidScopeError,
    InvalidValueError,
    MigrationError,
    NotFoundError,
    Outcome,
    ReadOnlyError,
    SchemaError,
    StoreClosedError,
    StoreUnavailableError,
    StoreVersionError,
    ValueTooLargeError,
    shown,
)

EXAMPLES: list[tuple[BackstoryError, dict[str, object]]] = [
    (BackstoryError("it broke", hint="Mend it."), {}),
    (
        ConflictError(expected=2, actual=3, stream="agent:a", key="k"),
        {"expected": 2, "actual": 3, "stream": "agent:a", "key": "k"},
    ),
    (ConflictError(expected="EMPTY", actual=3, stream="agent:a"), {"key": None}),
    (InvalidPointError(99, rule="lies beyond the head, 12"), {"point": 99, "rule": "lies beyond the head, 12"}),
    (ReadOnlyError("set", store="sqlite:///a.db"), {"operation": "set", "store": "sqlite:///a.db"}),
    (InvalidKeyError("a//b", rule="`//` is refused"), {"key": "a//b", "rule": "`//` is refused"}),
    (InvalidScopeError("agent:", rule="no id"), {"scope": "agent:", "rule": "no id"}),
    (InvalidValueError("a[0]", rule="nan"), {"path": "a[0]", "rule": "nan"}),
    (
        ValueTooLargeError(size=9, limit=8, scope="global", key="k"),
        {"size": 9, "limit": 8, "scope": "global", "key": "k"},
    ),
    (NotFoundError("branch", "dev"), {"what": "branch", "name": "dev"}),
    (HookCancelledError("too dear", hook="budget"), {"reason": "too dear", "hook": "budget"}),
    (
        HookError("it failed", hook="h", point="before_state_write"),
        {"hook": "h", "point": "before_state_write"},
    ),
    (
        SchemaError("no age", schema="user", version="1.0.0", path="age"),
        {"schema": "user", "version": "1.0.0", "path": "age"},
    ),
    (
        MigrationError("it failed", scope="global", key="k", path="a.b", report={"items": 1}),
        {"scope": "global", "key": "k", "path": "a.b", "report": {"items": 1}},
    ),
    (BackupError("no space", backup_id="b1", path="/b1"), {"backup_id": "b1", "path": "/b1"}),
    (IntegrityError("hash differs", position=7, kind="edited"), {"position": 7, "kind": "edited"}),
    (
        AccessDeniedError(actor="eve", scope="agent:a", action="read"),
        {"actor": "eve", "scope": "agent:a", "action": "read"},
    ),
    (AccessDeniedError(actor=None, scope="agent:a", action="read"), {"actor": None}),
    (EncryptionError("wrong key", key_id="k1"), {"key_id": "k1"}),
    (ErasedError("user:u1", position=4), {"subject": "user:u1", "position": 4}),
    (ConfigError("no such setting", key="storre"), {"key": "storre"}),
    (StoreClosedError("subscription"), {"what": "subscription"}),
    (StoreUnavailableError("disk full", outcome="not_written"), {"outcome": "not_written"}),
    (StoreVersionError(found=9, supported=1), {"found": 9, "supported": 1}),
]
CASES = pytest.mark.parametrize(("error", "facts"), EXAMPLES, ids=[type(error).__name__ for error, _ in EXAMPLES])


def test_every_public_error_has_an_example_here() -> None:
    public = {cls for name, cls in inspect.getmembers(errors, inspect.isclass) if name in errors.__all__}

    assert {type(error) for error, _ in EXAMPLES} == public


@CASES
def test_an_error_is_a_backstory_error_and_carries_its_facts(error: BackstoryError, facts: dict[str, object]) -> None:
    assert isinstance(error, BackstoryError)
    assert facts == {name: getattr(error, name) for name in facts}


@CASES
def test_the_text_of_an_error_is_its_message_and_then_what_to_do(
    error: BackstoryError, facts: dict[str, object]
) -> None:
    assert f"{error.message}. {error.hint}" == str(error)
    assert error.hint.endswith(".")
    assert not error.message.endswith(".")
    assert len(str(error).splitlines()) == 1
    assert all(str(fact) in str(error) for name, fact in facts.items() if name in {"rule", "reason"})


@CASES
@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))])  # noqa: S301 - our own bytes
def test_a_copied_or_pickled_error_is_of_the_same_class_with_the_same_facts(
    error: BackstoryError, facts: dict[str, object], again: type
) -> None:
    other = again(error)

    assert (type(error), str(error), vars(error)) == (type(other), str(other), vars(other))
    assert facts == {name: getattr(other, name) for name in facts}


def test_a_pickled_error_keeps_its_notes() -> None:
    error = NotFoundError("branch", "dev")
    error.add_note("while opening")

    assert ["while opening"] == pickle.loads(pickle.dumps(error)).__notes__  # noqa: S301 - our own bytes


@pytest.mark.parametrize("cls", [InvalidPointError, InvalidKeyError, InvalidScopeError, InvalidValueError])
def test_errors_of_invalid_input_are_value_errors(cls: type[BackstoryError]) -> None:
    assert issubclass(cls, ValueError)


def test_not_found_is_a_lookup_error_but_no_key_error_so_that_its_text_is_not_quoted() -> None:
    assert issubclass(NotFoundError, LookupError)
    assert str(NotFoundError("branch", "dev")).startswith("there is no branch 'dev'.")


def test_a_conflict_says_where_and_both_versions() -> None:
    assert (
        "key 'k' of 'agent:a' is at version 3, expected was 2. "
        "Read it again, decide again, and retry with the version you read."
    ) == str(ConflictError(expected=2, actual=3, stream="agent:a", key="k"))


@pytest.mark.parametrize("outcome", ["not_written", "unknown", "unavailable"])
def test_an_unavailable_store_gives_advice_that_fits_what_is_known_of_the_write(outcome: Outcome) -> None:
    others: set[Outcome] = {"not_written", "unknown", "unavailable"}
    others.remove(outcome)
    error = StoreUnavailableError("the server is gone", outcome=outcome)

    assert error.hint not in {StoreUnavailableError("the server is gone", outcome=other).hint for other in others}


def test_a_message_shows_a_long_text_cut_and_an_unprintable_one_escaped() -> None:
    assert 80 == len(shown("x" * 1000))
    assert "'\\ud800\\x00'" == shown("\ud800\0")


def test_a_message_comes_out_whatever_the_object_in_it_does() -> None:
    class Broken:
        def __str__(self) -> str:
            raise RuntimeError

    assert "a Broken" == shown(Broken())
    assert "a int" == shown(10**5000)
