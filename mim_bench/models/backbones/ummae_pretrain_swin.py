"""UM-MAE's Swin on the compact grid: only the sampled patches are embedded and attended."""

import torch
from torch import nn

from mim_bench.errors import ConfigError
from mim_bench.models.backbones.compact_grid import CompactGrid, compact_images
from mim_bench.models.backbones.ummae_swin import UMMAESwin
from mim_bench.models.backbones.ummae_swin_blocks import WindowLayout
from mim_bench.models.backbones.windows import (
    cached_region_mask,
    irregular_index,
    offset_square,
    plan_windows,
)
from mim_bench.registry import MODELS


@MODELS.register_module()
class UMMAEPretrainSwin(UMMAESwin):
    """Encodes the visible quarter of an image as one dense map.

    With masks, the sampled patches are gathered from the image into a compact image
    of half the side before the patch embedding, and every token keeps the place it
    had in the full image. Without masks it is :class:`UMMAESwin`.

    Args:
        mask_patch_size: Side of a mask patch in pixels.
        **kwargs: Of :class:`UMMAESwin`; ``final_norm`` is on by default.

    Source: UM-MAE, arXiv:2205.10063, official ``mae_swin``. Differs: gathers the kept
    patches where the official code embeds all of them and sums them up with a dilated
    depth-wise convolution; the result is the same.
    """

    def __init__(
        self, arch: str | dict = 'tiny', *, mask_patch_size: int = 16, **kwargs: object
    ) -> None:
        kwargs.setdefault('final_norm', True)
        super().__init__(arch, **kwargs)
        if mask_patch_size % self.patch_size:
            raise ConfigError(
                f'UMMAEPretrainSwin: mask_patch_size {mask_patch_size} is not a multiple of '
                f'patch_size {self.patch_size}.'
            )
        self.mask_patch_size = mask_patch_size
        self.vis_mask_token = nn.Parameter(torch.zeros(1, 1, self.stage_dims[0]))

    def init_weights(self) -> None:
        """As the base class; the secondary mask token is normal with deviation 0.02."""
        super().init_weights()
        nn.init.normal_(self.vis_mask_token, std=0.02)

    def forward(
        self,
        x: torch.Tensor,
        mask: torch.Tensor | None = None,
        hidden: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, ...]:
        """Encode.

        Args:
            x: Images (B, C, H, W).
            mask: (B, rows, cols) bool over the mask patches, True = not sampled, one False
                in every 2x2 cell; None encodes the full image.
            hidden: Like ``mask``: True = not seen as image content; a superset of ``mask``.

        Returns:
            With masks one map (B, C, rows / 4, cols / 4), after the last norm; else the
            maps of :class:`UMMAESwin`.
        """
        if mask is None:
            return super().forward(x)
        return (self.encode_compact(x, mask, mask if hidden is None else hidden),)

    def encode_compact(
        self, images: torch.Tensor, mask: torch.Tensor, hidden: torch.Tensor
    ) -> torch.Tensor:
        """The masked forward pass; see :meth:`forward`."""
        cells = CompactGrid.from_mask(mask)
        x = self.patch_embed(compact_images(images, cells, self.mask_patch_size))
        tokens_per_patch = self.mask_patch_size // self.patch_size
        replaced = cells.gather(hidden[..., None]).squeeze(-1)  # (B, cell rows, cell cols)
        replaced = replaced.repeat_interleave(tokens_per_patch, 1)
        replaced = replaced.repeat_interleave(tokens_per_patch, 2)
        token = self.patch_embed.norm(self.vis_mask_token)[:, None]
        x = torch.where(replaced[..., None], token.to(x.dtype), x)
        places = cells.token_places(tokens_per_patch)
        for i, stage in enumerate(self.stages):
            if stage.downsample is not None:
                x = stage.downsample(x)
            layouts = self.compact_layouts(places[:, :: 2**i, :: 2**i], tokens_per_patch, i)
            for block in stage.blocks:
                x = block(x, layouts[block.shifted])
        if self.norm is not None:
            x = self.norm(x)
        return x.permute(0, 3, 1, 2)

    def compact_layouts(
        self, places: torch.Tensor, tokens_per_patch: int, stage: int
    ) -> list[WindowLayout]:
        """The windows of a compact map, not shifted and shifted.

        Args:
            places: (B, H, W, 2) int64, the places of the tokens that opened this stage's,
                in units of the first stage.
            tokens_per_patch: Tokens along a mask patch in the first stage.
            stage: Number of halvings so far.
        """
        grid = tuple(places.shape[1:3])
        # Offsets are multiples of the step: within a patch neighbours are 2**stage first-stage
        # tokens apart, and where a token covers several patches they are whole patches apart.
        step = min(2**stage, tokens_per_patch)
        unit = step / 2**stage
        layouts = []
        for shifted in (False, True):
            plan = plan_windows(grid, max(self.window_size // 2, 1), shifted)
            radius = _offset_radius(plan.window, plan.shift, tokens_per_patch, stage) // step
            index = irregular_index(places.div(step, rounding_mode='floor'), plan, radius)
            offsets = offset_square(radius, unit, places.device)
            mask = cached_region_mask(plan, places.device) if plan.needs_mask else None
            layouts.append(WindowLayout(plan, offsets, index, mask))
        return layouts


def _offset_radius(
    window: tuple[int, int], shift: tuple[int, int], tokens_per_patch: int, stage: int
) -> int:
    """The largest offset between two tokens of a window, in first-stage tokens.

    A compact patch stands for one of the two patches of its cell along a side, so a
    window that touches n cells spans at most 2n patches.
    """
    cells = []
    for w, s in zip(window, shift, strict=True):
        first_tokens = w * 2**stage
        touched = -(-first_tokens // tokens_per_patch)
        aligned = first_tokens % tokens_per_patch == 0 and s * 2**stage % tokens_per_patch == 0
        cells.append(touched + (0 if aligned else 1))
    return 2 * max(cells) * tokens_per_patch - 1
