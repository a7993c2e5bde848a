"""pluggy: hooks that are called and forgotten, the least that a hook can cost."""

from __future__ import annotations

import time

import pluggy

from backstory.measuring.samples import Burst

_NAME = "backstory-benchmarks"
_spec = pluggy.HookspecMarker(_NAME)
_impl = pluggy.HookimplMarker(_NAME)


class _Spec:
    @_spec
    def before_write(self, context: object) -> object:
        """Stand before a write."""


class _Plugin:
    @_impl
    def before_write(self, context: object) -> None:
        """Do nothing."""


def called(*, hooks: int, count: int) -> Burst:
    """Call so many no-op hooks at once, again and again."""
    manager = pluggy.PluginManager(_NAME)
    manager.add_hookspecs(_Spec)
    for _ in range(hooks):
        manager.register(_Plugin())
    calls: list[int] = []
    clock, note, call, context = time.perf_counter_ns, calls.append, manager.hook.before_write, object()
    begun = time.perf_counter()
    for _ in range(count):
        started = clock()
        call(context=context)
        note(clock() - started)
    return Burst(count, time.perf_counter() - begun, calls)
