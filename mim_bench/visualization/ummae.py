"""Panels of UM-MAE: both masks, the target, the reconstruction."""

import torch
from torch import nn

from mim_bench.data.masked_samples import MaskedSamples
from mim_bench.visualization.panels import (
    Panel,
    denormalize,
    fill_hidden,
    hide_patches,
    masks_for,
    show_normalized,
)


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
