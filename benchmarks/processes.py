"""Row 10: what a process costs, interpreter included."""

from __future__ import annotations

import subprocess

from backstory.measuring import processes
from benchmarks.contest import Claim, Measure, Result, Run, below


def starting(run: Run) -> Result:
    """Row 10: `import backstory`, and `backstory get`."""
    count = run.scaled(10)
    contenders: dict[str, Measure] = {
        "python -c pass": lambda _: processes.in_ms(processes.starting(count=count)),
        "import backstory": lambda _: processes.in_ms(processes.importing(count=count)),
    }
    notes: tuple[str, ...] = ()
    try:
        processes.getting(run.folder, count=1)
    except subprocess.CalledProcessError as error:
        notes = (f"`backstory get` ended with {error.returncode} and is not measured",)
    else:
        contenders["backstory get"] = lambda folder: processes.in_ms(processes.getting(folder, count=count))
    table = run.contest("row 10", contenders, warm_up=False)
    bounds = {"import backstory": 150.0, "backstory get": 350.0}
    claims: list[Claim] = [
        below(f"{who}, p50", table.of(who, "p50 ms").samples, bound, "ms")
        for who, bound in bounds.items()
        if who in contenders
    ]
    return Result(10, "A process, interpreter included", table.figures, tuple(claims), notes)
