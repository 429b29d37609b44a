"""Attentive probe: a learned query attends to frozen tokens; many learning rates in one pass."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch.nn import functional as F

from mim_bench.errors import ConfigError
from mim_bench.evaluation.probes.features import Features
from mim_bench.evaluation.probes.linear import (
    RateSweep,
    SweepResult,
    row_statistics,
    select_and_score,
)
from mim_bench.evaluation.probes.pooling import TOKEN_GRID

NUM_TOKENS = TOKEN_GRID**2
# For 256 images a batch.
LEARNING_RATES = (1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2)
BETAS = (0.9, 0.95)
HEAD_WIDTH = 64
STD = 0.02
WARMUP_SHARE = 0.1


def attentive_probe(
    train: Features,
    val: Features,
    *,
    learning_rates: Sequence[float] = LEARNING_RATES,
    weight_decay: float = 1e-3,
    epochs: int = 10,
    batch_size: int = 1024,
    holdout_share: float = 0.1,
    seed: int = 0,
    device: torch.device | str = 'cpu',
) -> SweepResult:
    """Train attentive classifiers on tokens, select one, and score it once.

    A classifier is multi-head cross-attention from one learned query to the tokens, heads 64
    wide, and a linear layer. AdamW, linear warm-up over a tenth of the steps, cosine decay to 0,
    no weight decay of biases. The rest is as of
    :func:`mim_bench.evaluation.probes.linear.linear_probe`.

    Args:
        train: Training features (N, 49 * D) of the pooling ``'tokens'``, with labels.
        val: Validation features in the same form.
        learning_rates: Rates for 256 images a batch; scaled linearly to ``batch_size``.
        weight_decay: Weight decay of the matrices.
        epochs: Passes over the training features.
        batch_size: Batch size; N at most.
        holdout_share: Share of each class held out.
        seed: Decides the held-out part, the order of the samples and the first weights.
        device: Device to compute on.

    Source: facebookresearch/capi@1b8c704, eval_classification.py: this classifier, its rates,
    betas and schedule, 12,500 steps of 1,024 images (10 epochs), and one of its weight decays.
    Differs: features are extracted once, so there is no augmentation; they are standardised, and
    averaged to 7 x 7 tokens. The query's product with the keys is taken before the product with
    the tokens, which is the same function with fewer operations.
    """
    if train.x.shape[1] % NUM_TOKENS:
        raise ConfigError(
            f'Attentive probe: features of width {train.x.shape[1]} are not {NUM_TOKENS} tokens. '
            "Set test_cfg.pooling='tokens'."
        )
    train = train.near(device)
    fit = AttentiveSweep(
        train, _channel_statistics(train), epochs, batch_size, device, weight_decay
    )
    return select_and_score(fit, val, learning_rates, holdout_share, seed)


def _channel_statistics(data: Features) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation over images and tokens, repeated for every token."""
    mean, std = (s.unflatten(0, (NUM_TOKENS, -1)) for s in row_statistics(data.x))
    centre = mean.mean(dim=0)
    spread = (std.square().mean(dim=0) + (mean - centre).square().mean(dim=0)).sqrt()
    return centre.repeat(NUM_TOKENS), spread.repeat(NUM_TOKENS)


