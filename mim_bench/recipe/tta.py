"""Test-time augmentation with a config's ``tta_model`` and ``tta_pipeline``."""

from mmengine.config import Config, ConfigDict
from mmengine.model import BaseTTAModel, is_model_wrapper
from torch import nn

from mim_bench.errors import ConfigError
from mim_bench.recipe.tree import add_to_names, inner_dataset

MODEL = 'tta_model'
PIPELINE = 'tta_pipeline'


def use_test_time_augmentation(cfg: Config) -> None:
    """Change a config to test with test-time augmentation.

    The model becomes ``tta_model`` with the config's own model as ``module``, the
    test pipeline ``tta_pipeline``, and the protocol's name gets the suffix ``-tta``.

    Args:
        cfg: Changed in place.

    Raises:
        ConfigError: The config has no test-time augmentation, or no test data set.
    """
    if missing := [key for key in (MODEL, PIPELINE) if not cfg.get(key)]:
        raise ConfigError(
            f'{cfg.filename}: has no {" and no ".join(missing)}, so --tta has nothing to run. '
            f'Add {MODEL} and {PIPELINE}, or test without --tta.'
        )
    dataset = inner_dataset(cfg.get('test_dataloader'))
    if not dataset:
        raise ConfigError(f'{cfg.filename}: has no test_dataloader.dataset that --tta could test.')
    dataset['pipeline'] = cfg[PIPELINE]
    # mmengine would pass the top-level preprocessor to the outer model, replacing the inner one's.
    if preprocessor := cfg.get('data_preprocessor'):
        cfg.model.setdefault('data_preprocessor', preprocessor)
        cfg.data_preprocessor = None
    cfg.model = ConfigDict({**cfg[MODEL], 'module': cfg.model})
    add_to_names(cfg, '-tta')


def network_settings(cfg: Config) -> ConfigDict:
    """The settings of the network inside test-time augmentation."""
    model = cfg.model
    return model.module if isinstance(model.get('module'), dict) else model


def unwrap(model: nn.Module) -> nn.Module:
    """The network inside data parallelism and test-time augmentation."""
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    return model
