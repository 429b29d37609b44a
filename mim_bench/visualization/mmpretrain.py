"""Panels of mmpretrain's pre-training methods."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from mim_bench.visualization.panels import (
    Panel,
    denormalize,
    fill_hidden,
    input_and_masked,
    show_normalized,
    show_where_hidden,
)
from mim_bench.visualization.targets import draw_histograms, draw_tokens


def simmim_panels(
    model: nn.Module, inputs: torch.Tensor, data_samples: Sequence[Any], *, predict: bool
) -> list[Panel]:
    """Panels of ``SimMIM``; its masks lie on the grid of tokens, 1 = hidden."""
    mask = _masks(data_samples, inputs.device)
    panels = input_and_masked(inputs, mask, model.data_preprocessor)
    if predict:
        # The class uses the masks as numbers.
        predicted = model.neck(model.backbone(inputs, mask.long())[0])
        filled = show_where_hidden(inputs, predicted, mask)
        panels.append(Panel('reconstruction', denormalize(filled, model.data_preprocessor)))
    return panels


def mae_panels(
    model: nn.Module, inputs: torch.Tensor, data_samples: Sequence[Any], *, predict: bool
) -> list[Panel]:
    """Panels of ``MAE``, which draws its masks itself, from torch's global generator."""
    latent, flat_mask, ids_restore = model.backbone(inputs)
    patch_size, norm_pix = model.head.patch_size, model.head.norm_pix
    rows, cols = (side // patch_size for side in inputs.shape[2:])
    mask = flat_mask.reshape(-1, rows, cols).bool()
    panels = input_and_masked(inputs, mask, model.data_preprocessor)
    if norm_pix:
        panels.append(Panel('target (normalised)', show_normalized(inputs, patch_size)))
    if predict:
        predicted = model.neck(latent, ids_restore)[mask.flatten(1)]
        filled = fill_hidden(inputs, predicted, mask, patch_size, norm_pix=norm_pix)
        panels.append(Panel('reconstruction', denormalize(filled, model.data_preprocessor)))
    return panels


def beit_panels(
    model: nn.Module, inputs: list[torch.Tensor], data_samples: Sequence[Any], *, predict: bool
) -> list[Panel]:
    """Panels of ``BEiT`` (the first version): its visual tokens, a colour for each."""
    image, tokenizer_image = inputs
    mask = _masks(data_samples, image.device)
    panels = input_and_masked(image, mask, model.data_preprocessor)
    logits = model.target_generator(tokenizer_image)  # (B, vocabulary, rows, cols)
    vocabulary, tokens = logits.shape[1], logits.argmax(1)
    panels.append(Panel('visual tokens', draw_tokens(tokens, vocabulary)))
    if predict:
        features = model.backbone(image, mask)[0][:, 1:]
        predicted = model.head.cls_head(features).argmax(-1).reshape(tokens.shape)
        shown = torch.where(mask, predicted, tokens)
        panels.append(Panel('predicted tokens', draw_tokens(shown, vocabulary)))
    return panels


def maskfeat_panels(
    model: nn.Module, inputs: torch.Tensor, data_samples: Sequence[Any], *, predict: bool
) -> list[Panel]:
    """Panels of ``MaskFeat``: its gradient histograms, drawn as stars."""
    mask = _masks(data_samples, inputs.device)

    def draw(tokens: torch.Tensor) -> torch.Tensor:
        cells = _cells(tokens, model.target_generator.nbins, mask.shape[1:])
        return draw_histograms(cells, tuple(inputs.shape[2:]))

    panels = input_and_masked(inputs, mask, model.data_preprocessor)
    target = model.target_generator(inputs)
    panels.append(Panel('target (HOG)', draw(target)))
    if predict:
        tokens = model.backbone(inputs, mask.flatten(1))
        predicted = model.neck((tokens.flatten(0, 1),))[0].reshape(*tokens.shape[:2], -1)[:, 1:]
        filled = torch.where(mask.flatten(1)[..., None], predicted, target)
        panels.append(Panel('prediction (HOG)', draw(filled)))
    return panels


def _masks(data_samples: Sequence[Any], device: torch.device) -> torch.Tensor:
    """The masks of a batch, (B, rows, cols) bool, True = hidden."""
    return torch.stack([sample.mask for sample in data_samples]).to(device).bool()


def _cells(tokens: torch.Tensor, num_bins: int, grid: Sequence[int]) -> torch.Tensor:
    """MaskFeat's token vectors as a map of cells.

    Args:
        tokens: (B, rows * cols, 3 * bins * k * k): k x k cells of a token, the colour and the
            bin before the cell.
        num_bins: Bins of a histogram.
        grid: Tokens as (rows, cols).

    Returns:
        (B, 3, bins, rows * k, cols * k).
    """
    b, (rows, cols) = tokens.shape[0], grid
    k = round((tokens.shape[-1] / (3 * num_bins)) ** 0.5)
    cells = tokens.reshape(b, rows, cols, 3, num_bins, k, k)
    return cells.permute(0, 3, 4, 1, 5, 2, 6).reshape(b, 3, num_bins, rows * k, cols * k)
