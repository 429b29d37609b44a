"""The probes by name, run on features that every process holds."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from mmengine.dist import all_reduce, get_rank, get_world_size

from mim_bench.engine.probes.features import Features
from mim_bench.engine.probes.knn import knn_accuracy
from mim_bench.engine.probes.linear import linear_probe
from mim_bench.errors import ConfigError


def run_probe(
    name: str,
    bank: Features,
    query: Features,
    *,
    device: torch.device | str,
    settings: Mapping[str, Any],
) -> dict[str, float]:
    """Measure features with one probe; call it on every process.

    Args:
        name: ``'knn'`` or ``'linear'``.
        bank: Training features.
        query: Validation features.
        device: Where to compute.
        settings: Arguments of :func:`knn_accuracy` or :func:`linear_probe`.

    Returns:
        By name: accuracies in percent and, for the linear probe, the learning rate.
        The same on every process.
    """
    return PROBES[name](bank, query, device=device, **settings)


def check_probe(name: str, settings: Mapping[str, Any]) -> None:
    """Refuse an unknown probe or an unknown setting of it.

    Raises:
        ConfigError: Lists what there is.
    """
    if name not in PROBES:
        raise ConfigError(f'Unknown probe {name!r}. Known: {", ".join(sorted(PROBES))}.')
    measure = {'knn': knn_accuracy, 'linear': linear_probe}[name]
    known = [
        p.name
        for p in inspect.signature(measure).parameters.values()
        if p.kind is p.KEYWORD_ONLY and p.name != 'device'
    ]
    if unknown := sorted(set(settings) - set(known)):
        raise ConfigError(
            f'The probe {name!r} has no setting {", ".join(unknown)}. Known: {", ".join(known)}.'
        )


def _knn(
    bank: Features, query: Features, *, device: torch.device | str, **settings: Any
) -> dict[str, float]:
    """Each process classifies its share of the queries."""
    rank, world_size = get_rank(), get_world_size()
    share = slice(rank % len(query.y), None, world_size)
    part = Features(query.x[share], query.y[share])
    scores = knn_accuracy(bank, part, device=device, **settings)
    # A process without a share of its own measured someone else's; it does not count.
    weight = len(part.y) if rank < len(query.y) else 0
    totals = torch.tensor([value * weight for value in scores.values()], dtype=torch.float64)
    all_reduce(totals)
    return dict(zip(scores, (totals / len(query.y)).tolist(), strict=True))


def _linear(
    bank: Features, query: Features, *, device: torch.device | str, **settings: Any
) -> dict[str, float]:
    """Every process does the same work: it is short, and the result needs no exchange."""
    result = linear_probe(bank, query, device=device, **settings)
    holdout = {f'holdout_top1_lr{rate:g}': top1 for rate, top1 in result.holdout_top1.items()}
    return {**result.accuracies, 'lr': result.learning_rate, **holdout}


PROBES: dict[str, Callable[..., dict[str, float]]] = {'knn': _knn, 'linear': _linear}
