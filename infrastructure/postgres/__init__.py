"""The PostgreSQL engine."""

from __future__ import annotations

from backstory.infrastructure.recording.exposing import expose_factory

expose_factory(__name__)
