"""Panels of LocalMIM: the mask and, for every task, the target and the prediction."""

import torch
from torch import nn
from torch.nn import functional as F

from mim_bench.visualization.panels import (
    Panel,
    denormalize,
    fill_hidden,
    input_and_masked,
    masks_for,
    show_normalized,
)
from mim_bench.visualization.targets import draw_histograms, draw_orientations

STAR_MIN_PX = 8  # smaller stars show no directions


@torch.no_grad()
def localmim_panels(
    model: nn.Module, inputs: torch.Tensor, data_samples: object, *, predict: bool
) -> list[Panel]:
    """Panels of :class:`~mim_bench.models.methods.localmim.LocalMIM`.

    Histograms are drawn as stars, or as colours where cells are too small. Predictions
    are shown where anything is hidden, the target or the image elsewhere.
    """
    mask = model.mask_of(masks_for(inputs, data_samples))
    is_hidden = mask.is_hidden.expand(len(inputs), -1, -1)
    panels = input_and_masked(inputs, is_hidden, model.data_preprocessor)
    preds = model.neck(model.backbone(inputs, mask), mask) if predict else ()
    painted = _painted_pixels if model.head.target == 'pixel' else _painted_histograms
    return _with_own_titles(panels + painted(model, inputs, is_hidden, preds))


def _painted_histograms(
    model: nn.Module, inputs: torch.Tensor, is_hidden: torch.Tensor, preds: list[torch.Tensor]
) -> list[Panel]:
    head, size, targets = model.head, tuple(inputs.shape[2:]), model.head.targets(inputs)
    panels = [
        Panel(f'target, {cell} px', _draw_cells(target, cell, size, head.num_bins))
        for cell, target in zip(head.cells, targets, strict=True)
    ]
    for k, pred in enumerate(preds):
        hidden = _hidden_cells(is_hidden, head.scales[k]).flatten(1)[..., None]
        shown = torch.where(hidden, pred.float(), targets[k])
        picture = _draw_cells(shown, head.cells[k], size, head.num_bins)
        panels.append(Panel(f'prediction, {head.cells[k]} px', picture))
    return panels


def _painted_pixels(
    model: nn.Module, inputs: torch.Tensor, is_hidden: torch.Tensor, preds: list[torch.Tensor]
) -> list[Panel]:
    head = model.head
    panels = [
        Panel(f'target, {cell} px', show_normalized(inputs, cell))
        for cell in head.cells
        if head.norm_pix
    ]
    for cell, scale, pred in zip(head.cells, head.scales, preds, strict=False):
        cells = _hidden_cells(is_hidden, scale)
        pred = pred[cells.flatten(1)]
        filled = fill_hidden(inputs, pred, cells, cell, norm_pix=head.norm_pix)
        picture = denormalize(filled, model.data_preprocessor)
        panels.append(Panel(f'reconstruction, {cell} px', picture))
    return panels


def _with_own_titles(panels: list[Panel]) -> list[Panel]:
    """Number repeated titles, since the last two stages of Swin have cells of one size."""
    titles, numbered = [panel.title for panel in panels], []
    for i, (title, images) in enumerate(panels):
        repeats = titles[:i].count(title)
        numbered.append(Panel(f'{title} ({repeats + 1})' if repeats else title, images))
    return numbered


def _draw_cells(
    vectors: torch.Tensor, cell: int, size: tuple[int, int], num_bins: int
) -> torch.Tensor:
    """Draw histograms (B, cells, C * bins) in raster order."""
    grid = (size[0] // cell, size[1] // cell)
    maps = vectors.reshape(len(vectors), *grid, -1, num_bins).permute(0, 3, 4, 1, 2)
    if cell >= STAR_MIN_PX:
        return draw_histograms(maps, size)
    return F.interpolate(draw_orientations(maps), size=size, mode='nearest')


def _hidden_cells(is_hidden: torch.Tensor, scale: float) -> torch.Tensor:
    """Convert a mask over mask patches to one over cells; partly hidden cells are hidden."""
    if scale < 1:
        return F.max_pool2d(is_hidden.float(), round(1 / scale)).bool()
    return is_hidden.repeat_interleave(int(scale), 1).repeat_interleave(int(scale), 2)
