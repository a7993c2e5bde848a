"""Sensitive fields: names whose values are secret whatever they look like, also as labels inside a text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Final

__all__ = ["DEFAULT_FIELDS", "LONGEST_NAME", "field_kind", "kind_of_name", "labelled", "normal_name"]

LONGEST_NAME: Final = 64
"""Length in characters of the longest name of a field that is looked up."""

# fmt: off
DEFAULT_FIELDS: Final = frozenset((
    "password", "passwd", "passphrase", "passcode", "new_password", "old_password", "current_password",
    "confirm_password", "user_password", "password_hash", "hashed_password", "db_password", "database_password",
    "root_password", "admin_password", "smtp_password", "secret", "secrets", "client_secret", "app_secret",
    "shared_secret", "webhook_secret", "totp_secret", "jwt_secret", "secret_key", "secret_access_key",
    "aws_secret_access_key", "aws_session_token", "signing_secret", "signing_key", "encryption_key", "master_key",
    "private_key", "ssh_private_key", "account_key", "shared_access_key", "subscription_key", "access_key",
    "credential", "credentials", "api_key", "api_keys", "x_api_key", "x_goog_api_key", "api_secret", "api_token",
    "access_token", "refresh_token", "id_token", "auth_token", "bearer_token", "session_token", "oauth_token",
    "personal_access_token", "csrf_token", "xsrf_token", "x_auth_token", "x_csrf_token", "jwt", "authorization",
    "proxy_authorization", "cookie", "cookies", "set_cookie", "connection_string", "ssn", "social_security_number",
    "card_number", "credit_card_number", "debit_card_number", "cc_number", "card_pin", "cvv", "cvv2", "cvc", "cvc2",
    "card_cvv", "card_cvc", "security_code", "card_security_code", "seed_phrase", "recovery_phrase", "recovery_code",
    "recovery_codes", "openai_api_key", "anthropic_api_key", "azure_openai_api_key", "google_api_key", "gemini_api_key",
    "mistral_api_key", "cohere_api_key", "groq_api_key", "xai_api_key", "deepseek_api_key", "together_api_key",
    "openrouter_api_key", "perplexity_api_key", "huggingface_api_key", "hf_token", "replicate_api_token",
    "github_token", "gh_token", "gitlab_token", "slack_bot_token", "npm_token",
))
# fmt: on
"""Names of fields whose whole value is secret. Case and separators do not matter; other letters do."""


@lru_cache(maxsize=4096)
def normal_name(name: str) -> str:
    """Return what is the same of all spellings of a name: its letters and digits, in lower case."""
    return "".join(filter(str.isalnum, name.lower()))


def kind_of_name(name: str) -> str:
    """Return the kind that a field of this name has: the name in lower case, with `_` between its words."""
    return re.sub("[^a-z0-9]+", "_", name.lower()).strip("_") or "field"


def field_kind(kinds: Mapping[str, str], name: str) -> str | None:
    """Return the kind of the field of this name, from kinds by normal name; None if it is not one of them."""
    return kinds.get(normal_name(name)) if len(name) <= LONGEST_NAME else None


# -- Labels. A value that is cut off, as in a shortened line of a log, counts up to the end.

_MEMBER: Final = re.compile(r"""(\\{0,7}["'])([A-Za-z][\w-]{0,63})\1\s{0,8}:\s{0,8}(\1)?""", re.ASCII)
_ASSIGNMENT: Final = re.compile(
    r"""(?<![\w.-])([A-Za-z][\w-]{0,63})(?:=(?!=)|\s{1,4}=\s{0,4}(?=["']))(["'])?""", re.ASCII
)
_NUMBER: Final = re.compile(r"-?[0-9][0-9A-Za-z.+-]*", re.ASCII)
_WORD: Final = re.compile(r"""[^\s"'&;,<>()\[\]{}\\]*""", re.ASCII)
_NO_SECRET: Final = re.compile(r"""|null|none|true|false|undefined|[$<{%].*|[*•]+""", re.IGNORECASE | re.DOTALL)


def labelled(text: str, kinds: Mapping[str, str]) -> Iterator[tuple[int, int, str]]:
    """Yield where values of sensitive fields begin and end inside a text, and their kinds.

    These are members as in JSON, of texts and numbers, and `name=value`; a name in prose is none.
    """
    if '":' in text or "':" in text or '" :' in text:
        yield from _labelled_by(_MEMBER, 2, text, kinds)
    if "=" in text:
        yield from _labelled_by(_ASSIGNMENT, 1, text, kinds)


def _labelled_by(
    label: re.Pattern[str], name: int, text: str, kinds: Mapping[str, str]
) -> Iterator[tuple[int, int, str]]:
    past = 0
    for match in label.finditer(text):
        kind = field_kind(kinds, match[name])
        if kind is None or match.start() < past:
            continue
        start, past = _value_after(match, text)
        if _NO_SECRET.fullmatch(text, start, past) is None:
            yield start, past, kind


def _value_after(label: re.Match[str], text: str) -> tuple[int, int]:
    """Return where the value begins and ends that follows a label."""
    quote = label[label.re.groups]
    bare = _NUMBER if label.re is _MEMBER else _WORD
    value = (_quoted(quote) if quote else bare).match(text, label.end())
    return (label.end(), label.end()) if value is None else value.span()


@lru_cache(maxsize=32)
def _quoted(quote: str) -> re.Pattern[str]:
    """Return the expression of what stands up to the closing quote, or up to the end."""
    return re.compile(rf"(?:(?!{re.escape(quote)})(?:\\.|[^\\]|\\\Z))*+", re.DOTALL)
