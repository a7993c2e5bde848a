"""Cost tracking: what calls of language models cost, from their token usage and a list of prices."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Final

from backstory.domain.errors import InvalidScopeError, InvalidValueError, shown
from backstory.domain.hooks import HookResult
from backstory.domain.keys import normalise_key
from backstory.domain.scopes import Scope, as_scope
from backstory.hooks.builtin import _options
from backstory.hooks.builtin._asking import Asking, Steps
from backstory.hooks.builtin._token_prices import PriceList, Usage, usage_of
from backstory.hooks.run_context import HookContext

__all__ = ["CostTracking"]

_REMEMBERED: Final = 10_000


class CostTracking(Asking):
    """Adds the cost of `{"model": ..., "usage": {...}}` to a sum in the store.

    `add` is `store.increment`, of either face. Usage is as OpenAI or Anthropic report it. `prices` gives for each
    model, or pattern of models with `*`, amounts of money per million tokens: `input` and `output`, and `cached_input`,
    `cache_write` and `cache_write_1h` where these differ from `input`. Amounts are Decimal, int, or text; sums are
    exact.

    The sum is `<key>/cost` in `scope`, by default where the operation is (at fired points in the agent's scope where
    the data has an `agent_id`, else global). With `tokens` there are `<key>/input_tokens` and `<key>/output_tokens`
    besides. `member` says which member of the value holds model and usage, where it is not the value itself. What is no
    usage is left alone. An operation that is begun anew counts once. A model without a price, and a run that makes up
    for one that may have counted in a process that died, are skipped with a reason.

    Raises `InvalidValueError` for options that make no sense, and at its run for counts that are none.
    """

    points: ClassVar[tuple[str, ...]] = ("after_state_write",)

    def __init__(
        self,
        add: Callable[..., Any],
        /,
        prices: Mapping[str, Mapping[str, Any]],
        *,
        scope: Scope | str | None = None,
        key: str = "usage",
        member: str | None = None,
        tokens: bool = False,
        name: str = "cost-tracking",
    ) -> None:
        self.name: Final = _options.name_of(name)
        self._add = _options.function("add", add)
        self._prices = PriceList(prices)
        self._scope = None if scope is None else _scope(scope)
        self._key = normalise_key(_options.text("key", key))
        self._member = None if member is None else _options.text("member", member)
        self._tokens = _options.flag("tokens", tokens)
        self._lock = threading.Lock()
        self._counted: OrderedDict[str, None] = OrderedDict()

    def steps(self, context: HookContext) -> Steps:
        """Add what the usage costs."""
        value = context.after
        if self._member is not None:
            value = value.get(self._member) if isinstance(value, dict) else None
        usage = usage_of(value)
        if usage is None:
            return None
        if context.redelivered:
            return HookResult.skipped("this may have been counted before, in a process that died")
        operation = str(context.operation_id)
        if not context.call(self._begin, operation):
            return HookResult.skipped("this has been counted, before the operation was begun anew")
        where = str(self._scope or context.scope or _agent(context.after) or Scope.GLOBAL)
        try:
            for name, amount in self._amounts(usage):
                yield context.call(self._add, where, f"{self._key}/{name}", amount)
        except Exception:
            context.call(self._give_up, operation)
            raise
        if self._prices.find(usage.model) is None:
            return HookResult.skipped(f"there is no price for model {shown(usage.model)}")
        return None

    def _amounts(self, usage: Usage) -> Iterator[tuple[str, Any]]:
        """Yield what to add, the cost first: where that fails nothing is counted."""
        if cost := self._prices.cost(usage):
            yield "cost", cost
        if self._tokens:
            counts = {"input_tokens": usage.all_input, "output_tokens": usage.output}
            yield from ((name, count) for name, count in counts.items() if count)

    def _begin(self, operation: str) -> bool:
        """Return whether this is the first run for an operation, of the last ten thousand."""
        with self._lock:
            if operation in self._counted:
                return False
            self._counted[operation] = None
            if len(self._counted) > _REMEMBERED:
                self._counted.popitem(last=False)
            return True

    def _give_up(self, operation: str) -> None:
        with self._lock:
            self._counted.pop(operation, None)


def _agent(data: object) -> Scope | None:
    agent = data.get("agent_id") if isinstance(data, dict) else None
    return Scope.agent(agent) if isinstance(agent, str) else None


def _scope(given: Scope | str) -> Scope:
    try:
        return as_scope(given)
    except InvalidScopeError as error:
        raise InvalidValueError("scope", rule=error.rule, hint=error.hint) from error
