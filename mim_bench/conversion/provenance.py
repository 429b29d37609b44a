"""Where weights come from: the ``meta`` of a canonical file."""

from collections.abc import Mapping

from mim_bench.conversion.architecture import Architecture
from mim_bench.conversion.containers import Weights
from mim_bench.conversion.key_table import Converted
from mim_bench.conversion.source import Source

# What an earlier conversion found out and a new one may not.
_KEPT = ('method', 'licence', 'epochs', 'finetune_epochs', 'merge_order')
_ORIGIN = ('source', 'source_file', 'source_sha256')
CLASSIFIER_KEY = 'head.fc.weight'


def build_meta(
    source: Source,
    weights: Weights,
    converted: Converted,
    architecture: Architecture,
    content: Mapping,
) -> dict:
    """What a canonical file says about itself.

    Args:
        source: The format.
        weights: As they stood in the file.
        converted: Under canonical names.
        architecture: Read off them.
        content: The file's dictionary.

    Returns:
        ``meta`` without the file's name and hash. ``epochs`` are those of the pre-training:
        a file of a fine-tuned classifier counts its own, ``finetune_epochs``.
    """
    is_finetuned = 'head.weight' in weights.state or CLASSIFIER_KEY in weights.state
    epochs = _epochs(content)
    meta = {
        'source': source.name,
        'container': weights.container,
        'arch': architecture.arch,
        'backbone_type': architecture.backbone_type,
        'assumed': architecture.assumed,
        'method': source.method_of(weights.state),
        'licence': source.licence,
        'epochs': None if is_finetuned else epochs,
        'dropped': converted.dropped,
        'resized': [],
        'reordered': converted.reordered,
        'expanded': converted.expanded,
    }
    if is_finetuned and epochs is not None:
        meta['finetune_epochs'] = epochs
    meta |= {k: v for k, v in _run_meta(content).items() if meta.get(k) is None}
    return meta | _earlier(content, meta)


def earlier_arch(content: Mapping) -> Mapping:
    """The architecture that an earlier conversion stored."""
    return _canonical_meta(content).get('arch') or {}


def _earlier(content: Mapping, meta: Mapping) -> dict:
    """From a file that was converted before: its facts, and where it came from in turn."""
    earlier = _canonical_meta(content)
    kept = {k: earlier[k] for k in _KEPT if earlier.get(k) is not None and meta.get(k) is None}
    if earlier:
        kept['origin'] = earlier.get('origin') or {key: earlier.get(key) for key in _ORIGIN}
    return kept


def _canonical_meta(content: Mapping) -> Mapping:
    meta = content.get('meta')
    is_canonical = isinstance(meta, Mapping) and 'source_sha256' in meta
    return meta if is_canonical else {}


def _epochs(content: Mapping) -> int | None:
    """Official files count from zero; the meta of mmcv and mmengine holds the finished ones."""
    if isinstance(content.get('epoch'), int):
        return content['epoch'] + 1
    meta = content.get('meta')
    epoch = meta.get('epoch') if isinstance(meta, Mapping) else None
    return epoch if isinstance(epoch, int) else None


def _run_meta(content: Mapping) -> Mapping:
    """What mim_bench's runner wrote about the method into ``meta``."""
    meta = content.get('meta')
    own = meta.get('mim_bench') if isinstance(meta, Mapping) else None
    return own if isinstance(own, Mapping) else {}
