"""Hooks: code of the user's that runs when state is read or changed, and whose every run is an event."""
