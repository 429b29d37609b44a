"""UM-MAE: masked autoencoding of pyramid encoders with uniform masking."""

import torch
from mmpretrain.models.selfsup.base import BaseSelfSupervisor
from mmpretrain.structures import DataSample

from mim_bench.models.reconstruction import Reconstruction, denormalize, hide_patches
from mim_bench.registry import MODELS
from mim_bench.targets.pixels import patch_statistics, patchify, unpatchify


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
    def reconstruct(self, inputs: torch.Tensor, data_samples: list[DataSample]) -> Reconstruction:
        """Pictures of what the network saw and filled in.

        Args:
            inputs: (B, 3, H, W), normalised.
            data_samples: With ``mask`` and ``hidden``.

        Returns:
            ``input``, ``masked`` and ``predicted``, (B, 3, H, W) in [0, 1]; predicted keeps
            the sampled patches and, for a normalised target, un-normalises by the true
            patch's mean and deviation, as the official visualisation does.
        """
        mask, hidden = _masks(data_samples, inputs.device)
        pred = self.predict_hidden(inputs, mask, hidden).float()
        patches = patchify(inputs, self.head.patch_size)
        flat = mask.flatten(1)
        if self.head.norm_pix:
            mean, std = patch_statistics(patches[flat].reshape(pred.shape))
            pred = pred * std + mean
        filled = patches.clone()
        filled[flat] = pred.flatten(0, 1)
        images = unpatchify(filled, tuple(mask.shape[1:]), self.head.patch_size)
        return Reconstruction(
            input=denormalize(inputs, self.data_preprocessor),
            masked=hide_patches(denormalize(inputs, self.data_preprocessor), hidden),
            predicted=denormalize(images, self.data_preprocessor),
        )


def _masks(
    data_samples: list[DataSample], device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    mask = torch.stack([sample.mask for sample in data_samples]).to(device)
    hidden = torch.stack([sample.hidden for sample in data_samples]).to(device)
    return mask.bool(), hidden.bool()
