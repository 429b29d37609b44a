"""Probes of frozen features, and the extraction and caching of features."""
