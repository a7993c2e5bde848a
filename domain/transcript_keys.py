"""Keys made of names that come from outside: tools, fields and ids of an imported run.

A name stands in a key as it is, but for what a key may not hold: that is written as the percent signs and hexadecimal
digits of its UTF-8 bytes, as in URLs. So `a..b` becomes `a.%2Eb`. A percent sign that would read as such an escape is
escaped itself, so that two names never share a key. A key that grows beyond the limit keeps its beginning and ends in
`~` and the first 32 digits of its SHA-256.
"""

from __future__ import annotations

import re
import unicodedata
from hashlib import sha256
from typing import Final

from backstory.domain.keys import MAX_KEY_CHARACTERS, normalise_key

__all__ = ["object_key", "tool_key"]

_EVERYWHERE: Final = r"%(?=[0-9A-Fa-f]{2})|\\|[\x00-\x1f\x7f-\x9f\ud800-\udfff]|(?<=\.)\."
_SECOND: Final = re.compile(rf"{_EVERYWHERE}|(?<=/)/|^/")
_FIRST: Final = re.compile(rf"{_EVERYWHERE}|/|^_(?=_)|^\$(?=\$)")
_DIGITS: Final = 32


def tool_key(place: str, tool: str) -> str:
    """Return the key of a tool under one of the import's own headings: `tools/<tool>`, `result/<tool>`."""
    return _limited(f"{place}/{_escaped(tool, _SECOND)}")


def object_key(what: str, name: str) -> str:
    """Return the key `<what>/<name>` of an object; a slash in `what` is escaped, for the first one ends it."""
    return _limited(f"{_escaped(what, _FIRST)}/{_escaped(name, _SECOND)}")


def _escaped(text: str, unsafe: re.Pattern[str]) -> str:
    return unsafe.sub(_percent, unicodedata.normalize("NFC", text))


def _percent(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode("utf-8", "surrogatepass"))


def _limited(key: str) -> str:
    key = unicodedata.normalize("NFC", key)
    if len(key) > MAX_KEY_CHARACTERS:
        digest = sha256(key.encode()).hexdigest()[:_DIGITS]
        key = f"{key[: MAX_KEY_CHARACTERS - 1 - _DIGITS]}~{digest}"
    return normalise_key(key)
