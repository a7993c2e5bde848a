"""Agent persistence: an agent's state is kept when the agent is saved, each part under a key of its own."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from backstory.domain.errors import InvalidValueError, shown
from backstory.domain.events import MISSING
from backstory.domain.hooks import HookResult
from backstory.domain.keys import normalise_key
from backstory.domain.scopes import Scope
from backstory.hooks.builtin import _options
from backstory.hooks.run_context import HookContext

__all__ = ["AgentPersistence"]


class AgentPersistence:
    """Writes each part of `{"agent_id": ..., "state": {...}}` into the agent's scope, under `state/<part>`.

    The key `state` lists the parts, sorted: those that were there and are no longer are deleted. All of it joins the
    operation's commit. At a point that ends in `_delete`, data without a state means that there are no parts any more;
    elsewhere such data is left alone. `state` names the member, and the keys, otherwise.

    Raises `InvalidValueError` for options that make no sense, and at its run for data without an agent's id.
    """

    points: ClassVar[tuple[str, ...]] = ("before_agent_save", "before_agent_delete")

    def __init__(self, *, state: str = "state", name: str = "agent-persistence") -> None:
        self.name: Final = _options.name_of(name)
        self._state = normalise_key(_options.text("state", state))

    def __call__(self, context: HookContext) -> HookResult:
        """Have the parts written, and deleted."""
        data = context.after
        agent = data.get("agent_id") if isinstance(data, dict) else None
        if not isinstance(agent, str):
            raise InvalidValueError(
                "agent_id", rule=f"is no agent's id: {shown(agent)}", hint='Fire the point with {"agent_id": ...}.'
            )
        parts = data.get(self._state, {} if context.point.endswith("_delete") else MISSING)
        if parts is MISSING:
            return HookResult.skipped(f"the data has no {self._state}")
        if not isinstance(parts, dict):
            raise InvalidValueError(
                self._state, rule=f"is no object: {shown(parts)}", hint="Give a dict of the state's parts."
            )
        return HookResult.fork(self._operations(context, Scope.agent(agent), parts))

    def _operations(self, context: HookContext, scope: Scope, parts: dict[str, Any]) -> list[tuple[Any, ...]]:
        listed = context.read(scope, self._state, [])
        # Somebody else's value under that key lists nothing.
        before = [part for part in listed if isinstance(part, str)] if isinstance(listed, list) else []
        gone = [part for part in before if part not in parts]
        operations: list[tuple[Any, ...]] = [("set", scope, f"{self._state}/{part}", parts[part]) for part in parts]
        operations += [("delete", scope, f"{self._state}/{part}") for part in gone]
        if parts:
            operations.append(("set", scope, self._state, sorted(parts)))
        elif before:
            operations.append(("delete", scope, self._state))
        return operations
