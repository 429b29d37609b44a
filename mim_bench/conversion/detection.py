"""Which source a file comes from."""

import difflib
from collections.abc import Mapping

import torch

from mim_bench.conversion.source import Fit, Source
from mim_bench.conversion.sources import SOURCES
from mim_bench.errors import ConversionError

AUTO = 'auto'


def fitting_sources(state: Mapping[str, torch.Tensor], content: Mapping) -> list[Source]:
    """The sources that fit best: several where a file does not tell them apart, perhaps none.

    Args:
        state: The weights.
        content: The file's dictionary around them.
    """
    fits = {source.name: source.detect(state, content) for source in SOURCES.values()}
    best = max(fits.values())
    return [SOURCES[name] for name, fit in fits.items() if fit is best and fit is not Fit.NO]


def find_source(
    state: Mapping[str, torch.Tensor], name: str, where: str, content: Mapping | None = None
) -> Source:
    """The source by name, or the one whose detector fits best.

    Args:
        state: The weights.
        name: Of :data:`~mim_bench.conversion.sources.SOURCES`, or 'auto'.
        where: The file, for messages.
        content: The file's dictionary around the weights, which can tell formats apart.

    Raises:
        ConversionError: Unknown name (with near ones), or none or several formats fit.
    """
    if name != AUTO:
        if name not in SOURCES:
            near = difflib.get_close_matches(name, SOURCES, n=1)
            hint = f' Did you mean {near[0]!r}?' if near else ''
            raise ConversionError(f'Unknown source {name!r}.{hint} Known: {sorted(SOURCES)}.')
        return SOURCES[name]
    fitting = fitting_sources(state, content or {})
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise ConversionError(
            f'{where}: the format is not clear (fits: {[source.name for source in fitting]}, '
            'which share these keys). Name the one it comes from with --source: the weights '
            'are converted alike, but method and licence differ.'
        )
    raise ConversionError(
        f'{where}: the format is not clear (fits: none; known: {sorted(SOURCES)}). '
        f'Name it with --source. First keys: {list(state)[:5]}.'
    )
