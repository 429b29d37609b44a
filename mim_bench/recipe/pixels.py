"""Applies the key ``pixels`` of a config: the library that resizes and augments training images.

``pixels='pillow'``, the default, leaves the pipeline unchanged. ``pixels='torch'`` replaces its
first steps by :class:`mim_bench.FusedImage`, which makes the same random draws in less time. The
resolved pipelines differ, so the two never share a protocol's hash.
"""

from collections.abc import Sequence

from mmengine.config import Config

from mim_bench.errors import ConfigError

KEY = 'pixels'
VALUES = ('pillow', 'torch')
_LOADS = ('LoadImageFromFile', 'mim_bench.LoadImage')
_AUGMENT = 'mim_bench.RandAugment'
_FUSED = (
    'NumpyToPIL',
    'torchvision/ColorJitter',
    'PILToNumpy',
    'RandomFlip',
    'RandomResizedCrop',
    'mim_bench.SingleDrawCrop',
    'mim_bench.TwoSizeCrop',
    _AUGMENT,
)


def apply_pixels(cfg: Config) -> None:
    """Rewrite the training pipeline by the key ``pixels``, and remove the key.

    Raises:
        ConfigError: The value is unknown, or Pillow does not resize the training images.
    """
    pixels = cfg.pop(KEY, 'pillow')
    if pixels not in VALUES:
        raise ConfigError(f'{cfg.filename}: pixels is {pixels!r}. Known: {", ".join(VALUES)}.')
    if pixels == 'pillow':
        return
    dataset = (cfg.get('train_dataloader') or {}).get('dataset') or {}
    while 'pipeline' not in dataset and isinstance(dataset.get('dataset'), dict):
        dataset = dataset['dataset']
    pipeline = dataset.get('pipeline')
    if not pipeline:
        raise ConfigError(
            f'{cfg.filename}: pixels=torch is for the images of a training, and this config has '
            'none; evaluation always reads with Pillow. Leave it away.'
        )
    dataset['pipeline'] = _fuse(pipeline, str(cfg.filename))


def _fuse(pipeline: Sequence[dict], name: str) -> list[dict]:
    end = 1
    while end < len(pipeline) and pipeline[end]['type'] in _FUSED:
        end += 1
    crops = [step for step in pipeline[:end] if str(step['type']).endswith('Crop')]
    if pipeline[0]['type'] not in _LOADS or not crops:
        raise ConfigError(
            f'{name}: pixels=torch replaces a crop that Pillow resizes, and the training pipeline '
            'does not begin with one. Leave it away.'
        )
    steps = [
        {**step, KEY: 'torch'} if step['type'] == _AUGMENT else step for step in pipeline[:end]
    ]
    return [dict(type='mim_bench.FusedImage', pixels='torch', steps=steps), *pipeline[end:]]
