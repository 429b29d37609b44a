"""The Swin of SimMIM, evaluated faster than mmpretrain evaluates it."""

import torch
from mmpretrain.models.selfsup.simmim import SimMIMSwinTransformer

from mim_bench.models.backbones.dense_swin_blocks import dense_block, merge_map
from mim_bench.registry import MODELS


@MODELS.register_module()
class MaskTokenSwin(SimMIMSwinTransformer):
    """Mmpretrain's ``SimMIMSwinTransformer`` with fused attention; masks are bool.

    Arguments and state-dict keys are mmpretrain's; the last stage is among ``out_indices``,
    and masked images give its map only. Maps that the windows do not divide,
    full images, and dropout inside the attention are left to its own code.

    Source: SimMIM, arXiv:2111.09886.
    """

    def forward(
        self, x: torch.Tensor, mask: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, ...]:
        """Encode.

        Args:
            x: Images (B, C, H, W).
            mask: (B, rows, cols) bool over the tokens of the first stage, True = hidden;
                None encodes the full image.

        Returns:
            With a mask the map (B, C, h, w) of the last stage. Without: a map for each stage of
            ``out_indices``.
        """
        if mask is None or self._has_dropout() or not self._windows_divide(tuple(mask.shape[1:])):
            return super().forward(x, mask)
        x, grid = self.patch_embed(x)
        x = torch.where(mask.flatten(1)[..., None], self.mask_token.to(x.dtype), x)
        if self.use_abs_pos_embed:
            x = x + self.absolute_pos_embed
        x = self.drop_after_pos(x).unflatten(1, grid)
        for stage in self.stages:
            for block in stage.blocks:
                x = dense_block(block, x)
            if stage.downsample is not None:
                x = merge_map(stage.downsample, x)
        norm = getattr(self, f'norm{len(self.stages) - 1}')
        return (norm(x).permute(0, 3, 1, 2).contiguous(),)

    def _has_dropout(self) -> bool:
        parts = (block.attn.w_msa for stage in self.stages for block in stage.blocks)
        return any(msa.attn_drop.p or msa.proj_drop.p for msa in parts)

    def _windows_divide(self, grid: tuple[int, int]) -> bool:
        """Whether the maps of all stages are whole windows, and all mergings 2x2."""
        for stage in self.stages:
            sizes = {block.attn.window_size for block in stage.blocks}
            if any(side % size for side in grid for size in sizes):
                return False
            merging = stage.downsample
            if merging is not None:
                if any(side % 2 for side in grid) or merging.sampler.kernel_size != (2, 2):
                    return False
                grid = tuple(side // 2 for side in grid)
        return True
