"""LocalMIM: masked image modelling with local multi-scale reconstruction."""

from typing import Any

import torch
from mmpretrain.models.selfsup.base import BaseSelfSupervisor
from mmpretrain.structures import DataSample
from torch.nn import functional as F

from mim_bench.data.masked_samples import gather_masks
from mim_bench.models.panels import (
    Panel,
    denormalize,
    fill_hidden,
    hide_patches,
    show_normalized,
)
from mim_bench.models.target_pictures import draw_histograms, draw_orientations
from mim_bench.registry import MODELS

STAR_MIN_PX = 8  # a star of fewer pixels has no directions


@MODELS.register_module()
class LocalMIM(BaseSelfSupervisor):
    """Several depths of the encoder reconstruct, each at a scale of its own.

    Backbone :class:`LocalMIMViT` or :class:`LocalMIMSwin`, neck :class:`LocalMIMDecoder` or
    :class:`LocalMIMSwinDecoder`, head :class:`LocalMIMHead`. Every data sample carries
    ``mask``, of the transform ``RandomPatchMask`` (ViT) or ``UnitMask`` (Swin).

    Args:
        *args: Of mmpretrain's ``BaseSelfSupervisor``.
        **kwargs: Of mmpretrain's ``BaseSelfSupervisor``.

    Source: LocalMIM, arXiv:2303.05251; Haoqing-Wang/LocalMIM@314a6e5.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.shares_mask = getattr(self.backbone, 'shares_mask', False)

    def extract_feat(self, inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Features of the full, unmasked images, as the backbone gives them."""
        return self.backbone(inputs)

    def loss(
        self, inputs: torch.Tensor, data_samples: list[DataSample], **_: object
    ) -> dict[str, torch.Tensor]:
        """The losses of a batch; see :meth:`LocalMIMHead.compare`."""
        if self.shares_mask:
            mask = gather_masks(data_samples).mask
            targets = self.head.targets(inputs)
            preds = self.neck(self.backbone(inputs, mask), mask, hidden_only=True)
            return self.head.compare(preds, targets, mask.is_hidden)
        mask = self._mask(data_samples, inputs.device)
        # Before the network runs: afterwards, its activations would lie beside their buffers.
        targets = self.head.targets(inputs)
        # A neck that has no shortcut predicts every cell; the head knows both.
        predict = getattr(self.neck, 'predict_hidden', self.neck)
        return self.head.compare(predict(self.backbone(inputs, mask), mask), targets, mask)

    @torch.no_grad()
    def panels(
        self, inputs: torch.Tensor, data_samples: list[DataSample], *, predict: bool
    ) -> list[Panel]:
        """Pictures of the mask and, for every task, of the target and the prediction.

        Histograms are stars, or colours where the cells are too small for stars. Predictions
        stand where anything is hidden, the target or the image elsewhere.

        Args:
            inputs: (B, 3, H, W), normalised.
            data_samples: With ``mask``.
            predict: Run the network.
        """
        mask = self._mask(data_samples, inputs.device).expand(len(inputs), -1, -1)
        image = denormalize(inputs, self.data_preprocessor)
        panels = [Panel('input', image), Panel('masked input', hide_patches(image, mask))]
        given = gather_masks(data_samples).mask if self.shares_mask else mask
        preds = self.neck(self.backbone(inputs, given), given) if predict else ()
        painted = self._painted_pixels if self.head.target == 'pixel' else self._painted_histograms
        return _with_own_titles(panels + painted(inputs, mask, preds))

    def _painted_histograms(
        self, inputs: torch.Tensor, mask: torch.Tensor, preds: list[torch.Tensor]
    ) -> list[Panel]:
        head, size, targets = self.head, tuple(inputs.shape[2:]), self.head.targets(inputs)
        panels = [
            Panel(f'target, {cell} px', _draw_cells(target, cell, size, head.num_bins))
            for cell, target in zip(head.cells, targets, strict=True)
        ]
        for k, pred in enumerate(preds):
            hidden = _hidden_cells(mask, head.scales[k]).flatten(1)[..., None]
            shown = torch.where(hidden, pred.float(), targets[k])
            picture = _draw_cells(shown, head.cells[k], size, head.num_bins)
            panels.append(Panel(f'prediction, {head.cells[k]} px', picture))
        return panels

    def _painted_pixels(
        self, inputs: torch.Tensor, mask: torch.Tensor, preds: list[torch.Tensor]
    ) -> list[Panel]:
        head = self.head
        panels = [
            Panel(f'target, {cell} px', show_normalized(inputs, cell))
            for cell in head.cells
            if head.norm_pix
        ]
        for cell, scale, pred in zip(head.cells, head.scales, preds, strict=False):
            cells = _hidden_cells(mask, scale)
            pred = pred[cells.flatten(1)]
            filled = fill_hidden(inputs, pred, cells, cell, norm_pix=head.norm_pix)
            picture = denormalize(filled, self.data_preprocessor)
            panels.append(Panel(f'reconstruction, {cell} px', picture))
        return panels

    def _mask(self, data_samples: list[DataSample], device: torch.device) -> torch.Tensor:
        """(B or 1, rows, cols) bool, True = hidden."""
        if self.shares_mask:
            return gather_masks(data_samples).mask.first().is_hidden.to(device)
        return torch.stack([sample.mask for sample in data_samples]).to(device).bool()


def _with_own_titles(panels: list[Panel]) -> list[Panel]:
    """Number repeated titles: the last two stages of Swin have cells of one size."""
    titles, numbered = [panel.title for panel in panels], []
    for i, (title, images) in enumerate(panels):
        repeats = titles[:i].count(title)
        numbered.append(Panel(f'{title} ({repeats + 1})' if repeats else title, images))
    return numbered


def _draw_cells(
    vectors: torch.Tensor, cell: int, size: tuple[int, int], num_bins: int
) -> torch.Tensor:
    """Histograms (B, cells, C * bins) in raster order as a picture."""
    grid = (size[0] // cell, size[1] // cell)
    maps = vectors.reshape(len(vectors), *grid, -1, num_bins).permute(0, 3, 4, 1, 2)
    if cell >= STAR_MIN_PX:
        return draw_histograms(maps, size)
    return F.interpolate(draw_orientations(maps), size=size, mode='nearest')


def _hidden_cells(mask: torch.Tensor, scale: float) -> torch.Tensor:
    """(B, rows, cols) over mask patches to (B, rows, cols) over cells; partly hidden counts."""
    if scale < 1:
        return F.max_pool2d(mask.float(), round(1 / scale)).bool()
    return mask.repeat_interleave(int(scale), 1).repeat_interleave(int(scale), 2)
