"""Forms: the ways in which a picture can be rendered, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, Literal, get_args

from backstory.domain.errors import InvalidValueError, shown
from backstory.replay.picture import Picture
from backstory.replay.rendering.dot import dot
from backstory.replay.rendering.html import html
from backstory.replay.rendering.json_form import json_text
from backstory.replay.rendering.mermaid import mermaid
from backstory.replay.rendering.prov import prov_text
from backstory.replay.rendering.text import text

Form = Literal["text", "json", "mermaid", "dot", "html", "prov"]
FORMS: Final[tuple[Form, ...]] = get_args(Form)

_RENDERERS: Final[Mapping[str, Callable[[Picture], str]]] = MappingProxyType(
    {"text": text, "json": json_text, "mermaid": mermaid, "dot": dot, "html": html, "prov": prov_text}
)


def render(picture: Picture, form: str = "text") -> str:
    """Return a picture in one of `FORMS`; the same picture gives the same text.

    `text` is for a terminal, no wider than 100 columns. `json` is for programs. `mermaid` and `dot` are for the tools
    of these names. `html` is one page that needs nothing beside it. `prov` is W3C PROV-JSON. Whatever the events hold,
    the answer can be encoded as UTF-8. Raises `InvalidValueError` for another form.
    """
    renderer = _RENDERERS.get(form) if isinstance(form, str) else None
    if renderer is None:
        raise InvalidValueError("form", rule=f"is no form: {shown(form)}", hint=f"Use one of {', '.join(FORMS)}.")
    return renderer(picture).encode("utf-8", "backslashreplace").decode("utf-8")
