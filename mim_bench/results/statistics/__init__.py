"""How far a number can be trusted: seeds, bootstrap over images, tests between two rows."""
