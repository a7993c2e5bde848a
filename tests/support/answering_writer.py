"""A process that writes what it is told, and says so when it is acknowledged: `... answering_writer URL`."""

from __future__ import annotations

import sys

import backstory


def main(url: str) -> None:
    """Write each number that comes as a line, until no more come."""
    with backstory.open(url) as store:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        for line in sys.stdin:
            store.set("agent:answering", "turn", int(line))
            sys.stdout.write(line)
            sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
