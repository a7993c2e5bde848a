"""The asyncio face: `store.hooks`, where hooks are registered, asked about and waited for.

`face.py` is made from this file by `tools/unasync.py`: change this one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from importlib import import_module
from typing import Any, Unpack

from backstory.context import WriteContext, author_of, running_hooks
from backstory.core import Core
from backstory.domain.breaker import Breaker
from backstory.domain.errors import HookError, InvalidValueError, ReadOnlyError, shown
from backstory.domain.hooks import hook_point
from backstory.domain.scopes import Scope
from backstory.hooks.async_background import AsyncBackground
from backstory.hooks.handle import HookHandle
from backstory.hooks.history import (
    CompactionReport,
    HookExecution,
    HookRegistration,
    HookStats,
    Listing,
    Retention,
    Wanted,
    compact,
    registrations,
    stats,
)
from backstory.hooks.joining import path_of
from backstory.hooks.path import Path
from backstory.hooks.registry import HookInfo, check_span
from backstory.infrastructure import codec
from backstory.projections.points import Point
from backstory.runners import AsyncRunner

# <sync>
# from backstory.hooks.replays import any_schedule
# </sync>


class AsyncHooks:
    """The hooks of an open store, all its branches alike. `docs/hooks.md` tells what they can do."""

    def __init__(self, core: Core, runner: AsyncRunner) -> None:
        self._core = core
        self._runner = runner

    def _path(self) -> Path:
        return path_of(self._core, lambda after: AsyncBackground(after, self._runner.root, self._core.settings))

    def register(
        self,
        point: str,
        hook: Callable[..., Any],
        *,
        name: str | None = None,
        priority: int = 0,
        background: bool | None = None,
        timeout_s: float | None = None,
        required: bool = False,
        scope: Scope | str | None = None,
        key: str | None = None,
        tags: Iterable[str] = (),
        breaker: Breaker | bool = True,
    ) -> HookHandle:
        """Have a hook run at a point, lower priorities first, and return a handle on it.

        `hook` is called with a `HookContext`; sync or async, or an object with `name` and `__call__`. `scope` and
        `key` limit it to operations there, at the points of state; both may hold `*`. `background` (None: at `after_*`
        points) runs it behind the commit. `timeout_s` bounds each run; without, a run in the caller's path takes as
        long as it takes, and one in the background `hook_timeout_s`. `required` refuses the operation when the hook
        fails. `breaker` says when a failing hook is left alone for a while; False: never.
        Raises `InvalidValueError` and `InvalidScopeError`, and `ReadOnlyError` for a store that only reads.
        """
        if self._core.engine.read_only:
            raise ReadOnlyError("register a hook")
        path = self._path()
        made = path.registry.add(
            point,
            hook,
            name=name,
            priority=priority,
            background=background,
            timeout_s=timeout_s,
            required=required,
            scope=scope,
            key=key,
            tags=tags,
            breaker=breaker,
            default=Breaker(),
        )
        if made.background and made.timeout_s is None:
            made.timeout_s = self._core.settings.hook_timeout_s
        path.announcer.add(made)
        # <sync>
        # try:
        #     self._runner.run(path.announcer.announce())
        # except BaseException:
        #     path.registry.remove(made)
        #     path.announcer.forget(made)
        #     raise
        # if self._core.settings.run_schedules and self._runner.run(any_schedule(self._core)):
        #     import_module("backstory.replay_face").Replay(self._core, self._runner).resume()
        # </sync>
        # <async>
        if self._core.settings.run_schedules:
            import_module("backstory.async_replay").AsyncReplay(self._core, self._runner).resume()
        # </async>
        return HookHandle(path.registry, made)

    def unregister(self, hook: HookHandle | str) -> bool:
        """Take a hook, or all hooks of a name, away; False where there was none."""
        if isinstance(hook, HookHandle):
            return hook.unregister()
        if not isinstance(hook, str):
            raise InvalidValueError("hook", rule=f"is no hook: {shown(hook)}", hint="Give a handle, or a name.")
        return bool(self._path().registry.remove(hook))

    def list(self, point: str | None = None, tag: str | None = None) -> list[HookInfo]:
        """Return the registered hooks, by point and in the order in which they run."""
        wanted = None if point is None else hook_point(point).name
        found = [each.info() for each in self._path().registry.all()]
        return [
            info for info in found if (wanted is None or info.point == wanted) and (tag is None or tag in info.tags)
        ]

    async def pending(self) -> int:
        """Return how many background runs are still to be done.

        Those included that a process left behind that ended, for hooks that nobody has registered here yet.
        """
        path = self._path()
        return path.after.queue.unfinished + await self._runner.run(path.announcer.undone())

    async def flush(self, timeout_s: float | None = None) -> None:
        """Wait until every background run that is due has been done and recorded.

        Raises `HookError` if that takes longer than `timeout_s` seconds, or is asked from inside a hook's run.
        """
        if running_hooks():
            raise HookError("a hook cannot wait for hooks", hint="Flush outside of hooks.")
        check_span(timeout_s, least=0)
        path = self._path()
        await self._runner.run(path.announcer.announce())
        await path.after.queue.flush(timeout_s)

    async def fire(self, point: str, data: Any = None, **context: Unpack[WriteContext]) -> Any:
        """Run the hooks of a point and return the data as they left it; each gets it as `context.after`.

        For points that the store does not fire itself: `custom:<name>`, and those of agents, tools, workflows,
        sessions, migrations and backups. Raises `HookCancelledError` and `HookError`.
        """
        where = hook_point(point)
        if where.state:
            raise InvalidValueError(
                "point", rule=f"{point} is fired by the store alone", hint="Fire `custom:<name>` points."
            )
        encoded = self._core.decisions.encode(data, scope="", key=None)
        author = author_of(context, self._core.actor)
        left = await self._runner.run(self._path().fire(self._core.session, where, encoded, author))
        return codec.decode_value(left)

    # The past

    def history(
        self,
        *,
        name: str | None = None,
        point: str | None = None,
        since: Point | None = None,
        until: Point | None = None,
        correlation_id: str | None = None,
        compacted: bool = False,
    ) -> AsyncIterator[HookExecution]:
        """Iterate over the runs of hooks in log order; with `compacted` also over those that retention left out.

        `since` is exclusive, `until` inclusive. A name or a correlation id is looked up, else the log looked through.
        """
        wanted = Wanted.of(name=name, point=point, correlation_id=correlation_id, compacted=compacted)
        # <async>
        return self._pages(wanted, since, until)
        # </async>
        # <sync>
        # return self._pages(wanted, *self._runner.run(self._core.bounds(since, until)))
        # </sync>

    async def _pages(self, wanted: Wanted, since: Point | None, until: Point | None) -> AsyncIterator[HookExecution]:
        listing = Listing(self._core, wanted, *await self._runner.run(self._core.bounds(since, until)))
        while (found := await self._runner.run(listing.page())) is not None:
            for execution in found:
                yield execution

    async def registrations(self, *, name: str | None = None) -> Sequence[HookRegistration]:
        """Return what the log knows of hooks, registered now or not: each one's last registration at each point.

        Raises `NotFoundError` for a name that the log does not know.
        """
        return await self._runner.run(registrations(self._core, name))

    async def stats(self, *, name: str | None = None) -> Sequence[HookStats]:
        """Return counts and durations by hook, runs included that retention left out of the history.

        Raises `NotFoundError` for a name that the log does not know.
        """
        return await self._runner.run(stats(self._core, name))

    async def compact(self, policy: Retention, *, name: str | None = None, dry_run: bool = False) -> CompactionReport:
        """Leave runs that a policy does not keep out of the history, and sum them up; the log keeps every event.

        Runs that another event names as a cause are listed in any case. `dry_run` only counts. Raises `NotFoundError`
        for a name that the log does not know.
        """
        return await self._runner.run(compact(self._core, policy, name, dry_run=dry_run))
