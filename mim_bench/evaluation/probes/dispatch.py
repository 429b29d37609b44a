"""Runs probes by name on features that every process can read."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

import torch
from mmengine.dist import all_reduce, get_rank, get_world_size

from mim_bench.errors import ConfigError, did_you_mean
from mim_bench.evaluation.probes.attentive import attentive_probe
from mim_bench.evaluation.probes.features import Features
from mim_bench.evaluation.probes.fitted import tensors_of
from mim_bench.evaluation.probes.knn import check_knn, knn_hits
from mim_bench.evaluation.probes.linear import SweepResult, check_sweep, holdout_mask, linear_probe
from mim_bench.evaluation.probes.npy_rows import RowsView
from mim_bench.evaluation.probes.scores import accuracies

_LAYERS_SHARE = 0.1  # of each class, held out to choose the layer


@dataclass(frozen=True)
class ProbeResult:
    """Result of a probe, the same on every process.

    Attributes:
        scores: By name: accuracies in percent and, for a sweep, the learning rate.
        hits: By name of an accuracy: (M,) bool on the CPU, in the order of the queries.
        fitted: What :func:`mim_bench.evaluation.probes.fitted.class_scores` needs.
    """

    scores: dict[str, float]
    hits: dict[str, torch.Tensor]
    fitted: dict[str, Any]


def run_probe(
    name: str,
    bank: Features,
    query: Features,
    *,
    device: torch.device | str,
    settings: Mapping[str, Any],
) -> ProbeResult:
    """Run a probe of :data:`PROBES` on training and validation features; call it on every process.

    Args:
        name: ``'knn'``, ``'linear'`` or ``'attentive'``.
        bank: Training features.
        query: Validation features.
        device: Device to compute on; features are kept there while a probe runs, if they fit.
        settings: Keyword arguments of the probe.
    """
    return PROBES[name](bank.near(device), query.near(device), device=device, **settings)


def run_on_best_layer(
    name: str,
    bank: Features,
    query: Features,
    widths: Sequence[int],
    *,
    device: torch.device | str,
    settings: Mapping[str, Any],
) -> ProbeResult:
    """Run a probe on the layer that is best on a held-out part of the training features.

    Args:
        name: See :func:`run_probe`.
        bank: Training features (N, sum of widths): those of all layers side by side.
        query: Validation features, in the same form; they are scored once.
        widths: Width of each layer.
        device: Device to compute on.
        settings: Settings of the probe.

    Returns:
        The result, with the layer, counted from 1, and all held-out accuracies in ``scores``.
    """
    is_held = _held_for_layers(bank.y)
    train, held = (~is_held).nonzero().flatten(), is_held.nonzero().flatten()
    ends = list(accumulate(widths))
    layers = [slice(end - width, end) for end, width in zip(ends, widths, strict=True)]
    found = []
    for columns in layers:
        parts = (
            replace(bank, x=RowsView(bank.x, columns, rows), y=bank.y[rows])
            for rows in (train, held)
        )
        found.append(run_probe(name, *parts, device=device, settings=settings).scores['top1'])
    best = max(range(len(layers)), key=lambda layer: found[layer])
    chosen = (replace(part, x=RowsView(part.x, layers[best])) for part in (bank, query))
    result = run_probe(name, *chosen, device=device, settings=settings)
    holdout = {f'holdout_top1_layer{n}': top1 for n, top1 in enumerate(found, start=1)}
    fitted = {**result.fitted, 'columns': [layers[best].start, layers[best].stop]}
    return ProbeResult({**result.scores, 'layer': best + 1, **holdout}, result.hits, fitted)


def _held_for_layers(y: torch.Tensor) -> torch.Tensor:
    return holdout_mask(y, _LAYERS_SHARE, torch.Generator().manual_seed(0))


def check_bank(
    y: torch.Tensor, probes: Mapping[str, Mapping[str, Any]], *, on_best_layer: bool
) -> None:
    """Refuse training images that are too few for the probes, and values out of range.

    Args:
        y: Labels of the images (N,).
        probes: Settings by probe.
        on_best_layer: Whether a part is held out to choose the layer.

    Raises:
        ConfigError: What a probe would raise once there are features.
    """
    if on_best_layer:
        y = y[~_held_for_layers(y)]
    for name, settings in probes.items():
        parameters = inspect.signature(PROBE_FUNCTIONS[name]).parameters.values()
        values = {p.name: p.default for p in parameters} | settings
        if name == 'knn':
            check_knn(len(y), values['k'], values['temperature'])
            continue
        sizes = (values[key] for key in ('epochs', 'batch_size', 'holdout_share'))
        check_sweep(f'Probe {name!r}', values['learning_rates'], *sizes)
        holdout_mask(y, values['holdout_share'], torch.Generator())


def check_probe(name: str, settings: Mapping[str, Any]) -> None:
    """Refuse an unknown probe or an unknown setting of it by a ``ConfigError``."""
    if name not in PROBES:
        raise ConfigError(
            f'Unknown probe {name!r}.{did_you_mean(name, PROBES)} Known: '
            f'{", ".join(sorted(PROBES))}.'
        )
    check_settings(f'probe {name!r}', PROBE_FUNCTIONS[name], settings)


def check_settings(what: str, function: Callable[..., Any], settings: Mapping[str, Any]) -> None:
    """Refuse settings that are no keyword arguments of a function by a ``ConfigError``."""
    parameters = inspect.signature(function).parameters.values()
    known = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.name != 'device']
    if unknown := sorted(set(settings) - set(known)):
        raise ConfigError(
            f'The {what} has no setting {", ".join(unknown)}. Known: {", ".join(known)}.'
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
        # A process without queries of its own classified another's, which are not counted.
        counts = torch.zeros(len(query.y), dtype=torch.int64)
        counts[share] = right.long() if rank < len(query.y) else 0
        all_reduce(counts)
        hits[name] = counts.bool()
    return ProbeResult(accuracies(hits), hits, {'settings': settings})


def _swept(measure: Callable[..., SweepResult]) -> Callable[..., ProbeResult]:
    """A probe that selects a learning rate; the processes share its heads."""

    def run(
        bank: Features, query: Features, *, device: torch.device | str, **settings: Any
    ) -> ProbeResult:
        result = measure(bank, query, device=device, **settings)
        holdout = {f'holdout_top1_lr{rate:g}': top1 for rate, top1 in result.holdout_top1.items()}
        scores = {**result.accuracies, 'lr': result.learning_rate, **holdout}
        return ProbeResult(scores, result.hits, tensors_of(result.head))

    return run


SWEEPS = {'linear': linear_probe, 'attentive': attentive_probe}
PROBE_FUNCTIONS: dict[str, Callable[..., Any]] = {'knn': knn_hits, **SWEEPS}
PROBES: dict[str, Callable[..., ProbeResult]] = {
    'knn': _knn,
    **{name: _swept(measure) for name, measure in SWEEPS.items()},
}
