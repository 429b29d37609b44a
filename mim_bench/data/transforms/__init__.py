"""Registered transforms: one for each mask; thin over :mod:`mim_bench.masking`."""

from mim_bench.data.transforms.uniform_mask import UniformMask

__all__ = ['UniformMask']
