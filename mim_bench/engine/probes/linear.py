"""Linear probe: many learning rates in one pass over cached features."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from mim_bench.engine.probes.features import Features
from mim_bench.engine.probes.scores import topk_accuracies
from mim_bench.errors import ConfigError

# 10 rates, evenly spaced in the exponent, from 0.001 to 10.
LEARNING_RATES = tuple(round(10 ** (-3 + 4 * i / 9), 6) for i in range(10))
MOMENTUM = 0.9
_STATISTICS_CHUNK = 65536


@dataclass(frozen=True)
class LinearResult:
    """Outcome of a linear probe.

    Attributes:
        accuracies: ``top1`` (and ``top5`` with more than five classes) on the validation
            features, in percent.
        learning_rate: The one that was selected, without looking at validation features.
        holdout_top1: Accuracy in percent of each learning rate on the held-out part of
            the training features.
    """

    accuracies: dict[str, float]
    learning_rate: float
    holdout_top1: dict[float, float]


def linear_probe(
    train: Features,
    val: Features,
    *,
    learning_rates: Sequence[float] = LEARNING_RATES,
    epochs: int = 90,
    batch_size: int = 1024,
    holdout_share: float = 0.1,
    seed: int = 0,
    device: torch.device | str = 'cpu',
) -> LinearResult:
    """Train linear classifiers on features and score the best one, once.

    One head a learning rate is trained on the training features without the held-out
    ones; the head with the best held-out accuracy (of equals, the one with the lower
    held-out loss) names the learning rate. A head with that rate is trained on all
    training features for as many epochs and scored on the validation features.

    SGD with momentum 0.9, cosine decay to 0 without warm-up, no weight decay, weights from
    zero. Features are standardised with the statistics of all training features.

    Args:
        train: (N, D) with labels.
        val: (M, D) with labels.
        learning_rates: Tried side by side, for the given batch size (not rescaled).
        epochs: Passes over the training features.
        batch_size: At most N is used.
        holdout_share: Share of each class held out, at least one sample of every class
            that has two; between 0 and 1, exclusive.
        seed: Decides the held-out part and the order of the samples.
        device: Where to compute.

    Raises:
        ConfigError: An argument is out of range, or nothing can be held out.

    Source: MAE, arXiv:2111.06377, appendix A.1: a linear layer behind a BatchNorm without
    affine parameters, 90 epochs, no weight decay.
    Differs: features are extracted once, so there is no augmentation, and the normalisation
    uses the statistics of the training set instead of the batch's; SGD and a selected
    learning rate instead of LARS with 0.1.
    """
    _check(learning_rates, epochs, batch_size, holdout_share)
    generator = torch.Generator().manual_seed(seed)
    is_held = _holdout_mask(train.y, holdout_share, generator)
    fit = _Fit(train, _statistics(train.x), epochs, batch_size, device)

    rows = (~is_held).nonzero().flatten()
    heads = fit.train(rows, torch.tensor(learning_rates), generator)
    held = train.x[is_held], train.y[is_held]
    accuracy, loss = fit.scores(heads, *held)
    best = max(range(len(learning_rates)), key=lambda i: (accuracy[i], -loss[i]))

    rows = torch.arange(len(train.y))
    head = fit.train(rows, torch.tensor([learning_rates[best]]), generator)
    return LinearResult(
        accuracies=topk_accuracies(fit.ranked(head, val.x), val.y, num_classes=train.num_classes),
        learning_rate=learning_rates[best],
        holdout_top1=dict(zip(learning_rates, accuracy, strict=True)),
    )


@dataclass(frozen=True)
class _Heads:
    """L linear classifiers: weight (L, C, D), bias (L, 1, C)."""

    weight: torch.Tensor
    bias: torch.Tensor

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """(B, D) -> logits (L, B, C)."""
        return torch.matmul(x, self.weight.mT) + self.bias


@dataclass(frozen=True)
class _Fit:
    """Trains and scores heads on features that are standardised batch by batch."""

    data: Features
    statistics: tuple[torch.Tensor, torch.Tensor]
    epochs: int
    batch_size: int
    device: torch.device | str

    def standardise(self, x: torch.Tensor) -> torch.Tensor:
        mean, std = self.statistics
        return ((x - mean) / std).to(self.device)

    @torch.no_grad()
    def train(self, rows: torch.Tensor, rates: torch.Tensor, generator: torch.Generator) -> _Heads:
        """Train one head a learning rate on the given rows, all on the same batches."""
        classes, width = self.data.num_classes, self.data.x.shape[1]
        heads = _Heads(
            torch.zeros(len(rates), classes, width, device=self.device),
            torch.zeros(len(rates), 1, classes, device=self.device),
        )
        speed = _Heads(torch.zeros_like(heads.weight), torch.zeros_like(heads.bias))
        rates = rates.to(self.device, torch.float32)[:, None, None]
        batch_size = min(self.batch_size, len(rows))
        steps = self.epochs * math.ceil(len(rows) / batch_size)
        step = 0
        for _ in range(self.epochs):
            order = rows[torch.randperm(len(rows), generator=generator)]
            for batch in order.split(batch_size):
                decay = 0.5 * (1 + math.cos(math.pi * step / steps))
                self._step(heads, speed, batch, rates * decay)
                step += 1
        return heads

    def _step(self, heads: _Heads, speed: _Heads, batch: torch.Tensor, rates: torch.Tensor) -> None:
        x, y = self.standardise(self.data.x[batch]), self.data.y[batch].to(self.device)
        # The gradient of the mean cross-entropy by its logits, of every head at once.
        error = heads(x).softmax(dim=-1)  # (L, B, C)
        error[:, torch.arange(len(y), device=y.device), y] -= 1
        error /= len(y)
        speed.weight.mul_(MOMENTUM).add_(torch.matmul(error.mT, x))
        speed.bias.mul_(MOMENTUM).add_(error.sum(dim=1, keepdim=True))
        heads.weight.sub_(rates * speed.weight)
        heads.bias.sub_(rates * speed.bias)

    @torch.no_grad()
    def scores(
        self, heads: _Heads, x: torch.Tensor, y: torch.Tensor
    ) -> tuple[list[float], list[float]]:
        """Accuracy in percent and mean cross-entropy of each head."""
        hits, losses = 0.0, 0.0
        for rows, labels in zip(x.split(self.batch_size), y.split(self.batch_size), strict=True):
            logits, labels = heads(self.standardise(rows)), labels.to(self.device)
            hits += (logits.argmax(dim=-1) == labels).double().sum(dim=1)
            spread = F.cross_entropy(
                logits.permute(1, 2, 0),  # (B, C, L)
                labels[:, None].expand(-1, len(logits)),
                reduction='none',
            )
            losses += spread.double().sum(dim=0)
        return (100 * hits / len(y)).tolist(), (losses / len(y)).tolist()

    @torch.no_grad()
    def ranked(self, head: _Heads, x: torch.Tensor) -> torch.Tensor:
        """(M, D) -> (M, min(5, C)) classes of a single head, best first, on the CPU."""
        count = min(5, self.data.num_classes)
        return torch.cat(
            [
                head(self.standardise(r))[0].topk(count).indices.cpu()
                for r in x.split(self.batch_size)
            ]
        )


def _statistics(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation of each feature, (D,) float32, summed in float64."""
    mean = sum(c.double().sum(dim=0) for c in x.split(_STATISTICS_CHUNK)) / len(x)
    squares = ((c.double() - mean).square().sum(dim=0) for c in x.split(_STATISTICS_CHUNK))
    variance = sum(squares) / len(x)
    # The eps of MAE's BatchNorm; it also keeps constant features at zero.
    return mean.float(), (variance + 1e-6).sqrt().float()


