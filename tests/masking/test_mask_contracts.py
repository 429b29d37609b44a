"""What every mask and every mask transform of the package promises; none may lack a contract."""

import inspect
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from mim_bench import masking
from mim_bench.data.seeding import seed_everything
from mim_bench.discovery import import_modules
from mim_bench.errors import ConfigError
from mim_bench.masking.block_cells import block_cell_mask
from mim_bench.masking.checkerboard import checkerboard_mask
from mim_bench.masking.random_patches import random_patch_mask
from mim_bench.masking.uniform import secondary_mask, uniform_mask
from mim_bench.masking.units import unit_mask
from mim_bench.registry import TRANSFORMS

NUM_DRAWS = 10


@dataclass(frozen=True)
class Contract:
    """One way to build a transform and what it then gives.

    Attributes:
        arguments: Of the transform.
        grid: (rows, cols) of every mask.
        hidden: By key, how many entries are True; several where a draw decides.
        is_random: Whether the seed decides.
    """

    arguments: dict
    grid: tuple[int, int]
    hidden: dict[str, set[int]]
    is_random: bool = True


# At the sizes of the recipes, so the counts are those of the papers and of the official code.
CONTRACTS = {
    'UniformMask': [
        Contract(dict(input_size=256), (16, 16), {'mask': {192}, 'hidden': {256 - 48}}),
        Contract(dict(input_size=224), (14, 14), {'mask': {147}, 'hidden': {196 - 36}}),
    ],
    'RandomPatchMask': [
        Contract(dict(input_size=224), (14, 14), {'mask': {147}}),
        Contract(dict(input_size=(96, 64), patch_size=8, mask_ratio=0.6), (12, 8), {'mask': {58}}),
    ],
    'BlockCellMask': [Contract(dict(input_size=224), (14, 14), {'mask': {148}})],
    'UnitMask': [Contract(dict(input_size=224), (7, 7), {'mask': {37}})],
    'CheckerboardMasks': [
        Contract(dict(input_size=224), (14, 14), {'mask': {98}, 'momentum_mask': {96}}, False),
        Contract(
            dict(input_size=224, parity='random', anchor='center'),
            (14, 14),
            {'mask': {98}, 'momentum_mask': {98}},
        ),
        Contract(
            dict(input_size=256, patch_size=4, small_cell=32, large_cell=64),
            (64, 64),
            {'mask': {2048}, 'momentum_mask': {2048}},
            False,
        ),
    ],
}
# Transforms of this package that give no mask, for whoever adds one.
WITHOUT_MASKS = {
    *('InstaBoost', 'RandAugment', 'RandomErasing', 'SingleDrawCrop', 'TwoSizeCrop'),
    *('LoadImage', 'LoadSegmentation'),
}
# BEiT's hides another number in each image; see test_random_blocks.py.
UNCOUNTED = {'RandomBlockMask', 'random_block_mask'}
CASES = [
    pytest.param(name, contract, id=f'{name}-{k}')
    for name, contracts in CONTRACTS.items()
    for k, contract in enumerate(contracts)
]
each_case = pytest.mark.parametrize(('name', 'contract'), CASES)

# Name of the function -> how to draw for a grid, and how many of 6 x 8 patches it hides.
FUNCTIONS = {
    'uniform_mask': (uniform_mask, 36),
    'secondary_mask': (lambda grid, rng: secondary_mask(np.zeros(grid, bool), 0.25, rng), 12),
    'random_patch_mask': (lambda grid, rng: random_patch_mask(grid, 0.75, rng), 36),
    'block_cell_mask': (lambda grid, rng: block_cell_mask(grid, 2, 0.75, rng), 36),
    'unit_mask': (lambda grid, rng: unit_mask(grid, 0.75, rng), 37),
    'checkerboard_mask': (lambda grid, _rng: checkerboard_mask(grid, 2), 24),
}
each_function = pytest.mark.parametrize('name', FUNCTIONS)


def transforms():
    """The registered transforms of this package."""
    TRANSFORMS.import_from_location()
    return TRANSFORMS.module_dict


def draw(name, contract, seed):
    """The masks of several samples after one seed, as the loader sets it."""
    transform = transforms()[name](**contract.arguments)
    seed_everything(seed)
    return [transform({}) for _ in range(NUM_DRAWS)]


