"""Measuring: how fast this library is on this machine; `backstory bench` and `benchmarks/` share it."""
