"""One module a family of source formats, with its ``SOURCES``; here all of them by name."""

from mim_bench.conversion.source import Source
from mim_bench.discovery import import_modules

SOURCES: dict[str, Source] = {
    source.name: source
    for module in import_modules(__name__, __path__)
    for source in vars(module)['SOURCES']
}
