"""MaskFeat's targets: gradient histograms of the cells of every token."""

import torch
from mmpretrain.models.selfsup.maskfeat import HOGGenerator

from mim_bench.errors import ConfigError
from mim_bench.registry import MODELS


@MODELS.register_module()
class TokenHOGGenerator(HOGGenerator):
    """mmpretrain's ``HOGGenerator`` for any grid of tokens, always in float32.

    Args:
        patch_size: Side of a token in pixels, a multiple of ``pool``.
        pool: Side of a cell in pixels.
        **kwargs: ``nbins`` and ``gaussian_window`` of mmpretrain's class. Images are square,
            their side a multiple of the window.

    Raises:
        ConfigError: Cells do not fit into tokens.

    Source: MaskFeat, arXiv:2112.09133; mmpretrain 1.2.0, ``models/selfsup/maskfeat.py``.
    Differs: mmpretrain's grid is 14 x 14 for every image size, and its gradients are of half
    precision under autocast (bfloat16 on a CPU fails). In float32 the numbers are equal.
    """

    def __init__(self, patch_size: int = 16, pool: int = 8, **kwargs: object) -> None:
        super().__init__(pool=pool, **kwargs)
        if patch_size % pool:
            raise ConfigError(
                f'TokenHOGGenerator: patch_size {patch_size} is not a multiple of pool {pool}. '
                'Change one of them.'
            )
        self.cells_per_side = patch_size // pool

    @torch.no_grad()
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Compute the histograms.

        Args:
            x: Images (B, 3, H, W).

        Returns:
            (B, tokens, 3 * nbins * cells), tokens in raster order; float32.
        """
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x.float())

    def _reshape(self, hog_feat: torch.Tensor) -> torch.Tensor:
        """Reshape (B, 3, nbins, cell rows, cell cols) to token vectors: colour, bin, cell."""
        k = self.cells_per_side
        cells = hog_feat.flatten(1, 2).unfold(2, k, k).unfold(3, k, k)
        return cells.permute(0, 2, 3, 1, 4, 5).flatten(1, 2).flatten(2)
