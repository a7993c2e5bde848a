"""Schedules of backups as they are printed: as JSON, and as a table with what each asks for in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from backstory.cli.backup_lines import size
from backstory.cli.due_times import next_words, schedule_data, span_words, when_words
from backstory.cli.output import Output
from backstory.cli.render import counted, field, second, table

if TYPE_CHECKING:
    from backstory.cli.last_runs import LastRun
    from backstory.schedules import Schedule

__all__ = ["list_data", "list_lines"]


def list_data(schedule: Schedule, last: LastRun | None) -> dict[str, Any]:
    """Return a schedule as JSON lists it, with what became of its last run."""
    return {**schedule_data(schedule), "last_run": None if last is None else last.as_dict()}


def list_lines(out: Output, found: Sequence[Schedule], last: Mapping[str, LastRun]) -> Iterator[str]:
    """Yield schedules as a table, and below it what went wrong the last time."""
    rows = [
        (
            field(each.name),
            when_words(each),
            next_words(each),
            str(each.runs),
            last[each.name].in_a_word() if each.name in last else "",
            "; ".join(_asked(each.arguments)),
        )
        for each in found
    ]
    yield from table(out, ("name", "when", "next", "runs", "last", "what"), rows) if rows else []
    for name, run in last.items():
        if run.error is not None:
            yield out.paint(f"{field(name)} failed at {second(run.begun_at)}: {field(run.error)}", "red")


def _asked(order: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a schedule asks for: the kind, what else is not as it is by itself, and what it prunes by."""
    yield ", ".join(_made(order))
    policy = order.get("policy")
    if policy:
        yield "prune: " + ", ".join(f"{name.replace('_', '-')} {_bound(name, policy[name])}" for name in policy)


def _made(order: Mapping[str, Any]) -> Iterator[str]:
    yield order["kind"]
    if "full_every" in order:
        yield f"full every {order['full_every']}"
    if order.get("scopes"):
        yield counted(len(order["scopes"]), "scope")
    if "encryption_from" in order:
        yield "encrypted"
    if "compression" in order or "level" in order:
        level = f" {order['level']}" if "level" in order else ""
        yield f"{field(order.get('compression', 'zstd'))}{level}"
    if "importance" in order:
        yield f"importance {order['importance']}"
    if "target" in order:
        yield f"to {field(order['target'])}"


def _bound(name: str, bound: float) -> str:
    if name == "max_age":
        return span_words(bound)
    return size(int(bound)) if name == "max_bytes" else f"{bound:g}"
