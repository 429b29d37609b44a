"""Converts a foreign checkpoint to the canonical layout, or to that of another library."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from mim_bench.conversion.arch_options import apply_arch
from mim_bench.conversion.architecture import Architecture, found_architecture
from mim_bench.conversion.canonical import backbone_alone, plain_tensors
from mim_bench.conversion.containers import (
    Weights,
    check_numbers,
    check_whole,
    open_container,
)
from mim_bench.conversion.detection import AUTO, only_source, recognise
from mim_bench.conversion.exports import CANONICAL, export
from mim_bench.conversion.files import read_checkpoint, write_checkpoint
from mim_bench.conversion.key_table import Converted
from mim_bench.conversion.manifest import CHECKPOINT_SUFFIXES
from mim_bench.conversion.notes import notes_on
from mim_bench.conversion.provenance import build_meta, with_earlier
from mim_bench.conversion.source import Fit, Source
from mim_bench.conversion.timm_models import TimmModel, named_model
from mim_bench.conversion.weight_files import weights_file, weights_sha256
from mim_bench.errors import ConversionError, first_of


@dataclass(frozen=True)
class Options:
    """How to convert.

    Attributes:
        source: A name of :data:`~mim_bench.conversion.sources.SOURCES`, or 'auto'.
        keep_decoder: Keep neck, head and mask tokens, too, so that the pre-training model
            (or the classifier) loads the result; a shared table of positions stays shared.
        trust: Allow pickled code in the file.
        use_ema: Take the averaged weights (EMA) of the file.
        merge_order: Order in which a Swin merges neighbours; None: the usual one of the source.
        arch: Architecture settings that the user states; they must agree with the weights.
        facts: Facts that the user states, by the names of
            :data:`~mim_bench.conversion.provenance.FACTS`.
        to: 'canonical', or a name of :data:`~mim_bench.conversion.exports.EXPORTS`.
        container: Key of the file under which the weights are; None: search the usual names.
        prefix: Prefix of the network's weights there; None: recognise it.
        timm: Name of the timm network whose weights the file holds; timm's loader reads it then.
    """

    source: str = AUTO
    keep_decoder: bool = False
    trust: bool = False
    use_ema: bool = False
    merge_order: str | None = None
    arch: Mapping = field(default_factory=dict)
    facts: Mapping = field(default_factory=dict)
    to: str = CANONICAL
    container: str | None = None
    prefix: str | None = None
    timm: str | None = None


@dataclass(frozen=True)
class Conversion:
    """What a conversion did.

    Attributes:
        path: The file written.
        source: Name of the format.
        meta: The ``meta`` of the canonical file.
        num_tensors: Weights kept.
        dropped: Source keys that were dropped on purpose, and canonical keys of parts other than
            the backbone.
        notes: Assumptions, weights that were not taken, and signs of damage.
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
        src: The foreign file, or a folder of the Hugging Face Hub.
        dst: The canonical file: ``state_dict`` with keys under ``backbone.``, and ``meta``.
        **options: Attributes of :class:`Options`.

    Raises:
        CheckpointError: ``src`` cannot be read, or ``dst`` cannot be written.
        ConversionError: The format is unknown, ambiguous, or has keys without a rule.
    """
    src, dst, how = weights_file(src), Path(dst), Options(**options)
    _check_target(src, dst)
    content = read_checkpoint(src, trust=how.trust)
    with ThreadPoolExecutor(max_workers=1) as pool:
        # Hashing the file takes as long as all the rest.
        digest = pool.submit(weights_sha256, src)
        weights = open_container(
            content,
            src.name,
            use_ema=how.use_ema,
            container=how.container,
            prefix=how.prefix,
        )
        check_numbers(weights.state, src.name)
        check_whole(weights.state, src.name)
        weights, source, is_certain = _source_of(weights, content, how, src.name)
        whole = source.convert(
            weights.state, src.name, merge_order=how.merge_order, content=content
        )
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
            is_certain=is_certain,
        )
        notes = notes_on(weights, meta, content, [source.name], how.timm or '')
        if every := list(dict.fromkeys([*meta.get('notes', []), *notes])):
            meta['notes'] = every
        changes = ('dropped', 'reordered', 'expanded')
        meta |= {'cast': cast, **{name: getattr(converted, name) for name in changes}}
        if converted.reordered:
            meta['merge_order'] = how.merge_order or next(iter(source.merge_orders))
    exported, left_out = export(how.to, state, meta, src.name)
    layout = {} if how.to == CANONICAL else {'layout': how.to}
    written = {'state_dict': exported, 'meta': meta | layout}
    # transformers reads a .pth file only without anything around the weights.
    is_bare = how.to == 'huggingface' and dst.suffix != '.safetensors'
    write_checkpoint(exported if is_bare else written, dst)
    dropped = [*converted.dropped, *left_out]
    return Conversion(dst, source.name, meta, len(exported), dropped, notes)


def _check_target(src: Path, dst: Path) -> None:
    if dst.suffix not in CHECKPOINT_SUFFIXES:
        raise ConversionError(
            f'{dst}: a checkpoint is written to a file that ends in .pth or .safetensors. Name one.'
        )
    if dst.exists() and dst.samefile(src):
        raise ConversionError(
            f'{dst}: the conversion would overwrite the checkpoint that it reads, of which it '
            'keeps only a part. Name another file.'
        )


def _source_of(
    weights: Weights, content: Mapping, how: Options, where: str
) -> tuple[Weights, Source, bool]:
    """The network's weights, their source, and whether these determine method and licence."""
    if how.timm is not None:
        if how.source not in (AUTO, 'timm'):
            raise ConversionError(
                f"{where}: --timm {how.timm} reads the file by timm's loader, which --source "
                f'{how.source} contradicts. Give one of them.'
            )
        return weights, _by_timm(how), True
    weights, fitting = recognise(weights, content, how.source, where)
    source = only_source(fitting, weights.state, where, content)
    is_mark = source.detect(weights.state, content) is Fit.MARK
    return weights, source, is_mark or how.source != AUTO


def _by_timm(how: Options) -> Source:
    """The source that reads a file by the loader of a network of timm."""

    def network(state: Mapping, content: Mapping, where: str) -> tuple[TimmModel, Mapping]:
        return named_model(how.timm, state, how.arch, where), state

    return Source(name='timm', detect=lambda state, content: Fit.MARK, network=network)


def _architecture(
    converted: Converted, source: Source, content: Mapping, where: str, how: Options
) -> Architecture:
    try:
        found = found_architecture(converted, source, content)
    except ConversionError as error:
        raise ConversionError(f'{where}: {error}') from error
    if found.backbone_type is None:
        raise ConversionError(
            f'{where}: the weights under backbone. fit no network that mim_bench builds '
            f'({first_of(converted.backbone, 4)}). If timm has it, name it: --timm NAME.'
        )
    if how.timm is not None:
        return found
    facts = source.unseen_settings.get(found.backbone_type, {})
    facts = {**facts, **source.order_settings.get(how.merge_order, {})}
    return apply_arch(with_earlier(found, content), {**facts, **how.arch}, where)
