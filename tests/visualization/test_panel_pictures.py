"""What methods share to paint: masks, patches, histograms, features, tokens."""

import math
from types import SimpleNamespace

import pytest
import torch

from mim_bench.targets.pixels import normalize_patches, patchify
from mim_bench.visualization.panels import (
    denormalize,
    fill_hidden,
    hide_patches,
    show_normalized,
    show_where_hidden,
)
from mim_bench.visualization.targets import CELL_PX, draw_histograms, draw_tokens

TOP_RIGHT = torch.tensor([[[False, True], [False, False]]])  # of 2x2 patches


def hidden_pixels():
    hidden = torch.zeros(4, 4, dtype=torch.bool)
    hidden[:2, 2:] = True
    return hidden


def test_denormalize_undoes_the_preprocessor():
    preprocessor = SimpleNamespace(mean=torch.full((3, 1, 1), 51.0), std=torch.full((3, 1, 1), 102))
    shown = denormalize(torch.tensor([-9.0, 0, 1, 9]).expand(1, 3, 1, 4), preprocessor)
    torch.testing.assert_close(shown[0, 0, 0], torch.tensor([0, 0.2, 0.6, 1]))


def test_hide_patches_greys_what_the_mask_hides():
    shown = hide_patches(torch.ones(1, 3, 4, 4), TOP_RIGHT)[0]
    assert (shown[:, hidden_pixels()] == 0.5).all()
    assert (shown[:, ~hidden_pixels()] == 1).all()


def test_show_where_hidden_keeps_the_rest():
    shown = show_where_hidden(torch.ones(1, 3, 4, 4), torch.full((1, 3, 4, 4), 7.0), TOP_RIGHT)[0]
    assert (shown[:, hidden_pixels()] == 7).all()
    assert (shown[:, ~hidden_pixels()] == 1).all()


@pytest.mark.parametrize('norm_pix', [False, True])
def test_fill_hidden_with_the_target_gives_the_image_back(norm_pix):
    images = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    mask = TOP_RIGHT.expand(2, -1, -1)
    target = patchify(images, 2)[mask.flatten(1)]
    target = normalize_patches(target) if norm_pix else target
    filled = fill_hidden(images, target, mask, 2, norm_pix=norm_pix)
    torch.testing.assert_close(filled, images)


def test_fill_hidden_changes_hidden_patches_only():
    images = torch.zeros(1, 3, 4, 4)
    filled = fill_hidden(images, torch.ones(1, 1, 12), TOP_RIGHT, 2, norm_pix=False)
    assert (filled[0][:, hidden_pixels()] == 1).all()
    assert (filled[0][:, ~hidden_pixels()] == 0).all()
    assert (images == 0).all()


def test_show_normalized_flat_patch_is_grey_and_contrast_does_not_count():
    images = torch.zeros(1, 3, 2, 4)
    images[..., 0, 2:] = 1.0
    flat, edge = show_normalized(images, 2)[0].split(2, dim=-1)
    assert (flat == 0.5).all()
    torch.testing.assert_close(edge, show_normalized(100 * images, 2)[0][..., 2:])
    assert (edge[:, 0] > 0.5).all()
    assert (edge[:, 1] < 0.5).all()


def picture_of_bin(index, bins=9):
    """The picture of one cell whose gradients all lie in one bin."""
    histograms = torch.zeros(1, bins, 1, 1)
    histograms[:, index] = 1
    return draw_histograms(histograms, (CELL_PX, CELL_PX))[0, 0]


def test_draw_histograms_horizontal_gradient_is_a_vertical_line():
    # atan2(1, 0) = pi / 2, in the middle of bin 4 of 9
    line = picture_of_bin(4)
    assert (line[1:-1].argmax(1) - CELL_PX / 2).abs().max() <= 1
    assert (line[:, 0] == 0).all()


def test_draw_histograms_line_turns_with_the_bin():
    line = picture_of_bin(0, bins=2)  # pi / 4: x and y grow together, the edge falls to the left
    y, x = torch.nonzero(line == line.max(), as_tuple=True)
    assert torch.corrcoef(torch.stack([x.float(), y.float()]))[0, 1] < -0.9


def test_draw_histograms_averages_colours_and_ignores_negative_values():
    histograms = torch.rand(2, 3, 9, 2, 4, generator=torch.Generator().manual_seed(0)) - 0.2
    drawn = draw_histograms(histograms, (32, 64))
    assert drawn.shape == (2, 3, 32, 64)
    assert 0 <= float(drawn.min()) <= float(drawn.max()) == 1
    torch.testing.assert_close(drawn, draw_histograms(histograms.mean(1).clamp(min=0), (32, 64)))


def test_draw_tokens_equal_tokens_have_equal_colours():
    drawn = draw_tokens(torch.tensor([[[0, 5], [5, 8191]]]), 8192)[0]
    assert torch.equal(drawn[:, 0, 1], drawn[:, 1, 0])
    assert len({tuple(pixel.tolist()) for pixel in drawn.flatten(1).T}) == 3
    assert math.isclose(float(drawn.max()), 0.95, abs_tol=1e-6)
