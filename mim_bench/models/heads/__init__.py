"""Heads of the pre-training methods."""
