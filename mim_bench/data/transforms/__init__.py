"""Registered transforms: one for each mask; thin over :mod:`mim_bench.masking`."""
