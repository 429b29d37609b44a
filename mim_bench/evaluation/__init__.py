"""What a number is: metrics, and probes of frozen features."""
