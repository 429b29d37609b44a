"""UM-MAE: masked autoencoding of pyramid encoders with uniform masking."""

import torch
from mmpretrain.models.selfsup.base import BaseSelfSupervisor
from mmpretrain.structures import DataSample

from mim_bench.models.panels import (
    Panel,
    denormalize,
    fill_hidden,
    hide_patches,
    show_normalized,
)
from mim_bench.registry import MODELS


@MODELS.register_module()
class UMMAE(BaseSelfSupervisor):
    """Backbone :class:`UMMAEPretrainSwin`, neck :class:`UMMAEPyramidDecoder`, head
    :class:`UMMAEHead`.

    Every data sample carries ``mask`` and ``hidden`` of the transform ``UniformMask``.

    Source: UM-MAE, arXiv:2205.10063.
    """  # noqa: D205

    def extract_feat(self, inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Features of the full, unmasked images: (B, 3, H, W) -> one map (B, C, h, w)."""
        return self.backbone(inputs)

    def loss(
        self, inputs: torch.Tensor, data_samples: list[DataSample], **_: object
    ) -> dict[str, torch.Tensor]:
        """The reconstruction loss of a batch, ``{'loss': scalar}``."""
        mask, hidden = _masks(data_samples, inputs.device)
        pred = self.predict_hidden(inputs, mask, hidden)
        return {'loss': self.head.loss(pred, inputs, mask)}

    def predict_hidden(
        self, inputs: torch.Tensor, mask: torch.Tensor, hidden: torch.Tensor
    ) -> torch.Tensor:
        """Patch vectors of what was not sampled: (B, hidden patches, patch ** 2 * 3)."""
        (latent,) = self.backbone(inputs, mask, hidden)
        return self.neck(latent, mask)

    @torch.no_grad()
    def panels(
        self, inputs: torch.Tensor, data_samples: list[DataSample], *, predict: bool
    ) -> list[Panel]:
        """Pictures of both masks, the target and, with ``predict``, the reconstruction.

        The reconstruction keeps the sampled patches. A normalised target is un-normalised by
        the true patch's mean and deviation, as the official visualisation does.

        Args:
            inputs: (B, 3, H, W), normalised.
            data_samples: With ``mask`` and ``hidden``.
            predict: Run the network.
        """
        mask, hidden = _masks(data_samples, inputs.device)
        patch_size, norm_pix = self.head.patch_size, self.head.norm_pix
        image = denormalize(inputs, self.data_preprocessor)
        panels = [
            Panel('input', image),
            Panel('uniform sampling', hide_patches(image, mask)),
            Panel('with secondary mask', hide_patches(image, hidden)),
        ]
        if norm_pix:
            panels.append(Panel('target (normalised)', show_normalized(inputs, patch_size)))
        if predict:
            pred = self.predict_hidden(inputs, mask, hidden)
            filled = fill_hidden(inputs, pred, mask, patch_size, norm_pix=norm_pix)
            panels.append(Panel('reconstruction', denormalize(filled, self.data_preprocessor)))
        return panels


def _masks(
    data_samples: list[DataSample], device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    mask = torch.stack([sample.mask for sample in data_samples]).to(device)
    hidden = torch.stack([sample.hidden for sample in data_samples]).to(device)
    return mask.bool(), hidden.bool()
