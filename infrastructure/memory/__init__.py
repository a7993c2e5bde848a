"""The engine that keeps the log in this process: for tests, and for state that may die."""

from __future__ import annotations

from backstory.infrastructure.recording.exposing import expose_factory

expose_factory(__name__)
