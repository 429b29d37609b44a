"""What official training code does to images, as facts, and our configs that do the same.

They stand in an ``augment.json`` in the folders of :mod:`mim_bench.testing.recipe_parity`.
"""

import json
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from PIL import Image
from scipy import stats
from torch import nn
from torchvision.transforms import functional

from mim_bench.recipe.building import library_scope
from mim_bench.registry import MODELS
from mim_bench.testing.config_names import PATHS, effective_preprocessor, load, parse
from mim_bench.testing.parity import fixture_folder, skipped
from mim_bench.testing.recipe_parity import BEIT_TYPE, ENVIRONMENT_VARIABLE, NAME, SIZES

# Draws of one distribution differ more than that in one of 10,000 cases; seeds are fixed.
LEAST_P_VALUE = 1e-4

# Class of a transform -> what the facts call it.
_KINDS = {
    'RandomFlip': 'RandomHorizontalFlip',
    'RandomResizedCrop': 'RandomResizedCrop',
    'SingleDrawCrop': 'RandomResizedCrop',
    'TwoSizeCrop': 'RandomResizedCrop',
    'RandAugment': 'RandAugment',
    'RandomErasing': 'RandomErasing',
    'RandomApply': 'RandomApply',
    'GaussianBlur': 'GaussianBlur',
    'Solarize': 'Solarize',
    'ResizeEdge': 'Resize',
    'CenterCrop': 'CenterCrop',
    'MultiView': 'views',
    'UniformMask': 'Mask',
    'UnitMask': 'Mask',
    'RandomPatchMask': 'Mask',
    'BlockCellMask': 'Mask',
    'RandomBlockMask': 'Mask',
    'SimMIMMaskGenerator': 'Mask',
}
# These only change how an image is kept; what is read is an RGB image in any case.
_NEUTRAL = {'LoadImage', 'PackInputs', 'NumpyToPIL', 'PILToNumpy'}
_IN_THE_PREPROCESSOR = {'ToTensor', 'Normalize', 'Lambda', 'ConvertToRGB'}


@dataclass(frozen=True)
class Facts:
    """One folder, and the project's config that it is compared with.

    Attributes:
        folder: Where it lies.
    """

    folder: Path

    def __str__(self) -> str:
        return self.folder.name

    @cached_property
    def facts(self) -> dict:
        """The content of ``augment.json``."""
        return json.loads((self.folder / 'augment.json').read_text('utf-8'))

    @cached_property
    def cfg(self) -> Config:
        """The resolved config; skips the test where there is nothing to compare."""
        if not self.facts['published']:
            pytest.skip(f'{self}: no such command is published')
        configs = [load(path) for path in _config_paths(self.folder.name)]
        if not configs:
            pytest.skip(f'{self}: the project has no config of it')
        data = [
            [c.train_dataloader.dataset, c.get('val_dataloader'), c.get('data_preprocessor')]
            for c in configs
        ]
        if any(other != data[0] for other in data):
            pytest.fail(f'{self}: configs of this recipe differ in their data')
        return configs[0]

    def transforms(self, split: str) -> list:
        """The transforms of a loader that change pixels or draw a mask."""
        with library_scope(self.cfg):
            pipeline = Compose(self.cfg[f'{split}_dataloader'].dataset.pipeline)
        return [t for t in pipeline.transforms if kind(t) is not None]

    def preprocessor(self, **changes: object) -> nn.Module:
        """What a model does with a batch first, built as mmpretrain builds it.

        Args:
            **changes: Changes of its arguments.
        """
        settings = deepcopy(effective_preprocessor(self.cfg))
        if self.cfg.model.type == 'ImageClassifier':
            settings.setdefault('type', 'ClsDataPreprocessor')
            settings.setdefault('batch_augments', self.cfg.model.get('train_cfg'))
        settings.update(changes)
        with library_scope(self.cfg):
            return MODELS.build(settings)


