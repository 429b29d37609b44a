"""LocalMIM's decoder block: asked places only, the same numbers as the plain computation."""

import pytest
import torch

from mim_bench.masking.mask import Mask
from mim_bench.models.methods.localmim import HiddenDecoder

GRID = (3, 4)


def build(**kwargs) -> HiddenDecoder:
    torch.manual_seed(0)
    block = HiddenDecoder(6, GRID, 8, 2, **kwargs)
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter)  # nothing accidentally zero
    return block


def make_mask() -> Mask:
    noise = torch.rand(2, 12, generator=torch.Generator().manual_seed(1))
    return Mask.of((noise.argsort(1).argsort(1) >= 5).unflatten(1, GRID))


def plain_decoding(block, features, mask) -> torch.Tensor:
    """Un-shuffle, add the whole table, run every token: as the method is described."""
    prefix = block.num_prefix
    known = block.embed(block.norm_in(features))
    grid = block.mask_token.repeat(len(features), mask.order.shape[1], 1)
    grid = grid.scatter(1, mask.visible[..., None].expand(-1, -1, 8), known[:, prefix:])
    tokens = torch.cat((known[:, :prefix], grid), dim=1) + block.pos_embed
    for layer in block.blocks:
        tokens = layer(tokens)
    return block.norm(tokens)[:, prefix:]


@pytest.mark.parametrize('class_token', [True, False])
@pytest.mark.parametrize('depth', [1, 2])
def test_decoder_block_equals_plain_decoding(class_token, depth):
    block = build(class_token=class_token, depth=depth)
    mask, features = make_mask(), torch.randn(2, 5 + class_token, 6)
    expected = plain_decoding(block, features, mask)
    ours = block(features, mask, everywhere=True)
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)
    only_hidden = block(features, mask)
    picked = expected.gather(1, mask.hidden[..., None].expand(-1, -1, 8))
    torch.testing.assert_close(only_hidden, picked, rtol=1e-4, atol=1e-5)


def test_decoder_block_follows_the_order_of_the_features():
    block, mask, features = build(), make_mask(), torch.randn(2, 5, 6)
    shuffle = torch.tensor([3, 0, 4, 1, 2])
    expected = block(features, mask)
    order = torch.cat((mask.visible[:, shuffle], mask.hidden), dim=1)
    ours = block(features[:, shuffle], Mask(order, 5, GRID))
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)


def test_decoder_block_one_mask_serves_the_batch():
    block, mask, features = build(), make_mask().first(), torch.randn(3, 5, 6)
    repeated = block(features, Mask(mask.order.expand(3, -1), 5, GRID))
    torch.testing.assert_close(block(features, mask), repeated)
