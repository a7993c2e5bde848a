"""A process that imports a file into a store when it is told to, and says what it did."""

from __future__ import annotations

import sys
from unittest.mock import patch

import backstory
from backstory import import_work


def main() -> None:
    """Import `path` into the store at `url`, a few messages a commit group, so that others get between."""
    url, path = sys.argv[1:]
    with backstory.open(url) as store, patch.object(import_work, "_MOST_COMMITS", 3):
        print("ready", flush=True)  # noqa: T201 - told to the test
        sys.stdin.readline()
        report = store.import_runs(path)
    print(report.events, len(report.errors))  # noqa: T201 - told to the test


if __name__ == "__main__":
    main()
