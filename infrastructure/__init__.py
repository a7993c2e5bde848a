"""What touches the world: engines, codec, clock, telemetry, configuration."""
