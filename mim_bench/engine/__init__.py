"""What runs a config: runner, loops, hooks, probes, metrics, optimiser constructors."""
