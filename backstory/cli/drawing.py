"""Drawing: what was found about causes and effects, in the form and at the place that was asked for.

With `--json` the answer is JSON whatever the form: that of the form `json`, or else an object that holds the text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, NamedTuple

from typer import Option

from backstory.cli.failures import UsageError, unicode
from backstory.cli.files import write_whole
from backstory.cli.output import safe, to_json
from backstory.cli.render import field
from backstory.cli.session import Session
from backstory.domain.errors import shown

SOME: Final = ("text", "json", "mermaid", "dot", "html")
ALL: Final = (*SOME, "prov")

Output = Annotated[
    str, Option("--output", "-o", metavar="FILE", help="Where to, whole or not at all; `-` is standard output.")
]
Form = Annotated[
    str | None, Option("--format", metavar="FORMAT", help="text, json, mermaid, dot, html or prov. Default: text.")
]


class Drawing(NamedTuple):
    """The form that is wanted, and the file."""

    form: str
    output: str

    @classmethod
    def of(cls, session: Session, form: str | None, output: str, *, forms: tuple[str, ...], usual: str) -> Drawing:
        """Return a checked wish; raises `UsageError` for a form that there is not."""
        if form is not None and form not in forms:
            raise UsageError(f"{shown(form)} is no format", hint=f"Use one of {', '.join(forms)}.")
        return cls(form or ("json" if session.out.json else usual), output)

    def show(self, session: Session, render: Callable[[str], str], facts: Mapping[str, Any]) -> None:
        """Print what `render` makes of the form, or write it down; in JSON with some facts before the rest."""
        text = render(self.form)
        if self.form == "json":
            text = _joined(facts, text)
        if self.output != "-":
            self._write(session, text)
        elif self.form == "json":
            session.out.raw(text.encode())
        elif session.out.json:
            session.out.value({"format": self.form, "text": text})
        elif self.form == "text":
            for line in text.splitlines():
                session.out.line(safe(line))
        else:
            session.out.raw(text.encode())

    def _write(self, session: Session, text: str) -> None:
        write_whole(self.output, [text.encode()])
        if session.out.json:
            session.out.value({"file": unicode(self.output), "format": self.form})
        else:
            session.out.line(f"wrote {self.form} to {field(self.output)}")


def _joined(facts: Mapping[str, Any], text: str) -> str:
    """Return an object's JSON with some members before its own, which the renderer has tagged already."""
    return f"{to_json(dict(facts)).decode()[:-1]},{text[1:]}" if facts else text
