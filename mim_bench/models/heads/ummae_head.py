"""The loss of UM-MAE."""

import torch
from mmengine.model import BaseModule
from torch.nn import functional as F

from mim_bench.masking.token_order import split_by_mask
from mim_bench.registry import MODELS
from mim_bench.targets.hidden_pixels import hidden_pixels


@MODELS.register_module()
class UMMAEHead(BaseModule):
    """Mean squared error on the patches that were not sampled.

    Patches that only the secondary mask hides get no loss.

    Args:
        patch_size: Side of a mask patch in pixels.
        norm_pix: Normalise every target patch to zero mean and unit variance.

    Source: UM-MAE, arXiv:2205.10063; MAE's loss on the patches removed by uniform sampling.
    """

    def __init__(self, patch_size: int = 16, norm_pix: bool = True) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.norm_pix = norm_pix

    def loss(self, pred: torch.Tensor, images: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Compare.

        Args:
            pred: (B, hidden patches, patch_size ** 2 * C), raster order.
            images: (B, C, H, W), normalised as the encoder saw them.
            mask: (B, rows, cols) bool, True = not sampled.

        Returns:
            A scalar.
        """
        num_hidden = pred.shape[1]
        _, hidden = split_by_mask(mask, num_visible=mask[0].numel() - num_hidden)
        target = hidden_pixels(images, hidden, self.patch_size, norm_pix=self.norm_pix)
        return F.mse_loss(pred.float(), target)
