"""What must hold after `mixed_work`: the log is what the workers were told, no more and no less."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from tests.support.folding import assert_whole
from tests.support.mixed_work import ACCOUNTS, COUNTERS, LOCK, PLAIN, SCRATCH, SHARED, TRANSFER_EVENTS, TRANSFERS

if TYPE_CHECKING:
    from backstory import RecordedEvent, StateStore
    from tests.support.mixed_work import Ledger

Log = list["RecordedEvent"]


def marker_of(event: RecordedEvent) -> str | None:
    """Return the text that tells which write an event came from; None for kinds that carry none."""
    value = event.data.get("value", event.data) if isinstance(event.data, dict) else None
    marker = value.get("by") if isinstance(value, dict) else None
    return marker if isinstance(marker, str) else None


def assert_as_told(store: StateStore, ledger: Ledger) -> Log:
    """Assert that a store holds what a ledger says; return the log."""
    log = assert_whole(store)
    marked: dict[str, Log] = defaultdict(list)
    for event in log:
        marker = marker_of(event)
        if marker is not None:
            marked[marker].append(event)
    _assert_writes(marked, ledger)
    _assert_shared(log, ledger)
    _assert_counters(store, log, ledger)
    _assert_removals(log, ledger)
    _assert_transfers(store, log)
    return log


def _assert_writes(marked: dict[str, Log], ledger: Ledger) -> None:
    for marker, told in ledger.written.items():
        found = [(event.event_id.hex, event.position, event.stream, event.version) for event in marked[marker]]
        assert [tuple(one) for one in told] == found
    for marker in (*ledger.swapped, *ledger.firsts):
        assert len(marked[marker]) == 1
    assert marked.keys().isdisjoint(ledger.refused)
    told_of = {*ledger.written, *ledger.swapped, *ledger.firsts, *(marker for _, _, marker in ledger.shared)}
    assert told_of == marked.keys()
    firsts = [marker.rpartition(".")[2] for marker in ledger.firsts]
    assert len(set(firsts)) == len(firsts)


def _assert_shared(log: Log, ledger: Ledger) -> None:
    recorded = {(event.event_id.hex, event.position, event.data["by"]) for event in log if event.stream == str(SHARED)}
    assert recorded == {tuple(told) for told in ledger.shared}


def _assert_counters(store: StateStore, log: Log, ledger: Ledger) -> None:
    assert sum(by for by, _ in ledger.increments) == store.get(COUNTERS, "sum", 0)
    recorded = [event.data for event in log if event.stream == str(COUNTERS) and event.key == "sum"]
    assert sorted(total for _, total in ledger.increments) == [data["value"] for data in recorded]
    assert ledger.updates == store.get(COUNTERS, "updates", 0)


def _assert_removals(log: Log, ledger: Ledger) -> None:
    plain = {str(scope) for scope in PLAIN}
    assert ledger.deleted == sum(event.type == "state.deleted" and event.stream in plain for event in log)
    cleared = [event.data["keys"] for event in log if event.type == "scope.cleared"]
    assert ledger.cleared == sum(map(len, cleared))
    assert {event.stream for event in log if event.type == "scope.cleared"} <= {str(SCRATCH)}
    holders = [event for event in log if event.stream == str(LOCK) and event.key == "holder"]
    assert len(ledger.swapped) == len(holders)


def _assert_transfers(store: StateStore, log: Log) -> None:
    """No transfer is torn: its events lie side by side, and at each one's end the units sum up to none."""
    assert sum(store.get(account, "balance", {"units": 0})["units"] for account in ACCOUNTS) == 0
    balances: dict[str, int] = {}
    for index, event in enumerate(log):
        if event.stream != str(TRANSFERS):
            continue
        group = log[index - TRANSFER_EVENTS + 1 : index + 1]
        assert len({marker_of(one) for one in group}) == 1
        balances.update({one.stream: one.data["value"]["units"] for one in group[:-1]})
        assert sum(balances.values()) == 0
