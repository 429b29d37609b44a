"""A foreign checkpoint to the canonical one."""

import difflib
from dataclasses import dataclass
from pathlib import Path

import torch

from mim_bench.conversion.files import read_checkpoint, state_dict_of, write_checkpoint
from mim_bench.conversion.source import Source
from mim_bench.conversion.sources import SOURCES
from mim_bench.errors import ConversionError
from mim_bench.results.hashing import file_sha256

# Tokens that pre-training alone uses; a backbone that is not pre-trained has no place for them.
PRETRAINING_TOKENS = ('backbone.vis_mask_token', 'backbone.mask_token')


@dataclass(frozen=True)
class Conversion:
    """What a conversion did.

    Attributes:
        path: The canonical file.
        source: Name of the format.
        meta: The ``meta`` of the canonical file.
        num_tensors: Weights kept.
        dropped: Source keys that were dropped on purpose.
    """

    path: Path
    source: str
    meta: dict
    num_tensors: int
    dropped: list[str]


def convert_checkpoint(
    src: str | Path,
    dst: str | Path,
    *,
    source: str = 'auto',
    keep_decoder: bool = False,
    trust: bool = False,
) -> Conversion:
    """Convert a checkpoint file.

    Args:
        src: The foreign file.
        dst: The canonical file: ``state_dict`` with keys under ``backbone.``, and ``meta``.
        source: A name of :data:`~mim_bench.conversion.sources.SOURCES`, or 'auto'.
        keep_decoder: Keep neck, head and mask tokens too, so that the pre-training model
            (or the classifier) loads the result.
        trust: Allow pickled code in ``src``.

    Raises:
        CheckpointError: ``src`` cannot be read, or ``dst`` not be written.
        ConversionError: The format is unknown, ambiguous, or has keys without a rule.
    """
    src, dst = Path(src), Path(dst)
    content = read_checkpoint(src, trust=trust)
    state = state_dict_of(content)
    chosen = find_source(state, source, src.name)
    converted = chosen.convert(state, src.name)
    dropped = list(converted.dropped)
    kept = dict(converted.backbone)
    if keep_decoder:
        kept |= converted.rest
    else:
        dropped += sorted(converted.rest)
        dropped += [k for k in PRETRAINING_TOKENS if kept.pop(k, None) is not None]
    if not converted.backbone:
        raise ConversionError(f'{src.name}: holds no weights of a backbone.')
    meta = {
        'source': chosen.name,
        'source_file': src.name,
        'source_sha256': file_sha256(src),
        'arch': chosen.architecture(state),
        'backbone_type': chosen.backbone_type_of(state),
        'method': chosen.method,
        'licence': chosen.licence,
        'epochs': _epochs(content),
        'dropped': dropped,
        'resized': [],
        'reordered': list(converted.reordered),
    }
    meta |= {k: v for k, v in _own_meta(content).items() if meta.get(k) is None}
    write_checkpoint({'state_dict': kept, 'meta': meta}, dst)
    return Conversion(dst, chosen.name, meta, len(kept), dropped)


def find_source(state: dict[str, torch.Tensor], name: str, where: str) -> Source:
    """The source by name, or the one whose detector fits.

    Raises:
        ConversionError: Unknown name (with near ones), or none or several formats fit.
    """
    if name != 'auto':
        if name not in SOURCES:
            near = difflib.get_close_matches(name, SOURCES, n=1)
            hint = f' Did you mean {near[0]!r}?' if near else ''
            raise ConversionError(f'Unknown source {name!r}.{hint} Known: {sorted(SOURCES)}.')
        return SOURCES[name]
    fitting = [source for source in SOURCES.values() if source.detect(state)]
    if len(fitting) == 1:
        return fitting[0]
    found = [source.name for source in fitting] or 'none'
    raise ConversionError(
        f'{where}: the format is not clear (fits: {found}; known: {sorted(SOURCES)}). '
        f'Name it with --source. First keys: {list(state)[:5]}.'
    )


def _epochs(content: dict) -> int | None:
    """Official files count from zero; mmengine's meta holds the finished epochs."""
    if isinstance(content.get('epoch'), int):
        return content['epoch'] + 1
    epoch = (content.get('meta') or {}).get('epoch')
    return epoch if isinstance(epoch, int) else None


def _own_meta(content: dict) -> dict:
    """What mim_bench's runner wrote about the method into ``meta``."""
    meta = content.get('meta')
    own = meta.get('mim_bench') if isinstance(meta, dict) else None
    return own if isinstance(own, dict) else {}
