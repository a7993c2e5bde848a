"""Aggregates: what has a life of its own beside agents' state, such as a schema, in the same log."""
