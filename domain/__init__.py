"""The words and rules of the log: facts and pure functions, no I/O, no clock, no randomness."""
