"""``convert --verify``: one forward pass of a canonical file against timm's own network."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from torch import nn

from mim_bench.conversion.architecture import SWIN, TIMM, VIT
from mim_bench.conversion.backbone_config import backbone_config
from mim_bench.conversion.exports import export
from mim_bench.conversion.files import read_checkpoint
from mim_bench.conversion.key_table import BACKBONE
from mim_bench.engine.load_gate import load_state
from mim_bench.errors import ConversionError
from mim_bench.registry import MODELS

# Of the largest value of a map, in float32.
TOLERANCE = 1e-4


def verify_against_timm(path: Path) -> float | None:
    """The largest difference of the last map to that of timm's network, by its largest value.

    Args:
        path: A canonical file.

    Returns:
        None where timm has no such network.

    Raises:
        ConversionError: It is larger than :data:`TOLERANCE`.
    """
    content = read_checkpoint(path)
    meta, state = content['meta'], content['state_dict']
    reference = _reference(meta, state, path)
    if reference is None:
        return None
    net, size = reference
    settings = {'out_norms': False} if meta['backbone_type'] == SWIN else {'final_norm': False}
    if meta['backbone_type'] == VIT:
        settings['out_type'] = 'featmap'
    ours = MODELS.build(backbone_config(meta, **settings)).eval()
    weights = {k.removeprefix(BACKBONE): v for k, v in state.items()}
    load_state(ours, weights, path, advice='This is a fault of the conversion.')
    images = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        mine = ours(images)[-1]
        maps = net.eval().forward_intermediates(images, output_fmt='NCHW', intermediates_only=True)
    if maps[-1].shape != mine.shape:
        raise ConversionError(
            f"{path}: its last map has the shape {tuple(mine.shape)}, that of timm's network "
            f'{tuple(maps[-1].shape)}. Do not use this file.'
        )
    difference = ((maps[-1] - mine).abs().max() / maps[-1].abs().max()).item()
    if not difference <= TOLERANCE:
        raise ConversionError(
            f"{path}: its last map differs from that of timm's network by {difference:.1e} of the "
            f'largest value, more than {TOLERANCE}. Do not use this file.'
        )
    return difference


def _reference(
    meta: Mapping[str, Any], state: Mapping[str, torch.Tensor], path: Path
) -> tuple[nn.Module, tuple[int, int]] | None:
    """The network of timm with the weights, and the size of image that it takes."""
    kind, arch = meta['backbone_type'], meta['arch']
    if kind == TIMM:
        args = {k: v for k, v in arch.items() if k not in ('name', 'pos_resize', 'pixels')}
        args |= {k: tuple(v) for k, v in args.items() if isinstance(v, list)}
        name, weights = arch['name'], {k.removeprefix(BACKBONE): v for k, v in state.items()}
    elif kind in (VIT, SWIN) and 'num_patches' not in arch:
        name, args = _args_of_vit(arch) if kind == VIT else _args_of_swin(arch)
        try:
            weights, _ = export('timm', dict(state), dict(meta), path.name)
        except ConversionError:  # none of timm's
            return None
    else:
        return None
    net = timm.create_model(name, num_classes=0, **args)
    missing, _ = net.load_state_dict(weights, strict=False)
    behind = ('norm.', 'fc_norm.', 'head.', 'attn_pool.')  # the maps
    if missing := [key for key in missing if not key.startswith(behind)]:
        raise ConversionError(
            f"{path}: lacks the weights {missing[:4]} of timm's {name}. Do not use this file."
        )
    size = args.get('img_size') or timm.get_pretrained_cfg(name).input_size[-1]
    return net, (size, size) if isinstance(size, int) else tuple(size)


def _args_of_vit(arch: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    dims = arch['embed_dims']
    args = {
        'img_size': arch.get('img_size', 224),
        'patch_size': arch['patch_size'],
        'embed_dim': dims,
        'depth': arch['num_layers'],
        'num_heads': arch['num_heads'],
        'mlp_ratio': arch['feedforward_channels'] / dims,
        'init_values': 0.1 if arch['layer_scale'] else None,
    }
    if arch['qv_bias']:
        has_table = arch['rel_pos_bias'] != 'none'
        return 'beit_base_patch16_224', {
            **args,
            'use_abs_pos_emb': arch['abs_pos'] == 'learned',
            'use_rel_pos_bias': has_table,
        }
    with_token = arch.get('with_cls_token', True)
    return 'vit_base_patch16_224', {
        **args,
        'qkv_bias': arch.get('qkv_bias') != 'none',
        'class_token': with_token,
        'global_pool': 'token' if with_token else 'avg',
    }


def _args_of_swin(arch: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    window = arch['window_size']
    windows = window if isinstance(window, list) else [window]
    # Whole windows in every stage, so that nothing is filled up.
    side = arch['patch_size'] * 2 ** (len(arch['depths']) - 1) * math.lcm(*windows)
    return 'swin_tiny_patch4_window7_224', {
        'img_size': side,
        'patch_size': arch['patch_size'],
        'embed_dim': arch['embed_dims'],
        'depths': tuple(arch['depths']),
        'num_heads': tuple(arch['num_heads']),
        'window_size': windows[0],
    }