@dataclass
class AttentiveHeads:
    """L classifiers of H heads; the bias of the keys is left out, since softmax cancels it.

    Shapes: query (L, H, d), key and value (L, H, d, D), value_bias (L, H * d), weight
    (L, C, H * d), bias (L, C).
    """

    query: torch.Tensor
    key: torch.Tensor
    value: torch.Tensor
    value_bias: torch.Tensor
    weight: torch.Tensor
    bias: torch.Tensor

    @classmethod
    def drawn(
        cls, num: int, width: int, classes: int, generator: torch.Generator
    ) -> 'AttentiveHeads':
        """Equal first weights for all: truncated normal, deviation 0.02; biases 0."""
        heads = next(h for h in range(max(width // HEAD_WIDTH, 1), 0, -1) if width % h == 0)
        head = width // heads
        shapes = [(heads, head), (heads, head, width), (heads, head, width), (classes, width)]
        query, key, value, weight = (
            torch.nn.init.trunc_normal_(torch.empty(shape), std=STD, generator=generator).repeat(
                num, *[1] * len(shape)
            )
            for shape in shapes
        )
        return cls(query, key, value, torch.zeros(num, width), weight, torch.zeros(num, classes))

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Compute logits (B, L, C) of features (B, T * D)."""
        num, heads, head, width = self.key.shape
        tokens = x.unflatten(1, (-1, width))  # (B, T, D)
        asked = torch.einsum('lhd,lhdw->lhw', self.query, self.key).flatten(0, 1)
        attention = (F.linear(tokens, asked) / math.sqrt(head)).softmax(dim=1)  # (B, T, L * H)
        pooled = (attention.mT @ tokens).unflatten(1, (num, heads))  # (B, L, H, D)
        values = torch.einsum('blhw,lhdw->blhd', pooled, self.value).flatten(2)
        values = values + self.value_bias
        return torch.einsum('blw,lcw->blc', values, self.weight) + self.bias

    def parameters(self) -> dict[str, torch.Tensor]:
        """Tensors by name; the first dimension of each is L."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True)
class AttentiveSweep(RateSweep):
    """Attentive heads, by AdamW."""

    weight_decay: float = 0.0

    def train(
        self, rows: torch.Tensor, rates: torch.Tensor, generator: torch.Generator
    ) -> AttentiveHeads:
        """Train one head per learning rate on the given rows, all on the same batches."""
        width = self.data.x.shape[1] // NUM_TOKENS
        heads = AttentiveHeads.drawn(len(rates), width, self.data.num_classes, generator)
        for name, value in heads.parameters().items():
            setattr(heads, name, value.to(self.device).requires_grad_())
        rates = rates.to(self.device, torch.float32) * min(self.batch_size, len(rows)) / 256
        states = {name: (torch.zeros_like(p), torch.zeros_like(p)) for name, p in _named(heads)}
        for step, (done, x, y) in enumerate(self.steps(rows, generator), start=1):
            with torch.enable_grad():
                logits = heads(x)  # (B, L, C)
                loss = F.cross_entropy(
                    logits.flatten(0, 1), y.repeat_interleave(len(rates)), reduction='sum'
                )
                gradients = torch.autograd.grad(loss / len(y), [p for _, p in _named(heads)])
            for (name, parameter), gradient in zip(_named(heads), gradients, strict=True):
                decay = 0.0 if 'bias' in name else self.weight_decay
                _adamw_step(parameter, gradient, states[name], step, rates * _factor(done), decay)
        return heads


def _named(heads: AttentiveHeads) -> list[tuple[str, torch.Tensor]]:
    return list(heads.parameters().items())


def _factor(done: float) -> float:
    """The learning rate over its largest value, when a share of the training is done."""
    if done < WARMUP_SHARE:
        return done / WARMUP_SHARE
    return 0.5 * (1 + math.cos(math.pi * (done - WARMUP_SHARE) / (1 - WARMUP_SHARE)))


@torch.no_grad()
def _adamw_step(
    parameter: torch.Tensor,
    gradient: torch.Tensor,
    state: tuple[torch.Tensor, torch.Tensor],
    step: int,
    rates: torch.Tensor,
    weight_decay: float,
) -> None:
    """Torch's AdamW with a rate for each entry of the first dimension; all in place."""
    first, second = state
    first.lerp_(gradient, 1 - BETAS[0])
    second.lerp_(gradient.square(), 1 - BETAS[1])
    rates = rates.view(-1, *[1] * (parameter.ndim - 1))
    parameter.mul_(1 - rates * weight_decay)
    root = (second / (1 - BETAS[1] ** step)).sqrt_().add_(1e-8)
    parameter.sub_(rates / (1 - BETAS[0] ** step) * first / root)
