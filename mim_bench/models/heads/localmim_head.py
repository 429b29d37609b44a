"""The loss of LocalMIM: several scales, hidden places only."""

import math
from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from torch.nn import functional as F

from mim_bench.errors import ConfigError
from mim_bench.masking.token_order import split_by_mask, take_tokens
from mim_bench.models.backbones.unit_order import token_places
from mim_bench.registry import MODELS
from mim_bench.targets.hog import hog_pyramid
from mim_bench.targets.pixels import normalize_patches, patchify

TARGETS = ('hog', 'pixel')
BIAS_BOUND = 1 / 3  # PyTorch's default for a 3x3 filter of one channel


@MODELS.register_module()
class LocalMIMHead(BaseModule):
    """Multi-scale targets of the full image, and the error where the mask hides it.

    The loss of a task is the squared error, averaged over a cell's vector and over the cells
    in proportion to how much of each is hidden; the losses of the tasks are added up.

    Args:
        patch_size: Side of a mask patch in pixels: 16 for ViT, the 32 px unit for Swin.
        scales: For each task the cells along a side of a mask patch: a whole number, or one
            over a whole number for cells of several patches.
        target: 'hog' or 'pixel'.
        num_bins: Bins of a gradient histogram, over half a turn.
        norm_pix: Normalise every target patch of pixels to zero mean and unit variance.
        hog_bias: Add two numbers to the gradients, others for each task. They are drawn once
            from U(-1/3, 1/3), stored with the weights and never trained.
        bias_seed: Of that draw.
        init_cfg: Initialisation of mmengine.

    Raises:
        ConfigError: ``target`` is unknown, or a scale does not divide the patch.

    Source: LocalMIM, arXiv:2303.05251; Haoqing-Wang/LocalMIM@314a6e5. Differs: there the
    numbers of ``hog_bias`` are what the construction happened to draw.
    """

    def __init__(
        self,
        patch_size: int = 16,
        scales: Sequence[float] = (4, 2, 1, 0.5),
        *,
        target: str = 'hog',
        num_bins: int = 9,
        norm_pix: bool = True,
        hog_bias: bool = False,
        bias_seed: int = 0,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if target not in TARGETS:
            raise ConfigError(f'LocalMIMHead: target {target!r} must be one of {TARGETS}.')
        self.patch_size = patch_size
        self.scales = tuple(scales)
        self.cells = [_cell_size(patch_size, scale) for scale in scales]
        self.target = target
        self.num_bins = num_bins
        self.norm_pix = norm_pix
        self.hog_bias = hog_bias and target == 'hog'
        if self.hog_bias:
            generator = torch.Generator().manual_seed(bias_seed)
            drawn = torch.rand(len(self.cells), 2, generator=generator, device='cpu')
            for k, pair in enumerate((2 * drawn - 1) * BIAS_BOUND):
                self.register_buffer(f'hog_bias{k}', pair.clone())

    def target_dims(self, in_channels: int = 3) -> list[int]:
        """Length of each task's target vectors."""
        if self.target == 'hog':
            return [in_channels * self.num_bins] * len(self.cells)
        return [in_channels * cell**2 for cell in self.cells]

    def targets(self, images: torch.Tensor) -> list[torch.Tensor]:
        """What is to be predicted.

        Args:
            images: (B, C, H, W), normalised as the encoder saw them.

        Returns:
            For each task float32 (B, cells, length), the cells in raster order.
        """
        if self.target == 'hog':
            tasks = range(len(self.cells))
            biases = [getattr(self, f'hog_bias{k}') if self.hog_bias else None for k in tasks]
            return hog_pyramid(images, self.num_bins, self.cells, biases)
        patches = [patchify(images.float(), cell) for cell in self.cells]
        return [normalize_patches(x) if self.norm_pix else x for x in patches]

    def loss(
        self, preds: Sequence[torch.Tensor], images: torch.Tensor, mask: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """Compare with the targets of the images; see :meth:`compare`.

        Args:
            preds: For each task (B, cells, length).
            images: (B, C, H, W), normalised as the encoder saw them.
            mask: (B or 1, rows, cols) bool, True = hidden.
        """
        return self.compare(preds, self.targets(images), mask)

    def compare(
        self,
        preds: Sequence[torch.Tensor],
        targets: Sequence[torch.Tensor],
        mask: torch.Tensor,
    ) -> dict[str, torch.Tensor]:
        """Compare.

        Args:
            preds: For each task (B, cells, length): all cells in raster order, or those of
                the hidden patches alone, in the order of a neck's ``predict_hidden``.
            targets: Of :meth:`targets`.
            mask: (B or 1, rows, cols) bool over the mask patches, True = hidden.

        Returns:
            ``loss``, the sum, and ``task0_mse``, ``task1_mse``, ... without gradient: names
            that mmengine logs but does not add to the loss.
        """
        parts = [
            self._task_loss(pred.float(), target, mask, scale)
            for pred, target, scale in zip(preds, targets, self.scales, strict=True)
        ]
        logged = {f'task{k}_mse': part.detach() for k, part in enumerate(parts)}
        return {'loss': sum(parts), **logged}

    def _task_loss(
        self, pred: torch.Tensor, target: torch.Tensor, mask: torch.Tensor, scale: float
    ) -> torch.Tensor:
        if pred.shape == target.shape:
            weights = rescale_mask(mask, scale)
            errors = (pred - target).square().mean(dim=-1)
            return (errors * weights).sum() / weights.expand_as(errors).sum()
        num_hidden = pred.shape[1] // round(scale**2)
        grid = tuple(mask.shape[1:])
        _, hidden = split_by_mask(mask, grid[0] * grid[1] - num_hidden)
        places = token_places(hidden.flatten(), grid, round(scale)).reshape(len(mask), -1)
        return F.mse_loss(pred, take_tokens(target, places))


def rescale_mask(mask: torch.Tensor, scale: float) -> torch.Tensor:
    """How much of every cell a mask hides.

    Args:
        mask: (B, rows, cols) bool, True = hidden.
        scale: Cells along a side of a mask patch; under 1, a cell covers several patches.

    Returns:
        float32 (B, rows * scale * cols * scale) in [0, 1], raster order.
    """
    weights = mask.float()
    if scale < 1:
        weights = F.avg_pool2d(weights[:, None], round(1 / scale))
    elif scale > 1:
        weights = weights.repeat_interleave(int(scale), 1).repeat_interleave(int(scale), 2)
    return weights.flatten(1)


def _cell_size(patch_size: int, scale: float) -> int:
    whole = scale if scale >= 1 else 1 / scale
    cell = patch_size / scale
    if not math.isclose(whole, round(whole)) or not math.isclose(cell, round(cell)):
        raise ConfigError(
            f'LocalMIMHead: scale {scale} does not divide patches of {patch_size} pixels. Use a '
            'whole number that divides patch_size, or one over a whole number.'
        )
    return round(cell)
