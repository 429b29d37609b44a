"""Panels of methods with a momentum network: the inputs of both networks, and the result."""

import torch
from torch import nn
from torch.nn import functional as F

from mim_bench.masking.mask import take_tokens
from mim_bench.targets.pixels import patchify
from mim_bench.visualization.panels import (
    Panel,
    denormalize,
    fill_hidden,
    hide_patches,
    masks_for,
    show_normalized,
)


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
