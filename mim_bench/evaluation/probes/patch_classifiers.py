"""Classifiers of patches on frozen features: retrieval, and logistic regression by L-BFGS."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from mmengine.logging import print_log
from scipy import optimize
from torch.nn import functional as F

from mim_bench.errors import ConfigError, did_you_mean
from mim_bench.evaluation.probes.dispatch import check_settings
from mim_bench.evaluation.probes.knn import nearest_rows
from mim_bench.evaluation.probes.linear import row_statistics
from mim_bench.evaluation.probes.npy_rows import MappedRows
from mim_bench.evaluation.probes.patches import PatchBank

# Eight values of C, evenly spaced in the exponent, from 1e-6 to 1e5.
STRENGTHS = tuple(float(f'{10 ** (-6 + 11 * i / 7):.6g}') for i in range(8))
_CHUNK_ROWS = 16384


@dataclass(frozen=True)
class Fitted:
    """A fitted classifier.

    Attributes:
        scores: Features (M, D) on the device -> scores (M, C).
        chosen: What was selected on held-out training images, by name of a metric.
    """

    scores: Callable[[torch.Tensor], torch.Tensor]
    chosen: dict[str, float] = field(default_factory=dict)


def fit_patches(
    name: str, bank: PatchBank, *, device: torch.device | str, settings: Mapping[str, Any]
) -> Fitted:
    """Fit a classifier of patches, by the keyword arguments of its function in ``settings``.

    On a GPU the bank is copied to it in the type of its files; on a CPU retrieval copies it, and
    logistic regression reads the files at each evaluation.
    """
    return CLASSIFIERS[name](bank, device=device, **settings)


def check_classifier(name: str, settings: Mapping[str, Any]) -> None:
    """Refuse an unknown classifier or an unknown setting of it by a ``ConfigError``."""
    if name not in CLASSIFIERS:
        raise ConfigError(
            f'Unknown classifier of patches {name!r}.{did_you_mean(name, CLASSIFIERS)} Known: '
            f'{", ".join(sorted(CLASSIFIERS))}.'
        )
    check_settings(f'classifier {name!r}', CLASSIFIERS[name], settings)


def fit_retrieval(
    bank: PatchBank,
    *,
    k: int = 30,
    temperature: float = 0.02,
    device: torch.device | str = 'cpu',
) -> Fitted:
    """Label a patch by its nearest neighbours in the bank.

    The scores are the mean of the class shares of ``k`` neighbours, weighted by the softmax of
    their cosine similarities / ``temperature``.

    Raises:
        ConfigError: ``k`` is not in 1..N, or the temperature is not positive.

    Source: Balažević et al., "Towards In-Context Scene Understanding", arXiv:2306.01667; the
    30 neighbours and the temperature of 0.02 are those of vpariza/open-hummingbird-eval@0fd976f,
    hbird/hbird_eval.py. Differs: the search is exact, and unlabelled pixels are left out of the
    shares.
    """
    if not 1 <= k <= len(bank.x) or temperature <= 0:
        raise ConfigError(
            f'Retrieval of patches: k = {k} with a bank of {len(bank.x)}, temperature = '
            f'{temperature}. Set k between 1 and the size of the bank, the temperature above 0.'
        )
    keys, shares = _on_device(bank.x, device), _on_device(bank.shares, device)

    def scores(features: torch.Tensor) -> torch.Tensor:
        similarities, rows = nearest_rows(keys, features, k=k, device=device)
        weights = (similarities / temperature).softmax(dim=1)
        return torch.einsum('mk,mkc->mc', weights, shares[rows].float())

    return Fitted(scores)


def fit_logistic(
    bank: PatchBank,
    *,
    strengths: Sequence[float] = STRENGTHS,
    holdout_share: float = 0.1,
    max_iter: int = 1000,
    tolerance: float = 1e-4,
    seed: int = 0,
    device: torch.device | str = 'cpu',
) -> Fitted:
    """Multinomial logistic regression on the most frequent class of each patch.

    Features are standardised. For each C, from the smallest on, the penalised mean loss

        mean of -log p(y | x) + |W|^2 / (2 C N)

    is minimised by L-BFGS on the patches of all images but the held-out ones, from the solution
    for the C before. The C of the best mIoU on the pixels of the held-out patches is chosen, and
    the loss on all patches minimised with it.

    Args:
        bank: Labelled patches.
        strengths: Values of C.
        holdout_share: Share of the images held out, at least one; between 0 and 1.
        max_iter: Iterations of L-BFGS for each C.
        tolerance: Largest entry of the gradient at which it stops.
        seed: Decides the held-out images.
        device: Device to compute on.

    Raises:
        ConfigError: An argument is out of range, or there are fewer than two images.

    Source: facebookresearch/capi@3493b57, eval_segmentation.py: this grid of C, 1,000 iterations,
    standardised features, a tenth of the training images held out. Differs: each C starts from
    the last solution, L-BFGS sees weights that are scaled for the penalty, and the tolerance is
    scikit-learn's.
    """
    if not strengths or min(strengths) <= 0 or not 0 < holdout_share < 1 or max_iter < 1:
        raise ConfigError(
            f'Logistic regression: strengths = {list(strengths)}, holdout_share = {holdout_share}, '
            f'max_iter = {max_iter}. Strengths are positive, the share lies between 0 and 1.'
        )
    held = _held_out(bank.images, holdout_share, seed)
    mean, std = row_statistics(bank.x)
    x, shares = bank.x, bank.shares
    if torch.device(device).type != 'cpu':
        x, shares = _on_device(x, device), _on_device(shares, device)
    labels = [shares[start : start + _CHUNK_ROWS].argmax(dim=1) for start in _starts(shares)]
    loss = _Loss(x, torch.cat(labels), bank.num_classes, mean.to(device), std.to(device))
    solution, found = loss.start(~held), {}
    held_rows = held.nonzero().flatten().to(x.device if isinstance(x, torch.Tensor) else 'cpu')
    for strength in sorted(strengths):
        solution = loss.minimise(~held, strength, solution, max_iter, tolerance)
        found[strength] = loss.mean_iou(held_rows, shares, solution)
        print_log(
            f'Logistic regression of patches: C = {strength:g}, held-out mIoU '
            f'{found[strength]:.2f}',
            logger='current',
        )
    best = max(sorted(strengths), key=lambda strength: found[strength])
    solution = loss.minimise(torch.ones_like(held), best, solution, max_iter, tolerance)
    chosen = {'logreg/C': best, 'logreg/holdout_mIoU': found[best]}
    return Fitted(lambda features: loss.logits(features, solution), chosen)


def _on_device(rows: torch.Tensor | MappedRows, device: torch.device | str) -> torch.Tensor:
    """All rows on the device, in the type of their file, copied in pieces."""
    table = torch.empty(rows.shape, dtype=_torch_type(rows.dtype), device=device)
    for start in _starts(rows):
        part = slice(start, start + _CHUNK_ROWS)
        table[part] = rows[part].to(table)
    return table


def _starts(rows: torch.Tensor | MappedRows) -> range:
    return range(0, len(rows), _CHUNK_ROWS)


def _torch_type(dtype: Any) -> torch.dtype:
    return dtype if isinstance(dtype, torch.dtype) else getattr(torch, str(dtype))


def _held_out(images: torch.Tensor, share: float, seed: int) -> torch.Tensor:
    """(N,) bool: patches of images that are drawn to be held out."""
    names = images.unique()
    if len(names) < 2:
        raise ConfigError('Logistic regression: one image cannot be held out of one. Use more.')
    count = min(max(round(share * len(names)), 1), len(names) - 1)
    generator = torch.Generator().manual_seed(seed)
    drawn = names[torch.randperm(len(names), generator=generator)[:count]]
    return torch.isin(images, drawn)


@dataclass(frozen=True)
class _Loss:
    """The penalised loss of patches (N, D) of labels (N,); solutions are (C, D + 1) float64.

    Features are centred as they are read; their deviations divide the weights in place of them.
    """

    x: torch.Tensor | MappedRows
    labels: torch.Tensor
    num_classes: int
    mean: torch.Tensor
    std: torch.Tensor

    def logits(self, x: torch.Tensor, solution: np.ndarray) -> torch.Tensor:
        return self._logits(x.to(self.mean).sub(self.mean), solution)

    def _logits(self, centred: torch.Tensor, solution: np.ndarray) -> torch.Tensor:
        weights = torch.from_numpy(solution).to(self.mean)
        return F.linear(centred, weights[:, :-1] / self.std, weights[:, -1])

    def start(self, rows: torch.Tensor) -> np.ndarray:
        """Weights of 0, and the biases that are best with them: logarithms of frequencies."""
        counts = self.labels[rows.to(self.labels.device)].bincount(minlength=self.num_classes)
        solution = np.zeros((self.num_classes, self.x.shape[1] + 1))
        solution[:, -1] = np.log(counts.clamp(min=1).cpu().numpy() / int(rows.sum()))
        return solution

    def minimise(
        self,
        rows: torch.Tensor,
        strength: float,
        start: np.ndarray,
        max_iter: int,
        tolerance: float,
    ) -> np.ndarray:
        """The solution on some rows, (N,) bool; files are read from start to end all the same.

        A penalty makes the loss steeper along the weights than along the biases, which slows
        L-BFGS down: weights are scaled so that it does not.
        """
        counted = rows.to(self.mean)
        scale = np.ones(start.shape[1])
        scale[:-1] = (1 + 1 / (strength * float(rows.sum()))) ** -0.5

        def value_and_gradient(flat: np.ndarray) -> tuple[float, np.ndarray]:
            scaled = flat.reshape(start.shape) * scale
            value, gradient = self._value_and_gradient(scaled, counted, strength)
            return value, (gradient * scale).ravel()

        found = optimize.minimize(
            value_and_gradient,
            (start / scale).ravel(),
            jac=True,
            method='L-BFGS-B',
            options={'maxiter': max_iter, 'maxls': 50, 'gtol': tolerance, 'ftol': 64 * 2.0**-52},
        )
        return found.x.reshape(start.shape) * scale

    @torch.no_grad()
    def _value_and_gradient(
        self, solution: np.ndarray, counted: torch.Tensor, strength: float
    ) -> tuple[float, np.ndarray]:
        """Value and gradient on the rows that count: (N,), 1 or 0."""
        total = torch.zeros((), dtype=torch.float64, device=self.mean.device)
        gradient = torch.zeros(solution.shape, dtype=torch.float64, device=self.mean.device)
        for start in _starts(self.x):
            part = slice(start, start + _CHUNK_ROWS)
            labels, weights = self.labels[part, None], counted[part, None]
            x = self.x[part].to(self.mean).sub(self.mean)
            error = self._logits(x, solution).log_softmax(dim=1)
            total -= (error.gather(1, labels) * weights).sum().double()
            error = error.exp_().scatter_add_(1, labels, -torch.ones_like(weights)).mul_(weights)
            gradient[:, :-1] += error.T @ x
            gradient[:, -1] += error.sum(dim=0)
        gradient[:, :-1] /= self.std
        count = float(counted.sum())
        penalty = 1 / (strength * count)
        slope = gradient.cpu().numpy() / count
        slope[:, :-1] += penalty * solution[:, :-1]
        value = float(total) / count + 0.5 * penalty * float((solution[:, :-1] ** 2).sum())
        return value, slope

    @torch.no_grad()
    def mean_iou(
        self, rows: torch.Tensor, shares: torch.Tensor | MappedRows, solution: np.ndarray
    ) -> float:
        """Mean IoU in percent on the pixels of numbered patches, each predicted as one class."""
        shape = (self.num_classes,) * 2
        areas = torch.zeros(shape, dtype=torch.float64, device=self.mean.device)
        for part in rows.split(_CHUNK_ROWS):
            predicted = self.logits(self.x[part], solution).argmax(dim=1)
            areas.index_add_(0, predicted, shares[part].to(areas))
        right = areas.diagonal()
        union = areas.sum(dim=0) + areas.sum(dim=1) - right
        return 100 * float((right / union)[union > 0].mean())


CLASSIFIERS: dict[str, Callable[..., Fitted]] = {'knn': fit_retrieval, 'logreg': fit_logistic}
