"""Firing: the hooks at the points of migrations and backups, before such a thing begins and when it has ended."""

from __future__ import annotations

from contextlib import nullcontext, suppress
from typing import Any

from backstory.context import author_of
from backstory.core import Core
from backstory.domain.errors import BackstoryError
from backstory.domain.hooks import hook_point
from backstory.domain.ports import Program


def fired(core: Core, point: str, data: Any) -> Program[None]:
    """Run the hooks of a point, if there are any; raises `HookCancelledError` and `HookError`.

    At an `after_` point nothing is raised: what is done cannot be refused any more, nor look as if it had failed.
    """
    path = core.gate.path
    if path is None:
        return
    encoded = core.decisions.encode(data, scope="", key=None)
    where = hook_point(point)
    with suppress(BackstoryError) if where.after else nullcontext():
        yield from path.fire(core.session, where, encoded, author_of({}, core.actor))
