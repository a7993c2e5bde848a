"""Backstory: the event-sourced state store for agents."""
