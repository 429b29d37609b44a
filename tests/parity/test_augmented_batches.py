"""Masks, normalisation, erasing, mixing, loss and test images against the official code's facts."""

import math
import random
from copy import deepcopy

import numpy as np
import pytest
import timm.data
import torch
import torchvision.transforms as tv
from mmengine.dataset import Compose
from mmpretrain.structures import DataSample
from timm.data.random_erasing import RandomErasing as TimmErasing
from timm.loss import SoftTargetCrossEntropy

from mim_bench.data.seeding import seed_everything
from mim_bench.recipe.building import library_scope
from mim_bench.registry import MODELS
from mim_bench.testing.augment_facts import (
    LEAST_P_VALUE,
    bgr,
    each_recipe,
    kind,
    normalised,
    p_value,
    picture,
    rgb,
)

NUM_DRAWS = 400


# ---- masks -------------------------------------------------------------------------------------


def official_blocks(rng: random.Random, op: dict) -> np.ndarray:
    """Rectangles of random area and aspect, until ten in a row hide nothing or too much."""
    rows, cols = op['tokens']
    mask = np.zeros((rows, cols), bool)
    failures = 0
    while failures < 10 and mask.sum() < op['hidden_at_most']:
        failures += 1
        left_over = op['hidden_at_most'] - mask.sum()
        area = rng.uniform(op['block'][0], min(left_over, op['block'][1]))
        aspect = math.exp(rng.uniform(*op['log_aspect']))
        h, w = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if h < rows and w < cols:
            top, left = rng.randint(0, rows - h), rng.randint(0, cols - w)
            larger = mask.copy()
            larger[top : top + h, left : left + w] = True
            if 0 < (larger ^ mask).sum() <= left_over:
                mask, failures = larger, 0
    return mask


