"""Targets of the pre-training methods, as pure functions of images."""
