"""Lists accepted places where libraries read from the GPU in a training step, with reasons."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ReadBack:
    """A place in a library that reads from the device.

    Attributes:
        place: A part of the file's path.
        function: Function of the place; '' for all functions.
        reason: Why it is accepted.
        value: The value that the fake GPU returns for a number that is read.
        share: Share of the elements that are found where positions are read.
        distinct: Number of distinct values where these are read; a share of all if None.
        copied: What tensors hold that are copied to the CPU.
    """

    place: str
    function: str
    reason: str
    value: float = 1
    share: float = 1.0
    distinct: int | None = None
    copied: float = 0


# A detector counts its candidates in every step: file of mmdet, function, reason.
_DETECTION = (
    ('models/dense_heads/anchor_head.py', '_get_targets_single', 'anchors inside of the image'),
    ('models/dense_heads/gfl_head.py', '', 'anchors inside of the image, positives, their weights'),
    ('models/dense_heads/rpn_head.py', '_bbox_post_process', 'proposals that are not empty'),
    ('models/task_modules/assigners/max_iou_assigner.py', 'assign_wrt_overlaps', 'positives'),
    (
        'models/task_modules/assigners/atss_assigner.py',
        'assign',
        'positives, by indices of the CPU',
    ),
    ('models/task_modules/samplers/base_sampler.py', 'sample', 'samples without duplicates'),
    ('models/task_modules/samplers/random_sampler.py', '_sample_pos', 'positives'),
    ('models/task_modules/samplers/random_sampler.py', '_sample_neg', 'negatives'),
    ('models/task_modules/samplers/pseudo_sampler.py', 'sample', 'positives and negatives'),
    ('models/utils/misc.py', 'unmap', 'anchors inside of the image'),
    (
        'models/roi_heads/roi_extractors/single_level_roi_extractor.py',
        'forward',
        'boxes of a level',
    ),
    ('models/roi_heads/bbox_heads/bbox_head.py', 'loss', 'positives, labels with a weight'),
    ('models/losses/cross_entropy_loss.py', '_expand_onehot_labels', 'labels of the foreground'),
    ('models/losses/iou_loss.py', 'forward', 'whether a box has a weight'),
    ('models/losses/smooth_l1_loss.py', 'forward', 'whether a box has a weight'),
    ('models/losses/gfocal_loss.py', 'quality_focal_loss', 'positives'),
    ('structures/mask/mask_target.py', 'mask_target_single', 'masks are cut on the CPU'),
    ('structures/mask/structures.py', 'crop_and_resize', 'masks are cut on the CPU'),
)
# Mask2Former's loss: file and function.
_MATCHING = (
    ('mmdet/models/task_modules/assigners/hungarian_assigner.py', 'assign'),
    ('mmdet/models/task_modules/samplers/mask_pseudo_sampler.py', 'sample'),
    ('mmdet/models/dense_heads/mask2former_head.py', ''),
)

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
        share=75 / 196,  # share that BEiT's masks hide
    ),
    ReadBack(
        'mim_bench/compat/nms.py',
        '',
        'it keeps as many boxes as it finds',
    ),
    ReadBack(
        'mmcv/ops/nms.py',
        'soft_nms',
        'mmcv computes soft-NMS on the CPU',
        copied=1,  # so that all boxes are kept
    ),
    ReadBack(
        'mmdet/models/roi_heads/bbox_heads/bbox_head.py',
        'refine_bboxes',
        'a cascade counts the boxes of each image',
        share=0.5,  # two images
        distinct=1,
    ),
    ReadBack(
        'mim_bench/models/heads/one_mask_cascade.py',
        'bbox_loss',
        'a stage leaves out boxes without an area, as detectron2 does: one wait an image',
    ),
    ReadBack(
        'mmseg/models/decode_heads/mask2former_head.py',
        '_seg_data_to_instance_data',
        'EoMT counts the classes of each image',
        distinct=10,  # assumed
    ),
    *(
        # An upper bound: every query is matched.
        ReadBack(place, function, 'EoMT matches its queries on the CPU')
        for place, function in _MATCHING
    ),
    *(ReadBack(f'mmdet/{place}', function, reason) for place, function, reason in _DETECTION),
)
