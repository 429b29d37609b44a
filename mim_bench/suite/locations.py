"""Where configs lie, and data sets below a folder of data."""

from pathlib import Path

from mim_bench.shipped import shipped_folder

# Data set, as the names of configs spell it -> its folder.
DATA_ROOTS = {
    'in1k': 'imagenet',
    'ade20k': 'ade/ADEChallengeData2016',
    'coco': 'coco',
}
# Data set -> what `mim-bench data check` calls it.
CHECK_NAMES = {'in1k': 'imagenet', 'ade20k': 'ade20k', 'coco': 'coco'}


def configs_folder() -> Path:
    """The shipped configs."""
    return shipped_folder('configs')
