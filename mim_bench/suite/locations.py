"""Locations of the configs, and of data sets below the data root."""

from pathlib import Path

from mim_bench.data.imagenet_variants import VARIANTS
from mim_bench.shipped import shipped_folder

# Name of a data set in the names of configs -> folder.
DATA_ROOTS = {
    'in1k': 'imagenet',
    'ade20k': 'ade/ADEChallengeData2016',
    'coco': 'coco',
    **{name: variant.folder for name, variant in VARIANTS.items()},
}
# Name of a data set -> its name in `mim-bench data check`.
CHECK_NAMES = {
    'in1k': 'imagenet',
    'ade20k': 'ade20k',
    'coco': 'coco',
    **{name: name for name in VARIANTS},
}


def configs_folder() -> Path:
    """The folder of the shipped configs."""
    return shipped_folder('configs')
