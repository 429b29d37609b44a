"""Batches of the right shapes for configs of the three libraries."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config, ConfigDict

from mim_bench.errors import ConfigError
from mim_bench.profiling.synthetic import SyntheticData, _crop_size
from mim_bench.recipe.config import load_config

DEMO = Path(__file__).parents[2] / 'configs' / 'demo'


def data_of(pattern, **kwargs):
    return SyntheticData(load_config(next(DEMO.glob(pattern))), **kwargs)


def test_synthetic_pretraining_has_masks_of_the_configs_own_transforms():
    batch = data_of('ummae_swin-toy*').batch(3)
    assert batch['inputs'].shape == (3, 3, 64, 64)
    masks = batch['data_samples'].mask.is_hidden
    assert (masks.flatten(1).sum(1) == 48).all()  # three of four 8x8 patches
    assert not torch.equal(masks[0], masks[1])


def test_synthetic_views_come_as_the_loader_gives_them():
    network_view, tokenizer_view = data_of('beit_vit-toy*').batch(2)['inputs']
    assert network_view.shape == tokenizer_view.shape == (2, 3, 64, 64)


def test_synthetic_classification_has_labels_of_the_head():
    batch = data_of('finetune_swin-toy*').batch(16)
    labels = torch.cat([sample.gt_label for sample in batch['data_samples']])
    assert batch['inputs'].shape[2:] == (64, 64)
    assert 0 <= labels.min() < labels.max() < 10


def test_synthetic_segmentation_has_a_map_of_the_crop():
    data = data_of('upernet_swin-toy*')
    sample = data.batch(2)['data_samples'][0]
    num_classes = data.cfg.model.decode_head.num_classes
    assert data.batch(2)['inputs'][0].shape == (3, 128, 128)
    assert sample.gt_sem_seg.data.shape == (1, 128, 128)
    assert sample.gt_sem_seg.data.max() < num_classes


def test_synthetic_detection_has_objects_inside_the_image():
    sample = data_of('mask-rcnn_swin-toy*').batch(2)['data_samples'][0]
    objects = sample.gt_instances
    boxes = objects.bboxes.tensor
    assert (boxes >= 0).all()
    assert (boxes <= 128).all()
    assert (boxes[:, 2:] > boxes[:, :2]).all()
    assert objects.masks.masks.shape == (len(boxes), 128, 128)
    # An ellipse fills pi / 4 of its box.
    sides = boxes[:, 2:] - boxes[:, :2]
    share = torch.from_numpy(objects.masks.masks.sum((1, 2))) / sides.prod(1)
    assert (share - torch.pi / 4).abs().max() < 0.15


def test_synthetic_batches_are_the_same_for_a_seed_and_copies():
    first, again = (data_of('ummae_swin-toy*', seed=5).batch(2) for _ in range(2))
    assert torch.equal(first['inputs'], again['inputs'])
    data = data_of('mask-rcnn_swin-toy*')
    data.batch(1)['data_samples'][0].gt_instances.labels.fill_(-1)  # as preprocessors may
    assert (data.batch(1)['data_samples'][0].gt_instances.labels >= 0).all()


def test_synthetic_batch_may_be_larger_than_the_stock():
    assert len(data_of('ummae_swin-toy*').batch(40)['inputs']) == 40


def test_synthetic_other_pipeline_raises():
    dataset = dict(type='X', pipeline=[dict(type='Resize', scale=(8, 8))])
    cfg = Config(dict(model=dict(type='Y'), train_dataloader=dict(dataset=dataset)))
    with pytest.raises(ConfigError, match='PackInputs, PackSegInputs'):
        SyntheticData(cfg)


def steps(*transforms):
    return [ConfigDict(transform) for transform in transforms]


@pytest.mark.parametrize(
    ('transforms', 'size'),
    [
        ([dict(type='Resize', scale=(1333, 800))], (800, 1333)),
        ([dict(type='RandomResize', scale=[(400, 300), (800, 600)])], (600, 800)),
        (
            [dict(type='RandomResize', scale=(64, 32)), dict(type='RandomCrop', crop_size=(7, 9))],
            (7, 9),
        ),
        (
            [
                dict(type='Resize', scale=(64, 32)),
                dict(type='RandomCrop', crop_type='relative_range', crop_size=(0.5, 0.5)),
            ],
            (32, 64),
        ),
        (
            [
                dict(
                    type='RandomChoice',
                    transforms=[
                        [dict(type='mmdet.RandomChoiceResize', scales=[(9, 5), (9, 6), (9, 7)])]
                    ],
                )
            ],
            (6, 9),
        ),
    ],
)
def test_crop_size_is_what_the_pipeline_ends_in(transforms, size):
    assert _crop_size(steps(*transforms)) == size
