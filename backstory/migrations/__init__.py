"""Migrations of a store: planned, run, rolled back, and taken up again where a process died."""
