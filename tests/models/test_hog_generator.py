import pytest
import torch
from mmpretrain.models.selfsup.maskfeat import HOGGenerator

from mim_bench.errors import ConfigError
from mim_bench.models.hog_generator import TokenHOGGenerator


@pytest.fixture
def images():
    return torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))


def test_token_hog_is_mmpretrains_on_the_grid_that_it_knows(images):
    ours = TokenHOGGenerator(patch_size=16, pool=8)(images)
    assert ours.shape == (2, 196, 108)
    assert torch.equal(ours, HOGGenerator(pool=8)(images))


def test_token_hog_other_grid_gives_the_tokens_of_that_part(images):
    whole = TokenHOGGenerator(patch_size=16, pool=8)(images).reshape(2, 14, 14, 108)
    part = TokenHOGGenerator(patch_size=16, pool=8)(images[..., :64, :64]).reshape(2, 4, 4, 108)
    # But for the border, whose gradients reach outside.
    torch.testing.assert_close(part[:, :3, :3], whole[:, :3, :3])


def test_token_hog_under_autocast_is_float32(images):
    generator = TokenHOGGenerator()
    with torch.autocast('cpu', torch.bfloat16):
        mixed = generator(images[..., :64, :64])
    assert torch.equal(mixed, generator(images[..., :64, :64]))


def test_token_hog_cells_that_do_not_fit_raise():
    with pytest.raises(ConfigError, match='patch_size 16 is not a multiple of pool 5'):
        TokenHOGGenerator(patch_size=16, pool=5)
