"""Handles: what registering a hook gives."""

from __future__ import annotations

from backstory.hooks.registry import HookInfo, Registration, Registry


class HookHandle:
    """A registered hook. Letting go of the handle changes nothing; `unregister` does."""

    def __init__(self, registry: Registry, registration: Registration) -> None:
        self._registry = registry
        self._registration = registration

    @property
    def name(self) -> str:
        """The hook's name."""
        return self._registration.name

    @property
    def point(self) -> str:
        """Where it hangs."""
        return self._registration.point.name

    @property
    def info(self) -> HookInfo:
        """What was said of it, and what became of it."""
        return self._registration.info()

    def unregister(self) -> bool:
        """Take the hook away; False where it is gone already. Runs that have begun end."""
        return bool(self._registry.remove(self._registration))

    def enable(self) -> None:
        """Let the hook run again."""
        self._registry.switch(self._registration, enabled=True)

    def disable(self) -> None:
        """Leave the hook out until it is enabled."""
        self._registry.switch(self._registration, enabled=False)

    def __repr__(self) -> str:
        return f"<HookHandle {self.name!r} at {self.point}>"
