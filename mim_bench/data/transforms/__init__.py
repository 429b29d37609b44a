"""Registered transforms: one for each mask; thin over :mod:`mim_bench.masking`."""

from mim_bench.discovery import import_modules

import_modules(__name__, __path__)
