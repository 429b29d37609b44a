"""Checks, before anything runs, that the configs of a plan can be built for its backbones."""

from collections.abc import Callable, Sequence
from pathlib import Path

from mim_bench.errors import ConfigError
from mim_bench.suite.done import is_done
from mim_bench.suite.plan import Row
from mim_bench.suite.steps import Step, lost_steps
from mim_bench.suite.tasks import OTHER_FAMILIES

_FIT = '--fit-backbone'


def feasible(
    plan: Sequence[Step],
    rows: Sequence[Row],
    folder: Path,
    leave_out: Callable[[str], None] | None = None,
) -> list[Step]:
    """The steps of a plan without those that a backbone cannot do.

    Args:
        plan: Plan of the rows.
        rows: Checkpoints. A named size of this project's families fits, so it is not checked.
        folder: Root of the steps' folders; steps that are done are not checked.
        leave_out: Gets a line for each step that is left out, with those that need it; None: they
            are an error.

    Raises:
        ConfigError: Names every step that is refused, and the reason.
    """
    unknown = {str(row.start) for row in rows if row.family in (*OTHER_FAMILIES, row.backbone)}
    reasons: dict[tuple[str, str], str | None] = {}
    refused = {}
    for step in plan:
        words = step.trial_words or step.words
        if _FIT not in words:
            continue
        key = start, config = words[words.index('--checkpoint') + 1], words[1]
        if start not in unknown or is_done(step, folder):
            continue
        if key not in reasons:
            reasons[key] = _reason(start, Path(config))
        if reasons[key]:
            refused[step.name] = f'{step.name}: {reasons[key]}'
    if refused and leave_out is None:
        raise ConfigError(
            'The backbone cannot do these tasks:\n'
            + '\n'.join(refused.values())
            + '\nLeave them out.'
        )
    for line in refused.values():
        leave_out(f'{line} Left out.')
    lost = set(refused)
    while newly := lost_steps(plan, lost):
        lost |= {step.name for step in newly}
    return [step for step in plan if step.name not in lost]


def _reason(start: str, config: Path) -> str | None:
    """Why a config cannot be set up for the backbone of a checkpoint; None if it can."""
    from mim_bench.models.backbones.token_run import check_config  # imports torch
    from mim_bench.models.necks.vit_pyramid import check_pyramids
    from mim_bench.recipe.config import load_config

    try:
        model = load_config(config, backbone_of=start).model
        check_config(model)
        check_pyramids(model)
    except ConfigError as error:
        return str(error)
    return None
