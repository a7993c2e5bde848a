"""Backups: what is kept of a store elsewhere, and how a store comes back from it."""
