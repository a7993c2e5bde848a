"""The built-in hooks one by one: what each answers, and what each refuses to be made of."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backstory.domain.errors import InvalidValueError
from backstory.domain.hooks import HookResult
from backstory.domain.redaction import Redaction
from backstory.hooks.builtin import (
    AgentPersistence,
    Audit,
    BackupOnCriticalChange,
    CacheInvalidation,
    Caching,
    ChangeLog,
    Debugging,
    Metrics,
    Retry,
    Security,
    Validation,
)
from backstory.hooks.run_context import HookContext, Subject
from tests.support.hook_runs import FakeWorld, run, subject

WRITE = "before_state_write"


def result_of(hook: Any, about: Subject, world: FakeWorld | None = None) -> HookResult | None:
    return run(hook, about, world or FakeWorld())[0]


def reason_of(hook: Any, about: Subject) -> str | None:
    result = result_of(hook, about)
    assert result is None or result.kind == "cancel"
    return None if result is None else result.reason


class TestValidation:
    @pytest.mark.parametrize(
        ("check", "reason"),
        [
            (lambda _: True, None),
            (lambda _: None, None),
            (lambda _: False, "the value is refused"),
            (lambda _: "too small", "too small"),
            (lambda value, context: value == 5 and context.key == "plan", None),
            (lambda value, context: f"{context.key}: {value}", "plan: 5"),
            (lambda value, *, least=6: value >= least, "the value is refused"),
            (lambda value, least=6: value >= least, "the value is refused"),
            (bool, None),
        ],
    )
    def test_true_and_none_are_fine_false_and_a_text_are_not(
        self, check: Callable[..., Any], reason: str | None
    ) -> None:
        assert reason == reason_of(Validation(check), subject(WRITE, after=5))

    def test_a_message_is_the_reason_where_the_check_gives_none(self) -> None:
        assert reason_of(Validation(lambda _: False, message="no"), subject(WRITE, after=5)) == "no"
        assert reason_of(Validation(lambda _: "why", message="no"), subject(WRITE, after=5)) == "why"

    @pytest.mark.parametrize("answer", [0, 1, "", [], {}])
    def test_any_other_answer_of_the_check_is_a_failure(self, answer: Any) -> None:
        with pytest.raises(InvalidValueError, match="check"):
            result_of(Validation(lambda _: answer), subject(WRITE, after=5))

    @pytest.mark.parametrize(
        ("types", "value", "reason"),
        [
            (int, 5, None),
            (int, True, "the value is of type bool, not int"),
            (bool, True, None),
            ((int, bool), True, None),
            (object, True, None),
            (int, 5.0, "the value is of type float, not int"),
            ((str, list), {}, "the value is of type dict, not str or list"),
            (type(None), None, None),
            (datetime, datetime.fromisoformat("2026-01-01T00:00:00+00:00"), None),
        ],
    )
    def test_types_are_those_of_json(self, types: Any, value: Any, reason: str | None) -> None:
        assert reason == reason_of(Validation(types=types), subject(WRITE, after=value))

    @given(st.text(st.characters(codec="ascii", categories=("L", "N")), max_size=20), st.integers(1, 20))
    def test_bytes_are_those_of_the_json_text(self, text: str, most: int) -> None:
        refused = reason_of(Validation(max_bytes=most), subject(WRITE, after=text)) is not None
        assert (len(text) + 2 > most) is refused

    @pytest.mark.parametrize(
        ("value", "reason"),
        [
            ({"id": 1, "name": None, "more": 2}, None),
            ({"name": 1}, "the value lacks id"),
            ({}, "the value lacks id, name"),
            ([], "the value is of type list, not an object"),
        ],
    )
    def test_keys_must_all_be_there(self, value: Any, reason: str | None) -> None:
        assert reason == reason_of(Validation(keys=("id", "name")), subject(WRITE, after=value))

    def test_the_form_is_checked_first_so_that_a_check_may_rely_on_it(self) -> None:
        hook = Validation(lambda value: value["id"] > 0, types=dict, keys="id")
        assert reason_of(hook, subject(WRITE, after=5)) == "the value is of type int, not dict"
        assert reason_of(hook, subject(WRITE, after={"id": 1})) is None

    def test_where_nothing_is_written_nothing_is_checked(self) -> None:
        assert reason_of(Validation(lambda _: False), subject("before_state_delete", before=5)) is None


class TestSecurity:
    @pytest.mark.parametrize(
        ("key", "value", "reason"),
        [
            ("plan", {"steps": ["a"], "max_tokens": 5, "author": "ann"}, None),
            ("plan", {"user": {"password": "hunter2"}}, "the value holds secrets: plan.user.password (password)"),
            ("db/password", "hunter2", "the value holds secrets: password (password)"),
            ("note", ["x", "card 4111 1111 1111 1111"], "the value holds secrets: note[1] (card)"),
        ],
    )
    def test_the_reason_names_path_and_kind_and_never_the_secret(
        self, key: str, value: Any, reason: str | None
    ) -> None:
        assert reason == reason_of(Security(), subject(WRITE, key=key, after=value))

    @given(
        st.recursive(
            st.sampled_from(["hunter2", 5, None]),
            lambda inner: (
                st.lists(inner) | st.dictionaries(st.sampled_from(["password", "a", "token_count", "api_key"]), inner)
            ),
        )
    )
    def test_what_is_refused_in_one_mode_is_written_without_secrets_in_the_other(self, value: Any) -> None:
        about = subject(WRITE, after=value)
        refused = result_of(Security(), about)
        redacted = result_of(Security(mode="redact"), about)
        assert (refused is None) is (redacted is None)
        if redacted is not None:
            assert result_of(Security(), subject(WRITE, after=redacted.value)) is None

    def test_only_the_first_secrets_are_named_and_the_rest_is_counted(self) -> None:
        reason = reason_of(Security(), subject(WRITE, after=[{"password": "x"}] * 8))
        assert reason is not None
        assert reason.count("(password)") == 5
        assert reason.endswith(", 3 more")

    @pytest.mark.parametrize("mode", ["cancel", "redact"])
    def test_a_key_that_holds_a_secret_is_refused_in_either_mode(self, mode: Any) -> None:
        reason = reason_of(Security(mode=mode), subject(WRITE, key="card 4111111111111111", after=1))
        assert reason == "the key holds a secret (card)"

    @pytest.mark.parametrize(
        ("deny", "refused"), [("*/plan", True), (["x", "agent:a1/*"], True), ("agent:a2/*", False), ((), False)]
    )
    def test_nothing_is_written_where_it_is_denied(self, deny: Any, refused: bool) -> None:
        assert (reason_of(Security(deny=deny), subject(WRITE, after=1)) is not None) is refused

    def test_what_counts_as_a_secret_can_be_said(self) -> None:
        hook = Security(mode="redact", redaction=Redaction(fields={"colour"}, patterns=()))
        result = result_of(hook, subject(WRITE, after={"colour": "red", "password": "x"}))
        assert HookResult.modified({"colour": "[redacted:colour]", "password": "x"}) == result


class TestCaching:
    def test_each_key_at_each_point_in_time_has_an_answer_of_its_own(self) -> None:
        abouts = [
            subject("before_state_read", scope=scope, key=key, as_of=as_of)
            for scope in ("agent:a", "custom:a")
            for key in ("a", "a 7", "a/7")
            for as_of in (None, "7", "77")
        ]
        results = [result_of(Caching(5), about) for about in abouts]
        assert len({result.key for result in results if result is not None}) == len(abouts)
        assert {result.ttl_s for result in results if result is not None} == {5.0}

    def test_the_name_of_the_answer_can_be_given_or_made(self) -> None:
        about = subject("before_state_read")
        assert HookResult.cache("x", 1) == result_of(Caching(1, key="x"), about)
        made = Caching(1, key=lambda context: f"of {context.key}")
        assert HookResult.cache("of plan", 1) == result_of(made, about)


class TestCacheInvalidation:
    @pytest.mark.parametrize("asynchronous", [False, True])
    def test_each_change_is_told_and_of_a_clear_there_is_no_key(self, asynchronous: bool) -> None:
        told: list[Any] = []

        def tell(*given: Any) -> None:
            told.append(given)

        async def tell_later(*given: Any) -> None:
            await asyncio.sleep(0)
            told.append(given)

        hook = CacheInvalidation(tell_later if asynchronous else tell)
        for about in (subject(after=1), subject("after_state_delete"), subject("after_state_clear", key=None)):
            assert result_of(hook, about) is None
        assert told == [("agent:a1", "plan"), ("agent:a1", "plan"), ("agent:a1", None)]


class TestRetry:
    @pytest.mark.parametrize("asynchronous", [False, True])
    @pytest.mark.parametrize(
        ("answer", "again"),
        [(True, False), (1, False), ("yes", False), (False, True), (None, True), (OSError("down"), True)],
    )
    def test_the_write_is_tried_again_while_it_is_not_ready(self, answer: Any, again: bool, asynchronous: bool) -> None:
        asked = []

        def ready(*given: Any) -> Any:
            asked.append(given)
            if isinstance(answer, Exception):
                raise answer
            return answer

        async def ready_later(*given: Any) -> Any:
            await asyncio.sleep(0)
            return ready(*given)

        hook = Retry(ready_later if asynchronous else ready, delay_s=0.5, max_attempts=3)
        expected = HookResult.retry(0.5, 3) if again else None
        assert expected == result_of(hook, subject(WRITE, after=1))
        assert asked == [("agent:a1", "plan")]

    @pytest.mark.parametrize("asynchronous", [False, True])
    def test_an_answer_that_cannot_be_recorded_is_a_failure_and_not_a_no(self, asynchronous: bool) -> None:
        async def ready_later(*_: Any) -> Any:
            return object()

        hook = Retry(ready_later if asynchronous else lambda *_: object())
        with pytest.raises(InvalidValueError, match="cannot be recorded"):
            result_of(hook, subject(WRITE, after=1))


class TestBackupOnCriticalChange:
    @pytest.mark.parametrize(
        ("critical", "fired"),
        [
            ("agent:a1/plan", True),
            ("agent:*/plan", True),
            (["x", "*"], True),
            ("agent:a1/pla", False),
            ("plan", False),
            (lambda context: context.after == 1, True),
            (lambda context: context.after == 2, False),
        ],
    )
    def test_it_fires_for_what_is_critical_only(self, critical: Any, fired: bool) -> None:
        calls: list[Any] = []
        about = subject(after=1)
        result_of(BackupOnCriticalChange(lambda *given: calls.append(given), critical=critical), about)
        operation_id = HookContext("x", about, FakeWorld()).operation_id
        data = {"scope": "agent:a1", "key": "plan", "operation": "set", "operation_id": str(operation_id)}
        assert calls == ([("custom:backup", data)] if fired else [])

    @pytest.mark.parametrize(("keys", "fired"), [(["a", "plan"], True), (["a"], False), ([], False)])
    def test_a_clear_is_critical_where_one_of_the_keys_is(self, keys: list[str], fired: bool) -> None:
        calls: list[Any] = []
        hook = BackupOnCriticalChange(lambda *given: calls.append(given), critical="*/plan", point="custom:save")
        result_of(hook, subject("after_state_clear", key=None, before=keys))
        assert [(point, data["key"]) for point, data in calls] == ([("custom:save", None)] if fired else [])

    def test_an_async_store_is_awaited(self) -> None:
        calls: list[Any] = []

        async def fire(point: str, data: Any) -> Any:
            await asyncio.sleep(0)
            calls.append(point)
            return data

        result_of(BackupOnCriticalChange(fire, critical="*"), subject(after=1))
        assert calls == ["custom:backup"]


class TestAgentPersistence:
    @staticmethod
    def save(world: FakeWorld, state: Any, agent: str = "a1") -> HookResult | None:
        about = subject("before_agent_save", scope=None, key=None, after={"agent_id": agent, "state": state})
        result = result_of(AgentPersistence(), about, world)
        world.apply(result)
        return result

    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["a1", "a2"]),
                st.dictionaries(st.sampled_from(["config", "tools/web", "n"]), st.integers(0, 2)),
            ),
            max_size=10,
        )
    )
    def test_after_any_saves_the_parts_are_those_of_the_last_one(self, saves: list[tuple[str, Any]]) -> None:
        world, last = FakeWorld(), {}
        world.state["agent:a1", "mine"] = 1
        for agent, state in saves:
            self.save(world, state, agent)
            last[agent] = state
        expected: dict[tuple[str, str], Any] = {("agent:a1", "mine"): 1}
        for agent, state in last.items():
            scope = f"agent:{agent}"
            expected |= {(scope, f"state/{part}"): value for part, value in state.items()}
            if state:
                expected[scope, "state"] = sorted(state)
        assert expected == world.state

    def test_deleting_an_agent_removes_its_parts(self) -> None:
        world = FakeWorld()
        self.save(world, {"a": 1, "b": 2})
        about = subject("before_agent_delete", scope=None, key=None, after={"agent_id": "a1"})
        world.apply(result_of(AgentPersistence(), about, world))
        assert world.state == {}

    def test_data_without_a_state_is_left_alone(self) -> None:
        about = subject("after_agent_start", scope=None, key=None, after={"agent_id": "a1"})
        assert HookResult.skipped("the data has no state") == result_of(AgentPersistence(), about)

    @pytest.mark.parametrize("data", [None, 5, {}, {"agent_id": 5}, {"agent_id": "a", "state": [1]}])
    def test_data_of_another_form_is_a_failure(self, data: Any) -> None:
        with pytest.raises(InvalidValueError):
            result_of(AgentPersistence(), subject("before_agent_save", scope=None, key=None, after=data))

    @pytest.mark.parametrize("found", ["text", 5, {"a": 1}, [1, None, "gone"]])
    def test_what_others_wrote_under_its_key_does_no_harm(self, found: Any) -> None:
        world = FakeWorld()
        world.state["agent:a1", "state"] = found
        world.state["agent:a1", "state/gone"] = 1
        self.save(world, {"a": 1})
        assert world.state["agent:a1", "state"] == ["a"]


class TestOptions:
    @pytest.mark.parametrize(
        ("make", "path"),
        [
            (Validation, "check"),
            (lambda: Validation(5), "check"),  # type: ignore[arg-type]
            (lambda: Validation(lambda: True), "check"),
            (lambda: Validation(lambda a, b, c: True), "check"),  # noqa: ARG005
            (lambda: Validation(asyncio.sleep), "check"),
            (lambda: Validation(types="int"), "types"),  # type: ignore[arg-type]
            (lambda: Validation(types=()), "types"),
            (lambda: Validation(max_bytes=0), "max_bytes"),
            (lambda: Validation(keys=[1]), "keys"),  # type: ignore[list-item]
            (lambda: Validation(bool, message=""), "message"),
            (lambda: Security(mode="hide"), "mode"),  # type: ignore[arg-type]
            (lambda: Security(redaction=None), "redaction"),  # type: ignore[arg-type]
            (lambda: Security(deny=5), "deny"),  # type: ignore[arg-type]
            (lambda: Caching(0), "ttl_s"),
            (lambda: Caching(1, key=""), "key"),
            (lambda: Caching(1, key=5), "key"),  # type: ignore[arg-type]
            (lambda: CacheInvalidation(None), "invalidate"),  # type: ignore[arg-type]
            (lambda: Retry("ready"), "ready"),  # type: ignore[arg-type]
            (lambda: Retry(print, delay_s=-1), "delay_s"),
            (lambda: Retry(print, max_attempts=0), "max_attempts"),
            (lambda: BackupOnCriticalChange(5, critical="*"), "fire"),  # type: ignore[arg-type]
            (lambda: BackupOnCriticalChange(print, critical=[1]), "critical"),  # type: ignore[list-item]
            (lambda: BackupOnCriticalChange(print, critical=""), "critical"),
            (lambda: BackupOnCriticalChange(print, critical="*", point="backup"), "point"),
            (lambda: AgentPersistence(state=""), "state"),
            (lambda: Audit(""), "to"),
            (lambda: Audit(5), "to"),  # type: ignore[arg-type]
            (lambda: Audit(values=1), "values"),  # type: ignore[arg-type]
            (lambda: Audit(redaction=5), "redaction"),  # type: ignore[arg-type]
            (lambda: Audit(fsync=None), "fsync"),  # type: ignore[arg-type]
            (lambda: ChangeLog("no:where"), "scope"),
            (lambda: ChangeLog(keep=0), "keep"),
            (lambda: ChangeLog(max_bytes=0), "max_bytes"),
            (lambda: ChangeLog(redaction=True), "redaction"),  # type: ignore[arg-type]
            (lambda: Debugging(0), "keep"),
            (lambda: Metrics(name=5), "name"),  # type: ignore[arg-type]
        ],
    )
    def test_options_without_sense_are_refused_by_name(self, make: Callable[[], object], path: str) -> None:
        with pytest.raises(InvalidValueError, match=re.escape(path)) as caught:
            make()
        assert path == caught.value.path

    def test_a_hook_has_the_name_that_it_is_given(self) -> None:
        assert Metrics().name == "metrics"
        assert Metrics(name="of agents").name == "of agents"
