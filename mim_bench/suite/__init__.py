"""Plans runs (pure) and executes them (subprocesses)."""
