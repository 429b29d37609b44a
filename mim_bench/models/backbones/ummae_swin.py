"""UM-MAE's Swin: position MLP instead of a bias table, convolution as patch merging."""

from collections.abc import Sequence
from typing import ClassVar

import torch

from mim_bench.models.backbones.ummae_pyramid import UMMAEPyramid, read_architecture
from mim_bench.models.backbones.ummae_pyramid_layers import (
    PatchEmbed,
    PyramidStage,
    UMMAEDownsample,
    drop_path_rates,
)
from mim_bench.models.backbones.ummae_swin_blocks import UMMAESwinBlock, WindowLayout
from mim_bench.models.backbones.windows import (
    cached_region_mask,
    plan_windows,
    regular_offsets,
)
from mim_bench.registry import MODELS

ARCHITECTURES = {
    'tiny': dict(embed_dims=96, depths=(2, 2, 6, 2), num_heads=(3, 6, 12, 24), posmlp_dims=32),
    'small': dict(embed_dims=96, depths=(2, 2, 18, 2), num_heads=(3, 6, 12, 24), posmlp_dims=32),
    'base': dict(embed_dims=128, depths=(2, 2, 18, 2), num_heads=(4, 8, 16, 32), posmlp_dims=32),
    'large': dict(embed_dims=192, depths=(2, 2, 18, 2), num_heads=(6, 12, 24, 48), posmlp_dims=64),
}


@MODELS.register_module()
class UMMAESwin(UMMAEPyramid):
    """UM-MAE's Swin for full images, of any size.

    Maps that the windows do not divide are padded, and the padding is masked.

    Args:
        arch: 'tiny', 'small', 'base', 'large', or a dict with embed_dims, depths,
            num_heads, posmlp_dims.
        window_size: Side of a window on the full map in tokens (16 in the paper's
            fine-tuning; pre-training on the compact map uses half of it).
        patch_size: Side of a patch in pixels.
        in_channels: Channels of the input.
        out_indices: Stages to return.
        final_norm: LayerNorm on the last stage. Pre-training has it; fine-tuning and
            dense tasks start without.
        drop_path_rate: Stochastic depth of the last block, growing linearly from 0.
        frozen_stages: Freeze the patch embedding (>= 0) and the first n stages; the
            number of stages freezes everything.
        with_cp: Recompute activations in the backward pass.
        init_cfg: Initialisation of mmengine.

    Source: UM-MAE, arXiv:2205.10063, official Swin for classification and detection.
    Differs: windows never exceed the map along either side, padding is masked.
    """

    FIXED_BY_CHECKPOINT: ClassVar[frozenset[str]] = frozenset({'arch', 'patch_size', 'in_channels'})

    def __init__(
        self,
        arch: str | dict = 'tiny',
        *,
        window_size: int = 16,
        patch_size: int = 4,
        in_channels: int = 3,
        out_indices: Sequence[int] = (3,),
        final_norm: bool = False,
        drop_path_rate: float = 0.0,
        frozen_stages: int = -1,
        with_cp: bool = False,
        init_cfg: dict | list | None = None,
    ) -> None:
        sizes = read_architecture(arch, ARCHITECTURES, tuple(ARCHITECTURES['tiny']), 'UMMAESwin')
        dims = [sizes['embed_dims'] * 2**i for i in range(len(sizes['depths']))]
        super().__init__(
            PatchEmbed(in_channels, dims[0], patch_size),
            make_stages(sizes, dims, drop_path_rate=drop_path_rate, with_cp=with_cp),
            patch_size=patch_size,
            stage_dims=dims,
            out_indices=out_indices,
            final_norm=final_norm,
            frozen_stages=frozen_stages,
            init_cfg=init_cfg,
        )
        self.window_size = window_size
        self.freeze()

    def stage_context(
        self, stage: int, x: torch.Tensor, places: torch.Tensor | None
    ) -> list[WindowLayout]:
        """The windows, not shifted and shifted; all images share the offsets of tokens."""
        layouts = []
        for shifted in (False, True):
            plan = plan_windows(tuple(x.shape[1:3]), self.window_size, shifted)
            offsets, index = regular_offsets(plan.window, x.device)
            mask = cached_region_mask(plan, x.device) if plan.needs_mask else None
            layouts.append(WindowLayout(plan, offsets, index, mask))
        return layouts


def make_stages(
    sizes: dict, dims: Sequence[int], *, drop_path_rate: float, with_cp: bool
) -> list[PyramidStage]:
    """The stages of a Swin.

    Args:
        sizes: depths, num_heads, posmlp_dims.
        dims: Width of each stage.
        drop_path_rate: Of the last block.
        with_cp: Recompute activations in the backward pass.
    """
    stages = []
    for i, rates in enumerate(drop_path_rates(sizes['depths'], drop_path_rate)):
        blocks = [
            UMMAESwinBlock(
                dims[i],
                sizes['num_heads'][i],
                sizes['posmlp_dims'],
                shifted=bool(b % 2),
                drop_path=rate,
                with_cp=with_cp,
            )
            for b, rate in enumerate(rates)
        ]
        downsample = UMMAEDownsample(dims[i - 1], dims[i]) if i else None
        stages.append(PyramidStage(downsample, blocks))
    return stages
