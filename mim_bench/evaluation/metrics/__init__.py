"""Metrics of scope ``mim_bench``; importing this package registers them."""

from mim_bench.discovery import import_modules

import_modules(__name__, __path__)
