"""Semantic versions of schemas: text checked and ordered by the rules of semver.org 2.0.0."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from backstory.domain.errors import SchemaError, shown

if TYPE_CHECKING:
    from semver import Version

__all__ = ["is_version", "version_of"]

_LONGEST: Final = 128
_RULE: Final = (
    "a version is three numbers without leading zeros and without `v`, such as 2.1.0, "
    "then perhaps a pre-release and build metadata, as in 2.1.0-rc.1+abc"
)


@lru_cache(maxsize=1024)
def version_of(text: str) -> Version:
    """Return the version that a text such as `2.1.0-rc.1` says; `str()` gives the text back.

    Versions are ordered by precedence: 1.0.0-alpha.2 < 1.0.0-alpha.10 < 1.0.0-rc.1 < 1.0.0. Build metadata has no part
    in it, so 1.0.0+a and 1.0.0+b are equal versions. Raises `SchemaError` for anything else: `2`, `2.0`, `v1.0.0`.
    """
    # Imported when the first schema is made: the package brings its command line along, some 4 ms of it.
    from semver import Version  # noqa: PLC0415

    if not isinstance(text, str) or len(text) > _LONGEST:
        raise _refusal(text)
    try:
        return Version.parse(text)
    except ValueError as error:
        raise _refusal(text) from error


def is_version(text: str) -> bool:
    """Return whether a text is a semantic version."""
    try:
        version_of(text)
    except SchemaError:
        return False
    return True


def _refusal(text: object) -> SchemaError:
    rule = f"a version has at most {_LONGEST} characters" if isinstance(text, str) and len(text) > _LONGEST else _RULE
    hint = "Write major.minor.patch, such as 2.0.0 for 2 or 2.0."
    return SchemaError(f"invalid version {shown(text)}: {rule}", rule=rule, hint=hint)
