"""Tables of positions for other grids: pure functions of tensors."""
