"""Cost tracking: exact sums from the usage objects of model providers."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backstory.domain.errors import InvalidValueError
from backstory.domain.hooks import HookResult
from backstory.hooks.builtin import CostTracking
from backstory.hooks.builtin._token_prices import PriceList, Usage, usage_of
from tests.support.hook_runs import FakeWorld, run, subject

PRICES: dict[str, dict[str, Any]] = {
    "gpt-4o*": {"input": "2.50", "cached_input": "1.25", "output": "10.00"},
    "gpt-4o-mini*": {"input": "0.15", "output": "0.60"},
    "claude-sonnet-4-5": {
        "input": 3,
        "output": 15,
        "cached_input": Decimal("0.30"),
        "cache_write": "3.75",
        "cache_write_1h": 6,
    },
}
OPENAI = {
    "prompt_tokens": 1200,
    "completion_tokens": 300,
    "total_tokens": 1500,
    "prompt_tokens_details": {"cached_tokens": 1000, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 200},
}
RESPONSES = {
    "input_tokens": 1200,
    "input_tokens_details": {"cached_tokens": 1000},
    "output_tokens": 300,
    "output_tokens_details": {"reasoning_tokens": 200},
    "total_tokens": 1500,
}
ANTHROPIC = {
    "input_tokens": 200,
    "cache_creation_input_tokens": 50,
    "cache_read_input_tokens": 1000,
    "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 30},
    "output_tokens": 300,
    "service_tier": "standard",
}
tokens = st.integers(0, 10**9)
amounts = st.decimals(0, 1000, places=6) | st.integers(0, 1000)


class Sums(defaultdict[tuple[str, str], Any]):
    """What `store.increment` does, in a dict."""

    def __init__(self) -> None:
        super().__init__(int)

    def add(self, scope: str, key: str, by: Any) -> Any:
        self[scope, key] += by
        return self[scope, key]


def answer(usage: Any, model: str = "gpt-4o-2024-08-06") -> dict[str, Any]:
    return {"id": "x", "model": model, "usage": usage}


@pytest.mark.parametrize(
    ("model", "usage", "expected"),
    [
        ("gpt-4o", OPENAI, "0.00475"),  # 200 x 2.50 + 1000 x 1.25 + 300 x 10
        ("gpt-4o", RESPONSES, "0.00475"),
        ("claude-sonnet-4-5", ANTHROPIC, "0.005655"),  # 200 x 3 + 1000 x 0.30 + 20 x 3.75 + 30 x 6 + 300 x 15
        ("claude-sonnet-4-5", {"input_tokens": 10, "output_tokens": 1}, "0.000045"),
        ("gpt-4o-mini", OPENAI, "0.00036"),  # the longer pattern; what is cached costs as input
    ],
)
def test_the_cost_is_that_of_the_providers_price_lists(model: str, usage: dict[str, Any], expected: str) -> None:
    sums = Sums()
    result, _ = run(CostTracking(sums.add, PRICES), subject(after=answer(usage, model)), FakeWorld())
    assert result is None
    assert sums == {("agent:a1", "usage/cost"): Decimal(expected)}


@given(
    st.builds(Usage, st.just("m"), *[tokens] * 5),
    st.dictionaries(st.sampled_from(Usage._fields[1:]), amounts),
)
def test_the_cost_is_exact_whatever_the_callers_decimal_context(usage: Usage, others: dict[str, Any]) -> None:
    rates = {"input": "1.1", "output": "2.2", **others}
    with localcontext() as context:
        context.prec = 2
        cost = PriceList({"m": rates}).cost(usage)
    assert cost is not None
    full = {"cached_input": rates["input"], "cache_write": rates["input"], **rates}
    full = {"cache_write_1h": full["cache_write"], **full}
    expected = sum(Fraction(str(full[part])) * getattr(usage, part) for part in Usage._fields[1:])
    assert expected / 1_000_000 == Fraction(cost)


def test_sums_of_many_calls_are_exact() -> None:
    sums, world = Sums(), FakeWorld()
    hook = CostTracking(sums.add, {"m": {"input": "0.1", "output": "0.2"}}, tokens=True)
    for _ in range(10):
        run(hook, subject(after=answer({"input_tokens": 1, "output_tokens": 1}, "m")), world)
    assert {
        ("agent:a1", "usage/cost"): Decimal("0.000003"),
        ("agent:a1", "usage/input_tokens"): 10,
        ("agent:a1", "usage/output_tokens"): 10,
    } == sums


@pytest.mark.parametrize(("usage", "expected"), [(OPENAI, 1200), (RESPONSES, 1200), (ANTHROPIC, 1250)])
def test_input_tokens_are_all_that_went_in(usage: dict[str, Any], expected: int) -> None:
    found = usage_of(answer(usage))
    assert found is not None
    assert expected == found.all_input
    assert found.output == 300


@pytest.mark.parametrize(
    ("options", "about", "where"),
    [
        ({}, {}, "agent:a1"),
        ({"scope": "global"}, {}, "global"),
        ({}, {"point": "custom:call", "scope": None, "key": None}, "global"),
        ({}, {"point": "after_agent_run", "scope": None, "key": None, "agent_id": "a7"}, "agent:a7"),
    ],
)
def test_the_sum_is_where_the_option_or_the_operation_says(
    options: dict[str, Any], about: dict[str, Any], where: str
) -> None:
    sums = Sums()
    value = {**answer(OPENAI), **({"agent_id": about.pop("agent_id")} if "agent_id" in about else {})}
    run(CostTracking(sums.add, PRICES, key="money", **options), subject(after=value, **about), FakeWorld())
    assert list(sums) == [(where, "money/cost")]


def test_a_member_of_the_value_may_hold_the_usage() -> None:
    sums, hooks = Sums(), FakeWorld()
    hook = CostTracking(sums.add, PRICES, member="response")
    run(hook, subject(after={"tool": "ask", "response": answer(OPENAI)}), hooks)
    run(hook, subject(after=answer(OPENAI)), hooks)
    run(hook, subject(after="text"), hooks)
    assert sums == {("agent:a1", "usage/cost"): Decimal("0.00475")}


@pytest.mark.parametrize(
    "value",
    [None, 5, "text", [], {}, {"model": "gpt-4o"}, {"usage": OPENAI}, answer({}), answer([1]), answer(OPENAI, "")],
)
def test_what_is_no_usage_is_left_alone(value: Any) -> None:
    sums = Sums()
    result, steps = run(CostTracking(sums.add, {"gpt-4o*": PRICES["gpt-4o*"]}), subject(after=value), FakeWorld())
    assert not sums
    assert steps == []
    assert result is None


def test_a_model_without_a_price_is_skipped_but_its_tokens_are_counted() -> None:
    sums = Sums()
    hook = CostTracking(sums.add, PRICES, tokens=True)
    result, _ = run(hook, subject(after=answer(OPENAI, "o9")), FakeWorld())
    assert HookResult.skipped("there is no price for model 'o9'") == result
    assert sums == {("agent:a1", "usage/input_tokens"): 1200, ("agent:a1", "usage/output_tokens"): 300}


def test_a_run_that_may_be_the_second_one_counts_nothing_and_says_so() -> None:
    sums = Sums()
    hook = CostTracking(sums.add, PRICES, tokens=True)
    result, _ = run(hook, subject(after=answer(OPENAI), redelivered=True), FakeWorld())
    assert result is not None
    assert result.kind == "skipped"
    assert not sums


def test_an_operation_that_is_begun_anew_counts_once() -> None:
    sums, world, about = Sums(), FakeWorld(), subject("before_tool_call", scope=None, key=None, after=answer(OPENAI))
    hook = CostTracking(sums.add, PRICES)
    results = [run(hook, about._replace(attempt=attempt), world)[0] for attempt in (1, 2, 3)]
    assert [None if result is None else result.kind for result in results] == [None, "skipped", "skipped"]
    assert sums == {("global", "usage/cost"): Decimal("0.00475")}


def test_an_operation_whose_cost_could_not_be_added_counts_when_it_is_begun_anew() -> None:
    sums, about = Sums(), subject(after=answer(OPENAI))
    failures = [OSError("full")]

    def add(*given: Any) -> Any:
        if failures:
            raise failures.pop()
        return sums.add(*given)

    hook = CostTracking(add, PRICES)
    with pytest.raises(OSError, match="full"):
        run(hook, about, FakeWorld())
    assert run(hook, about, FakeWorld())[0] is None
    assert sums == {("agent:a1", "usage/cost"): Decimal("0.00475")}


def test_operations_of_long_ago_are_forgotten() -> None:
    hook, world = CostTracking(Sums().add, PRICES), FakeWorld()
    for _ in range(10_003):
        hook._begin(str(uuid4()))
    assert len(hook._counted) == 10_000
    assert run(hook, subject(after=answer(OPENAI)), world)[0] is None


def test_an_async_store_is_awaited() -> None:
    sums = Sums()

    async def add(scope: str, key: str, by: Any) -> Any:
        await asyncio.sleep(0)
        return sums.add(scope, key, by)

    hook = CostTracking(add, PRICES, tokens=True)
    assert isinstance(hook, CostTracking)
    _, steps = run(hook, subject(after=answer(OPENAI)), FakeWorld())
    assert [step["value"] for step in steps[1:]] == [Decimal("0.00475"), 1200, 300]
    assert len(sums) == 3


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": -1},
        {"prompt_tokens": True},
        {"prompt_tokens": "12"},
        {"prompt_tokens": 1.5},
        {"input_tokens": 1, "output_tokens": []},
        {"prompt_tokens": 1, "prompt_tokens_details": {"cached_tokens": 2}},
        {"cache_read_input_tokens": {}},
    ],
)
def test_counts_that_are_none_fail_the_run_and_count_nothing(usage: dict[str, Any]) -> None:
    sums = Sums()
    with pytest.raises(InvalidValueError, match="usage"):
        run(CostTracking(sums.add, PRICES, tokens=True), subject(after=answer(usage)), FakeWorld())
    assert not sums


@pytest.mark.parametrize(
    ("make", "path"),
    [
        (lambda: CostTracking(5, PRICES), "add"),  # type: ignore[arg-type]
        (lambda: CostTracking(print, []), "prices"),  # type: ignore[arg-type]
        (lambda: CostTracking(print, {"": {"input": 1, "output": 1}}), "prices"),
        (lambda: CostTracking(print, {"m": {"input": 1}}), "prices['m']"),
        (lambda: CostTracking(print, {"m": {"input": 1, "output": 1, "audio": 1}}), "prices['m']"),
        (lambda: CostTracking(print, {"m": {"input": 0.1, "output": 1}}), "prices['m'].input"),
        (lambda: CostTracking(print, {"m": {"input": 1, "output": "-1"}}), "prices['m'].output"),
        (lambda: CostTracking(print, {"m": {"input": 1, "output": "NaN"}}), "prices['m'].output"),
        (lambda: CostTracking(print, {"m": {"input": 1, "output": "free"}}), "prices['m'].output"),
        (lambda: CostTracking(print, {"m": {"input": 1, "output": True}}), "prices['m'].output"),
        (lambda: CostTracking(print, PRICES, scope="nowhere:x"), "scope"),
        (lambda: CostTracking(print, PRICES, member=""), "member"),
        (lambda: CostTracking(print, PRICES, tokens=1), "tokens"),  # type: ignore[arg-type]
    ],
)
def test_options_without_sense_are_refused_by_name(make: Callable[[], object], path: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        make()
    assert path == caught.value.path
