"""What a run costs: time, energy, memory, kept over restarts."""
