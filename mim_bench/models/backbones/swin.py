"""The standard Swin for classification, segmentation and detection, on images of any size."""

from collections.abc import Iterator, Sequence
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from mim_bench.models.backbones.dense_swin_blocks import SwinLayout, merge_map, swin_layout
from mim_bench.models.backbones.frozen_stages import FreezableBackbone
from mim_bench.models.backbones.swin_attention import init_bias_table, init_swin_weights
from mim_bench.models.backbones.swin_loading import fit_loaded_state
from mim_bench.models.backbones.swin_stages import (
    ARCHITECTURES,
    check_out_indices,
    check_window_sizes,
    make_stages,
    stage_dims,
)
from mim_bench.models.backbones.ummae_pyramid import read_architecture
from mim_bench.models.backbones.ummae_pyramid_layers import PatchEmbed
from mim_bench.models.linear import use_fast_linear
from mim_bench.registry import MODELS


@MODELS.register_module()
class Swin(FreezableBackbone):
    """The standard Swin with the keys and, up to rounding, the numbers of mmpretrain and mmdet.

    Images are filled up with zeros to whole patches and maps to whole windows, so any size
    works. Weights for other windows fit: their tables are resized as they are loaded, and
    ``resized_keys`` names them. Index buffers in a file are ignored.

    Args:
        arch: 'tiny', 'small', 'base', 'large', or a dict with embed_dims, depths, num_heads.
        window_size: Side of the windows in tokens, one number or one for each stage.
        patch_size: Side of a patch in pixels.
        in_channels: Channels of the input.
        out_indices: Stages to return; the last by default.
        out_norms: LayerNorm ``norm{i}`` on each returned map: fresh ones for dense tasks, the
            last one for a classifier whose head has none.
        pad_small_map: Pad and shift maps that a window covers, too, as mmdet and mmseg do.
            Otherwise nothing shifts there and windows shrink to the map, as in classification.
        mask_padding: Keep padding out of the attention. The official code and all three
            libraries let it take part, so published numbers do.
        drop_path_rate: Stochastic depth of the last block, growing linearly from 0.
        frozen_stages: Freeze the patch embedding (>= 0) and the first n stages with their
            mergings and norms.
        with_cp: Recompute activations in the backward pass.
        norm_eps: Of every LayerNorm.
        init_cfg: Initialisation of mmengine; without it, that of the official code.

    Raises:
        ConfigError: The sizes do not fit together.

    Source: Swin, arXiv:2103.14030; names as in mmpretrain's ``SwinTransformer``.
    Differs: no absolute positions, and no dropout but stochastic depth.
    """

    FIXED_BY_CHECKPOINT: ClassVar[frozenset[str]] = frozenset(
        {'arch', 'window_size', 'patch_size', 'in_channels', 'norm_eps'}
    )

    def __init__(
        self,
        arch: str | dict = 'tiny',
        *,
        window_size: int | Sequence[int] = 7,
        patch_size: int = 4,
        in_channels: int = 3,
        out_indices: Sequence[int] | None = None,
        out_norms: bool = False,
        pad_small_map: bool = False,
        mask_padding: bool = False,
        drop_path_rate: float = 0.0,
        frozen_stages: int = -1,
        with_cp: bool = False,
        norm_eps: float = 1e-5,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(init_cfg)
        sizes = read_architecture(arch, ARCHITECTURES, tuple(ARCHITECTURES['tiny']), 'Swin')
        self.depths = tuple(sizes['depths'])
        self.window_sizes = check_window_sizes(window_size, len(self.depths))
        self.stage_dims = stage_dims(sizes)
        self.out_indices = check_out_indices(out_indices, len(self.depths))
        self.patch_size, self.frozen_stages = patch_size, frozen_stages
        self.out_channels = tuple(self.stage_dims[i] for i in self.out_indices)
        self.strides = tuple(patch_size * 2**i for i in self.out_indices)
        self.pad_small_map, self.mask_padding = pad_small_map, mask_padding
        self.patch_embed = PatchEmbed(
            in_channels, self.stage_dims[0], patch_size, norm_eps=norm_eps
        )
        self.stages = nn.ModuleList(
            make_stages(
                sizes,
                self.window_sizes,
                drop_path_rate=drop_path_rate,
                with_cp=with_cp,
                norm_eps=norm_eps,
            )
        )
        for i in self.out_indices if out_norms else ():
            self.add_module(f'norm{i}', nn.LayerNorm(self.stage_dims[i], eps=norm_eps))
        use_fast_linear(self)
        self.resized_keys: list[str] = []
        self.register_load_state_dict_pre_hook(fit_loaded_state)
        self.freeze()

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Features of images.

        Args:
            x: Images (B, C, H, W) of any size.

        Returns:
            A map (B, C_i, H_i, W_i) for each stage of ``out_indices``; stage i has a token for
            each started square of ``patch_size * 2 ** i`` pixels.
        """
        p = self.patch_size
        if x.shape[-2] % p or x.shape[-1] % p:
            x = F.pad(x, (0, -x.shape[-1] % p, 0, -x.shape[-2] % p))
        x, outs = self.patch_embed(x), []
        for i, stage in enumerate(self.stages):
            layouts = self.layouts(i, x)
            for block in stage.blocks:
                x = block(x, layouts)
            if i in self.out_indices:
                norm = getattr(self, f'norm{i}', None)
                outs.append((x if norm is None else norm(x)).permute(0, 3, 1, 2).contiguous())
            if stage.downsample is not None:
                x = merge_map(stage.downsample, x)
        return tuple(outs)

    def layouts(self, stage: int, x: torch.Tensor) -> tuple[SwinLayout, SwinLayout]:
        """The windows of a stage's map (B, H, W, C), not shifted and shifted."""
        return tuple(
            swin_layout(
                tuple(x.shape[1:3]),
                self.window_sizes[stage],
                x.device,
                shifted=shifted,
                pad_small_map=self.pad_small_map,
                mask_padding=self.mask_padding,
            )
            for shifted in (False, True)
        )

    def init_weights(self) -> None:
        """As the official code, or as ``init_cfg`` says; tables are normal in either case."""
        super().init_weights()
        configs = [self.init_cfg] if isinstance(self.init_cfg, dict) else self.init_cfg or []
        if any(config['type'] == 'Pretrained' for config in configs):
            return
        self.apply(init_bias_table)
        if not configs:
            self.apply(init_swin_weights)

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """The layer of a parameter for layer-wise learning-rate decay.

        Args:
            param_name: Name in the model.
            prefix: Of the backbone in the model, for example ``'backbone.'``.

        Returns:
            (layer, layers): 0 for the patch embedding, g + 1 for block g of all, the layer of
            a stage's last block for the merging behind it, blocks + 1 for the rest;
            layers = blocks + 2.

        Source: SimMIM's and LocalMIM's fine-tuning code, and mmpretrain's Swin. UM-MAE counts
        its downsampling to the block that it opens.
        """
        num_layers = sum(self.depths) + 2
        parts = param_name.removeprefix(prefix).split('.')
        if not param_name.startswith(prefix) or parts[0] not in ('patch_embed', 'stages'):
            return num_layers - 1, num_layers
        if parts[0] == 'patch_embed':
            return 0, num_layers
        stage = int(parts[1])
        block = int(parts[3]) if parts[2] == 'blocks' else self.depths[stage] - 1
        return sum(self.depths[:stage]) + block + 1, num_layers

    def frozen_parts(self) -> Iterator[nn.Module | torch.Tensor | None]:
        """The patch embedding, the first stages and the norms of their maps."""
        yield self.patch_embed
        yield from self.stages[: self.frozen_stages]
        yield from (getattr(self, f'norm{i}', None) for i in range(self.frozen_stages))
