"""Sensitive patterns: how secrets look, wherever in a text they stand."""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64decode
from binascii import Error as Base64Error
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

__all__ = ["DEFAULT_PATTERNS", "SensitivePattern", "prefilter"]


@dataclass(frozen=True, slots=True)
class SensitivePattern:
    """One way a secret looks inside a text.

    `kind` names it in the replacement: lowercase letters, digits and `_`. `regex` finds it; `group` is the part that is
    secret. `anchors` are texts one of which every match holds, `hint` a cheap expression that finds something wherever
    `regex` does, each branch of which begins with a letter (else all texts are read slowly): either spares the
    expression most texts; without both it runs on every text. `check` has the last word on what was found. With
    `digits`, only the digits count when it is hashed, not how they are grouped.

    Keep `regex` linear: bounded or possessive repeats, and a start that cannot lie inside its own repeat.
    """

    kind: str
    regex: re.Pattern[str]
    anchors: tuple[str, ...] = ()
    hint: str = ""
    group: int = 0
    check: Callable[[str], bool] | None = None
    digits: bool = False


# -- Numbers. Sources: ISO/IEC 7812 (structure, Luhn), the issuers' ranges as listed under "Payment card number" in
# Wikipedia, and SSA POMS RM 10201.035 (numbers never assigned).

_GAP: Final = "[ \u00a0\u202f\u2010-\u2013-]"
# Only lengths in use: cards of 17 and 18 digits are next to extinct, and ids of that length (snowflakes) are not.
# Visa's 13 digits are no longer issued, and every tenth article number (EAN) that begins with 4 would pass for one.
_ISSUERS: Final = re.compile(
    r"""
      4(?:\d{15}|\d{18})                                                           # Visa
    | 5[1-5]\d{14} | 2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}             # Mastercard
    | 3[47]\d{13}                                                                  # American Express
    | 3(?:0[0-59]|[689]\d)\d{11}                                                   # Diners Club
    | 35(?:2[89]|[3-8]\d)(?:\d{12}|\d{15})                                         # JCB
    | (?:6011|64[4-9]\d|65\d\d|62\d\d|81\d\d)(?:\d{12}|\d{15})                     # Discover, UnionPay
    | (?:60\d\d|82\d\d|508[5-9]|220[0-4]|9792)\d{12}                               # RuPay, Mir, Troy
    | (?:5018|5020|5038|5893|6304|6759|676[1-3])(?:\d{12}|\d{15})                  # Maestro
    """,
    re.VERBOSE | re.ASCII,
)
_NO_DIGIT: Final = re.compile("[^0-9]")
_DOUBLED: Final = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)


def _is_card_number(text: str) -> bool:
    """Return whether the digits of `text` have an issuer's prefix, a length it uses, and the right check digit."""
    digits = _NO_DIGIT.sub("", text)
    if _ISSUERS.fullmatch(digits) is None:
        return False
    return (sum(map(int, digits[-1::-2])) + sum(_DOUBLED[int(digit)] for digit in digits[-2::-2])) % 10 == 0


def _each(first: str, rest: str) -> str:
    """Return a choice of which each branch begins with a letter of its own, as a hint should."""
    return "|".join(letter + rest for letter in first)


_NUMBERS: Final = (
    SensitivePattern(
        "card",
        # As one run, or grouped as on cards. No part of a word, of a decimal fraction, or of a longer dashed number.
        re.compile(
            rf"(?<![0-9A-Za-z])(?<![0-9][.-])"
            rf"(?:[2-689]\d{{3}}({_GAP})\d{{4}}\1\d{{4}}\1\d{{4}}(?:\1\d{{3}})?"
            rf"|3\d{{3}}({_GAP})\d{{6}}\2\d{{4,5}}|[2-689]\d{{13,18}})"
            r"(?![0-9A-Za-z]|[.-][0-9])",
            re.ASCII,
        ),
        hint=_each("2345689", rf"[0-9]{{3}}{_GAP}?[0-9]{{4}}(?:{_GAP}?[0-9]{{2}}){{2}}"),
        check=_is_card_number,
        digits=True,
    ),
    SensitivePattern(
        "ssn",
        re.compile(
            r"(?:(?<![\w.+-])(?!000|666)[0-8]\d\d-(?!00)\d\d-(?!0000)\d{4}(?![\w-])"
            r"|(?<![\w.+-])(?<![\d)] )(?!000|666)[0-8]\d\d (?!00)\d\d (?!0000)\d{4}(?![\w-]| \d))",
            re.ASCII,
        ),
        hint=_each("012345678", "[0-9]{2}[ -][0-9]{2}[ -][0-9]{4}"),
        digits=True,
    ),
)


