"""Telemetry lines: where the program's own structlog takes them, else standard error, as JSON."""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["lines"]


def lines(name: str) -> Any:
    """Return the structlog logger of this name: the program's where it has configured structlog."""
    import structlog  # noqa: PLC0415 - only where something is told

    if structlog.is_configured():
        return structlog.get_logger(name)
    return structlog.wrap_logger(
        structlog.PrintLogger(sys.stderr),
        processors=[structlog.processors.add_log_level, structlog.processors.JSONRenderer(default=str)],
    ).bind(logger=name)
