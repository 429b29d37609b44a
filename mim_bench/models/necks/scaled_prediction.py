"""From the tokens of a patch grid to predictions on a finer or coarser grid."""

from itertools import pairwise

import torch
from mmengine.model import BaseModule
from torch import nn
from torch.nn import functional as F

from mim_bench.errors import ConfigError

UPSAMPLINGS = {4: 2, 2: 1, 1: 0, 0.5: 0}


class ScaledPrediction(BaseModule):
    """One of LocalMIM's prediction heads for ViT.

    Scale 4 is a transposed 2x2 convolution, LayerNorm, GELU, a second one and a 1x1
    convolution; scale 2 a transposed and a 1x1 convolution; scale 1 the 1x1 convolution;
    scale 0.5 the mean over 2x2 tokens before it. A transposed convolution halves the width.

    The layers hold the weights in the official layout. None of them mixes neighbouring
    patches, so they are computed as linear layers on tokens, for any selection of them; the
    last transposed convolution and the 1x1 convolution, with nothing between them, as one.

    Args:
        in_dims: Width of a token.
        out_dims: Length of a prediction.
        scale: Predictions along a side of a patch: 4, 2, 1 or 0.5.
        init_cfg: Initialisation of mmengine.

    Raises:
        ConfigError: ``scale`` is another.

    Source: LocalMIM, arXiv:2303.05251; Haoqing-Wang/LocalMIM@314a6e5, ``decoder.k.pred``.
    """

    def __init__(
        self, in_dims: int, out_dims: int, scale: float, init_cfg: dict | list | None = None
    ) -> None:
        super().__init__(init_cfg)
        if scale not in UPSAMPLINGS:
            raise ConfigError(f'ScaledPrediction: scale {scale} is none of {list(UPSAMPLINGS)}.')
        self.scale = scale if scale < 1 else int(scale)
        widths = [in_dims // 2**i for i in range(UPSAMPLINGS[scale] + 1)]
        self.ups = nn.ModuleList(
            nn.ConvTranspose2d(wide, narrow, 2, stride=2) for wide, narrow in pairwise(widths)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width, eps=1e-6) for width in widths[1:-1])
        self.proj = nn.Conv2d(widths[-1], out_dims, 1)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Predict the cells of any selection of patches; not for scale 0.5.

        Args:
            tokens: (B, n, D).

        Returns:
            (B, n * scale ** 2, out_dims): patch after patch, a patch's cells on the Z-curve,
            as :func:`mim_bench.models.backbones.unit_order.token_places` numbers them.
        """
        x = tokens
        for up, norm in zip(self.ups[:-1], self.norms, strict=True):
            x = F.gelu(norm(_spread(x, up.weight, up.bias)))
        if len(self.ups):
            return _spread(x, *_merged(self.ups[-1], self.proj))
        return F.linear(x, self.proj.weight.flatten(1), self.proj.bias)

    def predict_grid(self, tokens: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
        """Predict the whole grid.

        Args:
            tokens: (B, rows * cols, D), raster order.
            grid: Patches as (rows, cols).

        Returns:
            (B, rows * scale * cols * scale, out_dims), raster order.

        Raises:
            ConfigError: The scale is 0.5 and a side of the grid odd.
        """
        b, (rows, cols) = len(tokens), grid
        if self.scale < 1:
            if rows % 2 or cols % 2:
                raise ConfigError(
                    f'ScaledPrediction: scale {self.scale} needs a grid with even sides, not '
                    f'{tuple(grid)}. Choose an image size that is a multiple of two patches.'
                )
            cells = tokens.reshape(b, rows // 2, 2, cols // 2, 2, -1).mean(dim=(2, 4))
            return F.linear(cells.flatten(1, 2), self.proj.weight.flatten(1), self.proj.bias)
        levels = len(self.ups)
        cells = self(tokens).reshape(b, rows, cols, *[2] * (2 * levels), -1)
        # (B, rows, cols, y, x, y, x, ..., out) -> (B, rows, y, y, ..., cols, x, x, ..., out)
        ys, xs = range(3, 3 + 2 * levels, 2), range(4, 4 + 2 * levels, 2)
        return cells.permute(0, 1, *ys, 2, *xs, cells.dim() - 1).reshape(b, -1, cells.shape[-1])


def _spread(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """A transposed 2x2 convolution of stride 2: (B, n, I) -> (B, 4n, O), four children a cell."""
    matrix = weight.permute(2, 3, 1, 0).flatten(0, 2)  # (2 * 2 * O, I)
    return F.linear(x, matrix, bias.repeat(4)).reshape(len(x), -1, weight.shape[1])


def _merged(up: nn.ConvTranspose2d, proj: nn.Conv2d) -> tuple[torch.Tensor, torch.Tensor]:
    """Weight and bias of the transposed convolution that does both: (I, O, 2, 2) and (O,)."""
    matrix = proj.weight.flatten(1)
    weight = torch.einsum('ihyx,oh->ioyx', up.weight, matrix)
    return weight, F.linear(up.bias, matrix, proj.bias)
