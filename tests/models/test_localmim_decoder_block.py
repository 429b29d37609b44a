"""LocalMIM's decoder block: asked places only, the same numbers as the plain computation."""

import pytest
import torch

from mim_bench.masking.token_order import split_by_mask
from mim_bench.models.necks.localmim_decoder_block import LocalMIMDecoderBlock

GRID = (3, 4)


def build(**kwargs) -> LocalMIMDecoderBlock:
    torch.manual_seed(0)
    block = LocalMIMDecoderBlock(6, GRID, 8, 2, **kwargs)
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter)  # nothing accidentally zero
    return block


def make_split(num_visible: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    noise = torch.rand(2, 12, generator=torch.Generator().manual_seed(1))
    return split_by_mask(noise.argsort(1).argsort(1) >= num_visible)


def plain_decoding(block, features, visible, hidden) -> torch.Tensor:
    """Un-shuffle, add the whole table, run every token: as the method is described."""
    prefix = block.num_prefix
    known = block.embed(block.norm_in(features))
    grid = block.mask_token.repeat(len(features), visible.shape[1] + hidden.shape[1], 1)
    grid = grid.scatter(1, visible[..., None].expand(-1, -1, 8), known[:, prefix:])
    tokens = torch.cat((known[:, :prefix], grid), dim=1) + block.pos_embed
    for layer in block.blocks:
        tokens = layer(tokens)
    return block.norm(tokens)[:, prefix:]


@pytest.mark.parametrize('class_token', [True, False])
@pytest.mark.parametrize('depth', [1, 2])
def test_decoder_block_equals_plain_decoding(class_token, depth):
    block = build(class_token=class_token, depth=depth)
    visible, hidden = make_split()
    features = torch.randn(2, 5 + class_token, 6)
    expected = plain_decoding(block, features, visible, hidden)
    ours = block.decode_all(features, visible, hidden)
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)
    only_hidden = block(features, visible, hidden)
    picked = expected.gather(1, hidden[..., None].expand(-1, -1, 8))
    torch.testing.assert_close(only_hidden, picked, rtol=1e-4, atol=1e-5)


def test_decoder_block_follows_the_order_of_the_features():
    block = build()
    visible, hidden = make_split()
    features = torch.randn(2, 5, 6)
    shuffle = torch.tensor([3, 0, 4, 1, 2])
    expected = block(features, visible, hidden)
    ours = block(features[:, shuffle], visible[:, shuffle], hidden)
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)


def test_decoder_block_one_mask_serves_the_batch():
    block = build()
    visible, hidden = (index[:1] for index in make_split())
    features = torch.randn(3, 5, 6)
    repeated = block(features, visible.expand(3, -1), hidden.expand(3, -1))
    torch.testing.assert_close(block(features, visible, hidden), repeated)


@pytest.mark.parametrize(
    ('in_dims', 'millions'), [(768, 0.987), (1024, 1.053)], ids=['vit-base', 'vit-large']
)
def test_decoder_block_has_the_published_parameters(in_dims, millions):
    # LocalMIM's scale-1 decoder less its 1x1 convolution to 27 (B) or 54 (L) channels.
    with torch.device('meta'):
        block = LocalMIMDecoderBlock(in_dims, (14, 14), 256, 8, class_token=True)
    count = sum(p.numel() for n, p in block.named_parameters() if p.requires_grad)
    assert (count - 2 * in_dims) / 1e6 == pytest.approx(millions, abs=1e-3)
