"""The cost of a run: throughput, waiting for data, memory, device hours."""
