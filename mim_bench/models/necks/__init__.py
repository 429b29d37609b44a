"""Decoders of the pre-training methods, and pyramids for dense tasks."""
