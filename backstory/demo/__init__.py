"""The demo: a recorded run with a mistake in it, and a tour of what its backstory tells."""
