"""LocalMIM's prediction heads: the linear layers give what the convolutions give."""

import pytest
import torch
from torch import nn

from mim_bench.errors import ConfigError
from mim_bench.masking.units import token_places
from mim_bench.models.methods.localmim import ScaledPrediction

GRID = (2, 4)


def by_convolutions(head: ScaledPrediction, tokens: torch.Tensor) -> torch.Tensor:
    """The head as the method is described: on maps, layer by layer."""
    x = tokens.transpose(1, 2).reshape(len(tokens), -1, *GRID)
    if head.scale == 0.5:
        x = nn.functional.avg_pool2d(x, 2)
    for i, up in enumerate(head.ups):
        if i:
            x = nn.functional.gelu(head.norms[i - 1](x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2))
        x = nn.functional.conv_transpose2d(x, up.weight, up.bias, stride=2)
    x = nn.functional.conv2d(x, head.proj.weight, head.proj.bias)
    return x.flatten(2).transpose(1, 2)


@pytest.mark.parametrize('scale', [4.0, 2, 1, 0.5])
def test_scaled_prediction_equals_the_convolutions(scale):
    torch.manual_seed(0)
    head = ScaledPrediction(8, 5, scale)
    tokens = torch.randn(3, 8, 8)
    expected = by_convolutions(head, tokens)
    assert expected.shape == (3, 8 * scale**2, 5)
    torch.testing.assert_close(head(tokens, GRID), expected)


@pytest.mark.parametrize('scale', [4, 2, 1])
def test_scaled_prediction_of_some_patches_is_a_part_of_the_grid(scale):
    head = ScaledPrediction(8, 5, scale)
    tokens, patches = torch.randn(1, 8, 8), torch.tensor([6, 1])
    places = token_places(patches, GRID, scale)
    expected = head(tokens, GRID)[:, places]
    torch.testing.assert_close(head(tokens[:, patches]), expected)


def test_scaled_prediction_unknown_scale_raises():
    with pytest.raises(ConfigError, match='scale 3'):
        ScaledPrediction(8, 5, 3)


def test_scaled_prediction_coarse_scale_on_an_odd_grid_raises():
    with pytest.raises(ConfigError, match='even sides'):
        ScaledPrediction(8, 5, 0.5)(torch.randn(1, 6, 8), (2, 3))
