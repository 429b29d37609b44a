"""The stages of the standard Swin: sizes, blocks, mergings."""

from collections.abc import Sequence

from mmcv.cnn.bricks.transformer import PatchMerging

from mim_bench.errors import ConfigError
from mim_bench.models.backbones.swin_attention import SwinAttention
from mim_bench.models.backbones.ummae_pyramid_layers import (
    PyramidBlock,
    PyramidStage,
    drop_path_rates,
)

ARCHITECTURES = {
    'tiny': dict(embed_dims=96, depths=(2, 2, 6, 2), num_heads=(3, 6, 12, 24)),
    'small': dict(embed_dims=96, depths=(2, 2, 18, 2), num_heads=(3, 6, 12, 24)),
    'base': dict(embed_dims=128, depths=(2, 2, 18, 2), num_heads=(4, 8, 16, 32)),
    'large': dict(embed_dims=192, depths=(2, 2, 18, 2), num_heads=(6, 12, 24, 48)),
}


def make_stages(
    sizes: dict,
    window_sizes: Sequence[int],
    *,
    drop_path_rate: float,
    with_cp: bool,
    norm_eps: float,
) -> list[PyramidStage]:
    """The stages of a Swin; each but the last ends with the merging to the next.

    Args:
        sizes: embed_dims, depths, num_heads.
        window_sizes: Of each stage.
        drop_path_rate: Of the last block.
        with_cp: Recompute activations in the backward pass.
        norm_eps: Of every LayerNorm.
    """
    dims, stages = stage_dims(sizes), []
    for i, rates in enumerate(drop_path_rates(sizes['depths'], drop_path_rate)):
        blocks = [
            PyramidBlock(
                dims[i],
                SwinAttention(dims[i], sizes['num_heads'][i], window_sizes[i], shifted=b % 2 == 1),
                drop_path=rate,
                with_cp=with_cp,
                norm_eps=norm_eps,
            )
            for b, rate in enumerate(rates)
        ]
        is_last = i == len(dims) - 1
        norm = dict(type='LN', eps=norm_eps)
        merging = None if is_last else PatchMerging(dims[i], dims[i + 1], norm_cfg=norm)
        stages.append(PyramidStage(merging, blocks))
    return stages


def stage_dims(sizes: dict) -> list[int]:
    """Width of each stage.

    Raises:
        ConfigError: The numbers of heads do not fit.
    """
    dims = [sizes['embed_dims'] * 2**i for i in range(len(sizes['depths']))]
    heads = list(sizes['num_heads'])
    if len(heads) != len(dims) or any(d % h for d, h in zip(dims, heads, strict=True)):
        raise ConfigError(
            f'Swin: stages of {dims} channels cannot have {heads} heads. Give num_heads one '
            'number for each stage, which divides its channels.'
        )
    return dims


def check_window_sizes(window_size: int | Sequence[int], num_stages: int) -> tuple[int, ...]:
    """One window size for each stage.

    Raises:
        ConfigError: There is another number of them.
    """
    sizes = (window_size,) * num_stages if isinstance(window_size, int) else tuple(window_size)
    if len(sizes) != num_stages or min(sizes) < 1:
        raise ConfigError(
            f'Swin: window_size {window_size} for {num_stages} stages. Give one number of at '
            'least 1, or one for each stage.'
        )
    return sizes


def check_out_indices(out_indices: Sequence[int] | None, num_stages: int) -> tuple[int, ...]:
    """The stages to return; the last by default.

    Raises:
        ConfigError: There is no such stage.
    """
    indices = (num_stages - 1,) if out_indices is None else tuple(out_indices)
    if not set(indices) <= set(range(num_stages)):
        raise ConfigError(
            f'Swin: out_indices {indices} of {num_stages} stages. Name stages from 0 to '
            f'{num_stages - 1}.'
        )
    return indices
