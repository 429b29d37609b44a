"""Panels of this package's pre-training methods: what the networks see, targets, predictions."""

import torch
from torch import nn
from torch.nn import functional as F

from mim_bench.data.masked_samples import MaskedSamples
from mim_bench.masking.mask import take_tokens
from mim_bench.models.methods.localmim import rescale_mask
from mim_bench.targets.pixels import patchify
from mim_bench.visualization.panels import (
    Panel,
    denormalize,
    fill_hidden,
    hide_patches,
    input_and_masked,
    masks_for,
    show_normalized,
)
from mim_bench.visualization.targets import draw_histograms, draw_orientations

STAR_MIN_PX = 8  # smaller stars show no directions


@torch.no_grad()
def ummae_panels(
    model: nn.Module, inputs: torch.Tensor, data_samples: MaskedSamples | list, *, predict: bool
) -> list[Panel]:
    """Panels of the masks, the target and, with ``predict``, the reconstruction.

    The reconstruction keeps the sampled patches. A normalised prediction gets
    the true patch's mean and deviation, as in the official visualisation.

    Args:
        model: :class:`~mim_bench.models.methods.ummae.UMMAE`.
        inputs: (B, 3, H, W), normalised.
        data_samples: Samples with ``mask`` and, with secondary masking, ``hidden``.
        predict: Whether to run the network.
    """
    samples = masks_for(inputs, data_samples)
    mask, hidden = samples.mask, samples.get('hidden')
    patch_size, norm_pix = model.head.patch_size, model.head.norm_pix
    image = denormalize(inputs, model.data_preprocessor)
    panels = [
        Panel('input', image),
        Panel('uniform sampling', hide_patches(image, mask.is_hidden)),
    ]
    if hidden is not None:
        panels.append(Panel('with secondary mask', hide_patches(image, hidden.is_hidden)))
    if norm_pix:
        panels.append(Panel('target (normalised)', show_normalized(inputs, patch_size)))
    if predict:
        pred = model.predict_hidden(inputs, mask, hidden)
        filled = fill_hidden(inputs, pred, mask.is_hidden, patch_size, norm_pix=norm_pix)
        panels.append(Panel('reconstruction', denormalize(filled, model.data_preprocessor)))
    return panels


@torch.no_grad()
def conmim_panels(
    model: nn.Module, inputs: list[torch.Tensor], data_samples: object, *, predict: bool
) -> list[Panel]:
    """Panels of :class:`~mim_bench.models.methods.conmim.ConMIM`.

    With ``predict``, each hidden place gets the patch of the image whose key is nearest to the
    student's query there; a perfect student reproduces the image.
    """
    plain, distorted = model.views(inputs)
    mask = masks_for(plain, data_samples).mask
    image = denormalize(plain, model.data_preprocessor)
    panels = [
        Panel('input', image),
        Panel('student sees', hide_patches(image, mask.is_hidden)),
        Panel('teacher sees', denormalize(distorted, model.data_preprocessor)),
    ]
    if predict:
        queries = take_tokens(model.queries(plain, mask), mask.hidden)
        keys = F.normalize(model.keys(distorted), dim=-1)
        nearest = (queries @ keys.transpose(1, 2)).argmax(dim=-1)  # (B, hidden)
        patch_size = plain.shape[2] // mask.grid[0]
        found = take_tokens(patchify(plain, patch_size), nearest)
        filled = fill_hidden(plain, found, mask.is_hidden, patch_size, norm_pix=False)
        panels.append(Panel('nearest patches', denormalize(filled, model.data_preprocessor)))
    return panels


@torch.no_grad()
def symmim_panels(
    model: nn.Module, inputs: torch.Tensor | list, data_samples: object, *, predict: bool
) -> list[Panel]:
    """Panels of :class:`~mim_bench.models.methods.symmim.SymMIM`.

    A normalised prediction gets the mean and deviation of the true patch.
    """
    view, other = model.views(inputs)
    samples = masks_for(view, data_samples)
    mask, momentum_mask = samples.mask, samples.momentum_mask
    patch_size, norm_pix = model.head.patch_size, model.head.norm_pix
    image, other = (denormalize(x, model.data_preprocessor) for x in (view, other))
    panels = [
        Panel('input', image),
        Panel('online network sees', hide_patches(image, mask.is_hidden)),
        Panel('momentum network sees', hide_patches(other, momentum_mask.is_hidden)),
    ]
    if norm_pix:
        panels.append(Panel('target', show_normalized(view, patch_size)))
    if predict:
        pred = model.head(model.encode(view, mask).hidden)
        coarse = mask.at(view[0, 0].numel() // patch_size**2)
        filled = fill_hidden(view, pred, coarse.is_hidden, patch_size, norm_pix=norm_pix)
        panels.append(Panel('reconstruction', denormalize(filled, model.data_preprocessor)))
    return panels


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
        share = rescale_mask(is_hidden, head.scales[k])[..., None]
        shown = torch.where(share > 0, pred.float(), targets[k])
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
        hidden = rescale_mask(is_hidden, scale) > 0
        cells = hidden.unflatten(1, (inputs.shape[2] // cell, -1))
        filled = fill_hidden(inputs, pred[hidden], cells, cell, norm_pix=head.norm_pix)
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
