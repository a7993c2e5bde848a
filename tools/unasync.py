"""Make the blocking face from the asyncio one, so that no rule is written twice.

`python tools/unasync.py` writes `backstory/store.py`; with `--check` it fails if that differs.
Lines between `# <async>` and `# </async>` are left out; those between `# <sync>` and
`# </sync>` lose their comment sign.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
PAIRS: Final = (
    ("backstory/async_state.py", "backstory/state.py"),
    ("backstory/async_store.py", "backstory/store.py"),
    ("backstory/importing.py", "backstory/importing_sync.py"),
    ("backstory/hooks/async_background.py", "backstory/hooks/background.py"),
    ("backstory/hooks/async_face.py", "backstory/hooks/face.py"),
    ("backstory/async_replay.py", "backstory/replay_face.py"),
    ("backstory/async_stepping.py", "backstory/stepping.py"),
    ("backstory/async_scheduler.py", "backstory/scheduler.py"),
    ("backstory/schemas/async_face.py", "backstory/schemas/face.py"),
    ("backstory/migrations/async_face.py", "backstory/migrations/face.py"),
    ("backstory/backups/async_schedules.py", "backstory/backups/schedules.py"),
    ("backstory/backups/async_face.py", "backstory/backups/face.py"),
)
NAMES: Final = (
    "StateOperations",
    "Transaction",
    "StateView",
    "Subscription",
    "StateStore",
    "Runner",
    "Background",
    "Hooks",
    "Replay",
    "ReplaySession",
    "Scheduler",
    "Schemas",
    "Migrations",
    "MigrationPlan",
    "BackupSchedules",
    "Backups",
)
WORDS: Final = (
    (r"await asyncio\.", "await asyncio."),
    (r"\basync def __aenter__", "def __enter__"),
    (r"\basync def __aexit__", "def __exit__"),
    (r"\basync def aclose", "def close"),
    (r"\basync def ", "def "),
    (r"\basync with ", "with "),
    (r"\basync for ", "for "),
    (r"\bawait ", ""),
    (r"\b__aiter__", "__iter__"),
    (r"\b__anext__", "__next__"),
    (r"\b__aenter__", "__enter__"),
    (r"\b__aexit__", "__exit__"),
    (r"\bAsyncIterator\b", "Iterator"),
    (r"\bStopAsyncIteration\b", "StopIteration"),
    (rf"\bAsync({'|'.join(NAMES)})\b", r"\1"),
    (r"\bwait_async\b", "wait"),
    (r"\bopen_async\b", "open"),
    (r"\baclose\b", "close"),
    (r"from backstory\.async_store import", "from backstory.store import"),
    (r"from backstory\.async_state import", "from backstory.state import"),
    (r"\basyncio\.Task\[None\]", "threading.Thread"),
    (r"^import asyncio\nimport contextvars\n", "import contextvars\nimport threading\n"),
    (r"from backstory\.hooks\.async_background import", "from backstory.hooks.background import"),
    (
        r"^import asyncio\nfrom collections\.abc import Callable, Mapping, Sequence\n",
        "from collections.abc import Callable, Mapping, Sequence\nfrom concurrent.futures import ThreadPoolExecutor\n",
    ),
    (r"^import asyncio\nimport time\n", "import time\nfrom concurrent.futures import ThreadPoolExecutor\n"),
    (r"\bAwaitable\[(\w+)\]", r"\1"),
    (r"from backstory\.async_scheduler import", "from backstory.scheduler import"),
    (r"from backstory\.async_stepping import", "from backstory.stepping import"),
    (r"from backstory\.async_replay import", "from backstory.replay_face import"),
    (r"from backstory\.hooks\.async_face import", "from backstory.hooks.face import"),
    (r"from backstory\.schemas\.async_face import", "from backstory.schemas.face import"),
    (r"from backstory\.migrations\.async_face import", "from backstory.migrations.face import"),
    (r"from backstory\.backups\.async_face import", "from backstory.backups.face import"),
    (r"from backstory\.backups\.async_schedules import", "from backstory.backups.schedules import"),
    (r"from backstory\.importing import", "from backstory.importing_sync import"),
)


def unasync(text: str, source: str) -> str:
    """Return the blocking version of a module's text."""
    text = re.sub(r"^ *# <async>\n.*?^ *# </async>\n", "", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"^ *# <sync>\n(.*?)^ *# </sync>\n", _uncomment, text, flags=re.DOTALL | re.MULTILINE)
    for pattern, word in WORDS:
        text = re.sub(pattern, word, text, flags=re.MULTILINE)
    text = text.replace("The asyncio face:", "The blocking face:", 1)
    text = text.replace("; use it from one event loop.", "; any number of threads may use it.", 1)
    return re.sub(
        r"`(?:store|state|background|face|replay_face|stepping|scheduler|schedules)\.py` is made from this file.*?\n",
        f"Made from `{Path(source).name}` by `tools/unasync.py`: change that one.\n",
        text,
        count=1,
    )


def _uncomment(match: re.Match[str]) -> str:
    return re.sub(r"^( *)# ?", r"\1", match.group(1), flags=re.MULTILINE)


def formatted(text: str) -> str:
    """Return a module's text as ruff writes it."""
    ruff = [sys.executable, "-m", "ruff"]
    for command in (["check", "--fix-only", "--select", "I,F401", "--quiet"], ["format"]):
        whole = [*ruff, *command, "--stdin-filename", "backstory/store.py", "-"]
        text = subprocess.run(whole, input=text, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    return text


def main() -> int:
    """Write or check every pair; return the exit code."""
    check = "--check" in sys.argv[1:]
    stale = 0
    for source, target in PAIRS:
        if not (ROOT / source).exists():
            continue
        made = formatted(unasync((ROOT / source).read_text(), source))
        path = ROOT / target
        if check and (not path.exists() or path.read_text() != made):
            print(f"{target} is not what {source} gives: run `python tools/unasync.py`")
            stale += 1
        elif not check:
            path.write_text(made)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
