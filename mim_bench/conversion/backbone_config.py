"""The config of the backbone that a canonical file fills."""

from collections.abc import Mapping, Sequence

from mim_bench.conversion.architecture import (
    KINDS,
    MIXMIM,
    MODULE,
    SWIN,
    TIMM,
    UMMAE_PVT,
    UMMAE_SWIN,
    VIT,
)
from mim_bench.errors import ConversionError

# Any other than None makes the weights; their values come from the file.
_LAYER_SCALE = 0.1


def backbone_config(meta: Mapping, **overrides: object) -> dict:
    """The config whose backbone has every weight of a canonical file, and no other.

    Args:
        meta: ``meta`` of the file: ``backbone_type`` and ``arch``.
        **overrides: Arguments of the class that win, for example ``out_indices``, or
            ``final_norm=False, out_type='featmap'`` for a dense task.

    Returns:
        A config for ``MODELS.build`` of mmpretrain, mmseg, mmdet or mim_bench.

    Raises:
        ConversionError: The file is of no backbone that this project builds.
    """
    name, arch = meta.get('backbone_type'), meta.get('arch') or {}
    if name == TIMM:
        own = {key: arch[key] for key in ('name', 'pos_resize', 'pixels') if key in arch}
        args = {key: value for key, value in arch.items() if key not in own}
        return {'type': name, **own, 'model_args': args, **overrides}
    if name == MODULE:
        return {'type': name, **arch, **overrides}
    if name not in KINDS:
        raise ConversionError(
            f'No backbone is known for {name!r}, of {meta.get("source_file") or "this file"}; '
            f'known: {", ".join(KINDS)}. Write its config by hand.'
        )
    config = {'type': name, 'arch': {key: arch[key] for key in KINDS[name].sizes}}
    config |= {key: arch[key] for key in KINDS[name].settings if key in arch}
    if name == VIT:
        config |= _vit(arch)
    elif name == SWIN and arch['norms']:
        config |= {'out_norms': True, 'out_indices': arch['norms']}
    elif name in (UMMAE_SWIN, UMMAE_PVT, MIXMIM):
        config['final_norm'] = 'norm' in arch['norms']
    return {**config, **overrides}


def _vit(arch: Mapping) -> dict:
    config = {
        'qkv_bias': arch.get('qkv_bias') or ('qv' if arch['qv_bias'] else 'full'),
        'layer_scale': _LAYER_SCALE if arch['layer_scale'] else None,
        'final_norm': 'ln1' in arch['norms'],
    }
    if 'num_patches' in arch and 'img_size' in arch:  # said by the user, not by the weights
        sides = (_pair(arch[key]) for key in ('img_size', 'patch_size'))
        config['checkpoint_grid'] = tuple(s // p for s, p in zip(*sides, strict=True))
    return config | ({'out_type': 'avg_featmap'} if 'ln2' in arch['norms'] else {})


def _pair(size: int | Sequence[int]) -> Sequence[int]:
    return (size, size) if isinstance(size, int) else size
