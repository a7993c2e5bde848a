"""Keys: their normal form, the rules they keep, and the patterns that select them."""

from __future__ import annotations

import re
import unicodedata
from fnmatch import translate
from functools import lru_cache

from backstory.domain.errors import InvalidKeyError

__all__ = ["MAX_KEY_CHARACTERS", "match_keys", "normalise_key", "validate_prefix"]

MAX_KEY_CHARACTERS = 256

_CACHED_KEYS = 8192
_CACHED_PATTERNS = 256
_FORBIDDEN = re.compile(r"\.\.|//|\\|[\x00-\x1f\x7f-\x9f]|[\ud800-\udfff]")
_RESERVED = ("__", "$$")


def normalise_key(key: object) -> str:
    """Return `key` in NFC. Raises `InvalidKeyError`, which names the rule, for what may not be a key.

    A key is text of 1 to 256 characters without `..`, `//`, backslash, control characters and lone surrogates,
    and does not begin with `__` or `$$`.
    """
    if type(key) is str:
        return _normal(key)
    if isinstance(key, str):
        # A subclass may hash in its own way (an Enum does): the cache must see plain text.
        return _normal(str.__str__(key))
    raise InvalidKeyError(key, rule=f"a key is text, not {type(key).__name__}", hint="Give the key as text.")


def validate_prefix(prefix: object) -> str:
    """Return `prefix` in NFC, where empty selects all keys. Raises `InvalidKeyError` if no key could begin so."""
    return "" if isinstance(prefix, str) and not prefix else normalise_key(prefix)


def match_keys(pattern: str, key: str) -> bool:
    """Return whether the normalised `key` matches `pattern`: `*` is any text, `?` one character, all else itself.

    Case counts, `*` also crosses `/`, and brackets are plain characters because keys may hold them. Takes time
    linear in the key for one `*`, and never exponential. Raises `InvalidKeyError` if the pattern is no text.
    """
    if not isinstance(pattern, str):
        raise InvalidKeyError(
            pattern, rule=f"a pattern is text, not {type(pattern).__name__}", hint="Give a pattern such as `user/*`."
        )
    return pattern == "*" or _compiled(str.__str__(pattern)).match(key) is not None


@lru_cache(maxsize=_CACHED_PATTERNS)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(translate(unicodedata.normalize("NFC", pattern).replace("[", "[[]")))


@lru_cache(maxsize=_CACHED_KEYS)
def _normal(key: str) -> str:
    text = key if key.isascii() else unicodedata.normalize("NFC", key)
    if not 1 <= len(text) <= MAX_KEY_CHARACTERS:
        raise InvalidKeyError(
            key,
            rule=f"a key has 1 to {MAX_KEY_CHARACTERS} characters, not {len(text)}",
            hint="Choose a shorter key, such as a hash of this one." if text else "Give the key.",
        )
    if text.startswith(_RESERVED):
        raise InvalidKeyError(
            key,
            rule=f"the prefix `{text[:2]}` is reserved for the store",
            hint="Begin the key with another character.",
        )
    if found := _FORBIDDEN.search(text):
        rule, hint = _broken_rule(found[0])
        raise InvalidKeyError(key, rule=rule, hint=hint)
    return text


def _broken_rule(found: str) -> tuple[str, str]:
    """Return the rule that a forbidden text breaks, and what to do."""
    if found in {"..", "//"}:
        return f"`{found}` is refused", f"Write a single `{found[0]}`."
    if found == "\\":
        return "a backslash is refused", "Write `/` to separate the parts of a key."
    if found >= "\ud800":
        return "a lone surrogate is no text", "Decode the key with the encoding it was written in."
    return f"the control character U+{ord(found):04X} is refused", "Remove the control character."
