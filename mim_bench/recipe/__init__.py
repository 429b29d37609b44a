"""Interpretation of configs: loading, batch, precision, schedules, optimiser groups, protocol."""