def cells(masks: np.ndarray, side: int) -> np.ndarray:
    """Masks (N, rows, cols) as the square cells that they are made of: (N, cells, side * side)."""
    num, rows, cols = masks.shape
    split = masks.reshape(num, rows // side, side, cols // side, side)
    return split.transpose(0, 1, 3, 2, 4).reshape(num, -1, side * side)


def check_mask(op: dict, transform, masks: np.ndarray) -> None:
    """Hold masks (N, rows, cols), True = hidden, against the kind of the facts."""
    if op['kind'] == 'blocks':
        assert [transform.min_block, transform.max_hidden] == op['block']
        rng = random.Random(0)
        official = np.stack([official_blocks(rng, op) for _ in masks])
        assert masks.shape[1:] == tuple(op['tokens'])
        assert masks.sum((1, 2)).max() == op['hidden_at_most']
        for axes in ((1, 2), 1, 2):  # how many are hidden, in all and in each row and column
            found, wanted = masks.sum(axes), official.sum(axes)
            found, wanted = (x.reshape(len(x), -1) for x in (found, wanted))
            assert p_value(found, wanted) > LEAST_P_VALUE
        return
    if op['kind'] == 'random squares':
        assert masks.shape[1] == op['image'] // op['token']
        side, num_hidden = op['square'] // op['token'], op['hidden']
    else:
        # The project's SimMIM has its mask at the patches of the network.
        side, num_hidden = masks.shape[1] // op['tokens'][0], op['hidden']
    squares = cells(masks, side)
    assert (squares == squares[..., :1]).all()
    hidden = squares[..., 0]
    assert set(hidden.sum(1)) == {num_hidden}
    # Every square is hidden equally often.
    share = num_hidden / hidden.shape[1]
    error = math.sqrt(share * (1 - share) / len(hidden))
    assert np.abs(hidden.mean(0) - share).max() < 5 * error
    if op['kind'].startswith('uniform'):
        kept = ~cells(masks, 2)
        assert set(kept.sum(-1).ravel()) == {1}
        # Drawn without replacement from a list, the places vary half as much as on their own.
        counts = kept.sum(1)  # (N, 4)
        assert counts.var(0).max() < 0.75 * kept.shape[1] * 3 / 16
    elif op['kind'] == 'random tokens':
        assert cells(hidden.reshape(len(masks), *op['tokens']), 2).all(-1).any()
    else:
        assert op['kind'] == 'random squares'


@each_recipe('Mask"')
def test_masks_are_those_of_the_official_code(recipe):
    facts = recipe.facts['train']
    ops = [facts['mask']] if 'mask' in facts else [op for op in facts if op['op'] == 'Mask']
    (transform,) = (t for t in recipe.transforms('train') if kind(t) == 'Mask')
    seed_everything(0)
    masks = np.stack([np.asarray(transform({})['mask'], bool) for _ in range(NUM_DRAWS)])
    check_mask(ops[0], transform, masks)


# ---- normalisation, erasing, mixing ------------------------------------------------------------


def batch_of(images: list[np.ndarray], **fields) -> dict:
    samples = [DataSample().set_gt_label(i) for i in range(len(images))]
    inputs = torch.stack([torch.from_numpy(i.transpose(2, 0, 1).copy()) for i in images])
    return dict(inputs=inputs, data_samples=samples)


@each_recipe()
def test_images_are_normalised_as_in_the_official_code(recipe):
    facts = recipe.facts['train']
    views = [facts[v] for v in ('student', 'teacher', 'tokenizer') if v in facts] or [facts]
    preprocessor = recipe.preprocessor()
    images = [picture(seed=0), picture(seed=1)]
    batch = batch_of(images)
    if len(views) == 2:
        batch['inputs'] = [batch['inputs'], batch['inputs']]
    found = preprocessor(batch, training=False)['inputs']
    for ops, view in zip(views, found if len(views) == 2 else [found], strict=True):
        for image, ours in zip(images, view, strict=True):
            torch.testing.assert_close(ours, normalised(image, ops), atol=1e-5, rtol=0)


@each_recipe('RandomErasing')
def test_erasing_replaces_normalised_pixels_as_timm_does(recipe):
    op = recipe.facts['train'][-1]
    assert op['on'] == 'the normalised tensor'
    assert op['mode'] == 'normal noise for every pixel'
    official = TimmErasing(
        op['p'],
        *op['area'],
        *(round(math.exp(x), 4) for x in op['log_aspect']),
        mode='pixel',
        min_count=op['count'][0],
        max_count=op['count'][1],
        device='cpu',
    )
    official.log_aspect_ratio = [math.log(0.3) * s for s in (1, -1)]
    with library_scope(recipe.cfg):
        pack = Compose(recipe.cfg.train_dataloader.dataset.pipeline[-1:])
    transform = recipe.transforms('train')[-1]
    preprocessor = recipe.preprocessor(batch_augments=None)
    images = [picture(64, 72, seed) for seed in range(60)]
    packed, wanted = [], []
    for seed, image in enumerate(images):
        seed_everything(seed)
        packed.append(pack(transform(dict(img=image, gt_label=seed))))
        seed_everything(seed)
        wanted.append(official(normalised(image, recipe.facts['train'])))
    samples = [p['data_samples'] for p in packed]
    batch = dict(inputs=torch.stack([p['inputs'] for p in packed]), data_samples=samples)
    found = preprocessor(deepcopy(batch), training=True)['inputs']
    torch.testing.assert_close(found, torch.stack(wanted), atol=1e-5, rtol=0)
    plain = preprocessor(batch, training=False)['inputs']
    noise = found[found != plain]
    assert 5 < len({i for i, *_ in (found != plain).nonzero().tolist()}) < 30
    assert abs(noise.mean()) < 0.02
    assert abs(noise.std() - 1) < 0.02
    assert noise.min() < -3.5  # less than black, normalised, in every recipe
    assert noise.max() > 3.5


def official_mixup(facts: dict, seed: int):
    assert facts['partner'] == 'the batch in reverse order'
    seed_everything(seed)
    np.random.choice(1)  # which of one augmentation: mmpretrain draws that, too
    return timm.data.Mixup(
        facts['mixup_alpha'],
        facts['cutmix_alpha'],
        facts['cutmix_minmax'],
        prob=facts['p'],
        switch_prob=facts['p_cutmix'],
        mode=facts['mode'],
        correct_lam=facts['correct_lam'],
        label_smoothing=facts['label_smoothing'],
        num_classes=facts['num_classes'],
    )


@each_recipe('loss')
def test_mixing_targets_and_loss_are_those_of_the_official_code(recipe):
    facts = recipe.facts['mixup']
    preprocessor = recipe.preprocessor()
    with library_scope(recipe.cfg):
        loss = MODELS.build(deepcopy(recipe.cfg.model.head.loss))
    images = [picture(24, 32, seed) for seed in range(6)]
    labels = torch.tensor([3, 1, 4, 1, 5, 9])
    scores = torch.randn(6, 1000, generator=torch.Generator().manual_seed(0))
    plain = torch.stack([normalised(image, recipe.facts['train']) for image in images])
    kinds = set()
    for seed in range(12 if facts else 1):
        batch = batch_of(images)
        for sample, label in zip(batch['data_samples'], labels, strict=True):
            sample.set_gt_label(label)
        seed_everything(seed)
        data = preprocessor(batch, training=True)
        targets = labels
        wanted = plain
        if facts:
            wanted, targets = official_mixup(facts, seed)(plain.clone(), labels)
        torch.testing.assert_close(data['inputs'], wanted, atol=1e-5, rtol=0)
        samples = data['data_samples']
        if facts:
            found = torch.stack([sample.gt_score for sample in samples])
            official_loss = SoftTargetCrossEntropy()
            # Cutmix leaves pixels as they are.
            same = torch.isclose(data['inputs'], plain, atol=1e-5, rtol=0).float().mean()
            kinds.add('cutmix' if same > 0.04 else 'mixup')
        else:
            found = torch.cat([sample.gt_label for sample in samples])
            official_loss = torch.nn.CrossEntropyLoss()
        assert recipe.facts['loss'] == type(official_loss).__name__
        torch.testing.assert_close(loss(scores, found), official_loss(scores, targets))
    assert kinds == ({'mixup', 'cutmix'} if facts else set())


# ---- testing -----------------------------------------------------------------------------------


@each_recipe('CenterCrop')
@pytest.mark.parametrize('size', [(300, 451), (600, 333)])
def test_test_images_are_those_of_the_official_code(recipe, size):
    ops = recipe.facts['test']
    resize, crop = (op for op in ops if op['op'] in ('Resize', 'CenterCrop'))
    image = picture(*size)
    official = tv.Compose(
        [
            tv.Resize(resize['size'], tv.InterpolationMode(resize['interpolation'])),
            tv.CenterCrop(crop['size']),
        ]
    )
    wanted = normalised(bgr(official(rgb(image))), ops)
    transforms = recipe.transforms('test')
    assert [kind(t) for t in transforms] == ['Resize', 'CenterCrop']
    results = dict(img=image)
    for transform in transforms:
        results = transform(results)
    found = recipe.preprocessor()(batch_of([results['img']]), training=False)['inputs'][0]
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)
