"""Orientations as colours."""

import torch

from mim_bench.visualization.targets import draw_orientations


def one_hot(*bins: int) -> torch.Tensor:
    """A row of cells, each with all in one of six bins: (1, 6, 1, cells)."""
    return torch.eye(6)[list(bins)].t()[None, :, None]


def test_draw_orientations_gives_each_bin_its_colour():
    picture = draw_orientations(one_hot(0, 2, 4))
    # The middles of the bins stand at 30, 150 and 270 of 360 degrees of hue.
    expected = torch.tensor([[1, 0.5, 0], [0, 1, 0.5], [0.5, 0, 1]])
    torch.testing.assert_close(picture[0, :, 0].t(), expected, rtol=0, atol=1e-5)


def test_draw_orientations_averages_colour_channels():
    channels = torch.stack((one_hot(1), one_hot(1)), dim=1)
    torch.testing.assert_close(draw_orientations(channels), draw_orientations(one_hot(1)))
