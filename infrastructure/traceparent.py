"""Trace context: W3C `traceparent` texts, checked where they are given, or taken from OpenTelemetry's current span."""

from __future__ import annotations

import re
import sys
from typing import Final

from backstory.domain.errors import InvalidValueError

#: Looked for among the imported modules, never imported: whoever traces has imported it.
API: Final = "opentelemetry.trace"
# https://www.w3.org/TR/trace-context/#traceparent-header: later versions may go on after another dash.
_FORM: Final = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-[^\n]*)?", re.ASCII
)
_VERSION_0_LENGTH: Final = 55


def checked(given: object) -> str:
    """Return a traceparent as it was given; raises `InvalidValueError` for what is none."""
    if (
        isinstance(given, str)
        and _FORM.fullmatch(given)
        and (len(given) == _VERSION_0_LENGTH or not given.startswith("00"))
    ):
        return given
    raise InvalidValueError(
        "traceparent",
        rule="is no W3C trace context",
        hint="Give `00-<trace id: 32 digits>-<parent id: 16>-<flags: 2>`, hexadecimal, in lower case.",
    )


def current() -> str | None:
    """Return the traceparent of the current span; None where nobody traces, or no span is under way."""
    api = sys.modules.get(API)
    span = None if api is None else getattr(api, "get_current_span", None)  # half imported in another thread: none
    if span is None:
        return None
    context = span().get_span_context()
    if not context.is_valid:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
