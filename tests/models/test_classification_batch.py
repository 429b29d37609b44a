"""Erasing and mixing between the loader and a classifier."""

import pytest
import torch
from mmpretrain.structures import DataSample

from mim_bench.data.seeding import seed_everything
from mim_bench.data.transforms.augmentation import ErasedBox
from mim_bench.models.classification_batch import ClsDataPreprocessor, Mixup

MIXUP = dict(augments=[dict(type='mim_bench.Mixup', cutmix_alpha=0.0)])


def preprocessor(augments=None):
    return ClsDataPreprocessor(
        mean=[0, 0, 0], std=[10, 10, 10], num_classes=4, batch_augments=augments
    )


def batch(erased=None):
    """Four images of 0, 10, 20, 30, with these labels over 10; one may be erased."""
    samples = [DataSample().set_gt_label(label) for label in range(4)]
    if erased is not None:
        samples[2].set_field(erased, 'erased')
    inputs = torch.arange(0, 40, 10, dtype=torch.uint8).view(4, 1, 1, 1).expand(4, 3, 6, 8)
    return dict(inputs=inputs.clone(), data_samples=samples)


def test_mixup_partner_is_the_reversed_batch():
    seed_everything(0)
    data = preprocessor(MIXUP)(batch(), training=True)
    values = data['inputs'][:, 0, 0, 0]
    share = 1 - values[0] / 3  # the first image, 0, is mixed with the last, 3
    expected = torch.stack([share * i + (1 - share) * (3 - i) for i in range(4)])
    torch.testing.assert_close(values, expected)
    assert 0.01 < share < 0.99
    scores = torch.stack([sample.gt_score for sample in data['data_samples']])
    torch.testing.assert_close(scores, share * torch.eye(4) + (1 - share) * torch.eye(4).flip(0))


def test_cutmix_share_is_that_of_the_pixels():
    mix = Mixup(mixup_alpha=0.0, cutmix_alpha=1.0)
    for seed in range(5):
        seed_everything(seed)
        images = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 3, 6, 8).clone()
        mixed, scores = mix(images, torch.eye(4))
        for i in range(4):
            own = (mixed[i, 0] == i).float().mean()
            assert set(mixed[i].unique().tolist()) <= {float(i), float(3 - i)}
            torch.testing.assert_close(scores[i, i], own)
            torch.testing.assert_close(scores[i, 3 - i], 1 - own)


def test_mixing_is_decided_by_the_seed_of_the_iteration():
    def values(seed):
        seed_everything(seed)
        return preprocessor(MIXUP)(batch(), training=True)['inputs']

    assert torch.equal(values(1), values(1))
    assert not torch.equal(values(1), values(2))


def test_erasing_puts_noise_into_its_box_and_nowhere_else():
    noise = torch.full((3, 2, 3), -7.0)  # no pixel is as dark as that
    data = preprocessor()(batch(ErasedBox(1, 4, noise)), training=True)
    expected = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 3, 6, 8).clone()
    expected[2, :, 1:3, 4:7] = -7
    torch.testing.assert_close(data['inputs'], expected)


def test_erasing_comes_before_mixing():
    seed_everything(0)
    noise = torch.full((3, 2, 3), -7.0)
    inputs = preprocessor(MIXUP)(batch(ErasedBox(1, 4, noise)), training=True)['inputs']
    share = 1 - inputs[0, 0, 0, 0] / 3
    torch.testing.assert_close(inputs[2, 0, 1, 4], share * -7 + (1 - share) * 1)
    torch.testing.assert_close(inputs[1, 0, 1, 4], share * 1 + (1 - share) * -7)


@pytest.mark.parametrize('augments', [None, MIXUP])
def test_evaluation_neither_erases_nor_mixes(augments):
    data = preprocessor(augments)(batch(ErasedBox(0, 0, torch.zeros(3, 2, 3))), training=False)
    expected = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 3, 6, 8)
    torch.testing.assert_close(data['inputs'], expected)


def test_augments_of_mmpretrain_still_work():
    augments = dict(augments=[dict(type='Mixup', alpha=0.8)])
    data = preprocessor(augments)(batch(), training=True)
    scores = torch.stack([sample.gt_score for sample in data['data_samples']])
    torch.testing.assert_close(scores.sum(1), torch.ones(4))
