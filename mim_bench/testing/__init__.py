"""Helpers for tests that users of the package may reuse."""
