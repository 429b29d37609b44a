"""Speed, memory, operations and cost of training steps and runs."""
