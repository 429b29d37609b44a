"""The settings of a run that decide what its numbers mean, taken from its config."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from mmengine.config import Config

from mim_bench.recipe.precision import AMP_WRAPPER, BFLOAT16_WRAPPER

# Data, augmentation, batch, schedule, optimiser, evaluation, and the model around the backbone.
# Not tta_model and tta_pipeline: a test with --tta has them as its model and its pipeline.
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
)
# What is compared (the backbone, and widths that follow from it), where files lie, and how
# fast they are read. None of them changes what is measured.
_IGNORED = {
    'backbone',
    'in_channels',
    'in_dims',
    'input_features',
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
    'eval_backend',
    'outfile_prefix',
    'cache_dir',
}
# What a backbone needs to give out the normalised maps of a pyramid at all: a part of its family.
_ADAPTERS = {'mim_bench.ViTPyramid', 'mim_bench.StageNorm'}


def protocol_settings(cfg: Config) -> dict[str, Any]:
    """Plain data that is equal for two configs that measure the same thing.

    It errs on the side of a difference: a config that says the same in other words gets
    other settings, and its numbers are not ranked beside the first one's. Paths count from
    the data root, wherever that lies. Where the config says its ``effective_batch_size``, that
    counts, however many GPUs and forward passes it is made of.

    Args:
        cfg: The resolved config of a run.
    """
    roots = data_roots(cfg)
    settings = {part: _plain(cfg[part], roots) for part in _PARTS if cfg.get(part) is not None}
    if 'train_dataloader' in settings:
        _state_update(settings, cfg.get('effective_batch_size'))
    return settings


def plain_settings(node: Any, cfg: Config) -> Any:
    """A part of a config as :func:`protocol_settings` gives it."""
    return _plain(node, data_roots(cfg))


def data_roots(cfg: Config) -> list[str]:
    """Folders of data that a config names, each with a slash at its end.

    The longest first: one may lie in another.
    """
    named = [cfg.get('data_root'), *_data_roots(cfg.to_dict())]
    roots = {root.rstrip('/') + '/' for root in named if root}
    return sorted(roots, key=len, reverse=True)


def below_roots(text: str, roots: Sequence[str]) -> str:
    """A path counted from the first of the roots that it lies in; other text as it is."""
    for root in roots:
        if text.startswith(root):
            return text[len(root) :]
    return text


def _state_update(settings: dict[str, Any], effective_batch: int | None) -> None:
    """Say what an update is, not how the GPUs share it."""
    wrapper = settings.get('optim_wrapper') or {}
    if wrapper.get('type') == BFLOAT16_WRAPPER:
        wrapper.update(type=AMP_WRAPPER, dtype='bfloat16')
    if wrapper.get('dtype') == 'bfloat16':
        wrapper.pop('loss_scale', None)  # nothing underflows that would need one
    wrapper.pop('use_fsdp', None)
    if effective_batch is not None:
        settings['train_dataloader'].pop('batch_size', None)
        wrapper.pop('accumulative_counts', None)
        settings['effective_batch_size'] = effective_batch


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
        return below_roots(value, roots)
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if abs(value) < float('inf') else str(value)
    # Classes and functions by name; their default text holds an address in memory.
    return getattr(value, '__qualname__', None) or type(value).__qualname__


def _is_adapter(value: Any) -> bool:
    return isinstance(value, Mapping) and value.get('type') in _ADAPTERS