# -- Tokens with a prefix of their own. Sources: the providers' documentation where it says, else what the published
# rules of secret scanners agree on; lengths are lower bounds, for providers lengthen their tokens without notice.


def _token(kind: str, anchors: str, body: str, *, hint: str = "") -> SensitivePattern:
    """Return the pattern of tokens with a body like this, which do not begin inside a word."""
    regex = re.compile(rf"(?<![0-9A-Za-z])(?:{body})", re.ASCII)
    return SensitivePattern(kind, regex, tuple(anchors.split()), hint)


_TOKENS: Final = (
    _token("anthropic_key", "sk-ant-", r"sk-ant-[\w-]{20,}+"),
    _token(
        "openai_key",
        "sk-proj- sk-svcacct- sk-admin- sk-service- sk-None- T3BlbkFJ",
        r"sk-(?:proj|svcacct|admin|service|None)-[\w-]{20,}+|sk-[\w-]{8,200}?T3BlbkFJ[\w-]{8,}+",
    ),
    _token("openrouter_key", "sk-or-v1-", r"sk-or-v1-[0-9a-f]{32,}+"),
    # Old OpenAI keys, DeepSeek, Moonshot and others; a word of letters alone is none.
    _token("provider_key", "sk-", r"sk-(?=[A-Za-z]{0,40}[0-9])[0-9A-Za-z]{32,}+(?![\w-])"),
    _token(
        "google_key",
        "AIza AQ.A ya29. GOCSPX- 1//0",
        r"AIza[\w-]{35}(?![\w-])|AQ\.A[\w-]{30,}+|ya29\.[\w-]{20,}+|GOCSPX-[\w-]{28,}+|1//0[\w-]{30,}+",
    ),
    _token("groq_key", "gsk_", r"gsk_[0-9A-Za-z]{40,}+"),
    _token("xai_key", "xai-", r"xai-[0-9A-Za-z]{60,}+"),
    _token("perplexity_key", "pplx-", r"pplx-[0-9A-Za-z]{40,}+"),
    _token("nvidia_key", "nvapi-", r"nvapi-[\w-]{60,}+"),
    _token("replicate_key", "r8_", r"r8_[0-9A-Za-z]{37,}+"),
    _token("huggingface_key", "hf_ api_org_", r"(?:hf|api_org)_[0-9A-Za-z]{30,}+"),
    _token("langsmith_key", "lsv2_", r"lsv2_(?:pt|sk)_[0-9a-f]{32}_[0-9a-f]{10}"),
    _token("pinecone_key", "pcsk_", r"pcsk_\w{50,}+"),
    _token("aws_key_id", "AKIA ASIA ABIA ACCA", r"(?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16}(?![0-9A-Za-z])"),
    _token("aws_bedrock_key", "ABSK bedrock-api-key-", r"(?:ABSK|bedrock-api-key-)[0-9A-Za-z+/]{60,}+={0,2}"),
    _token(
        "github_token",
        "ghp_ gho_ ghu_ ghs_ ghr_ github_pat_",
        r"gh[pousr]_[0-9A-Za-z]{36,}+|ghs_[0-9]{1,20}_eyJ[\w.-]{40,}+|github_pat_\w{40,}+",
    ),
    _token(
        "gitlab_token",
        "glpat- gldt- glrt- glcbt- glptt- glft- glsoat- glagent- gloas- glimt- glffct- GR1348941",
        r"(?:gl(?:pat|dt|rt|cbt|ptt|ft|soat|agent|oas|imt|ffct)-|GR1348941)[\w-]{20,}+"
        r"(?:(?:\.[0-9a-z]{2})?\.[0-9a-z]{9}(?![0-9a-z]))?",
    ),
    _token(
        "slack_token",
        "xoxa- xoxb- xoxc- xoxd- xoxe- xoxo- xoxp- xoxr- xoxs- xapp- hooks.slack.com/",
        r"(?:xoxe\.)?xox[a-eoprs]-[0-9A-Za-z%-]{10,}+|xapp-[0-9]-[0-9A-Za-z-]{10,}+"
        r"|hooks\.slack\.com/(?:services|workflows|triggers)/[\w/+-]{20,}+",
    ),
    _token(
        "stripe_key",
        "sk_live_ sk_test_ rk_live_ rk_test_ sk_prod_ rk_prod_ whsec_",
        r"[sr]k_(?:live|test|prod)_[0-9A-Za-z]{16,}+|whsec_[0-9A-Za-z+/]{24,}+={0,2}",
    ),
    _token("sendgrid_key", "SG.", r"SG\.[\w-]{16,32}\.[\w-]{32,}+"),
    _token("twilio_key", "", r"SK[0-9a-f]{32}(?![0-9A-Za-z])", hint="SK[0-9a-f]{32}"),
    _token("npm_token", "npm_", r"npm_[0-9A-Za-z]{36,}+"),
    _token("pypi_token", "pypi-AgE", r"pypi-AgE[\w-]{40,}+"),
    _token("docker_token", "dckr_", r"dckr_[po]at_[\w-]{20,}+"),
    _token("digitalocean_token", "dop_v1_ doo_v1_ dor_v1_", r"do[opr]_v1_[0-9a-f]{64}"),
    _token("vault_token", "hvs. hvb. hvr.", r"hv[sbr]\.[\w-]{24,}+"),
    _token("shopify_token", "shpat_ shpca_ shppa_ shpss_", r"shp(?:at|ca|pa|ss)_[0-9A-Fa-f]{32}"),
    _token("telegram_token", ":AA", r"[0-9]{8,10}:AA[\w-]{33}(?![\w-])"),
    _token("linear_key", "lin_api_", r"lin_api_[0-9A-Za-z]{40,}+"),
    _token("notion_key", "ntn_", r"ntn_[0-9A-Za-z]{40,}+"),
    _token("supabase_key", "sb_secret_", r"sb_secret_[\w-]{20,}+"),
    _token("atlassian_token", "ATATT3", r"ATATT3[\w=-]{60,}+"),
    _token("age_key", "AGE-SECRET-KEY-1", r"AGE-SECRET-KEY-1[0-9A-Z]{58}"),
)


