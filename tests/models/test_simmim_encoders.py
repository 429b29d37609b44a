"""SimMIM's encoders: a map of the last stage, in which hidden patches cannot be seen."""

import pytest
import torch

from mim_bench.registry import MODELS

VIT = dict(embed_dims=16, num_layers=2, num_heads=2, feedforward_channels=32)
SWIN = dict(embed_dims=4, depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2), posmlp_dims=8)
PVT = dict(
    embed_dims=(4, 8, 8, 8), depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2), mlp_ratios=(2,) * 4
)
CASES = {
    'SimMIMViT': (dict(arch=VIT, img_size=64, patch_size=16), 16, (16, 4, 4)),
    'UMMAESimMIMSwin': (dict(arch=SWIN, window_size=4), 4, (32, 2, 2)),
    'UMMAESimMIMPvt': (dict(arch=PVT, img_size=64), 4, (8, 2, 2)),
}


def build(name: str) -> torch.nn.Module:
    torch.manual_seed(0)
    encoder = MODELS.build(dict(type=f'mim_bench.{name}', **CASES[name][0]))
    encoder.init_weights()
    return encoder


@pytest.mark.parametrize('name', CASES)
def test_encoder_gives_one_map_that_does_not_depend_on_hidden_pixels(name):
    encoder, (_, patch, shape) = build(name), CASES[name]
    images = torch.randn(2, 3, 64, 64)
    # The left half is hidden, as mmpretrain's generator says it: 1 = hidden.
    mask = torch.zeros(2, 64 // patch, 64 // patch, dtype=torch.long)
    mask[:, :, : 32 // patch] = 1
    changed = images.clone()
    changed[..., :32] = 0
    (found,), (other,) = encoder(images, mask), encoder(changed, mask)
    assert found.shape == (2, *shape)
    torch.testing.assert_close(found, other)
    assert not torch.equal(found, encoder(images, 1 - mask)[0])


@pytest.mark.parametrize('name', CASES)
def test_encoder_without_a_mask_sees_the_image(name):
    encoder, (_, patch, _) = build(name), CASES[name]
    images = torch.randn(1, 3, 64, 64)
    nothing = torch.zeros(1, 64 // patch, 64 // patch, dtype=torch.long)
    features = encoder(images)[-1]
    if name == 'SimMIMViT':
        assert features.shape == (1, 17, 16)
    else:
        torch.testing.assert_close(features, encoder(images, nothing)[0])
