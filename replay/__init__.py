"""Questions about the past: timelines, why, impact, hook replay, what-if."""
