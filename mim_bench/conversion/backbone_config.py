"""The config of the backbone that a canonical file fills."""

from collections.abc import Callable, Mapping, Sequence

from mim_bench.conversion.architecture import (
    CAPI,
    MIXMIM,
    MODULE,
    SWIN,
    TIMM,
    UMMAE_PVT,
    UMMAE_SWIN,
    VIT,
)
from mim_bench.errors import ConversionError

# What a class takes under ``arch``.
_ARCH_KEYS = {
    VIT: ('embed_dims', 'num_layers', 'num_heads', 'feedforward_channels'),
    SWIN: ('embed_dims', 'depths', 'num_heads'),
    UMMAE_SWIN: ('embed_dims', 'depths', 'num_heads', 'posmlp_dims'),
    UMMAE_PVT: ('embed_dims', 'depths', 'num_heads', 'mlp_ratios'),
    MIXMIM: ('embed_dims', 'depths', 'num_heads', 'mlp_ratio'),
    CAPI: ('embed_dims', 'num_layers', 'num_heads', 'feedforward_channels'),
}
# Further arguments that have the same name in ``meta``.
_SAME = {
    VIT: (
        'img_size',
        'patch_size',
        'in_channels',
        'abs_pos',
        'rel_pos_bias',
        'with_cls_token',
        'pos_resize',
        'norm_eps',
    ),
    SWIN: ('patch_size', 'in_channels', 'window_size', 'norm_eps', 'norm2_eps'),
    UMMAE_SWIN: ('patch_size', 'in_channels', 'window_size'),
    UMMAE_PVT: ('patch_size', 'in_channels', 'img_size', 'sr_ratios'),
    MIXMIM: ('patch_size', 'in_channels', 'img_size', 'window_size'),
    CAPI: ('patch_size', 'num_registers'),
}
# Any other than None makes the weights; their values come from the file.
_LAYER_SCALE = 0.1


def backbone_config(meta: Mapping, **overrides: object) -> dict:
    """The config whose backbone has every weight of a canonical file, and no other.

    Args:
        meta: Of the file: ``backbone_type`` and ``arch``.
        **overrides: Arguments of the class that win, for example ``out_indices``, or
            ``final_norm=False, out_type='featmap'`` for a dense task.

    Returns:
        A config for ``MODELS.build`` of mmpretrain, mmseg, mmdet or mim_bench.

    Raises:
        ConversionError: The file is of no backbone that this project builds.
    """
    kind, arch = meta.get('backbone_type'), meta.get('arch') or {}
    if kind == TIMM:
        own = {key: arch[key] for key in ('name', 'pos_resize') if key in arch}
        args = {key: value for key, value in arch.items() if key not in own}
        return {'type': kind, **own, 'model_args': args, **overrides}
    if kind == MODULE:
        return {'type': kind, **arch, **overrides}
    if kind not in _ARCH_KEYS:
        raise ConversionError(
            f'No backbone is known for {kind!r}, of {meta.get("source_file") or "this file"}; '
            f'known: {", ".join(_ARCH_KEYS)}. Write its config by hand.'
        )
    config = {'type': kind, 'arch': {key: arch[key] for key in _ARCH_KEYS[kind]}}
    config |= {key: arch[key] for key in _SAME[kind] if key in arch}
    return {**config, **_OTHERS[kind](arch), **overrides}


def _vit(arch: Mapping) -> dict:
    config = {
        'qkv_bias': 'qv' if arch['qv_bias'] else 'full',
        'layer_scale': _LAYER_SCALE if arch['layer_scale'] else None,
        'final_norm': 'ln1' in arch['norms'],
    }
    if 'num_patches' in arch and 'img_size' in arch:  # said by the user, not by the weights
        sides = (_pair(arch[key]) for key in ('img_size', 'patch_size'))
        config['checkpoint_grid'] = tuple(s // p for s, p in zip(*sides, strict=True))
    return config | ({'out_type': 'avg_featmap'} if 'ln2' in arch['norms'] else {})


def _pair(size: int | Sequence[int]) -> Sequence[int]:
    return (size, size) if isinstance(size, int) else size


def _swin(arch: Mapping) -> dict:
    return {'out_norms': True, 'out_indices': arch['norms']} if arch['norms'] else {}


def _ummae(arch: Mapping) -> dict:
    return {'final_norm': 'norm' in arch['norms']}


_OTHERS: dict[str, Callable[[Mapping], dict]] = {
    VIT: _vit,
    SWIN: _swin,
    UMMAE_SWIN: _ummae,
    UMMAE_PVT: _ummae,
    MIXMIM: _ummae,
    CAPI: lambda arch: {},
}
