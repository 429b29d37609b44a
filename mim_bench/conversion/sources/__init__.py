"""One module a source format, with its ``SOURCE``; ``SOURCES`` holds them all by name."""

from mim_bench.conversion.source import Source
from mim_bench.discovery import import_modules

_FOUND = [vars(module).get('SOURCE') for module in import_modules(__name__, __path__)]
SOURCES: dict[str, Source] = {source.name: source for source in _FOUND if source}
