"""The engine that keeps the log in this process: for tests, and for state that may die."""
