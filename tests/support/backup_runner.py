"""A nursery of processes that work on backups and are there to be killed: `python -m tests.support.backup_runner`.

For each line, an `Order` as JSON, it forks a process; after one more line it waits for that one's end and says
`ended STATUS`. The process says `started PID`, `open` when it has opened the store, `at DONE` as it goes on, and
`over` at the end, with the error if there was one.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from typing import Final

import backstory
from backstory import RetentionPolicy
from tests.support.crash_writer import say

#: What is left by a prune: the newest chain.
POLICY: Final = RetentionPolicy(max_count=1)


@dataclass(frozen=True)
class Order:
    """What to do: `full`, `incremental`, `prune`, `restore` a backup, `into` a new store, `sow` a part, `renew`."""

    url: str
    kept: str
    what: str
    backup: str = ""
    new: str = ""


def work(order: Order) -> None:
    """Do what is ordered, and say how far it is."""
    if order.what == "renew":
        say("open")
        backstory.restore(order.backup, order.new, progress=told)
    else:
        with backstory.open(order.url, backups=order.kept) as store:
            say("open")
            backups = store.backups
            if order.what == "prune":
                backups.prune(POLICY)
            elif order.what == "restore":
                backups.restore(order.backup, progress=told)
            elif order.what == "into":
                backups.restore(order.backup, into=order.new, progress=told)
            elif order.what == "sow":
                backups.restore(order.backup, scope="agent:*", into=order.new, progress=told)
            else:
                backups.create(order.what, progress=told)


def told(done: int, _: int) -> None:
    """Say how far it is."""
    say(f"at {done}")


def main() -> None:
    """Fork a process for every line."""
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            try:
                say(f"started {os.getpid()}")
                work(Order(**json.loads(line)))
                say("over")
            except BaseException as error:  # noqa: BLE001 - whatever it is, the test must hear of it
                say(f"over with {error!r}")
            finally:
                os._exit(0)
        sys.stdin.readline()
        _, status = os.waitpid(child, 0)
        say(f"ended {status}")


if __name__ == "__main__":
    main()
