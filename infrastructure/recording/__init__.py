"""The log as a home for the events of any `eventsourcing` application."""
