"""MixMIM's encoder: Swin's stages without shifted windows, and a table of absolute positions."""

from collections.abc import Iterator, Sequence
from typing import ClassVar

import torch
from mmpretrain.models.utils import LayerNorm2d
from torch import nn

from mim_bench.conversion.resizing.position_embedding import resize_position_embedding
from mim_bench.models.backbones.swin import Swin
from mim_bench.models.layers.patches import filled_up
from mim_bench.models.layers.pyramid import read_architecture
from mim_bench.models.layers.transformer import FeedForward
from mim_bench.registry import MODELS

ARCHITECTURES = {
    'base': dict(embed_dims=128, depths=(2, 2, 18, 2), num_heads=(4, 8, 16, 32), mlp_ratio=4),
}


@MODELS.register_module()
class MixMIMEncoder(Swin):
    """The encoder of MixMIM (MixMAE) for images of any size.

    Images are padded with zeros to whole patches and maps to whole windows; positions are resized
    bicubically to the map.

    Args:
        arch: 'base', or a dict with ``embed_dims``, ``depths``, ``num_heads``, ``mlp_ratio``.
        img_size: Side in pixels of the images that the table of positions is for.
        window_size: Side of the windows in tokens, one number or one for each stage.
        final_norm: LayerNorm on the last stage's map.
        **kwargs: Arguments of :class:`~mim_bench.models.backbones.swin.Swin`.

    Raises:
        ConfigError: The sizes do not fit together.

    Source: MixMAE, arXiv:2205.13137.
    """

    FIXED_BY_CHECKPOINT: ClassVar[frozenset[str]] = Swin.FIXED_BY_CHECKPOINT | {'img_size'}

    def __init__(
        self,
        arch: str | dict = 'base',
        *,
        img_size: int | Sequence[int] = 224,
        window_size: int | Sequence[int] = (14, 14, 14, 7),
        final_norm: bool = True,
        **kwargs: object,
    ) -> None:
        sizes = read_architecture(arch, ARCHITECTURES, (), 'MixMIMEncoder')
        super().__init__(sizes, window_size=window_size, **kwargs)
        for stage, width in zip(self.stages, self.stage_dims, strict=True):
            for block in stage.blocks:
                block.attn.shifted = False
                block.ffn = FeedForward(width, sizes.get('mlp_ratio', 4) * width)
        sides = (img_size, img_size) if isinstance(img_size, int) else img_size
        self.grid = tuple(-(-side // self.patch_size) for side in sides)
        rows = self.grid[0] * self.grid[1]
        self.absolute_pos_embed = nn.Parameter(torch.zeros(1, rows, self.stage_dims[0]))
        is_last = max(self.out_indices) == len(self.stages) - 1
        self.norm = LayerNorm2d(self.stage_dims[-1]) if final_norm and is_last else None
        self.freeze()

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Compute a map for each stage of ``out_indices``; images are (B, C, H, W) of any size."""
        x = self.patch_embed(filled_up(x, (self.patch_size,) * 2))
        grid = tuple(x.shape[1:3])
        positions = resize_position_embedding(self.absolute_pos_embed, grid, source_grid=self.grid)
        outs = self.run_stages(x + positions.unflatten(1, grid))
        return outs if self.norm is None else (*outs[:-1], self.norm(outs[-1]))

    def init_own_weights(self) -> None:
        """Initialise as Swin; the table of positions too."""
        super().init_own_weights()
        nn.init.trunc_normal_(self.absolute_pos_embed, std=0.02)

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """Layer and number of layers as in a pyramid; positions belong to the embedding."""
        if param_name == f'{prefix}absolute_pos_embed':
            return 0, sum(self.depths) + 2
        return super().get_layer_depth(param_name, prefix)

    def frozen_parts(self) -> Iterator[nn.Module | torch.Tensor | None]:
        """Patch embedding, positions, the first stages; with all of them, the norm."""
        yield from super().frozen_parts()
        yield getattr(self, 'absolute_pos_embed', None)
        if self.frozen_stages >= len(self.stages):
            yield getattr(self, 'norm', None)
