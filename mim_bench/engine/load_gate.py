"""The load gate: measures the share of a model that a checkpoint filled; stops below 99 %.

Every path by which weights enter a run ends here: ``--checkpoint`` (:func:`load_backbone`),
``init_cfg=dict(type='Pretrained')`` (:mod:`mim_bench.engine.pretrained_init`), ``load_from`` and
resuming (:func:`load_state`, from the runner), and drawing (:func:`load_model`).
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from mmengine.logging import print_log
from torch import nn

from mim_bench.conversion.containers import check_numbers, not_finite, one_valued
from mim_bench.conversion.detection import find_source
from mim_bench.conversion.files import read_checkpoint, state_dict_of
from mim_bench.conversion.key_table import BACKBONE
from mim_bench.conversion.sources.openmmlab import TEACHER
from mim_bench.errors import CheckpointError, first_of
from mim_bench.results.record import LoadReport

MINIMUM_SHARE = 0.99
_MOST = 8  # names in a message


def load_backbone(
    backbone: nn.Module, path: str | Path, *, allow_partial: bool = False
) -> LoadReport:
    """Fill a backbone from a canonical checkpoint.

    Args:
        backbone: Its own hooks may resize tables as it loads.
        path: A file with keys under ``backbone.``.
        allow_partial: Go on under 99 %.

    Raises:
        CheckpointError: The file cannot be read, a shape differs, or too little fits.
    """
    return load_state(
        backbone,
        backbone_state(state_dict_of(read_checkpoint(path)), path),
        path,
        allow_partial=allow_partial,
        advice='Use the config of its architecture, or train or test with --allow-partial.',
    )


def backbone_state(
    state: Mapping[str, torch.Tensor], path: str | Path, prefix: str = BACKBONE
) -> dict[str, torch.Tensor]:
    """The weights of the backbone in a canonical checkpoint, without their prefix.

    Raises:
        CheckpointError: The file has none, or holds a student and its teacher.
    """
    if any(key.startswith(TEACHER) for key in state):
        raise CheckpointError(
            f'{path}: holds a student and its teacher, and the teacher is the result. Convert it '
            f'first, which takes the teacher: mim-bench convert {path} converted.pth'
        )
    weights = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    if not weights:
        raise CheckpointError(
            f'{path}: no key starts with {prefix!r}, so nothing would be loaded. Convert it '
            f'first: mim-bench convert {path} converted.pth'
        )
    return weights


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
    if not any(key.startswith(BACKBONE) for key in state):
        name = Path(path).name
        converted = find_source(state, name).convert(state, name)
        state = {**converted.backbone, **converted.rest}
    return load_state(
        model,
        state,
        path,
        trainable_only=True,
        advice='Use the config of its method and architecture, and a checkpoint that still has '
        'its decoder (mim-bench convert --keep-decoder).',
    )


def load_state(
    module: nn.Module,
    state: Mapping[str, torch.Tensor],
    path: str | Path,
    *,
    allow_partial: bool = False,
    trainable_only: bool = False,
    advice: str,
) -> LoadReport:
    """Fill a module, log what was filled, and stop if it was too little.

    Args:
        module: Not wrapped.
        state: Weights by the module's own names.
        path: Path of the file, for messages.
        allow_partial: Go on with less than 99 % of the parameters, by number of values.
        trainable_only: Count parameters only that are trained.
        advice: What to do where it does not fit.

    Raises:
        CheckpointError: A shape differs, too little fits, a weight is not finite, or most weight
            matrices hold a single value.
    """
    _check_values(module, state, path)
    shapes = {name: tensor.shape for name, tensor in module.state_dict().items()}
    resized = [k for k, v in state.items() if k in shapes and v.shape != shapes[k]]
    missing, unexpected = _fill(module, state, path)
    share, parts = _shares(module, set(missing), trainable_only)
    report = LoadReport(share, sorted(missing), sorted(unexpected), sorted(resized), parts)
    owner = type(module).__name__
    print_log(f'{path}: filled {owner}: {describe(report)}', logger='current')
    if report.share < MINIMUM_SHARE and not allow_partial:
        raise CheckpointError(
            f'{path}: fills only {report.share:.1%} of {owner}. '
            f'Missing: {_some(report.missing)}. Unexpected: {_some(report.unexpected)}. {advice}'
        )
    return report


def describe(report: LoadReport) -> str:
    """One line: the share, parts that are not whole, and the keys that did not fit."""
    torn = [f'{part} {share:.1%}' for part, share in report.parts.items() if share < 1]
    return (
        f'{report.share:.2%} of the parameters{" (" + ", ".join(torn) + ")" if torn else ""}. '
        f'Missing: {_some(report.missing)}. Unexpected: {_some(report.unexpected)}. '
        f'Resized: {_some(report.resized)}.'
    )


def backbone_of(model: nn.Module) -> nn.Module:
    """The backbone of a model, wrapped or not.

    Raises:
        CheckpointError: The model has none.
    """
    model = getattr(model, 'module', model)
    if not hasattr(model, 'backbone'):
        raise CheckpointError(
            f'{type(model).__name__} has no attribute `backbone` that --checkpoint could fill. Use '
            '--load-from for a checkpoint of the whole model.'
        )
    return model.backbone


def _check_values(module: nn.Module, state: Mapping[str, torch.Tensor], path: str | Path) -> None:
    weights = {name: state[name] for name, _ in module.named_parameters() if name in state}
    check_numbers(weights, path)
    if bad := not_finite(weights):
        fault = f'{len(bad)} weights hold values that are not finite, for example {bad[0]}'
    elif flat := one_valued(weights):
        fault = f'{len(flat)} weight matrices hold a single value, for example {flat[0]}'
    else:
        return
    raise CheckpointError(
        f'{path}: {fault}. The file is damaged, or the training that wrote it went wrong. Use an '
        'earlier checkpoint.'
    )


def _fill(
    module: nn.Module, weights: Mapping[str, torch.Tensor], path: str | Path
) -> tuple[list[str], list[str]]:
    """Load what fits by name; the missing and the unexpected keys."""
    try:
        missing, unexpected = module.load_state_dict(dict(weights), strict=False)
    except CheckpointError as error:  # of a network's own check
        raise CheckpointError(f'{path}: {error}') from error
    except RuntimeError as error:
        raise CheckpointError(
            f'{path}: does not fit {type(module).__name__}. {_shapes(error)} Use the config '
            "of the checkpoint's architecture (mim-bench inspect shows it)."
        ) from error
    return missing, unexpected


def _shares(
    module: nn.Module, missing: set[str], trainable_only: bool
) -> tuple[float, dict[str, float]]:
    """The share of all parameters, and of each part directly below the module."""
    totals: dict[str, int] = {}
    filled: dict[str, int] = {}
    for name, parameter in module.named_parameters():
        part = name.partition('.')[0]
        size = parameter.numel() if parameter.requires_grad or not trainable_only else 0
        totals[part] = totals.get(part, 0) + size
        filled[part] = filled.get(part, 0) + size * (name not in missing)
    share = sum(filled.values()) / max(sum(totals.values()), 1)
    return share, {part: filled[part] / max(total, 1) for part, total in totals.items()}


def _some(keys: list[str]) -> str:
    return first_of(keys, _MOST) or 'nothing'


def _shapes(error: RuntimeError) -> str:
    lines = [line.strip() for line in str(error).splitlines()[1:]]
    return ' '.join(lines[:3]) + (f' ({len(lines) - 3} more.)' if len(lines) > 3 else '')
