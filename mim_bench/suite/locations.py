"""Where configs lie in a clone, and data sets below a folder of data."""

from pathlib import Path

import mim_bench
from mim_bench.errors import ConfigError

# Data set, as the names of configs spell it -> its folder.
DATA_ROOTS = {
    'in1k': 'imagenet',
    'ade20k': 'ade/ADEChallengeData2016',
    'coco': 'coco',
}
# Data set -> what `mim-bench data check` calls it.
CHECK_NAMES = {'in1k': 'imagenet', 'ade20k': 'ade20k', 'coco': 'coco'}


def configs_folder() -> Path:
    """The folder ``configs/`` beside the package.

    Raises:
        ConfigError: It is not there.
    """
    folder = Path(mim_bench.__file__).resolve().parents[1] / 'configs'
    if not folder.is_dir():
        raise ConfigError(
            f'{folder}: the configs are not beside the package. Install mim_bench from a clone: '
            "pip install -e '.[onedl]'"
        )
    return folder