def each_recipe(key: str = '') -> pytest.MarkDecorator:
    """Run a test on every folder whose facts have a key or an operation, as ``recipe``."""
    root = fixture_folder(ENVIRONMENT_VARIABLE, 'recipes')
    found = [Facts(path.parent) for path in sorted(root.glob('*/augment.json'))]
    chosen = [recipe for recipe in found if f'"{key}' in json.dumps(recipe.facts)]
    reason = f'{root} holds no such recipe; see {ENVIRONMENT_VARIABLE}'
    return pytest.mark.parametrize('recipe', chosen or skipped(reason), ids=str)


def _config_paths(name: str) -> list[Path]:
    """The configs of a recipe, of any length: the images do not depend on it."""
    words = NAME.fullmatch(name).groupdict()
    method, variant = words['method'], words['variant'] or ''
    plain = f'{words["family"]}-{SIZES[words["size"]]}'
    is_pyramid = method == 'ummae' and words['family'] != 'vit'
    backbones, recipe = {plain}, method
    if words['task'] == 'pretrain':
        head, recipe = words['baseline'] or method, ''
        if words['baseline'] == 'simmim':
            backbones = {f'ummae-{plain}'} | ({plain} if is_pyramid else set())
        elif variant == 'pixel':
            backbones = {f'pixel-{plain}'}
    else:
        head = {'finetune': 'finetune', 'linprobe': 'linear'}[words['task']]
        if method in BEIT_TYPE and words['family'] == 'vit':
            backbones = {f'beit-{plain}'}
        elif is_pyramid:
            backbones = {f'ummae-{plain}'}
    return [
        path
        for path in PATHS
        if (found := parse(path))['head'] == head
        and found['backbone'] in backbones
        and found['dataset'] == 'in1k'
        and (found['recipe'] or '').startswith(recipe)
        and (found['pixels'] == '256') == is_pyramid
        and (found['pixels'] == '384') == ('384' in variant)
    ]


def kind(transform: Any) -> str | None:
    """What the facts call a transform; None for those that change no pixel."""
    name = type(transform).__name__
    if name == 'TorchVisonTransformWrapper':
        return type(transform.t).__name__
    return None if name in _NEUTRAL else _KINDS[name]


def official_kind(op: dict) -> str:
    """The operation of a fact without its remark."""
    return op['op'].split(',')[0]


def steps(facts: dict | list, part: str = 'shared') -> list[dict]:
    """The operations on pixels of a pipeline or, where views differ, of a part of it."""
    ops = facts[part] if isinstance(facts, dict) else facts
    return [op for op in ops if op['op'] not in _IN_THE_PREPROCESSOR]


def picture(height: int = 40, width: int = 48, seed: int = 0) -> np.ndarray:
    """A BGR image without symmetry whose channels do not use the whole range."""
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[:height, :width]
    ramp = np.stack([rows, cols, rows + cols], -1) / (height + width)
    return (30 + 150 * ramp + rng.integers(0, 40, (height, width, 3))).astype(np.uint8)


def rgb(image: np.ndarray) -> Image.Image:
    """An image of our pipelines (BGR) as official code has it."""
    return Image.fromarray(np.ascontiguousarray(image[..., ::-1]))


def bgr(image: Image.Image) -> np.ndarray:
    """The reverse of :func:`rgb`."""
    return np.asarray(image)[..., ::-1]


def normalised(image: np.ndarray, ops: list[dict]) -> torch.Tensor:
    """What the facts' last operations make of a BGR image: (3, H, W), R, G, B."""
    tensor = functional.to_tensor(rgb(image))
    for op in ops:
        if op['op'] == 'Normalize':
            tensor = functional.normalize(tensor, op['mean'], op['std'])
        elif op['op'] == 'Lambda' and '0.8 x + 0.1' in op['what']:
            tensor = 0.8 * tensor + 0.1
    return tensor


def p_value(found: Any, wanted: Any) -> float:
    """Least p-value of the columns of two tables of draws, by Kolmogorov and Smirnov."""
    columns = zip(np.transpose(found), np.transpose(wanted), strict=True)
    return min(stats.ks_2samp(ours, theirs).pvalue for ours, theirs in columns)
