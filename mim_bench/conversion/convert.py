"""A foreign checkpoint to the canonical one, or to another library's layout."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from mim_bench.conversion.arch_options import apply_arch
from mim_bench.conversion.architecture import Architecture, architecture_of, unknown_grid
from mim_bench.conversion.canonical import backbone_alone, plain_tensors
from mim_bench.conversion.containers import Weights, open_container
from mim_bench.conversion.detection import AUTO, find_source
from mim_bench.conversion.exports import CANONICAL, export
from mim_bench.conversion.files import read_checkpoint, write_checkpoint
from mim_bench.conversion.key_table import Converted
from mim_bench.conversion.provenance import build_meta, earlier_arch
from mim_bench.conversion.source import Source
from mim_bench.errors import ConversionError
from mim_bench.results.hashing import file_sha256


@dataclass(frozen=True)
class Options:
    """How to convert.

    Attributes:
        source: A name of :data:`~mim_bench.conversion.sources.SOURCES`, or 'auto'.
        keep_decoder: Keep neck, head and mask tokens too, so that the pre-training model
            (or the classifier) loads the result; a shared table of positions stays shared.
        trust: Allow pickled code in the file.
        use_ema: Take the average of the weights that a file holds beside them.
        merge_order: How the weights of a Swin's mergings order their neighbours; None takes
            the source's usual one.
        arch: What the user says about the architecture; what the weights show must agree.
        facts: What the user says about the weights, by the names of
            :data:`~mim_bench.conversion.provenance.FACTS`.
        to: 'canonical', or a name of :data:`~mim_bench.conversion.exports.EXPORTS`.
    """

    source: str = AUTO
    keep_decoder: bool = False
    trust: bool = False
    use_ema: bool = False
    merge_order: str | None = None
    arch: Mapping = field(default_factory=dict)
    facts: Mapping = field(default_factory=dict)
    to: str = CANONICAL


@dataclass(frozen=True)
class Conversion:
    """What a conversion did.

    Attributes:
        path: The file written.
        source: Name of the format.
        meta: The ``meta`` of the canonical file.
        num_tensors: Weights kept.
        dropped: Source keys that were dropped on purpose, canonical ones of what a backbone
            alone does not have.
        notes: What a user should know: assumptions, and weights that were not taken.
    """

    path: Path
    source: str
    meta: dict
    num_tensors: int
    dropped: list[str]
    notes: list[str] = field(default_factory=list)


def convert_checkpoint(src: str | Path, dst: str | Path, **options: object) -> Conversion:
    """Convert a checkpoint file.

    Args:
        src: The foreign file.
        dst: The canonical file: ``state_dict`` with keys under ``backbone.``, and ``meta``.
        **options: Of :class:`Options`.

    Raises:
        CheckpointError: ``src`` cannot be read, or ``dst`` not be written.
        ConversionError: The format is unknown, ambiguous, or has keys without a rule.
    """
    src, dst, how = Path(src), Path(dst), Options(**options)
    content = read_checkpoint(src, trust=how.trust)
    with ThreadPoolExecutor(max_workers=1) as pool:
        # Reading the file once for its hash takes as long as all the rest.
        digest = pool.submit(file_sha256, src)
        weights = open_container(content, src.name, use_ema=how.use_ema)
        source = find_source(weights.state, how.source, src.name, content)
        whole = convert_weights(weights, source, src.name, how.merge_order)
        converted = whole if how.keep_decoder else backbone_alone(whole, source.backbone_names)
        architecture = _architecture(converted, source, content, src.name, how)
        state, cast = plain_tensors({**converted.backbone, **converted.rest})
        meta = {'source_file': src.name} | build_meta(
            source,
            weights,
            whole,
            architecture,
            content,
            sha256=digest.result(),
            stated=how.facts,
        )
        changes = ('dropped', 'reordered', 'expanded')
        meta |= {'cast': cast, **{name: getattr(converted, name) for name in changes}}
        if converted.reordered:
            meta['merge_order'] = how.merge_order or next(iter(source.merge_orders))
    exported = export(how.to, state, meta, src.name)
    write_checkpoint(exported.content(dst), dst)
    dropped = [*converted.dropped, *exported.dropped]
    notes = _notes(weights, architecture)
    return Conversion(dst, source.name, meta, len(exported.state), dropped, notes)


def convert_weights(
    weights: Weights, source: Source, where: str, merge_order: str | None
) -> Converted:
    """The whole model under canonical names.

    Raises:
        ConversionError: Keys have no rule, or no weight belongs to a backbone.
    """
    converted = source.convert(weights.state, where, merge_order=merge_order)
    if merge_order is not None and not converted.reordered:
        raise ConversionError(
            f'{where}: has no mergings, so no order of theirs. Leave --merge-order out.'
        )
    if not converted.backbone:
        raise ConversionError(f'{where}: holds no weights of a backbone.')
    return converted


def _architecture(
    converted: Converted, source: Source, content: Mapping, where: str, how: Options
) -> Architecture:
    found = architecture_of(converted.backbone)
    facts = source.unseen_settings.get(found.backbone_type, {})
    facts = {**facts, **source.order_settings.get(how.merge_order, {})}
    earlier = {k: v for k, v in earlier_arch(content).items() if k in found.assumed}
    return apply_arch(found, {**facts, **earlier, **how.arch}, where)


def _notes(weights: Weights, architecture: Architecture) -> list[str]:
    notes = [
        f'{key}={architecture.arch[key]} is assumed (a head is 64 wide): the weights do not show '
        f'it. Say --arch {key}=... if it is another.'
        for key in architecture.assumed
    ]
    if grid := unknown_grid(architecture.arch):
        notes.append(grid)
    if weights.others:
        notes.append(
            f'weights taken from {weights.container!r}; {", ".join(weights.others)} not taken '
            '(--use-ema takes the average)'
        )
    return notes
