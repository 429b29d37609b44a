import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mim_bench.errors import ConfigError
from mim_bench.evaluation.probes.attentive import (
    NUM_TOKENS,
    AttentiveHeads,
    AttentiveSweep,
    attentive_probe,
)
from mim_bench.evaluation.probes.features import Features
from mim_bench.evaluation.probes.pooling import pool


def needles(count, seed):
    """Images of noise tokens, of which one tells the class."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(count) % 3
    x = 0.5 * torch.randn(count, NUM_TOKENS, 8, generator=generator)
    place = torch.randint(NUM_TOKENS, (count,), generator=generator)
    x[torch.arange(count), place] = 0
    x[torch.arange(count), place, 0] = 8
    x[torch.arange(count), place, 1 + y] = 8
    return Features(x.flatten(1), y)


def test_attentive_probe_finds_the_token_that_tells():
    rates = [1e-6, 0.1]
    settings = dict(learning_rates=rates, epochs=20, batch_size=64)
    result = attentive_probe(needles(180, 0), needles(60, 1), **settings)
    assert result.learning_rate == 0.1
    assert result.accuracies['top1'] > 90
    assert list(result.holdout_top1) == rates


def test_attentive_heads_are_attention_of_torch():
    heads = AttentiveHeads.drawn(2, 128, 5, torch.Generator().manual_seed(0))
    x = torch.randn(3, 4 * 128)
    tokens = x.unflatten(1, (4, 128))
    for row in range(2):
        attention = nn.MultiheadAttention(128, 2, bias=True, batch_first=True)
        with torch.no_grad():
            attention.in_proj_weight.copy_(
                torch.cat(
                    [torch.eye(128), heads.key[row].flatten(0, 1), heads.value[row].flatten(0, 1)]
                )
            )
            attention.in_proj_bias.zero_()
            attention.out_proj.weight.copy_(torch.eye(128))
            attention.out_proj.bias.zero_()
        query = heads.query[row].flatten().expand(3, 1, -1)
        pooled, _ = attention(query, tokens, tokens)
        wanted = F.linear(pooled[:, 0], heads.weight[row])
        torch.testing.assert_close(heads(x)[:, row], wanted, rtol=1e-4, atol=1e-6)


def test_attentive_sweep_trains_each_rate_as_torchs_adamw():
    data = needles(48, 0)
    width = data.x.shape[1]
    fit = AttentiveSweep(data, (torch.zeros(width), torch.ones(width)), 2, 16, 'cpu', 0.1)
    rates, rows = torch.tensor([0.02, 0.2]), torch.arange(48)
    together = fit.train(rows, rates, torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(0)
    single = AttentiveHeads.drawn(1, width // NUM_TOKENS, 3, generator)
    parameters = single.parameters()
    for value in parameters.values():
        value.requires_grad_()
    groups = [
        {'params': [value], 'weight_decay': 0.0 if 'bias' in name else 0.1}
        for name, value in parameters.items()
    ]
    optimizer = torch.optim.AdamW(groups, lr=1.0, betas=(0.9, 0.95))
    for done, x, y in fit.steps(rows, generator):
        warm = (
            done / 0.1
            if done < 0.1
            else 0.5 * (1 + torch.tensor((done - 0.1) / 0.9 * torch.pi).cos())
        )
        for group in optimizer.param_groups:
            group['lr'] = float(0.2 * 16 / 256 * warm)
        optimizer.zero_grad()
        F.cross_entropy(single(x)[:, 0], y).backward()
        optimizer.step()
    for name, value in together.parameters().items():
        torch.testing.assert_close(value[1:], parameters[name], rtol=1e-3, atol=1e-5)
    assert not torch.equal(together.weight[0], together.weight[1])


def test_attentive_probe_of_one_vector_an_image_raises():
    features = Features(torch.rand(6, 10), torch.arange(6) % 2)
    with pytest.raises(ConfigError, match='width 10 are not 49 tokens'):
        attentive_probe(features, features)


def test_pool_tokens_averages_the_map_to_seven_rows():
    maps = torch.arange(14.0).repeat(14, 1)[None, None]  # columns 0 to 13
    tokens = pool(maps, 'tokens', nn.Identity()).unflatten(1, (7, 7))
    assert tokens[0, 0].tolist() == [0.5, 2.5, 4.5, 6.5, 8.5, 10.5, 12.5]