# -- What a key says by its surroundings.

_MAX_HEADER: Final = 16_384


def _is_token_header(text: str) -> bool:
    """Return whether the first part of `text` decodes to a JSON object with `alg` in it (RFC 7515, section 4)."""
    encoded = text.partition(".")[0]
    try:
        header = json.loads(urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))
    except (Base64Error, ValueError, RecursionError):
        return False
    return isinstance(header, dict) and "alg" in header


_TEMPLATE: Final = re.compile(r"[$<{]|%\(|[*\u2022.xX]+\Z")


def _is_no_template(text: str) -> bool:
    """Return whether `text` may be a password, rather than a place for one: `${PASSWORD}`, `<token>`, `***`."""
    return _TEMPLATE.match(text) is None


_PEM: Final = r"(?:[A-Z0-9]{1,20} ){0,4}PRIVATE KEY(?: BLOCK)?-----"
_SURROUNDED: Final = (
    SensitivePattern(
        "private_key",
        # The whole block; of one that was cut off, what looks like its content. `\n` may stand there as two characters.
        re.compile(
            rf"-----BEGIN {_PEM}(?:[^-]*+(?:-(?!----)[^-]*+)*+-----END {_PEM}"
            r"|(?=(?:\s|\\[nr]){0,8}[0-9A-Za-z+/]{32})(?:(?:\s|\\[nr]){0,8}+[0-9A-Za-z+/=]++)*+)",
            re.ASCII,
        ),
        ("PRIVATE KEY",),
    ),
    SensitivePattern(
        "jwt",
        # Base64url of `{"` or `{ `; three parts, or the five of an encrypted one.
        re.compile(rf"(?<![\w-])ey[AJ][\w-]{{10,{_MAX_HEADER}}}+\.[\w-]*+\.[\w-]*+(?:\.[\w-]*+\.[\w-]*+)?", re.ASCII),
        ("eyJ", "eyA"),
        check=_is_token_header,
    ),
    SensitivePattern(
        "authorization",
        re.compile(
            r"authorization[\"']?\s{0,4}[:=]\s{0,4}[\"']?(?:bearer|basic|token|bot|apikey|digest|negotiate)"
            r"\s{1,4}([^\s\"',;\\]{4,}+)",
            re.ASCII | re.IGNORECASE,
        ),
        ("uthorization", "UTHORIZATION"),
        group=1,
        check=_is_no_template,
    ),
    SensitivePattern(
        "bearer_token",
        # Outside a header it must look random, for people also write of "bearer authentication".
        re.compile(
            r"(?<![\w-])bearer\s{1,4}(?=[^\s\d]{0,200}\d)([\w.~+/-]{16,}+=*+)",
            re.ASCII | re.IGNORECASE,
        ),
        ("bearer", "Bearer", "BEARER"),
        group=1,
    ),
    SensitivePattern(
        "api_key",
        re.compile(
            r"(?<![\w-])x-(?:goog-)?(?:api-key|auth-token|amz-security-token)[\"']?\s{0,4}:\s{0,4}[\"']?([^\s\"',;\\]{6,}+)",
            re.ASCII | re.IGNORECASE,
        ),
        hint=_each("xX", "-[aAgG][mMoOpPuU]"),
        group=1,
        check=_is_no_template,
    ),
    SensitivePattern(
        "cookie",
        re.compile(
            r"(?<![\w-])(?:set-)?cookie: {0,4}([\w!#$%&*+.^`|~-]{1,100}=[^\r\n\"']{0,4096}+)", re.ASCII | re.IGNORECASE
        ),
        ("ookie:", "OOKIE:"),
        group=1,
    ),
    SensitivePattern(
        "aws_secret_key",
        re.compile(
            r"secret[_-]?(?:access[_-]?)?key[\"']?\s{0,4}[:=]\s{0,4}[\"']?([0-9A-Za-z/+]{40})(?![0-9A-Za-z/+=])",
            re.ASCII | re.IGNORECASE,
        ),
        ("ecret_", "ecret-", "ecretA", "ecretK", "ECRET_", "ECRET-"),
        group=1,
    ),
    SensitivePattern(
        "azure_key",
        re.compile(
            r"(?:AccountKey=|SharedAccessKey=|[?&]sig=)([0-9A-Za-z+/%]{40,128}+={0,2}+)", re.ASCII | re.IGNORECASE
        ),
        ("ccountKey=", "ccessKey=", "accountkey=", "accesskey=", "sig="),
        group=1,
    ),
    SensitivePattern(
        "url_password",
        re.compile(r"(?<=[0-9A-Za-z])://[^\s/:@?#\"'<>]{0,255}+:([^\s/@?#\"'<>]{1,255}+)@", re.ASCII),
        ("://",),
        group=1,
        check=_is_no_template,
    ),
)