def flattened(samples):
    return torch.stack([mask.flatten() for sample in samples for mask in sample.values()])


def test_every_transform_has_a_contract():
    assert set(transforms()) - WITHOUT_MASKS - UNCOUNTED == set(CONTRACTS)


def test_every_mask_function_has_a_contract():
    modules = import_modules(masking.__name__, masking.__path__)
    functions = dict(
        member for module in modules for member in inspect.getmembers(module, inspect.isfunction)
    )
    found = {
        name
        for name, function in functions.items()
        if name.endswith('_mask') and inspect.signature(function).return_annotation is np.ndarray
    }
    assert found - UNCOUNTED == set(FUNCTIONS)


@each_case
def test_transform_gives_bool_tensors_of_the_grid(name, contract):
    for sample in draw(name, contract, seed=0):
        assert sample.keys() == contract.hidden.keys()
        for mask in sample.values():
            assert mask.dtype == torch.bool
            assert tuple(mask.shape) == contract.grid


@each_case
def test_transform_true_is_hidden_and_its_number_exact(name, contract):
    samples = draw(name, contract, seed=0)
    for key, allowed in contract.hidden.items():
        # All that may occur do: ten draws of one of two miss one in 1 of 512 seeds.
        assert {int(sample[key].sum()) for sample in samples} == allowed


@each_case
def test_transform_is_decided_by_the_seed_of_the_sample(name, contract):
    first, again, other = (flattened(draw(name, contract, seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert torch.equal(first, other) != contract.is_random


@each_case
def test_transform_draws_anew_for_every_sample(name, contract):
    samples = draw(name, contract, seed=0)
    is_repeated = all(torch.equal(sample['mask'], samples[0]['mask']) for sample in samples)
    assert is_repeated != contract.is_random


@each_case
def test_transform_keeps_what_it_is_given(name, contract):
    image = np.zeros((4, 4, 3), np.uint8)
    results = transforms()[name](**contract.arguments)({'img': image, 'gt_label': 3})
    assert results['img'] is image
    assert results['gt_label'] == 3
    assert results.keys() == {'img', 'gt_label', *contract.hidden}


@each_case
def test_transform_masks_arrive_in_the_sample_as_they_are(name, contract):
    (sample, *_) = draw(name, contract, seed=0)
    pack = TRANSFORMS.build(dict(type='mmpretrain.PackInputs', algorithm_keys=[*sample]))
    packed = pack(dict(sample))['data_samples']
    for key, mask in sample.items():
        assert getattr(packed, key).dtype == torch.bool
        assert torch.equal(getattr(packed, key), mask)


@pytest.mark.parametrize(
    ('name', 'arguments', 'message'),
    [
        ('RandomPatchMask', dict(input_size=60), 'must be a multiple'),
        ('BlockCellMask', dict(input_size=200, cell_size=32, patch_size=16), 'must be a multiple'),
        ('BlockCellMask', dict(input_size=224, cell_size=32, patch_size=12), 'must be a multiple'),
        ('UnitMask', dict(input_size=200), 'input_size 200 must be a multiple of unit_size 32'),
        ('UniformMask', dict(input_size=264), 'must be a multiple of mask_patch_size 16'),
    ],
)
def test_transform_sizes_that_do_not_fit_raise(name, arguments, message):
    with pytest.raises(ConfigError, match=message):
        transforms()[name](**arguments)({})


@each_function
def test_mask_function_gives_a_bool_array_of_the_grid_with_the_exact_number(name):
    function, hidden = FUNCTIONS[name]
    for seed in range(NUM_DRAWS):
        mask = function((6, 8), np.random.default_rng(seed))
        assert mask.dtype == np.bool_
        assert mask.shape == (6, 8)
        assert mask.sum() == hidden


@each_function
def test_mask_function_same_state_same_mask_and_no_other_randomness(name):
    function, _ = FUNCTIONS[name]
    seed_everything(0)
    before = np.random.get_state()[1].copy(), torch.get_rng_state()
    masks = [function((6, 8), np.random.default_rng(7)) for _ in range(2)]
    assert np.array_equal(*masks)
    assert np.array_equal(before[0], np.random.get_state()[1])
    assert torch.equal(before[1], torch.get_rng_state())
