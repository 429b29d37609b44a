"""Where the libraries below this package wait for the GPU in a training step, and why they may."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ReadBack:
    """A place that reads from the device.

    Attributes:
        place: A part of the file's path.
        function: In which it is; '' for all of them.
        reason: Why it is accepted.
        value: What a number that is read there stands for on the fake GPU.
        share: Of the elements that are found where positions are read.
        distinct: Values that are found where distinct ones are; a share of all if None.
    """

    place: str
    function: str
    reason: str
    value: float = 1
    share: float = 1.0
    distinct: int | None = None


KNOWN_READ_BACKS = (
    ReadBack(
        'mmpretrain/models/utils/batch_augments/cutmix.py',
        'mix',
        'the order of the other images is drawn on the CPU, and copied: a few bytes, no wait',
    ),
    ReadBack(
        'mmpretrain/models/utils/batch_augments/mixup.py',
        'mix',
        'as in CutMix',
    ),
    ReadBack(
        'mmpretrain/models/heads/beitv1_head.py',
        'loss',
        'the baseline picks the hidden tokens by a mask, whose count torch reads: one wait a step',
        share=75 / 196,  # what BEiT's masks hide
    ),
    ReadBack(
        'mmseg/models/losses/accuracy.py',
        'accuracy',
        'the accuracy in the log leaves ignored pixels out by a mask: two waits a step',
    ),
    ReadBack(
        'mmdet/models/roi_heads/bbox_heads/bbox_head.py',
        'refine_bboxes',
        'a cascade counts the boxes of each image',
        share=0.5,  # two images
        distinct=1,
    ),
    ReadBack(
        'mmdet/',
        '',
        'assigners, samplers and proposals count what they find, so a detector waits in any step',
    ),
    ReadBack(
        'mim_bench/models/heads/one_mask_cascade.py',
        'bbox_loss',
        'a stage leaves out boxes without an area, as detectron2 does: one wait an image',
    ),
    ReadBack(
        'mim_bench/compat/nms.py',
        '',
        'it keeps as many boxes as it finds',
    ),
)
