"""Linear probe: trains classifiers of many learning rates in one pass over cached features."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch.nn import functional as F

from mim_bench.errors import ConfigError
from mim_bench.evaluation.probes.features import Features
from mim_bench.evaluation.probes.npy_rows import MappedRows
from mim_bench.evaluation.probes.scores import accuracies, topk_hits
from mim_bench.evaluation.probes.together import shared_scores

# 10 rates, evenly spaced in the exponent, from 0.001 to 10.
LEARNING_RATES = tuple(round(10 ** (-3 + 4 * i / 9), 6) for i in range(10))
MOMENTUM = 0.9
# Bytes of features in memory, and on the device, at a time.
_GROUP_BYTES = 512 * 2**20


@dataclass(frozen=True)
class SweepResult:
    """Outcome of a probe that selects a learning rate without the validation features.

    Attributes:
        accuracies: ``top1``, ``top5`` (from six classes on) of the validation features, in percent.
        learning_rate: The selected one.
        holdout_top1: Accuracy in percent of each rate on the held-out training features.
        hits: (M,) bool by the names of ``accuracies``.
        head: The classifier.
    """

    accuracies: dict[str, float]
    learning_rate: float
    holdout_top1: dict[float, float]
    hits: dict[str, torch.Tensor] = field(compare=False)
    head: 'FittedHead' = field(compare=False)


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
) -> SweepResult:
    """Train linear classifiers on features, select one, and score it once.

    A head for each learning rate is trained on the training features without the held-out
    ones, each process training its share of the heads. The head with the best held-out
    accuracy (of equals, the one with the lower held-out loss) selects the learning rate. A
    head with that rate is trained on all training features for the same epochs and scored on
    the validation features.

    SGD with momentum 0.9, cosine decay to 0 without warm-up, no weight decay, weights from
    zero. Features are standardised with the statistics of all training features.

    Args:
        train: Training features (N, D) with labels.
        val: Validation features (M, D) with labels.
        learning_rates: Rates to train side by side, for the given batch size (not rescaled).
        epochs: Passes over the training features.
        batch_size: Batch size; N at most.
        holdout_share: Share of each class to hold out; at least one sample if it has two.
        seed: Decides the held-out part and the order of the samples.
        device: Device to compute on.

    Raises:
        ConfigError: Nothing can be held out.

    Source: MAE, arXiv:2111.06377, appendix A.1: a linear layer behind a BatchNorm without
    affine parameters, 90 epochs, no weight decay. Differs: features are extracted once, so there is
    no augmentation, and the normalisation uses the statistics of the training set; SGD and a
    selected learning rate instead of LARS with 0.1.
    """
    train = train.near(device)
    fit = LinearSweep(train, row_statistics(train.x), epochs, batch_size, device)
    return select_and_score(fit, val, learning_rates, holdout_share, seed)


def select_and_score(
    fit: 'RateSweep', val: Features, learning_rates: Sequence[float], share: float, seed: int
) -> SweepResult:
    """Select a learning rate on a held-out part, train with it on everything, and score once.

    The processes share the heads of the selection. Arguments are those of :func:`linear_probe`;
    ``fit`` trains heads on its features.

    Raises:
        ConfigError: Nothing can be held out.
    """
    generator = torch.Generator().manual_seed(seed)
    is_held = holdout_mask(fit.data.y, share, generator)
    rows, held = (~is_held).nonzero().flatten(), is_held.nonzero().flatten()

    def score(rates: Sequence[float]) -> tuple[list[float], list[float]]:
        return fit.scores(fit.train(rows, torch.tensor(rates), generator), held)

    accuracy, loss = shared_scores(score, learning_rates)
    best = max(range(len(learning_rates)), key=lambda i: (accuracy[i], -loss[i]))

    rows = torch.arange(len(fit.data.y))
    head = FittedHead(
        fit.train(rows, torch.tensor([learning_rates[best]]), generator), fit.statistics
    )
    ranked = head.ranked(val.x, fit.batch_size)
    hits = topk_hits(ranked, val.y, num_classes=fit.data.num_classes)
    return SweepResult(
        accuracies=accuracies(hits),
        learning_rate=learning_rates[best],
        holdout_top1=dict(zip(learning_rates, accuracy, strict=True)),
        hits=hits,
        head=head,
    )


@dataclass(frozen=True)
class LinearHeads:
    """L linear classifiers: weight (L, C, D), bias (L, C)."""

    weight: torch.Tensor
    bias: torch.Tensor

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Compute logits (B, L, C) of features (B, D) in one product."""
        logits = F.linear(x, self.weight.flatten(0, 1), self.bias.flatten())
        return logits.unflatten(1, self.bias.shape)


