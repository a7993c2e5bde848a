"""A process that follows a log from its beginning: `python -m tests.support.follower URL`.

Says `following`, prints position and id of every event, and ends after one of type `test.ended`.
"""

from __future__ import annotations

import sys

import backstory

LAST = "test.ended"


def main(url: str) -> None:
    """Follow."""
    with backstory.open(url) as store, store.subscribe(since=0) as subscription:
        sys.stdout.write("following\n")
        sys.stdout.flush()
        for event in subscription:
            sys.stdout.write(f"{event.position} {event.event_id.hex}\n")
            if event.type == LAST:
                return


if __name__ == "__main__":
    main(*sys.argv[1:])
