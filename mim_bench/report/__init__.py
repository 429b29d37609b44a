"""Renders records; imports results and errors only (no torch, no mmengine)."""