Heads = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class FittedHead:
    """A single head, with the statistics by which its features are standardised.

    Attributes:
        head: Takes (B, D) to logits (B, 1, C); a dataclass of tensors on its device.
        statistics: Mean and standard deviation (D,).
    """

    head: Heads
    statistics: tuple[torch.Tensor, torch.Tensor]

    @torch.no_grad()
    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Features (B, D) -> logits (B, C), on the device of the head."""
        return self.head(standardised(x, self.statistics, self.head.bias.device))[:, 0]

    def ranked(self, x: torch.Tensor | MappedRows, batch_size: int) -> torch.Tensor:
        """Classify features (M, D): (M, min(5, C)) classes, best first, on the CPU."""
        logits = (self(piece) for piece in pieces(x, batch_size))
        return torch.cat([part.topk(min(5, part.shape[1])).indices.cpu() for part in logits])


def standardised(
    x: torch.Tensor, statistics: tuple[torch.Tensor, torch.Tensor], device: torch.device | str
) -> torch.Tensor:
    """Standardise features (B, D) on the device by mean and standard deviation."""
    mean, std = (statistic.to(device) for statistic in statistics)
    return x.to(device).sub(mean).div_(std)


@dataclass(frozen=True)
class RateSweep:
    """Trains and scores L heads on features, which are standardised when they are read.

    Heads take (B, D) to logits (B, L, C).
    """

    data: Features
    statistics: tuple[torch.Tensor, torch.Tensor]
    epochs: int
    batch_size: int
    device: torch.device | str

    def train(self, rows: torch.Tensor, rates: torch.Tensor, generator: torch.Generator) -> Heads:
        """Train one head per learning rate on the given rows, all on the same batches."""
        raise NotImplementedError

    def steps(
        self, rows: torch.Tensor, generator: torch.Generator
    ) -> Iterator[tuple[float, torch.Tensor, torch.Tensor]]:
        """Yield the share of the training that is done, features and labels of every batch."""
        batch_size = min(self.batch_size, len(rows))
        steps = self.epochs * math.ceil(len(rows) / batch_size)
        step = 0
        for _ in range(self.epochs):
            order = rows[torch.randperm(len(rows), generator=generator)]
            for x, y in self._batches(order, batch_size):
                yield step / steps, x, y
                step += 1

    def _batches(
        self, order: torch.Tensor, batch_size: int
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Standardised features (B, D) and labels (B,) on the device, group by group."""
        batch_bytes = 4 * self.data.x.shape[1] * batch_size
        group_size = batch_size * max(1, _GROUP_BYTES // batch_bytes)
        for group in order.split(group_size):
            x = standardised(self.data.x[group], self.statistics, self.device)
            y = self.data.y[group].to(self.device)
            yield from zip(x.split(batch_size), y.split(batch_size), strict=True)

    @torch.no_grad()
    def scores(self, heads: Heads, rows: torch.Tensor) -> tuple[list[float], list[float]]:
        """Accuracy in percent and mean cross-entropy of each head on some rows of the data."""
        hits, losses = 0.0, 0.0
        for x, y in self._batches(rows, self.batch_size):
            logits = heads(x)
            hits += (logits.argmax(dim=-1) == y[:, None]).double().sum(dim=0)
            spread = F.cross_entropy(
                logits.mT,  # (B, C, L)
                y[:, None].expand(-1, logits.shape[1]),
                reduction='none',
            )
            losses += spread.double().sum(dim=0)
        return (100 * hits / len(rows)).tolist(), (losses / len(rows)).tolist()


class LinearSweep(RateSweep):
    """Linear heads from zero, by SGD with momentum and cosine decay to 0."""

    @torch.no_grad()
    def train(
        self, rows: torch.Tensor, rates: torch.Tensor, generator: torch.Generator
    ) -> LinearHeads:
        """Train one head per learning rate on the given rows, all on the same batches."""
        classes, width = self.data.num_classes, self.data.x.shape[1]
        heads, speed = (
            LinearHeads(
                torch.zeros(len(rates), classes, width, device=self.device),
                torch.zeros(len(rates), classes, device=self.device),
            )
            for _ in range(2)
        )
        rates = rates.to(self.device, torch.float32)[:, None]
        for done, x, y in self.steps(rows, generator):
            _descend(heads, speed, x, y, rates * (0.5 * (1 + math.cos(math.pi * done))))
        return heads


def _descend(
    heads: LinearHeads, speed: LinearHeads, x: torch.Tensor, y: torch.Tensor, rates: torch.Tensor
) -> None:
    """One SGD step of all heads; rates are (L, 1)."""
    # The gradient of the mean cross-entropy by its logits.
    error = heads(x).softmax(dim=-1)  # (B, L, C)
    error[torch.arange(len(y), device=y.device), :, y] -= 1
    error /= len(y)
    gradient = F.linear(error.flatten(1).T, x.T)  # (L * C, B) x (B, D)
    speed.weight.mul_(MOMENTUM).add_(gradient.view_as(speed.weight))
    speed.bias.mul_(MOMENTUM).add_(error.sum(dim=0))
    heads.weight.sub_(rates[:, :, None] * speed.weight)
    heads.bias.sub_(rates * speed.bias)


def row_statistics(x: torch.Tensor | MappedRows) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation of each feature, (D,) float32, summed in float64."""
    chunk = max(1, _GROUP_BYTES // (8 * x.shape[1]))
    mean = sum(c.double().sum(dim=0) for c in pieces(x, chunk)) / len(x)
    squares = ((c.double() - mean).square().sum(dim=0) for c in pieces(x, chunk))
    variance = sum(squares) / len(x)
    # The eps of MAE's BatchNorm; it also keeps constant features at zero.
    return mean.float(), (variance + 1e-6).sqrt().float()


def pieces(x: torch.Tensor | MappedRows, size: int) -> Iterator[torch.Tensor]:
    """Yield all rows in order, in pieces."""
    return (x[start : start + size] for start in range(0, len(x), size))


def holdout_mask(y: torch.Tensor, share: float, generator: torch.Generator) -> torch.Tensor:
    """Draw a share of each class to hold out, (N,) bool; a ``ConfigError`` if none can be."""
    order = torch.randperm(len(y), generator=generator)
    order = order[y[order].argsort(stable=True)]  # shuffled inside each class
    counts = torch.bincount(y)
    place = torch.arange(len(y)) - (counts.cumsum(0) - counts)[y[order]]
    quota = (counts * share).round().clamp(min=1).minimum(counts - 1)
    is_held = torch.zeros(len(y), dtype=torch.bool)
    is_held[order] = place < quota[y[order]]
    if not is_held.any():
        raise ConfigError(
            f'A probe can hold out none of {len(y)} training features, every class has one '
            'sample. Use more training data.'
        )
    return is_held


def check_sweep(
    what: str, rates: Sequence[float], epochs: int, batch_size: int, share: float
) -> None:
    """Refuse settings of a sweep that are out of range by a ``ConfigError`` about ``what``."""
    if not rates or min(rates) <= 0:
        raise ConfigError(f'{what}: learning_rates = {list(rates)}. Give positive ones.')
    if epochs < 1 or batch_size < 1 or not 0 < share < 1:
        raise ConfigError(
            f'{what}: epochs = {epochs}, batch_size = {batch_size}, holdout_share = {share}. '
            'The first two are at least 1, the last lies between 0 and 1.'
        )