def _holdout_mask(y: torch.Tensor, share: float, generator: torch.Generator) -> torch.Tensor:
    """(N,) bool, True = held out: the given share of each class, drawn by the generator."""
    order = torch.randperm(len(y), generator=generator)
    order = order[y[order].argsort(stable=True)]  # shuffled inside each class
    counts = torch.bincount(y)
    place = torch.arange(len(y)) - (counts.cumsum(0) - counts)[y[order]]
    quota = (counts * share).round().clamp(min=1).minimum(counts - 1)
    is_held = torch.zeros(len(y), dtype=torch.bool)
    is_held[order] = place < quota[y[order]]
    if not is_held.any():
        raise ConfigError(
            f'Linear probe: none of {len(y)} training features can be held out, every class has '
            'one sample. Use more training data.'
        )
    return is_held


def _check(rates: Sequence[float], epochs: int, batch_size: int, share: float) -> None:
    if not rates or min(rates) <= 0:
        raise ConfigError(f'Linear probe: learning_rates = {list(rates)}. Give positive ones.')
    if epochs < 1 or batch_size < 1 or not 0 < share < 1:
        raise ConfigError(
            f'Linear probe: epochs = {epochs}, batch_size = {batch_size}, holdout_share = {share}. '
            'The first two are at least 1, the last lies between 0 and 1.'
        )
