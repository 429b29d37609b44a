"""What a config means: loading it, batch, precision, schedules, optimiser groups, protocol."""
