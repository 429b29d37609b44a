"""Runs probes by name on features that every process can read."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.dist import all_reduce, get_rank, get_world_size

from mim_bench.errors import ConfigError
from mim_bench.evaluation.probes.features import Features
from mim_bench.evaluation.probes.knn import knn_accuracy, knn_hits
from mim_bench.evaluation.probes.linear import linear_probe
from mim_bench.evaluation.probes.scores import accuracies


@dataclass(frozen=True)
class ProbeResult:
    """Result of a probe, the same on every process.

    Attributes:
        scores: Scores by name: accuracies in percent and, for the linear probe, the learning rate.
        hits: Hits by name of an accuracy: (M,) bool on the CPU, in the order of the queries.
    """

    scores: dict[str, float]
    hits: dict[str, torch.Tensor]


def run_probe(
    name: str,
    bank: Features,
    query: Features,
    *,
    device: torch.device | str,
    settings: Mapping[str, Any],
) -> ProbeResult:
    """Run a probe on features; call it on every process.

    Args:
        name: ``'knn'`` or ``'linear'``.
        bank: Training features.
        query: Validation features.
        device: Device to compute on; features are kept there while a probe runs, if they fit.
        settings: Arguments of :func:`knn_accuracy` or :func:`linear_probe`.
    """
    return PROBES[name](bank.near(device), query.near(device), device=device, **settings)


def check_probe(name: str, settings: Mapping[str, Any]) -> None:
    """Refuse an unknown probe or an unknown setting of it.

    Raises:
        ConfigError: The probe or the setting is unknown.
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
) -> ProbeResult:
    """Run k-NN; each process classifies its share of the queries."""
    rank, world_size = get_rank(), get_world_size()
    share = slice(rank % len(query.y), None, world_size)
    part = Features(query.x[share], query.y[share])
    found = knn_hits(bank, part, device=device, **settings)
    hits = {}
    for name, right in found.items():
        # A process without a share classified another's, which is not counted.
        counts = torch.zeros(len(query.y), dtype=torch.int64)
        counts[share] = right.long() if rank < len(query.y) else 0
        all_reduce(counts)
        hits[name] = counts.bool()
    return ProbeResult(accuracies(hits), hits)


def _linear(
    bank: Features, query: Features, *, device: torch.device | str, **settings: Any
) -> ProbeResult:
    """Run the linear probe; the processes share the heads of the sweep."""
    result = linear_probe(bank, query, device=device, **settings)
    holdout = {f'holdout_top1_lr{rate:g}': top1 for rate, top1 in result.holdout_top1.items()}
    scores = {**result.accuracies, 'lr': result.learning_rate, **holdout}
    return ProbeResult(scores, result.hits)


PROBES: dict[str, Callable[..., ProbeResult]] = {'knn': _knn, 'linear': _linear}
