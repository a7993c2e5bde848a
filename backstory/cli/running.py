"""Running: a command's answer becomes an exit code, and whatever goes wrong is told in one line."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from backstory.cli.failures import Exit, OutputError, described, exit_code
from backstory.cli.output import safe, to_json, to_stderr
from backstory.cli.session import Session
from backstory.domain.errors import BackstoryError


def guarded(session: Session, call: Callable[[], int | None]) -> int:
    """Run a command and return its exit code."""
    try:
        code = call() or Exit.DONE
        session.out.flush()
    except BackstoryError as error:
        with suppress(OutputError):
            session.out.flush()  # What was found before the error comes before it.
        tell(error, json=session.out.json)
        return exit_code(error)
    except BrokenPipeError:
        return Exit.BROKEN_PIPE
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    return code


def tell(error: BackstoryError, *, json: bool) -> None:
    """Print an error on standard error: one line of text, or of JSON."""
    if json:
        to_stderr(to_json(described(error)).decode())
    else:
        to_stderr(f"backstory: {safe(str(error))}")
