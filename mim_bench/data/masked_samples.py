"""The samples of a pre-training batch with their masks as one thing, made in the loader."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from mmengine.dataset import default_collate
from mmengine.structures import BaseDataElement

from mim_bench.errors import ConfigError
from mim_bench.masking.mask import Mask
from mim_bench.masking.window_plans import plan_windows
from mim_bench.registry import FUNCTIONS

MASK_KEYS = ('mask', 'hidden', 'momentum_mask')


class MaskedSamples(BaseDataElement):
    """Takes the place of the list of data samples in a batch.

    An attribute for each kind of mask, a :class:`~mim_bench.masking.mask.Mask` of the whole
    batch: ``mask``, and where the transform draws them ``hidden`` (UM-MAE), ``momentum_mask``
    (SymMIM). ``to`` copies each once; ``samples``, the rest of the samples, stays on the CPU.
    """

    def __len__(self) -> int:
        return len(self.samples)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.samples)

    def __getitem__(self, index: int) -> Any:
        return self.samples[index]

    def pin_memory(self) -> 'MaskedSamples':
        """Return the batch with its masks in pinned memory; torch's loader calls this."""
        pinned = self.new()
        for key, value in self.items():
            if isinstance(value, Mask):
                pinned.set_field(value.pin_memory(), key)
        return pinned


def gather_masks(samples: Sequence[Any]) -> MaskedSamples:
    """The masks of several data samples, stacked and checked.

    Args:
        samples: Data samples of mmpretrain with bool tensors (rows, cols) as ``mask`` and so on;
            gathered ones are returned unchanged.

    Raises:
        ConfigError: There is no ``mask``, or samples hide different numbers of patches.
    """
    if isinstance(samples, MaskedSamples):
        return samples
    keys = [key for key in MASK_KEYS if key in samples[0]]
    if 'mask' not in keys:
        raise ConfigError(
            'The data samples of a batch have no mask. Draw one in the pipeline, for example with '
            'mim_bench.RandomPatchMask, and pack it: PackInputs(algorithm_keys=[...]).'
        )
    gathered = MaskedSamples()
    for key in keys:
        masks = torch.stack([torch.as_tensor(getattr(sample, key)) for sample in samples])
        gathered.set_field(Mask.of(masks), key)
    rest = [sample.new() for sample in samples]
    for sample in rest:
        for key in keys:
            delattr(sample, key)
    gathered.set_field(rest, 'samples')
    return gathered


@FUNCTIONS.register_module()
def collate_masks(
    batch: Sequence[dict], window_sizes: Sequence[int] | None = None
) -> dict[str, Any]:
    """Collate as mmengine's ``default_collate``, but the samples to :class:`MaskedSamples`.

    A training loader names it: ``collate_fn=dict(type='mim_bench.collate_masks')``.

    Args:
        batch: Samples of a pipeline.
        window_sizes: Side in tokens of the windows of each stage of a Swin that encodes visible
            tokens only: the first mask then holds for the whole batch, and its windows are
            planned (:class:`~mim_bench.masking.window_plans.PlannedMask`).
    """
    collated = default_collate(batch)
    samples = gather_masks(collated['data_samples'])
    if window_sizes is not None:
        samples.set_field(plan_windows(samples.mask, window_sizes), 'mask')
    return {**collated, 'data_samples': samples}
