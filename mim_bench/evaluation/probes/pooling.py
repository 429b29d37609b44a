"""Pools the output of a backbone to one vector, or to a few, an image."""

import inspect

import torch
from torch import nn
from torch.nn import functional as F

from mim_bench.errors import ConfigError

POOLINGS = ('gap', 'cls', 'tokens')
# Side of the map that 'tokens' gives: the last map of a pyramid at 224 px.
TOKEN_GRID = 7
# mmpretrain's names of outputs that are already one vector an image.
_POOLED_OUT_TYPES = {'cls_token': 'cls', 'avg_featmap': 'gap'}


def backbone_outputs(model: nn.Module, inputs: torch.Tensor) -> list[torch.Tensor]:
    """The outputs of the backbone of a model with ``extract_feat(inputs)``.

    Where that has stages (mmpretrain's classifiers) the backbone's are taken, not the neck's, which
    pools.
    """
    staged = 'stage' in inspect.signature(model.extract_feat).parameters
    outputs = model.extract_feat(inputs, **({'stage': 'backbone'} if staged else {}))
    return list(outputs) if isinstance(outputs, tuple | list) else [outputs]


def pool(features: torch.Tensor, pooling: str, backbone: nn.Module) -> torch.Tensor:
    """Pool features to one vector an image.

    Args:
        features: (B, D, H, W) map; (B, L, D) tokens, prefix tokens such as the class
            token first; or (B, D), pooled by the backbone.
        pooling: ``'gap'``: the mean over the map or over the patch tokens. ``'cls'``:
            the first token. Nothing is guessed, since both make sense for a
            transformer and give different numbers. ``'tokens'``: a map, averaged to 7 x 7
            vectors, row by row, (B, 49 * D).
        backbone: Its ``num_extra_tokens`` says how many prefix tokens there are, its
            ``out_type`` how a (B, D) output was pooled.

    Raises:
        ConfigError: ``pooling`` is unknown or does not fit the features.
    """
    if pooling not in POOLINGS:
        raise ConfigError(f'Unknown pooling {pooling!r}. Known: {", ".join(POOLINGS)}.')
    if features.ndim == 4 and pooling == 'gap':
        return features.mean(dim=(2, 3))
    if features.ndim == 4 and pooling == 'tokens':
        return F.adaptive_avg_pool2d(features, TOKEN_GRID).permute(0, 2, 3, 1).flatten(1)
    if features.ndim == 3 and pooling == 'cls' and getattr(backbone, 'num_extra_tokens', 1):
        return features[:, 0]
    if features.ndim == 3 and pooling == 'gap' and hasattr(backbone, 'num_extra_tokens'):
        return features[:, backbone.num_extra_tokens :].mean(dim=1)
    if features.ndim == 2 and _is_pooled_as(backbone, pooling):
        return features
    raise ConfigError(
        f'pooling={pooling!r} does not fit features of shape {tuple(features.shape)} from '
        f'{type(backbone).__name__} (out_type={getattr(backbone, "out_type", None)!r}). '
        "Use 'gap' or 'tokens' for feature maps and 'cls' for backbones with a class token, and "
        "set the backbone's out_type accordingly."
    )


def _is_pooled_as(backbone: nn.Module, pooling: str) -> bool:
    out_type = getattr(backbone, 'out_type', None)
    return out_type is None or _POOLED_OUT_TYPES.get(out_type) == pooling
