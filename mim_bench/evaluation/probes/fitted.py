"""Keeps the probes that a test has fitted in a file, for tests on further test sets."""

import io
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch

from mim_bench.errors import ConfigError
from mim_bench.evaluation.probes.attentive import AttentiveHeads
from mim_bench.evaluation.probes.features import Features
from mim_bench.evaluation.probes.knn import knn_votes
from mim_bench.evaluation.probes.linear import FittedHead, LinearHeads
from mim_bench.evaluation.probes.npy_rows import RowsView
from mim_bench.files.atomic import write_atomically

FITTED_FILE = 'probes.pth'
_HEADS = {'linear': LinearHeads, 'attentive': AttentiveHeads}


@dataclass(frozen=True)
class FittedProbes:
    """The content of the file.

    Attributes:
        weights: Digest of the weights of backbone and preprocessing.
        num_classes: C.
        bank: Folder of the training features, relative to that of the file.
        bank_digest: Digest of settings and content of the training images, for the protocol.
        fit: What else decided the probes: settings of the test, of the backbone, and the seed.
        probes: ``fitted`` of :class:`mim_bench.evaluation.probes.dispatch.ProbeResult`, by name.
    """

    weights: str
    num_classes: int
    bank: str
    bank_digest: str
    fit: dict[str, Any]
    probes: dict[str, dict[str, Any]]

    def write(self, folder: Path) -> None:
        """Write the file into a work directory."""
        buffer = io.BytesIO()
        torch.save(asdict(self), buffer)
        write_atomically({folder / FITTED_FILE: buffer.getvalue()})

    @classmethod
    def read(cls, folder: Path) -> 'FittedProbes':
        """Read the file of a work directory.

        Raises:
            ConfigError: There is none, or it is damaged.
        """
        path = folder / FITTED_FILE
        try:
            return cls(**torch.load(path, map_location='cpu', weights_only=True))
        except Exception as error:  # torch may raise anything for a damaged or other file
            raise ConfigError(
                f'{path}: no fitted probes ({type(error).__name__}: {error}). Give the work '
                'directory of a finished test of the probes, which keeps features unless '
                'test_cfg.cache_dir is None.'
            ) from error


def tensors_of(fitted: FittedHead) -> dict[str, Any]:
    """A head as plain tensors on the CPU."""
    head = {f.name: getattr(fitted.head, f.name).detach().cpu() for f in fields(fitted.head)}
    return {'head': head, 'statistics': [part.cpu() for part in fitted.statistics]}


def class_scores(
    name: str, fitted: Mapping[str, Any], bank: Callable[[], Features], device: torch.device | str
) -> Callable[[torch.Tensor], torch.Tensor]:
    """The classifier of a fitted probe: features (B, D) of all layers -> scores (B, C).

    ``fitted`` is that of :class:`FittedProbes`; ``bank`` opens the training features, which k-NN
    compares with.
    """
    columns = slice(*fitted.get('columns', (None, None)))
    if name == 'knn':
        whole = bank()
        near = replace(whole, x=RowsView(whole.x, columns)).near(device)
        settings = fitted['settings']
        return lambda x: knn_votes(near, x[:, columns], device=device, **settings)
    tensors = {key: value.to(device) for key, value in fitted['head'].items()}
    head = FittedHead(_HEADS[name](**tensors), tuple(fitted['statistics']))
    return lambda x: head(x[:, columns])
