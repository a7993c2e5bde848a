"""Folds of the log: current state, state at a point, key history, the causality graph."""
