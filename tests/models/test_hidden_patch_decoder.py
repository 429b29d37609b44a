"""The decoder for encoders that leave hidden patches out: MAE's numbers, places, gradients."""

import torch

from mim_bench.masking.checkerboard import checkerboard_mask
from mim_bench.masking.mask import Mask
from mim_bench.models.methods.symmim import HiddenPatchDecoder


def build():
    torch.manual_seed(0)
    decoder = HiddenPatchDecoder(8, (4, 4), embed_dims=16, depth=2, num_heads=2)
    decoder.init_weights()
    return decoder


def batch():
    torch.manual_seed(1)
    masks = [checkerboard_mask((4, 4), 1, parity=parity) for parity in (0, 1)]
    return torch.randn(2, 9, 8), torch.stack([torch.from_numpy(mask) for mask in masks])


def decode_all(decoder, tokens, mask):
    """The whole sequence in raster order through whole blocks, as MAE does."""
    x = decoder.embed(tokens)
    visible, hidden = Mask.of(mask).visible, Mask.of(mask).hidden
    patches = decoder.mask_token.repeat(2, 16, 1)
    patches = patches.scatter(1, visible[..., None].expand(-1, -1, 16), x[:, 1:])
    x = torch.cat((x[:, :1], patches + decoder.pos_embed), dim=1)
    for layer in decoder.layers:
        x = layer(x)
    return decoder.ln1(x)[:, 1:].gather(1, hidden[..., None].expand(-1, -1, 16))


def test_hidden_patch_decoder_gives_the_hidden_tokens_of_the_whole_sequence():
    decoder, (tokens, mask) = build(), batch()
    found = decoder(tokens, mask)
    assert found.shape == (2, 8, 16)
    torch.testing.assert_close(found, decode_all(decoder, tokens, mask), rtol=1e-4, atol=1e-5)


def test_hidden_patch_decoder_all_parameters_but_positions_learn():
    decoder, (tokens, mask) = build(), batch()
    decoder(tokens, mask).square().sum().backward()
    without = [name for name, p in decoder.named_parameters() if p.grad is None]
    assert without == ['pos_embed']
