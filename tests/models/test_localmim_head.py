"""LocalMIM's loss, by pencil; its targets by shape."""

import pytest
import torch

from mim_bench.errors import ConfigError
from mim_bench.models.methods.localmim import LocalMIMHead, rescale_mask

MASK = torch.tensor([[[1, 1, 0, 0], [1, 0, 0, 0], [1, 1, 1, 1], [1, 1, 0, 1]]]).bool()


def test_rescale_mask_repeats_and_averages():
    assert rescale_mask(MASK, 0.5).tolist() == [[0.75, 0, 1, 0.75]]
    assert rescale_mask(MASK, 1).tolist() == MASK.flatten(1).float().tolist()
    fine = rescale_mask(MASK, 2).reshape(8, 8)
    assert torch.equal(fine[::2, 1::2], MASK[0].float())


def test_loss_weighs_coarse_cells_by_how_much_is_hidden():
    head = LocalMIMHead(patch_size=4, scales=(0.5,))
    target = torch.zeros(1, 4, 2)
    pred = torch.tensor([[[1.0, 0], [5, 5], [2, 2], [0, 4]]])
    # Squared errors 0.5, 25, 4, 8 with weights 0.75, 0, 1, 0.75.
    expected = (0.75 * 0.5 + 4 + 0.75 * 8) / 2.5
    assert head.compare([pred], [target], MASK)['loss'].item() == pytest.approx(expected)


def test_loss_is_the_sum_of_logged_parts_that_mmengine_does_not_add():
    head = LocalMIMHead(patch_size=8, scales=(2, 1))
    images = torch.randn(1, 3, 32, 32)
    preds = [torch.randn_like(target) for target in head.targets(images)]
    losses = head.compare(preds, head.targets(images), MASK)
    assert [name for name in losses if 'loss' in name] == ['loss']
    torch.testing.assert_close(losses['loss'], losses['task0_mse'] + losses['task1_mse'])


@pytest.mark.parametrize('scale', [4, 2, 1])
def test_loss_ignores_visible_places(scale):
    head = LocalMIMHead(patch_size=8, scales=(scale,))
    images = torch.randn(1, 3, 32, 32)
    pred = torch.zeros_like(head.targets(images)[0], requires_grad=True)
    head.compare([pred], head.targets(images), MASK)['loss'].backward()
    has_gradient = pred.grad.abs().sum(-1) > 0
    assert torch.equal(has_gradient, rescale_mask(MASK, scale).bool())


@pytest.mark.parametrize('num_samples', [1, 2])
def test_loss_one_mask_serves_the_batch(num_samples):
    head = LocalMIMHead(patch_size=8, scales=(2, 1, 0.5))
    images = torch.randn(2, 3, 32, 32)
    preds = [torch.randn_like(target) for target in head.targets(images)]
    expected = head.compare(preds, head.targets(images), MASK.expand(2, -1, -1))
    ours = head.compare(preds, head.targets(images), MASK.expand(num_samples, -1, -1))
    assert ours['loss'].item() == pytest.approx(expected['loss'].item())


@pytest.mark.parametrize(
    ('settings', 'lengths'),
    [
        (dict(num_bins=9), [27, 27, 27, 27]),
        (dict(num_bins=18, hog_bias=True), [54, 54, 54, 54]),
        (dict(target='pixel'), [48, 192, 768, 3072]),
    ],
)
def test_targets_have_the_published_shapes(settings, lengths):
    head = LocalMIMHead(**settings)
    targets = head.targets(torch.randn(1, 3, 224, 224))
    assert [tuple(t.shape[1:]) for t in targets] == list(
        zip([3136, 784, 196, 49], lengths, strict=True)
    )


def test_pixel_targets_are_normalised_patch_by_patch():
    images = torch.randn(1, 3, 32, 32) * 3 + 1
    (normalised,) = LocalMIMHead(patch_size=8, scales=(1,), target='pixel').targets(images)
    torch.testing.assert_close(normalised.mean(-1), torch.zeros(1, 16), rtol=0, atol=1e-5)
    plain = LocalMIMHead(patch_size=8, scales=(1,), target='pixel', norm_pix=False)
    assert plain.targets(images)[0].std().item() == pytest.approx(images.std().item(), rel=1e-3)


def test_hog_bias_is_drawn_from_its_seed_and_stored():
    first, again, other = (LocalMIMHead(hog_bias=True, bias_seed=s) for s in (0, 0, 1))
    state = first.state_dict()
    assert list(state) == ['hog_bias0', 'hog_bias1', 'hog_bias2', 'hog_bias3']
    assert all((pair.abs() <= 1 / 3).all() for pair in state.values())
    assert len({tuple(pair.tolist()) for pair in state.values()}) == 4
    assert all(torch.equal(pair, again.state_dict()[k]) for k, pair in state.items())
    assert not torch.equal(state['hog_bias0'], other.state_dict()['hog_bias0'])
    assert not list(first.parameters())


def test_hog_bias_changes_the_targets_of_tasks_of_one_size():
    head = LocalMIMHead(patch_size=8, scales=(1, 1), num_bins=18, hog_bias=True)
    first, second = head.targets(torch.randn(1, 3, 32, 32))
    assert not torch.allclose(first, second, atol=1e-2)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(target='sift'), "target 'sift'"),
        (dict(patch_size=14), 'scale 4 does not divide patches of 14'),
        (dict(scales=(0.4,)), 'scale 0.4'),
    ],
)
def test_head_wrong_setting_raises(settings, message):
    with pytest.raises(ConfigError, match=message):
        LocalMIMHead(**settings)
