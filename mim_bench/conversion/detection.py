"""Which source a file comes from."""

import re
from collections.abc import Mapping

import torch

from mim_bench.conversion.containers import Weights
from mim_bench.conversion.files import SIDECAR
from mim_bench.conversion.source import Fit, Source
from mim_bench.conversion.sources import SOURCES
from mim_bench.errors import ConversionError, did_you_mean

AUTO = 'auto'
_TEACHER = re.compile(r'teacher|target|ema')


def fitting_sources(state: Mapping[str, torch.Tensor], content: Mapping) -> list[Source]:
    """The sources that fit best: several where a file does not tell them apart, perhaps none."""
    fits = {source.name: source.detect(state, content) for source in SOURCES.values()}
    best = max(fits.values())
    return [SOURCES[name] for name, fit in fits.items() if fit is best and fit is not Fit.NO]


def recognise(
    weights: Weights, content: Mapping, name: str, where: str
) -> tuple[Weights, list[Source]]:
    """The network in a file, looked for under prefixes, too, and the sources that fit it, if any.

    Raises:
        ConversionError: The name of a source is unknown, or several networks in the file fit.
    """

    def fitting(state: Mapping[str, torch.Tensor]) -> list[Source]:
        if name == AUTO:
            return fitting_sources(state, content)
        source = source_named(name)
        return [source] if source.detect(state, content) is not Fit.NO else []

    if found := fitting(weights.state):
        return weights, found
    inner = [weights.under(prefix) for prefix in weights.inner_prefixes()]
    inner = [(part, found) for part in inner if (found := fitting(part.state))]
    # Of a student and its teacher the teacher is the result.
    teachers = [pair for pair in inner if _TEACHER.search(pair[0].prefix)]
    inner = teachers if len(inner) > 1 and teachers else inner
    if len(inner) > 1:
        raise ConversionError(
            f'{where}: holds several networks, under '
            f'{", ".join(part.prefix for part, _ in inner)}. Choose one with `mim-bench convert '
            '--prefix P`.'
        )
    if inner:
        return inner[0]
    return weights, [] if name == AUTO else [source_named(name)]


def source_named(name: str) -> Source:
    """The source of a name.

    Raises:
        ConversionError: There is none; names similar ones.
    """
    if name not in SOURCES:
        hint = did_you_mean(name, SOURCES)
        raise ConversionError(f'Unknown source {name!r}.{hint} Known: {sorted(SOURCES)}.')
    return SOURCES[name]


def find_source(
    state: Mapping[str, torch.Tensor], where: str, content: Mapping | None = None
) -> Source:
    """The source whose detector fits best.

    Raises:
        ConversionError: None or several formats fit.
    """
    return only_source(fitting_sources(state, content or {}), state, where, content)


def only_source(
    fitting: list[Source],
    state: Mapping[str, torch.Tensor],
    where: str,
    content: Mapping | None = None,
) -> Source:
    """The one of several that fit.

    Raises:
        ConversionError: There are none or several.
    """
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise ConversionError(
            f'{where}: the format is not clear (fits: {[source.name for source in fitting]}, '
            'which share these keys). Name the one it comes from with --source: the weights '
            'are converted alike, but method and licence differ.'
        )
    if kind := ((content or {}).get(SIDECAR) or {}).get('model_type'):
        raise ConversionError(
            f'{where}: {SIDECAR} says that it is a {kind!r} of transformers, and no source reads '
            "its names. Take the official file, or timm's of the same weights (timm:NAME.TAG)."
        )
    raise ConversionError(
        f'{where}: the format is not clear (fits: none; known: {sorted(SOURCES)}). '
        'Name it with --source; --timm NAME if timm has the network; or what holds the weights, '
        f'with --container and --prefix. First keys: {list(state)[:5]}.'
    )
