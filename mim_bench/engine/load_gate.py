"""Loading is never silent: how much of a backbone a checkpoint filled, and a stop below 99 %."""

from pathlib import Path

import torch
from mmengine.logging import print_log
from torch import nn

from mim_bench.conversion.convert import find_source
from mim_bench.conversion.files import read_checkpoint, state_dict_of
from mim_bench.errors import CheckpointError
from mim_bench.results.record import LoadReport

MINIMUM_SHARE = 0.99
PREFIX = 'backbone.'
TEACHER_PREFIX = 'teacher.module.backbone.'


def load_backbone(
    backbone: nn.Module, path: str | Path, *, allow_partial: bool = False
) -> LoadReport:
    """Fill a backbone from a canonical checkpoint.

    Args:
        backbone: Its own hooks may resize tables as it loads.
        path: A file with keys under ``backbone.``.
        allow_partial: Go on under 99 %.

    Returns:
        The share of the parameters (by number of values) that the file filled, and the
        keys that did not fit.

    Raises:
        CheckpointError: The file cannot be read, a shape differs, or too little fits.
    """
    state = state_dict_of(read_checkpoint(path))
    if any(key.startswith(TEACHER_PREFIX) for key in state):
        raise CheckpointError(
            f'{path}: holds a student and its teacher, and the teacher is the result. Convert it '
            f'first, which takes the teacher: mim-bench convert {path} converted.pth'
        )
    weights = {k.removeprefix(PREFIX): v for k, v in state.items() if k.startswith(PREFIX)}
    if not weights:
        raise CheckpointError(
            f'{path}: no key starts with {PREFIX!r}, so nothing would be loaded. Convert it '
            f'first: mim-bench convert {path} converted.pth'
        )
    missing, unexpected = _fill(backbone, weights, path)
    report = LoadReport(_share(backbone, set(missing)), sorted(missing), sorted(unexpected))
    _log(path, backbone, report)
    if report.share < MINIMUM_SHARE and not allow_partial:
        raise CheckpointError(
            f'{path}: fills only {report.share:.1%} of {type(backbone).__name__}. '
            f'Missing: {_some(report.missing)}. Unexpected: {_some(report.unexpected)}. '
            'Use the config of its architecture, or pass --allow-partial.'
        )
    return report


def load_model(model: nn.Module, path: str | Path) -> LoadReport:
    """Fill a whole pre-training network, decoder included.

    Args:
        model: Not wrapped.
        path: A checkpoint of a mim_bench run, a canonical one with its decoder, or a foreign
            one that a source of :mod:`mim_bench.conversion.sources` recognises.

    Returns:
        The share of the trainable parameters that the file filled: teachers and tokenizers
        are files of their own in most methods.

    Raises:
        CheckpointError: The file cannot be read or recognised, a shape differs, or it fills
            too little.
    """
    state = state_dict_of(read_checkpoint(path))
    if not any(key.startswith(PREFIX) for key in state):
        name = Path(path).name
        converted = find_source(state, 'auto', name).convert(state, name)
        state = {**converted.backbone, **converted.rest}
    missing, unexpected = _fill(model, state, path)
    trained = _share(model, set(missing), trainable_only=True)
    report = LoadReport(trained, sorted(missing), sorted(unexpected))
    if report.share < MINIMUM_SHARE:
        raise CheckpointError(
            f'{path}: fills only {report.share:.1%} of {type(model).__name__}. '
            f'Missing: {_some(report.missing)}. Unexpected: {_some(report.unexpected)}. Use '
            'the config of its method and architecture, and a checkpoint that still has its '
            'decoder (mim-bench convert --keep-decoder).'
        )
    return report


def _fill(
    module: nn.Module, weights: dict[str, torch.Tensor], path: str | Path
) -> tuple[list[str], list[str]]:
    """Load what fits by name; the missing and the unexpected keys."""
    try:
        missing, unexpected = module.load_state_dict(weights, strict=False)
    except RuntimeError as error:
        raise CheckpointError(
            f'{path}: does not fit {type(module).__name__}. {_shapes(error)} Use the config '
            "of the checkpoint's architecture (mim-bench inspect shows it)."
        ) from error
    return missing, unexpected


def _share(module: nn.Module, missing: set[str], *, trainable_only: bool = False) -> float:
    sizes = {
        name: parameter.numel()
        for name, parameter in module.named_parameters()
        if parameter.requires_grad or not trainable_only
    }
    filled = sum(size for name, size in sizes.items() if name not in missing)
    return filled / max(sum(sizes.values()), 1)


def _log(path: str | Path, backbone: nn.Module, report: LoadReport) -> None:
    print_log(
        f'{path}: filled {report.share:.2%} of the parameters of {type(backbone).__name__}. '
        f'Missing: {_some(report.missing)}. Unexpected: {_some(report.unexpected)}.',
        logger='current',
    )


def _some(keys: list[str], most: int = 8) -> str:
    more = f' and {len(keys) - most} more' if len(keys) > most else ''
    return (', '.join(keys[:most]) or 'nothing') + more


def _shapes(error: RuntimeError) -> str:
    lines = [line.strip() for line in str(error).splitlines()[1:]]
    return ' '.join(lines[:3]) + (f' ({len(lines) - 3} more.)' if len(lines) > 3 else '')


def backbone_of(model: nn.Module) -> nn.Module:
    """The backbone of a model, wrapped or not.

    Raises:
        CheckpointError: The model has none.
    """
    model = getattr(model, 'module', model)
    if not hasattr(model, 'backbone'):
        raise CheckpointError(
            f'{type(model).__name__} has no attribute `backbone` that a checkpoint could fill.'
        )
    return model.backbone
