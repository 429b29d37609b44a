"""Weighted k-nearest-neighbour classification of frozen features."""

import torch
from torch.nn import functional as F

from mim_bench.errors import ConfigError
from mim_bench.evaluation.probes.features import Features
from mim_bench.evaluation.probes.npy_rows import MappedRows
from mim_bench.evaluation.probes.scores import topk_hits

# Rows of the bank and of the queries that are compared at a time. On a CPU their similarities
# (8 MiB) stay in the cache while they are searched; a GPU needs larger chunks.
_CPU_CHUNKS = (4096, 512)
_GPU_CHUNKS = (16384, 4096)


def knn_hits(
    bank: Features,
    query: Features,
    *,
    k: int = 20,
    temperature: float = 0.07,
    device: torch.device | str = 'cpu',
) -> dict[str, torch.Tensor]:
    """Hits of :func:`knn_predict`: (M,) bool, ``top1`` and from six classes on ``top5``."""
    ranked = knn_predict(bank, query.x, k=k, temperature=temperature, device=device)
    return topk_hits(ranked, query.y, num_classes=bank.num_classes)


@torch.no_grad()
def knn_predict(
    bank: Features,
    query_x: torch.Tensor | MappedRows,
    *,
    k: int = 20,
    temperature: float = 0.07,
    device: torch.device | str = 'cpu',
) -> torch.Tensor:
    """Rank the classes of each query by the votes of its k nearest neighbours.

    Neighbours are ranked by cosine similarity; a neighbour of similarity s votes for its class
    with weight exp(s / temperature). The bank is read once, in chunks, so it may be
    memory-mapped; the device holds the queries, one chunk and its similarities. A chunk is
    searched only for queries that have a nearer neighbour in it than their present k-th.

    Args:
        bank: Labelled features, (N, D).
        query_x: Features to classify, (M, D) floating, a tensor or mapped.
        k: Number of neighbours that vote, part of the protocol; N at most.
        temperature: Above 0; the smaller, the larger the weight of the nearest neighbours.
        device: Device to compute on.

    Returns:
        (M, min(5, classes)) int64 on the CPU: classes, best first.

    Raises:
        ConfigError: ``k`` or the temperature is out of range, or the features differ in width.

    Source: Wu et al., "Unsupervised feature learning via non-parametric instance
    discrimination", arXiv:1805.01978, section 3.4, with the k = 20 and T = 0.07 that
    DINO, arXiv:2104.14294, reports.
    """
    _check(bank, query_x, k, temperature)
    similarities, rows = nearest_rows(bank.x, query_x[:], k=k, device=device)
    _, query_chunk = _chunks(device)
    labels = bank.y.to(device)[rows]
    votes = (
        _votes(*part, bank.num_classes, temperature)
        for part in zip(similarities.split(query_chunk), labels.split(query_chunk), strict=True)
    )
    return torch.cat([part.topk(min(5, bank.num_classes), dim=1).indices.cpu() for part in votes])


@torch.no_grad()
def knn_votes(
    bank: Features,
    query_x: torch.Tensor,
    *,
    k: int = 20,
    temperature: float = 0.07,
    device: torch.device | str = 'cpu',
) -> torch.Tensor:
    """The votes (M, C) for each class, on the device; arguments as of :func:`knn_predict`."""
    _check(bank, query_x, k, temperature)
    similarities, rows = nearest_rows(bank.x, query_x, k=k, device=device)
    return _votes(similarities, bank.y.to(device)[rows], bank.num_classes, temperature)


@torch.no_grad()
def nearest_rows(
    bank_x: torch.Tensor | MappedRows, queries: torch.Tensor, *, k: int, device: torch.device | str
) -> tuple[torch.Tensor, torch.Tensor]:
    """The k rows of a bank that are nearest to each query by cosine similarity.

    Args:
        bank_x: (N, D), read once in chunks; N is at least k.
        queries: (M, D).
        k: Number of neighbours.
        device: Device to compute on.

    Returns:
        Similarities (M, k) in descending order, and numbers of rows (M, k), on the device.
    """
    bank_chunk, query_chunk = _chunks(device)
    queries = _unit(queries, device)
    best_s = torch.full((len(queries), k), -torch.inf, device=device)
    best_rows = torch.zeros((len(queries), k), dtype=torch.int64, device=device)
    for start in range(0, len(bank_x), bank_chunk):
        keys = _unit(bank_x[start : start + bank_chunk], device)
        for q in range(0, len(queries), query_chunk):
            part = slice(q, q + query_chunk)
            _merge(best_s[part], best_rows[part], F.linear(queries[part], keys), start)
    return best_s, best_rows


def _chunks(device: torch.device | str) -> tuple[int, int]:
    return _CPU_CHUNKS if torch.device(device).type == 'cpu' else _GPU_CHUNKS


def _unit(x: torch.Tensor, device: torch.device | str) -> torch.Tensor:
    return F.normalize(x.to(device, torch.float32), dim=1)


def _merge(best_s: torch.Tensor, best_rows: torch.Tensor, s: torch.Tensor, start: int) -> None:
    """Merge similarities ``s`` (Q, chunk) of further rows into the k best (Q, k), in place."""
    k = best_s.shape[1]
    found = (s.amax(dim=1) > best_s[:, -1]).nonzero().flatten()
    if not len(found):
        return
    near_s, nearest = s[found].topk(min(k, s.shape[1]), dim=1)
    merged_s = torch.cat([best_s[found], near_s], dim=1)
    merged_rows = torch.cat([best_rows[found], nearest + start], dim=1)
    best_s[found], kept = merged_s.topk(k, dim=1)
    best_rows[found] = merged_rows.gather(1, kept)


def _votes(
    similarities: torch.Tensor, labels: torch.Tensor, num_classes: int, temperature: float
) -> torch.Tensor:
    """Compute votes (M, C) from similarities (M, k), best first, and labels."""
    # Relative to the nearest: the order of the classes stays, and small temperatures
    # cannot overflow.
    weights = ((similarities - similarities[:, :1]) / temperature).exp()
    votes = torch.zeros(len(labels), num_classes, device=labels.device)
    return votes.scatter_add_(1, labels, weights)


def check_knn(size: int, k: int, temperature: float) -> None:
    """Refuse settings that are out of range for a bank of a size by a ``ConfigError``."""
    if not 1 <= k <= size:
        raise ConfigError(
            f'k-NN: k = {k} with a bank of {size} features. '
            'Set k between 1 and the size of the bank, or use a larger bank.'
        )
    if temperature <= 0:
        raise ConfigError(f'k-NN: temperature = {temperature} is not positive. Use 0.07.')


def _check(bank: Features, query_x: torch.Tensor | MappedRows, k: int, temperature: float) -> None:
    check_knn(len(bank.x), k, temperature)
    if query_x.shape[1:] != bank.x.shape[1:]:
        raise ConfigError(
            f'k-NN: queries of shape {tuple(query_x.shape)} against a bank of shape '
            f'{tuple(bank.x.shape)}. Extract both with the same model and pooling.'
        )
