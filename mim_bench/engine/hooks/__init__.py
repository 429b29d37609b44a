"""Hooks of scope ``mim_bench``; importing this package registers them."""
