"""Files that every part reads and writes: whole or absent, hashed, checked against a model."""
