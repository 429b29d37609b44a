"""UM-MAE: masked autoencoding of pyramid encoders with uniform masking."""

import torch
from mmpretrain.models.selfsup.base import BaseSelfSupervisor
from mmpretrain.structures import DataSample

from mim_bench.data.masked_samples import MaskedSamples, gather_masks
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


def _masks(
    data_samples: MaskedSamples | list[DataSample], device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    samples = gather_masks(data_samples).to(device)
    return samples.mask.is_hidden, samples.hidden.is_hidden
