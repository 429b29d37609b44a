"""Foreign checkpoints into the canonical layout, and the safe loading and saving of files."""
