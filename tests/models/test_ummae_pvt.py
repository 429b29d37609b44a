"""UM-MAE's PVT: pooled attention, positions on the full and the compact map, any image size."""

import pytest
import torch

from mim_bench.errors import ConfigError
from mim_bench.masking.mask import Mask
from mim_bench.models.backbones.ummae_pvt import PooledAttention
from mim_bench.models.methods.ummae import kept_patches, token_places
from mim_bench.registry import MODELS

ARCH = dict(embed_dims=(8, 8, 16, 16), depths=(1, 2, 1, 1), num_heads=(1, 1, 2, 2))
ARCH['mlp_ratios'] = (2, 2, 2, 2)


def build(name: str = 'UMMAEPvt', **kwargs) -> torch.nn.Module:
    kwargs.setdefault('arch', ARCH)
    return MODELS.build(dict(type=f'mim_bench.{name}', **kwargs))


def make_mask(corner: list[list[int]]) -> torch.Tensor:
    """A mask by the kept patch of every cell."""
    rows, cols = len(corner), len(corner[0])
    mask = torch.ones(1, 2 * rows, 2 * cols, dtype=torch.bool)
    for i, line in enumerate(corner):
        for j, kept in enumerate(line):
            mask[0, 2 * i + kept // 2, 2 * j + kept % 2] = False
    return mask


def test_ummae_pvt_has_the_published_parameters():
    neck = dict(type='mim_bench.UMMAEPyramidDecoder', in_dims=512, num_patches=256)
    with torch.device('meta'):
        pretraining = [build('UMMAEPretrainPvt', arch='small'), MODELS.build(neck)]
        finetuning = build(arch='small')
    count = sum(p.numel() for part in pretraining for p in part.parameters())
    assert count / 1e6 == pytest.approx(28.916, abs=1e-3)
    # The classifier adds a LayerNorm and a linear layer to 1000 classes.
    count = sum(p.numel() for p in finetuning.parameters()) + 2 * 512 + 512 * 1000 + 1000
    assert count / 1e6 == pytest.approx(21.547, abs=1e-3)


def test_pooled_attention_attends_to_averages_of_squares():
    torch.manual_seed(0)
    attn, x = PooledAttention(8, 2), torch.randn(1, 4, 4, 8)
    squares = [x[0, i : i + 2, j : j + 2].mean((0, 1)) for i in (0, 2) for j in (0, 2)]
    pooled = attn.norm(torch.stack(squares) @ attn.sr.weight[:, :, 0, 0].t() + attn.sr.bias)
    keys, values = attn.kv(pooled).chunk(2, dim=1)
    queries, heads = attn.q(x.reshape(16, 8)), []
    for h in (slice(0, 4), slice(4, 8)):
        weights = (queries[:, h] @ keys[:, h].t() / 4**0.5).softmax(dim=1)
        heads.append(weights @ values[:, h])
    expected = attn.proj(torch.cat(heads, dim=1)).reshape(1, 4, 4, 8)
    torch.testing.assert_close(attn(x, 2), expected)


def test_ummae_pvt_compact_tokens_get_the_positions_of_their_places():
    backbone, mask = build('UMMAEPretrainPvt', img_size=64), make_mask([[0, 3], [2, 1]])
    places = token_places(kept_patches(Mask.of(mask)), 4)
    found = backbone.add_positions(torch.zeros(1, 8, 8, 8), places)
    table = backbone.pos_embed.reshape(16, 16, 8)
    # The kept patches, by their first row and column of tokens in the full map.
    for (i, j), (row, col) in {(0, 0): (0, 0), (0, 4): (4, 12), (4, 0): (12, 0)}.items():
        expected = table[row : row + 4, col : col + 4]
        assert torch.equal(found[0, i : i + 4, j : j + 4], expected)


@pytest.mark.parametrize(('given', 'compact'), [(None, (4, 2, 1, 1)), ((2, 1, 1, 1), (2, 1, 1, 1))])
def test_ummae_pvt_compact_map_halves_the_ratios_unless_told(given, compact):
    backbone = build('UMMAEPretrainPvt', compact_sr_ratios=given, img_size=64)
    assert backbone.compact_sr_ratios == compact
    assert backbone.sr_ratios == (8, 4, 2, 1)


@pytest.mark.parametrize(('name', 'learns'), [('UMMAEPvt', True), ('UMMAEPretrainPvt', False)])
def test_ummae_pvt_table_is_trained_in_finetuning_only(name, learns):
    assert build(name).pos_embed.requires_grad == learns


def test_ummae_pvt_table_is_no_position_of_mmpretrains():
    # MAE's table: the first half of the channels tells the column.
    table = build('UMMAEPretrainPvt', img_size=64).pos_embed.reshape(16, 16, 8)
    assert torch.equal(table[0, :, :4], table[5, :, :4])
    assert torch.equal(table[:, 0, 4:], table[:, 5, 4:])


def test_ummae_pvt_arch_without_a_size_raises():
    with pytest.raises(ConfigError, match=r"UMMAEPvt: arch lacks \['mlp_ratios'\]"):
        build(arch={key: value for key, value in ARCH.items() if key != 'mlp_ratios'})
