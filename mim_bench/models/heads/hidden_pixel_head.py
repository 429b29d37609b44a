"""A linear head that predicts the pixels of hidden patches, and its loss."""

import torch
from mmengine.model import BaseModule
from torch import nn
from torch.nn import functional as F

from mim_bench.errors import ConfigError
from mim_bench.registry import MODELS
from mim_bench.targets.hidden_pixels import hidden_pixels

CRITERIA = {'L1': F.l1_loss, 'L2': F.mse_loss}


@MODELS.register_module()
class HiddenPixelHead(BaseModule):
    """One linear layer from a token to the pixels of its patch, for hidden patches only.

    Args:
        in_dims: Width of a token.
        patch_size: Side in pixels of what a token stands for: the patch of a ViT (16), the
            total stride of a pyramid (32).
        criterion: 'L1' or 'L2' (mean squared error).
        norm_pix: The target is the patch with zero mean and unit variance, else the image as
            the network sees it.
        in_channels: Channels of the image.
        init_cfg: Initialisation of mmengine; PyTorch's own by default, as SimMIM's decoder.

    Raises:
        ConfigError: ``criterion`` is unknown.

    Source: SimMIM, arXiv:2111.09886, microsoft/SimMIM@d3e29bc: a 1x1 convolution and a pixel
    shuffle, L1 on the hidden pixels. Differs: computed at the hidden tokens only; the outputs
    stand in another order (row, column, channel), which is the same layer.
    """

    def __init__(
        self,
        in_dims: int,
        patch_size: int = 16,
        *,
        criterion: str = 'L1',
        norm_pix: bool = False,
        in_channels: int = 3,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if criterion not in CRITERIA:
            raise ConfigError(
                f'HiddenPixelHead: criterion {criterion!r} must be one of {sorted(CRITERIA)}.'
            )
        self.patch_size = patch_size
        self.norm_pix = norm_pix
        self.criterion = CRITERIA[criterion]
        self.linear = nn.Linear(in_dims, patch_size**2 * in_channels)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Tokens (..., D) to patch vectors (..., patch_size ** 2 * C)."""
        return self.linear(tokens)

    def loss(self, tokens: torch.Tensor, images: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        """Compare.

        Args:
            tokens: (B, hidden, D), those of the hidden patches.
            images: (B, C, H, W), normalised as the network saw them.
            index: (B, hidden) int64, their places among the patches in raster order.

        Returns:
            A scalar float32: the mean over hidden pixels and channels.
        """
        target = hidden_pixels(images, index, self.patch_size, norm_pix=self.norm_pix)
        return self.criterion(self(tokens).float(), target)
