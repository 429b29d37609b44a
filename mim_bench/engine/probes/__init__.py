"""Measures of frozen features: k-NN and linear probe. No mmengine but to gather features."""
