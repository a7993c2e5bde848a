"""Schemas of a store: registered in its log, bound to keys, and met by what is written there."""
