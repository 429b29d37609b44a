"""The settings of a run that decide what its numbers mean, taken from its config."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from mmengine.config import Config

# Data, augmentation, batch, schedule, optimiser, evaluation, and the model around the backbone.
_PARTS = (
    'model',
    'train_dataloader',
    'val_dataloader',
    'test_dataloader',
    'train_cfg',
    'val_cfg',
    'test_cfg',
    'val_evaluator',
    'test_evaluator',
    'optim_wrapper',
    'param_scheduler',
    'tta_model',
    'tta_pipeline',
)
# What is compared (the backbone, and widths that follow from it), where files lie, and how
# fast they are read. None of them changes what is measured.
_IGNORED = {
    'backbone',
    'in_channels',
    'in_dims',
    'num_patches',
    'init_cfg',
    'pretrained',
    'data_root',
    'backend_args',
    'file_client_args',
    'num_workers',
    'persistent_workers',
    'pin_memory',
    'prefetch_factor',
    'outfile_prefix',
}
# What a plain ViT needs to have the maps of a pyramid at all: a part of the backbone's family.
_ADAPTERS = {'mim_bench.ViTPyramid'}


def protocol_settings(cfg: Config) -> dict[str, Any]:
    """Plain data that is equal for two configs that measure the same thing.

    It errs on the side of a difference: a config that says the same in other words gets
    other settings, and its numbers are not ranked beside the first one's. Paths count from
    the data root, wherever that lies.

    Args:
        cfg: The resolved config of a run.
    """
    roots = {root.rstrip('/') + '/' for root in [cfg.get('data_root'), *_data_roots(cfg)] if root}
    # The longest first: one root may lie in another.
    ordered = sorted(roots, key=len, reverse=True)
    return {part: _plain(cfg[part], ordered) for part in _PARTS if cfg.get(part) is not None}


def _data_roots(node: Any) -> Iterator[str]:
    """Of every data set of a config."""
    values: Iterable[Any] = ()
    if isinstance(node, Mapping):
        if isinstance(node.get('data_root'), str):
            yield node['data_root']
        values = node.values()
    elif isinstance(node, list | tuple):
        values = node
    for value in values:
        yield from _data_roots(value)


def _plain(value: Any, roots: Sequence[str]) -> Any:
    if isinstance(value, Mapping):
        plain = {str(k): _plain(v, roots) for k, v in value.items() if k not in _IGNORED}
        if isinstance(plain.get('neck'), list) and len(plain['neck']) == 1:
            plain['neck'] = plain['neck'][0]  # the same network
        return plain
    if isinstance(value, list | tuple):
        return [_plain(v, roots) for v in value if not _is_adapter(v)]
    if isinstance(value, str):
        return _below(value, roots)
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if abs(value) < float('inf') else str(value)
    # Classes and functions by name; their default text holds an address in memory.
    return getattr(value, '__qualname__', None) or type(value).__qualname__


def _is_adapter(value: Any) -> bool:
    return isinstance(value, Mapping) and value.get('type') in _ADAPTERS


def _below(text: str, roots: Sequence[str]) -> str:
    for root in roots:
        if text.startswith(root):
            return text[len(root) :]
    return text
