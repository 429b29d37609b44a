import numpy as np
import pytest
import torch
from mmpretrain.models.utils.data_preprocessor import SelfSupDataPreprocessor
from mmpretrain.structures import DataSample
from torch.utils.data import DataLoader

from mim_bench.data.masked_samples import MaskedSamples, collate_masks, gather_masks
from mim_bench.data.transforms.masks import CheckerboardMasks
from mim_bench.engine.batch import image_names, num_samples
from mim_bench.errors import ConfigError
from mim_bench.masking.mask import Mask


def sample(name, **masks):
    packed = DataSample(metainfo={'img_path': name})
    for key, mask in masks.items():
        packed.set_field(mask, key)
    return {'inputs': torch.zeros(3, 32, 32, dtype=torch.uint8), 'data_samples': packed}


def batch():
    transform = CheckerboardMasks(32, patch_size=8, small_cell=8, large_cell=16)
    return [sample(name, **transform({})) for name in ('a.jpg', 'b.jpg')]


def test_collate_masks_gathers_each_kind_and_keeps_the_rest():
    collated = collate_masks(batch())
    samples = collated['data_samples']
    assert collated['inputs'].shape == (2, 3, 32, 32)
    assert isinstance(samples.mask, Mask)
    assert samples.momentum_mask.hidden.tolist() == [[2, 3, 6, 7, 8, 9, 12, 13]] * 2
    assert 'mask' not in samples.samples[0]
    assert gather_masks(samples) is samples


def test_collate_masks_batch_is_counted_and_named_as_others_are():
    collated = collate_masks(batch())
    # Two views of two images.
    collated['inputs'] = [collated['inputs']] * 3
    assert num_samples(collated) == 2
    assert image_names(collated) == ['a.jpg', 'b.jpg']


def test_collate_masks_survives_the_loader_and_the_preprocessor():
    (collated,) = DataLoader(batch(), 2, collate_fn=collate_masks, num_workers=1)
    data = SelfSupDataPreprocessor()(collated)
    assert isinstance(data['data_samples'], MaskedSamples)
    assert torch.equal(data['data_samples'].mask.order, collated['data_samples'].mask.order)


def test_masked_samples_copy_every_mask_once():
    samples = collate_masks(batch())['data_samples'].to('meta')
    assert samples.mask.order.device.type == 'meta'
    assert samples.momentum_mask.order.device.type == 'meta'
    assert [s.img_path for s in samples] == ['a.jpg', 'b.jpg']


def test_gather_masks_takes_what_mmpretrains_generators_draw():
    samples = [sample('a', mask=torch.from_numpy(np.eye(2, dtype=int)))['data_samples']]
    assert gather_masks(samples).mask.visible.tolist() == [[1, 2]]


def test_gather_masks_without_any_raises():
    with pytest.raises(ConfigError, match='have no mask'):
        gather_masks([DataSample()])
