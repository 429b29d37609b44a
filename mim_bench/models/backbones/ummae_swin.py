"""UM-MAE's Swin: position MLP instead of a bias table, convolution as patch merging."""

import math
from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from mmpretrain.models.backbones.base_backbone import BaseBackbone
from torch import nn

from mim_bench.errors import ConfigError
from mim_bench.models.backbones.ummae_swin_blocks import (
    UMMAEDownsample,
    UMMAESwinBlock,
    WindowLayout,
)
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


class PatchEmbed(BaseModule):
    """Non-overlapping patches through one convolution, then LayerNorm."""

    def __init__(self, in_channels: int, embed_dims: int, patch_size: int) -> None:
        super().__init__()
        self.projection = nn.Conv2d(in_channels, embed_dims, patch_size, stride=patch_size)
        self.norm = nn.LayerNorm(embed_dims, eps=1e-6)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) -> (B, H / patch, W / patch, D)."""
        return self.norm(self.projection(images).permute(0, 2, 3, 1))


class UMMAESwinStage(BaseModule):
    """A stage: the downsampling that opens it (none in the first), then its blocks."""

    def __init__(self, downsample: nn.Module | None, blocks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.downsample = downsample
        self.blocks = nn.ModuleList(blocks)


@MODELS.register_module()
class UMMAESwin(BaseBackbone):
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
        super().__init__(init_cfg)
        sizes = _architecture(arch)
        dims, self.depths = sizes['embed_dims'], tuple(sizes['depths'])
        self.window_size, self.patch_size = window_size, patch_size
        self.out_indices, self.frozen_stages = tuple(out_indices), frozen_stages
        self.stage_dims = [dims * 2**i for i in range(len(self.depths))]
        self.patch_embed = PatchEmbed(in_channels, dims, patch_size)
        last = max(sum(self.depths) - 1, 1)
        rates = [drop_path_rate * g / last for g in range(sum(self.depths))]
        self.stages = nn.ModuleList()
        for i, (depth, heads) in enumerate(zip(self.depths, sizes['num_heads'], strict=True)):
            width = self.stage_dims[i]
            blocks = [
                UMMAESwinBlock(
                    width,
                    heads,
                    sizes['posmlp_dims'],
                    shifted=bool(b % 2),
                    drop_path=rates.pop(0),
                    with_cp=with_cp,
                )
                for b in range(depth)
            ]
            downsample = UMMAEDownsample(width // 2, width) if i else None
            self.stages.append(UMMAESwinStage(downsample, blocks))
        self.norm = nn.LayerNorm(self.stage_dims[-1], eps=1e-6) if final_norm else None
        self._freeze()

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Features of full images.

        Args:
            x: Images (B, C, H, W); H and W are multiples of the patch size.

        Returns:
            A map (B, C_i, H_i, W_i) for each stage of ``out_indices``.
        """
        x = self.patch_embed(x)
        outs = []
        for i, stage in enumerate(self.stages):
            if stage.downsample is not None:
                x = stage.downsample(x)
            layouts = [self.layout(tuple(x.shape[1:3]), shifted, x.device) for shifted in (0, 1)]
            for block in stage.blocks:
                x = block(x, layouts[block.shifted])
            if i in self.out_indices:
                is_last = i == len(self.stages) - 1
                out = self.norm(x) if self.norm is not None and is_last else x
                outs.append(out.permute(0, 3, 1, 2).contiguous())
        return tuple(outs)

    def layout(self, grid: tuple[int, int], shifted: bool, device: torch.device) -> WindowLayout:
        """The windows of a regular map; all images share the offsets between tokens."""
        plan = plan_windows(grid, self.window_size, bool(shifted))
        offsets, index = regular_offsets(plan.window, device)
        mask = cached_region_mask(plan, device) if plan.needs_mask else None
        return WindowLayout(plan, offsets, index, mask)

    def init_weights(self) -> None:
        """Xavier for linear layers and the patch embedding, fan-out normal for convolutions."""
        super().init_weights()
        if (self.init_cfg or {}).get('type') == 'Pretrained':
            return
        self.apply(init_ummae_weights)
        nn.init.xavier_uniform_(self.patch_embed.projection.weight.flatten(1))

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """The layer of a parameter for layer-wise learning-rate decay.

        Args:
            param_name: Name in the model.
            prefix: Of the backbone in the model, for example ``'backbone.'``.

        Returns:
            (layer, layers): 0 for the patch embedding, g + 1 for block g of all and the
            downsampling that opens it, blocks + 1 for the rest; layers = blocks + 2.

        Source: UM-MAE's fine-tuning code. Differs from mmpretrain's Swin, which counts a
        downsampling to the stage before it.
        """
        num_layers = sum(self.depths) + 2
        if not param_name.startswith(prefix):
            return num_layers - 1, num_layers
        parts = param_name[len(prefix) :].split('.')
        if parts[0] == 'patch_embed':
            return 0, num_layers
        if parts[0] != 'stages':
            return num_layers - 1, num_layers
        block = int(parts[3]) if parts[2] == 'blocks' else 0
        return sum(self.depths[: int(parts[1])]) + block + 1, num_layers

    def train(self, mode: bool = True) -> 'UMMAESwin':
        """Frozen stages stay in evaluation mode."""
        super().train(mode)
        self._freeze()
        return self

    def _freeze(self) -> None:
        if self.frozen_stages < 0:
            return
        frozen = [self.patch_embed, *self.stages[: self.frozen_stages]]
        if self.frozen_stages >= len(self.stages) and self.norm is not None:
            frozen.append(self.norm)
        for module in frozen:
            module.eval()
            module.requires_grad_(False)


def init_ummae_weights(module: nn.Module) -> None:
    """UM-MAE's initialisation of one module.

    Linear: Xavier-uniform, bias 0. LayerNorm: 1 and 0. Conv2d: normal with standard
    deviation sqrt(2 / fan_out), bias 0.
    """
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.LayerNorm):
        nn.init.ones_(module.weight)
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Conv2d):
        fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels
        nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out))
        nn.init.zeros_(module.bias)


def _architecture(arch: str | dict) -> dict:
    if isinstance(arch, dict):
        missing = {'embed_dims', 'depths', 'num_heads', 'posmlp_dims'} - set(arch)
        if missing:
            raise ConfigError(f'UMMAESwin: arch lacks {sorted(missing)}; it has {sorted(arch)}.')
        return arch
    if arch not in ARCHITECTURES:
        raise ConfigError(f'UMMAESwin: unknown arch {arch!r}. Known: {sorted(ARCHITECTURES)}.')
    return ARCHITECTURES[arch]
