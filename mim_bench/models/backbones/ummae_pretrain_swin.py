"""UM-MAE's Swin on the compact grid: only the sampled patches are embedded and attended."""

import torch

from mim_bench.models.backbones.ummae_compact import CompactPretraining
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
class UMMAEPretrainSwin(CompactPretraining, UMMAESwin):
    """:class:`UMMAESwin` that encodes the visible quarter of an image as one dense map.

    Args:
        arch: Of :class:`UMMAESwin`.
        **kwargs: Of :class:`CompactPretraining` and :class:`UMMAESwin`.

    Source: UM-MAE, arXiv:2205.10063, official ``mae_swin``.
    """

    def __init__(self, arch: str | dict = 'tiny', **kwargs: object) -> None:
        super().__init__(arch, **kwargs)

    def stage_context(
        self, stage: int, x: torch.Tensor, places: torch.Tensor | None
    ) -> list[WindowLayout]:
        """The windows, not shifted and shifted; see :meth:`compact_layouts`."""
        if places is None:
            return super().stage_context(stage, x, places)
        # The place of the token that opens a 2x2 square stands for the square.
        return self.compact_layouts(places[:, :: 2**stage, :: 2**stage], stage)

    def compact_layouts(self, places: torch.Tensor, stage: int) -> list[WindowLayout]:
        """The windows of a compact map, not shifted and shifted.

        Args:
            places: (B, H, W, 2) int64, the places of the tokens that opened this stage's,
                in units of the first stage.
            stage: Number of halvings so far.
        """
        grid = tuple(places.shape[1:3])
        # Offsets are multiples of the step: within a patch neighbours are 2**stage first-stage
        # tokens apart, and where a token covers several patches they are whole patches apart.
        step = min(2**stage, self.tokens_per_patch)
        unit = step / 2**stage
        layouts = []
        for shifted in (False, True):
            plan = plan_windows(grid, max(self.window_size // 2, 1), shifted)
            radius = _offset_radius(plan.window, plan.shift, self.tokens_per_patch, stage) // step
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
