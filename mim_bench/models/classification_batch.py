"""Preprocessing of classification batches: normalisation, random erasing, mixup and cutmix."""

from typing import Any

import torch
from mmpretrain.models.utils import ClsDataPreprocessor as MMPretrainPreprocessor
from mmpretrain.structures import DataSample, cat_batch_labels, tensor_split
from timm.data.mixup import Mixup as TimmMixup

from mim_bench.registry import MODELS


@MODELS.register_module()
class Mixup(TimmMixup):
    """Mixes a batch with itself in reverse order, by timm's mixup or cutmix.

    mmpretrain's ``Mixup`` and ``CutMix`` draw a random partner for each image instead. Labels are
    smoothed by the loss: smoothing and mixing are linear, so their order does not matter.

    Args:
        mixup_alpha: Parameter of the Beta distribution of mixup's ratio; 0 turns mixup off.
        cutmix_alpha: The same for cutmix.
        prob: Share of the batches that are mixed.
        switch_prob: Share of the mixed batches that use cutmix, where both are on.

    Source: timm 0.3.2 to 1.0, data/mixup.py, mode 'batch': one draw a batch. In a batch of an
    odd number of images, which timm refuses, the middle one is mixed with itself.
    """

    def __init__(
        self,
        mixup_alpha: float = 0.8,
        cutmix_alpha: float = 1.0,
        prob: float = 1.0,
        switch_prob: float = 0.5,
    ) -> None:
        super().__init__(
            mixup_alpha=mixup_alpha, cutmix_alpha=cutmix_alpha, prob=prob, switch_prob=switch_prob
        )

    def __call__(
        self, inputs: torch.Tensor, scores: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Mix a batch; draws from NumPy's global generator.

        Args:
            inputs: (B, C, H, W), float; changed in place.
            scores: (B, classes), one-hot.

        Returns:
            The images and the mixed scores, float.
        """
        share = self._mix_batch(inputs)
        scores = scores.float()
        return inputs, share * scores + (1 - share) * scores.flip(0)


@MODELS.register_module()
class ClsDataPreprocessor(MMPretrainPreprocessor):
    """Normalises, erases and mixes a batch, in timm's order.

    Erases the boxes that ``mim_bench.RandomErasing`` has drawn, in training only.

    Args:
        batch_augments: mmpretrain's ``train_cfg`` of a classifier, with classes of ``MODELS``
            in this scope (``mim_bench.Mixup``) or of mmpretrain's batch augments.
        **kwargs: Arguments of mmpretrain's ``ClsDataPreprocessor``.
    """

    def __init__(self, *, batch_augments: dict | None = None, **kwargs: object) -> None:
        if batch_augments and batch_augments.get('augments'):
            augments = [
                MODELS.build(a) if str(a['type']).startswith('mim_bench.') else a
                for a in batch_augments['augments']
            ]
            batch_augments = {**batch_augments, 'augments': augments}
        super().__init__(batch_augments=batch_augments, **kwargs)

    def forward(self, data: dict, training: bool = False) -> dict[str, Any]:
        """Prepare a batch; see the class.

        Args:
            data: ``inputs`` and ``data_samples`` of the loader.
            training: Whether to erase and mix.
        """
        if data.get('data_samples') and 'gt_label' in data['data_samples'][0]:
            self._move_labels(data['data_samples'])
        # The base class would mix before erasing, so it does not mix.
        data = super().forward(data, training=False)
        samples = data['data_samples']
        if not training or not samples:
            return data
        _erase(data['inputs'], samples)
        if self.batch_augments is not None and 'gt_score' in samples[0]:
            scores = torch.stack([sample.gt_score for sample in samples])
            data['inputs'], scores = self.batch_augments(data['inputs'], scores)
            for sample, score in zip(samples, scores, strict=True):
                sample.set_gt_score(score)
        return data

    def _move_labels(self, samples: list[DataSample]) -> None:
        """Move the labels to the device in one asynchronous copy."""
        labels, counts = cat_batch_labels([sample.gt_label for sample in samples])
        parts = tensor_split(_without_waiting(labels, self.device), counts)
        for sample, part in zip(samples, parts, strict=True):
            sample.set_gt_label(part)


def _without_waiting(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Copy a small CPU tensor to a device asynchronously, through pinned memory."""
    if device.type == 'cuda' and torch.cuda.is_available() and tensor.device.type == 'cpu':
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


def _erase(images: torch.Tensor, samples: list[DataSample]) -> None:
    """Fill the boxes of each sample with noise, in place; images are (B, 3, H, W)."""
    boxes = {i: sample.erased for i, sample in enumerate(samples) if 'erased' in sample}
    if not boxes:
        return
    # One copy to the device for the whole batch.
    noise = torch.cat([box.noise.flatten() for box in boxes.values()])
    noise = _without_waiting(noise, images.device)
    parts = noise.split([box.noise.numel() for box in boxes.values()])
    for (i, box), part in zip(boxes.items(), parts, strict=True):
        _, height, width = box.noise.shape
        rows = slice(box.top, box.top + height)
        images[i, :, rows, box.left : box.left + width] = part.view(3, height, width)
