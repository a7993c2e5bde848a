"""Rendering: a picture of events and their causes as text, JSON, Mermaid, DOT, HTML or PROV."""

from backstory.replay.rendering.forms import FORMS, Form, render

__all__ = ["FORMS", "Form", "render"]
