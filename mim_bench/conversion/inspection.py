"""What a checkpoint holds, found out without converting the file."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from mim_bench.conversion.architecture import Architecture, architecture_of
from mim_bench.conversion.canonical import backbone_alone
from mim_bench.conversion.containers import Weights, open_container
from mim_bench.conversion.detection import fitting_sources
from mim_bench.conversion.provenance import build_meta, earlier_arch
from mim_bench.conversion.source import Source
from mim_bench.errors import ConversionError


@dataclass(frozen=True)
class Inspection:
    """What is known of a file.

    Attributes:
        weights: Its weights, under the file's own names.
        formats: The sources that fit; several where the file does not tell them apart.
        meta: As a canonical file would have it; empty for an unknown format.
        problem: Why ``meta`` is empty although a format fits.
        dtypes: How many tensors there are of which type.
        num_parameters: Values of all tensors.
    """

    weights: Weights
    formats: list[str]
    meta: dict
    problem: str | None = None
    dtypes: dict[str, int] = field(default_factory=dict)
    num_parameters: int = 0


def inspect_content(content: Mapping, where: str) -> Inspection:
    """Look at a file's dictionary.

    Args:
        content: What the file holds.
        where: The file, for messages.

    Raises:
        ConversionError: It holds no weights.
    """
    weights = open_container(content, where)
    sources = fitting_sources(weights.state, content)
    meta, problem = {}, None
    if sources:
        try:
            meta = _meta(weights, sources, content, where)
        except ConversionError as error:
            problem = str(error)
    tensors = weights.state.values()
    return Inspection(
        weights,
        [source.name for source in sources],
        meta,
        problem,
        dict(Counter(str(tensor.dtype).removeprefix('torch.') for tensor in tensors)),
        sum(tensor.numel() for tensor in tensors),
    )


def _meta(weights: Weights, sources: list[Source], content: Mapping, where: str) -> dict:
    """The formats that fit share their names, so that the first tells the architecture of all."""
    source = sources[0]
    converted = backbone_alone(source.convert(weights.state, where), source.backbone_names)
    found = architecture_of(converted.backbone)
    earlier = {k: v for k, v in earlier_arch(content).items() if k in found.assumed}
    known = [key for key in found.assumed if key not in earlier]
    architecture = Architecture(found.backbone_type, {**found.arch, **earlier}, known)
    meta = build_meta(source, weights, converted, architecture, content)
    if len(sources) > 1:
        meta |= {'source': None, 'method': None, 'licence': None}
    return meta