DEFAULT_PATTERNS: Final = (*_SURROUNDED, *_TOKENS, *_NUMBERS)
"""The patterns that are looked for unless others are given, the more telling ones first."""


# -- The first look at a text

# From the rarest in texts and JSON to the commonest; what is not listed is rarer still.
_COMMON: Final = "JQXZqjzxKVWYUFGHBRMDLPNOCETSIA_=/:-kvbgywfp.9876543210mucdlhrsnioatde "


@lru_cache(maxsize=32)
def prefilter(patterns: tuple[SensitivePattern, ...]) -> re.Pattern[str]:
    """Return one expression that finds something in every text that any pattern fits.

    It leaps from one rare character to the next, and looks to both sides only there: of `ghp_` that is the `_`.
    """
    if not all(pattern.anchors or pattern.hint for pattern in patterns):
        return re.compile("")
    sides: dict[str, list[tuple[str, str]]] = {}
    anchors = {anchor for pattern in patterns for anchor in pattern.anchors}
    for anchor in sorted(anchors):
        if any(other in anchor for other in anchors if other != anchor):
            continue  # The shorter one finds it too.
        rare = min(anchor, key=_COMMON.find)
        before, _, after = anchor.partition(rare)
        sides.setdefault(rare, []).append((before, after))
    branches = [_leap(rare, around) for rare, around in sides.items()]
    return re.compile("|".join([*branches, *(pattern.hint for pattern in patterns if pattern.hint)]) or "(?!)")


def _leap(rare: str, around: list[tuple[str, str]]) -> str:
    """Return the expression of a rare character with one of these texts around it."""
    literal = re.escape(rare)
    sides = [f"(?<={re.escape(before)}{literal}){re.escape(after)}" for before, after in around]
    last = {before[-1:] for before, _ in around}
    first = "" if "" in last else f"(?<=[{re.escape(''.join(sorted(last)))}]{literal})"
    return f"{literal}{first}(?:{'|'.join(sides)})"
