"""Measures of frozen features, and the features: extracted once, kept in files."""
