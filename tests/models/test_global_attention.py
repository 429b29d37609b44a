import pytest
import torch

from mim_bench.errors import ConfigError
from mim_bench.models.necks.global_attention import GlobalAttention


def maps():
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(2, 16 * 2**i, 8 >> i, 12 >> i, generator=generator) for i in range(3))


def neck(**changes):
    torch.manual_seed(0)
    layer = GlobalAttention(64, **changes)
    layer.init_weights()
    return layer.eval()


def by_hand(layer, tokens):
    """The layer written out: tokens (B, L, C)."""
    attn, num_heads = layer.block.attn, layer.block.attn.num_heads
    batch, length, dims = tokens.shape
    qkv = attn.qkv(layer.block.ln1(tokens)).view(batch, length, 3, num_heads, dims // num_heads)
    q, k, v = qkv.permute(2, 0, 3, 1, 4)
    weights = (q @ k.transpose(-1, -2) * (dims // num_heads) ** -0.5).softmax(-1)
    tokens = tokens + attn.proj((weights @ v).transpose(1, 2).reshape(batch, length, dims))
    hidden = torch.nn.functional.gelu(layer.block.ffn.layers[0][0](layer.block.ln2(tokens)))
    return layer.norm(tokens + layer.block.ffn.layers[1](hidden))


def test_global_attention_touches_the_last_map_only():
    inputs = maps()
    outs = neck()(inputs)
    assert [out.shape for out in outs] == [x.shape for x in inputs]
    assert all(out is x for out, x in zip(outs[:-1], inputs[:-1], strict=True))
    assert not torch.equal(outs[-1], inputs[-1])


def test_global_attention_is_a_pre_norm_block_and_a_norm():
    inputs, layer = maps(), neck()
    torch.nn.init.normal_(layer.block.attn.qkv.weight, std=0.3)
    out = layer(inputs)[-1]
    wanted = by_hand(layer, inputs[-1].flatten(2).transpose(1, 2))
    torch.testing.assert_close(out.flatten(2).transpose(1, 2), wanted, atol=1e-5, rtol=1e-5)


def test_global_attention_norms_and_weights_are_those_of_its_source():
    layer = neck()
    assert {m.eps for m in layer.modules() if isinstance(m, torch.nn.LayerNorm)} == {1e-5}
    for linear in (m for m in layer.modules() if isinstance(m, torch.nn.Linear)):
        assert linear.bias.abs().max() == 0
        assert linear.weight.detach().std() == pytest.approx(0.02, rel=0.1)


def test_global_attention_heads_have_32_dimensions_by_default():
    assert neck().block.attn.num_heads == 2
    assert GlobalAttention(1536).block.attn.num_heads == 48
    assert neck(num_heads=4).block.attn.num_heads == 4


def test_global_attention_heads_that_do_not_divide_raise():
    with pytest.raises(ConfigError, match='5 heads do not divide 64 channels'):
        GlobalAttention(64, num_heads=5)
