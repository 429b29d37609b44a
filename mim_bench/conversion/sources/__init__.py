"""One module a source format; ``SOURCES`` names them all."""

from mim_bench.conversion.source import Source
from mim_bench.conversion.sources import mmpretrain, ummae

SOURCES: dict[str, Source] = {module.SOURCE.name: module.SOURCE for module in (mmpretrain, ummae)}
