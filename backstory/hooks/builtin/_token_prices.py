"""Token prices: what the token usage that model providers report costs, exactly.

Usage objects: https://platform.openai.com/docs/api-reference (Chat Completions and Responses; cached tokens are part of
the input) and https://docs.anthropic.com/en/api/messages (cached tokens are counted beside the input).
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Context, Decimal, DecimalException
from typing import Any, Final, NamedTuple

from backstory.domain.errors import InvalidValueError, shown
from backstory.domain.patterns import any_match

_EXACT: Final = Context(prec=1000)
_PER_MILLION: Final = Decimal(-6)
_HINT: Final = 'Give such as {"gpt-4o*": {"input": "2.50", "cached_input": "1.25", "output": "10.00"}}.'


class Usage(NamedTuple):
    """Tokens of one call, each counted once: `input` without what the cache gave and took."""

    model: str
    input: int
    output: int
    cached_input: int = 0
    cache_write: int = 0
    cache_write_1h: int = 0

    @property
    def all_input(self) -> int:
        """Every token that went in."""
        return self.input + self.cached_input + self.cache_write + self.cache_write_1h


class PriceList:
    """Amounts of money per million tokens, by model. Raises `InvalidValueError` that names what is wrong."""

    def __init__(self, prices: object) -> None:
        if not isinstance(prices, Mapping):
            raise InvalidValueError("prices", rule=f"is no list of prices: {shown(prices)}", hint=_HINT)
        self._prices = {_model(model): _rates(f"prices[{model!r}]", given) for model, given in prices.items()}
        # Of several patterns that fit, the one that says most about the model wins.
        self._patterns = sorted((model for model in self._prices if "*" in model), key=len, reverse=True)

    def find(self, model: str) -> Mapping[str, Decimal] | None:
        """Return the rates of a model, or None where it has none."""
        fitting = (pattern for pattern in self._patterns if any_match((pattern,), model))
        return self._prices.get(model) or self._prices.get(next(fitting, ""))

    def cost(self, usage: Usage) -> Decimal | None:
        """Return what the usage costs, or None where the model has no price."""
        rates = self.find(usage.model)
        if rates is None:
            return None
        total = Decimal(0)
        for part, rate in rates.items():
            total = _EXACT.add(total, _EXACT.multiply(Decimal(getattr(usage, part)), rate))
        return _EXACT.scaleb(total, _PER_MILLION)


def _model(given: object) -> str:
    if not isinstance(given, str) or not given:
        raise InvalidValueError("prices", rule=f"{shown(given)} is no model's name", hint=_HINT)
    return given


def _rates(path: str, given: object) -> dict[str, Decimal]:
    """Return the rate of each kind of tokens."""
    known = ("input", "output", "cached_input", "cache_write", "cache_write_1h")
    if not isinstance(given, Mapping) or not {"input", "output"} <= set(given) <= set(known):
        raise InvalidValueError(
            path, rule=f"needs `input` and `output`, and may have {', '.join(known[2:])}", hint=_HINT
        )
    rates = {part: _amount(f"{path}.{part}", amount) for part, amount in given.items()}
    rates.setdefault("cached_input", rates["input"])
    rates.setdefault("cache_write", rates["input"])
    rates.setdefault("cache_write_1h", rates["cache_write"])
    return rates


def _amount(path: str, given: object) -> Decimal:
    if isinstance(given, str | int | Decimal) and not isinstance(given, bool):
        try:
            amount = Decimal(given)
        except (DecimalException, ValueError):
            amount = Decimal(-1)
        if amount.is_finite() and 0 <= amount < 1_000_000_000:  # noqa: PLR2004 - no token costs that much
            return amount
    raise InvalidValueError(
        path, rule=f"is no amount of money: {shown(given)}", hint='Give a Decimal, an int, or text such as "2.50".'
    )


def usage_of(value: Any) -> Usage | None:
    """Return the usage in a provider's answer, or None where there is none. Raises `InvalidValueError`."""
    if not isinstance(value, dict):
        return None
    model, usage = value.get("model"), value.get("usage")
    if not isinstance(model, str) or not model or not isinstance(usage, dict):
        return None
    if "prompt_tokens" in usage:
        return _of_openai(model, usage, "prompt", "completion")
    if "cache_read_input_tokens" in usage or "cache_creation_input_tokens" in usage:
        return _of_anthropic(model, usage)
    return _of_openai(model, usage, "input", "output") if "input_tokens" in usage else None


def _of_openai(model: str, usage: dict[str, Any], taken: str, given: str) -> Usage:
    cached = _count(_object(usage, f"{taken}_tokens_details"), "cached_tokens")
    whole = _count(usage, f"{taken}_tokens")
    if cached > whole:
        raise InvalidValueError(
            "usage", rule=f"has {cached} cached tokens of {whole}", hint="Write usage as the provider reports it."
        )
    return Usage(model, whole - cached, _count(usage, f"{given}_tokens"), cached)


def _of_anthropic(model: str, usage: dict[str, Any]) -> Usage:
    written = _count(usage, "cache_creation_input_tokens")
    for_an_hour = min(_count(_object(usage, "cache_creation"), "ephemeral_1h_input_tokens"), written)
    return Usage(
        model,
        _count(usage, "input_tokens"),
        _count(usage, "output_tokens"),
        _count(usage, "cache_read_input_tokens"),
        written - for_an_hour,
        for_an_hour,
    )


def _object(usage: dict[str, Any], name: str) -> dict[str, Any]:
    found = usage.get(name)
    return found if isinstance(found, dict) else {}


def _count(usage: dict[str, Any], name: str) -> int:
    found = usage.get(name)
    if found is None:
        return 0
    if isinstance(found, bool) or not isinstance(found, int) or found < 0:
        raise InvalidValueError(
            f"usage.{name}", rule=f"is no count: {shown(found)}", hint="Write usage as the provider reports it."
        )
    return found
