"""Writes the files beside a record: outcomes by image, settings of the protocol."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.logging import print_log

from mim_bench.errors import RecordError
from mim_bench.results.outcomes import Hits, Outcomes
from mim_bench.results.outcomes_file import OUTCOMES_FILE, contradiction, write_outcomes
from mim_bench.results.record import Metric


def names_of_samples(paths: Sequence[str | None]) -> list[str]:
    """The paths of a data set's images, in its order; their places where one has none."""
    if any(not path for path in paths):
        return [f'{place:09d}' for place in range(len(paths))]
    return [str(path) for path in paths]


def image_paths(dataset: Any) -> list[str | None]:
    """Path of each image of a data set, None where it does not know it (``get_data_info``)."""
    if not hasattr(dataset, 'get_data_info'):
        return [None] * len(dataset)
    return [dataset.get_data_info(index).get('img_path') for index in range(len(dataset))]


def outcomes_of_loop(loop: Any) -> list[Outcomes]:
    """The outcomes of the last evaluation of a loop of mmengine: its own, or those of its metrics.

    On other processes than the first there are none.
    """
    owners = [loop, *getattr(getattr(loop, 'evaluator', None), 'metrics', ())]
    found = [getattr(owner, 'outcomes', None) for owner in owners]
    return [outcomes for outcomes in found if outcomes is not None]


def save_outcomes(
    found: Sequence[Outcomes], metrics: Mapping[str, Metric], folder: Path
) -> str | None:
    """Write the outcomes that a record's metrics are the sums of; the file's name, or None.

    Outcomes that do not give the recorded values would be tested as something that they are
    not: they are left out, and the log says so. So are outcomes too large to keep.
    """
    for outcomes in found:
        if not (names := set(outcomes.metrics) & set(metrics)):
            continue
        if isinstance(outcomes, Hits):
            kept = {name: hits for name, hits in outcomes.hits.items() if name in names}
            outcomes = Hits(outcomes.images, kept)
        try:
            if reason := contradiction(outcomes.values(), metrics):
                raise RecordError(f'{reason}.')
            write_outcomes(outcomes, folder)
        except RecordError as error:
            print_log(
                f'Outcomes of {", ".join(sorted(names))} are not kept: {error}',
                logger='current',
                level=logging.WARNING,
            )
            return None
        return OUTCOMES_FILE
    return None
