"""Doubts: commits of which nobody was told whether they were made. The log knows; what is due behind them is run."""

from __future__ import annotations

import threading
from collections.abc import Callable

from backstory.committing import append
from backstory.domain.branches import MAIN
from backstory.domain.commits import Commit, Decision, Needs
from backstory.domain.events import StoredEvent
from backstory.domain.ports import Engine, Program
from backstory.hooks.after import After
from backstory.hooks.registry import Registry
from backstory.hooks.undone import Debt, Ledger
from backstory.hooks.work import Item
from backstory.sessions import DirectSession


class Doubts:
    """Clears up doubts: an interrupt, a task that was cancelled, an answer that was lost."""

    def __init__(
        self, engine: Engine, after: After, registry: Registry, session_on: Callable[[int], Program[DirectSession]]
    ) -> None:
        self._engine = engine
        self._after = after
        self._registry = registry
        self._session_on = session_on
        self._lock = threading.Lock()

    def clear(self) -> Program[None]:
        """Look into the log for what doubtful commits brought, and queue what is due; not now where it is too early."""
        if not self._lock.acquire(blocking=False):
            return
        try:
            yield from self._clear()
        finally:
            self._lock.release()

    def _clear(self) -> Program[None]:
        outstanding = self._after.outstanding
        doubts = outstanding.doubts
        if not doubts:
            return
        in_hand = outstanding.open
        # Whatever of them is ever made lies before this.
        outcome = yield from append(Commit(MAIN, decide=lambda view: Decision((), view.position), needs=Needs()))
        told_soon = outstanding.under_way
        ledger = Ledger(self._engine, {self._after.writer}, min(doubts.values()))
        yield from ledger.read_on()
        if told_soon & outstanding.under_way:
            return  # their callers are about to see to what they wrote
        in_hand |= outstanding.open
        yield from ledger.read_on()
        yield from self._queue(
            [
                (debt, row)
                for debt, row in ledger.due.items()
                if row.position <= outcome.result and row.position not in in_hand
            ]
        )
        outstanding.resolve(doubts)

    def _queue(self, found: list[tuple[Debt, StoredEvent]]) -> Program[None]:
        items: list[Item] = []
        for debt, row in found:
            there = [each for each in self._registry.background.get(debt.point, ()) if each.name == debt.hook]
            if there:
                session = yield from self._session_on(row.branch)
                items.append(Item(session, tuple(there), row, redelivered=True))
        if items:
            yield from self._after.redeliver(items)
