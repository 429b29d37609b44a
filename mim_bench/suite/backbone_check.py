"""Whether the steps of a plan can be set up for the backbones that they take, before they run."""

from collections.abc import Sequence
from pathlib import Path

from mim_bench.errors import ConfigError
from mim_bench.suite.done import is_done
from mim_bench.suite.plan import Row
from mim_bench.suite.steps import Step
from mim_bench.suite.tasks import OTHER_FAMILIES

_FIT = '--fit-backbone'


def check_backbones(plan: Sequence[Step], rows: Sequence[Row], folder: Path) -> None:
    """Refuse a plan with a task that a backbone of another family or size cannot do.

    Args:
        plan: Of the rows.
        rows: Checkpoints; sizes of our families that have a name fit the configs of a suite.
        folder: Root of the steps' folders; steps that are done are not checked.

    Raises:
        ConfigError: Tells every task that is refused, and why.
    """
    unknown = {str(row.start) for row in rows if row.family in (*OTHER_FAMILIES, row.backbone)}
    refused, seen = [], set()
    for step in plan:
        words = step.trial_words or step.words
        if _FIT not in words:
            continue
        start, config = words[words.index('--checkpoint') + 1], words[1]
        if start not in unknown or (start, config) in seen or is_done(step, folder):
            continue
        seen.add((start, config))
        from mim_bench.models.backbones.token_run import check_config  # imports torch
        from mim_bench.models.necks.vit_pyramid import check_pyramids
        from mim_bench.recipe.config import load_config

        try:
            model = load_config(Path(config), backbone_of=start).model
            check_config(model)
            check_pyramids(model)
        except ConfigError as error:
            refused.append(f'{step.name}: {error}')
    if refused:
        raise ConfigError(
            'The backbone cannot do these tasks:\n' + '\n'.join(refused) + '\nName the others with '
            '--tasks.'
        )
