"""The pixel head: losses by pencil, which pixels count, and mmpretrain's SimMIM head."""

import pytest
import torch
from mmpretrain.models.heads import SimMIMHead

from mim_bench.errors import ConfigError
from mim_bench.masking.checkerboard import checkerboard_mask
from mim_bench.masking.mask import Mask
from mim_bench.models.methods.symmim import HiddenPixelHead
from mim_bench.targets.pixels import hidden_pixels, normalize_patches, patchify, unpatchify


def batch():
    torch.manual_seed(0)
    mask = torch.from_numpy(checkerboard_mask((4, 4), 1)).expand(2, -1, -1)
    return torch.randn(2, 3, 32, 32), mask, Mask.of(mask).hidden


def constant_head(**kwargs):
    """A head that predicts its bias everywhere."""
    head = HiddenPixelHead(4, 8, **kwargs)
    torch.nn.init.zeros_(head.linear.weight)
    torch.nn.init.zeros_(head.linear.bias)
    return head


@pytest.mark.parametrize(('criterion', 'expected'), [('L1', 0.25), ('L2', 0.0625)])
def test_hidden_pixel_head_prediction_off_by_a_constant_loses_it(criterion, expected):
    images, _, index = batch()
    head = constant_head(criterion=criterion)
    torch.nn.init.constant_(head.linear.bias, 0.75)
    loss = head.loss(torch.randn(2, 8, 4), torch.full_like(images, 0.5), index)
    assert loss.item() == pytest.approx(expected)


def test_hidden_pixel_head_only_hidden_pixels_have_a_gradient():
    images, mask, index = batch()
    images.requires_grad_()
    constant_head().loss(torch.randn(2, 8, 4), images, index).backward()
    pixels = mask.repeat_interleave(8, 1).repeat_interleave(8, 2)[:, None].expand_as(images)
    assert (images.grad[pixels] != 0).all()
    assert (images.grad[~pixels] == 0).all()


def test_hidden_pixel_head_gives_the_loss_of_simmim():
    images, mask, index = batch()
    head, tokens = HiddenPixelHead(4, 8), torch.randn(2, 16, 4)
    picture = unpatchify(head(tokens), (4, 4), 8)
    loss = dict(type='PixelReconstructionLoss', criterion='L1', channel=3)
    expected = SimMIMHead(patch_size=8, loss=loss).loss(picture, images, mask.float())
    found = head.loss(tokens[mask.flatten(1)].reshape(2, 8, 4), images, index)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_hidden_pixels_are_the_hidden_rows_of_all_patches():
    images, mask, index = batch()
    expected = patchify(images, 8)[mask.flatten(1)].reshape(2, 8, -1)
    assert torch.equal(hidden_pixels(images, index, 8, norm_pix=False), expected)
    normalised = hidden_pixels(images, index, 8, norm_pix=True)
    torch.testing.assert_close(normalised, normalize_patches(expected), rtol=1e-5, atol=1e-5)


def test_hidden_pixel_head_unknown_criterion_raises():
    with pytest.raises(ConfigError, match="criterion 'L3' must be one of"):
        HiddenPixelHead(4, criterion='L3')
