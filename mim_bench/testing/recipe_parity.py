"""Recipes computed with the methods' official training code, found by ``MIM_BENCH_RECIPES_DIR``.

A folder ``{method}_{task}_{architecture}[_{variant}]`` is one recipe. Here stands which config of
the project is that recipe, and which of its parameters an official one is.
"""

import json
import re
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config

from mim_bench.conversion.convert import convert_checkpoint
from mim_bench.conversion.files import read_checkpoint
from mim_bench.conversion.sources import SOURCES
from mim_bench.conversion.swin_keys import COLUMN_FIRST, source_order
from mim_bench.recipe.precision import disable_amp
from mim_bench.testing.config_names import CONFIGS, load
from mim_bench.testing.parity import fixture_folder, skipped

ENVIRONMENT_VARIABLE = 'MIM_BENCH_RECIPES_DIR'
NAME = re.compile(
    r'(?P<method>[a-z]+)(?:_(?P<baseline>[a-z]+))?_(?P<task>pretrain|finetune|linprobe)_'
    r'(?P<family>vit|swin|pvt)(?P<size>[tsblh])(?:_(?P<variant>\w+))?'
)
SIZES = dict(t='tiny', s='small', b='base', l='large', h='huge')
BEIT_TYPE = ('beit', 'conmim', 'simmim')
# Of weights after 100 epochs, and after predicting pixels.
_RECIPE_ENDINGS = {'100ep': 'short', 'pixel': 'pixel'}
# A norm behind the pooling stands in our neck, and under the backbone in canonical files.
_POOLED_NORM = re.compile(r'backbone\.(?:ln2|norm\d+|norm)\.(weight|bias)')
_MERGING = re.compile(r'backbone\.stages\.\d+\.downsample\.(?:norm\.(?:weight|bias)|reduction\..+)')


@dataclass(frozen=True)
class Recipe:
    """A folder of facts about one recipe.

    Attributes:
        folder: Where it lies.
        words: ``method``, ``task``, ``family``, ``size``, ``variant``, and ``baseline`` where the
            repository of a method has another one.
    """

    folder: Path
    words: dict

    def __str__(self) -> str:
        return self.folder.name

    @cached_property
    def groups(self) -> dict:
        """Scale and weight decay of every parameter at full size, and the optimiser."""
        return json.loads((self.folder / 'groups.json').read_text())

    @cached_property
    def schedule(self) -> dict:
        """The learning rate at sampled updates."""
        return json.loads((self.folder / 'schedule.json').read_text())

    @cached_property
    def spec(self) -> dict:
        """What three steps at toy size were made with."""
        return json.loads((self.folder / 'spec.json').read_text())

    @cached_property
    def steps(self) -> dict[str, np.ndarray]:
        """Inputs and results of the three steps."""
        with np.load(self.folder / 'steps.npz') as arrays:
            return dict(arrays)

    @property
    def is_published(self) -> bool:
        """Whether the numbers are those of a published command, not only the rules."""
        return self.groups['published']

    @cached_property
    def config_path(self) -> Path | None:
        """The project's config of this recipe, if there is one."""
        found = sorted((CONFIGS / self._folder_name()).glob(self._pattern()))
        return found[0] if len(found) == 1 else None

    @property
    def missing_config(self) -> str:
        """Why there is nothing to compare."""
        return f'{self}: there is no config {self._folder_name()}/{self._pattern()}'

    def config(self) -> Config:
        """The resolved config."""
        return deepcopy(load(self.config_path))

    def ours(self, official: dict) -> dict[str, str]:
        """Our names of official parameters, by the conversion's key tables.

        Args:
            official: Weights by official name.

        Returns:
            Our name -> official name; without what the conversion drops.
        """
        converted = self._source().rename(official, str(self))
        official_name = {id(value): name for name, value in official.items()}
        found = {**converted.backbone, **converted.rest}
        return {self._in_our_model(k): official_name[id(v)] for k, v in found.items()}

    def ours_at_full_size(self) -> dict[str, str]:
        """Our name -> official name of everything that is trained at full size."""
        groups = self.groups['groups']
        shapes = {name: _stand_in(name, groups) for name in groups}
        return self.ours({name: torch.empty(shape) for name, shape in shapes.items()})

    def weights(self, file: str, folder: Path) -> dict[str, torch.Tensor]:
        """A file of the fixture under our names.

        Args:
            file: 'checkpoint.pth' or 'teacher.pth'.
            folder: For the converted file.
        """
        name = self._source().name
        path = folder / f'converted-{file}'
        convert_checkpoint(self.folder / file, path, source=name, keep_decoder=True)
        state = read_checkpoint(path)['state_dict']
        return {self._in_our_model(key): value for key, value in state.items()}

    def in_official_order(self, name: str, value: torch.Tensor) -> torch.Tensor:
        """A weight of ours with the channels where the official one has them."""
        if self._source().merge_orders and _MERGING.fullmatch(name):
            return source_order(value, COLUMN_FIRST)
        return value

    def _folder_name(self) -> str:
        if self.words['task'] == 'pretrain':
            return f'pretrain/{self._method()}'
        return 'classification'

    def _method(self) -> str:
        return self.words['baseline'] or self.words['method']

    def _pattern(self) -> str:
        words, epochs = self.words, self.schedule['epochs']
        family, is_ummae = words['family'], words['method'] == 'ummae'
        backbone = f'{family}-{SIZES[words["size"]]}'
        if words['task'] == 'pretrain':
            backbone = f'ummae-{backbone}' if words['baseline'] == 'simmim' else backbone
            backbone = f'pixel-{backbone}' if words['variant'] == 'pixel' else backbone
            return f'{self._method()}_{backbone}_*-{epochs}e_in1k-*px.py'
        if words['task'] == 'linprobe':
            return f'linear_{backbone}_*-{words["method"]}-{epochs}e_in1k-*px.py'
        if is_ummae and family != 'vit':
            backbone = f'ummae-{backbone}'
        elif words['method'] in BEIT_TYPE and family == 'vit':
            backbone = f'beit-{backbone}'
        variant = '100ep' if '100ep' in self.groups['command'] else words['variant']
        ending = _RECIPE_ENDINGS.get(variant, '')
        return f'finetune_{backbone}_*-{words["method"]}{ending}-{epochs}e_in1k-2*px.py'

    def _source(self):
        words = self.words
        if words['family'] == 'swin' and words['task'] != 'pretrain' and words['method'] != 'ummae':
            return SOURCES['swin']  # a fine-tuned Swin is Microsoft's to the last key
        return SOURCES[words['method']]

    def _in_our_model(self, name: str) -> str:
        if self.words['task'] == 'finetune' and self._norms_behind_pooling():
            return _POOLED_NORM.sub(r'neck.norm.\1', name)
        return name

    def _norms_behind_pooling(self) -> bool:
        return (self.words['method'], self.words['family']) != ('simmim', 'swin')

    def toy_config(self) -> Config:
        """The config at the sizes of the three steps, in float32.

        Sizes, the constant rate, the limit of the gradients where the fixture lowers it, and drop
        path 0 are the fixture's; all else is the config's.
        """
        cfg, spec = self.config(), self.spec
        disable_amp(cfg)
        cfg.pop('param_scheduler')
        wrapper = cfg.optim_wrapper
        wrapper.accumulative_counts = 1
        wrapper.optimizer.lr = spec['optim']['lr']
        if spec['optim']['clip_grad_norm'] is not None:
            wrapper.clip_grad.max_norm = spec['optim']['clip_grad_norm']
        for part, sizes in toy_sizes(self).items():
            cfg.model[part].update(sizes)
        if 'drop_path_rate' in cfg.model.backbone:
            cfg.model.backbone.drop_path_rate = 0.0
        return cfg


def toy_sizes(recipe: Recipe) -> dict[str, dict]:
    """Arguments of backbone, neck and head that give a config the sizes of a fixture."""
    arch, family, method = recipe.spec['arch'], recipe.words['family'], recipe.words['method']
    backbone = {'vit': _vit, 'swin': _swin, 'pvt': _pvt}[family](arch, method)
    if (method, family, recipe.words['task']) == ('simmim', 'swin', 'pretrain'):
        # mmpretrain's class, which says its windows otherwise.
        windows = backbone.pop('window_size')
        stages = [dict(block_cfgs=dict(window_size=window)) for window in windows]
        backbone |= dict(stage_cfgs=stages, img_size=arch['img_size'])
    width = arch.get('embed_dim') or arch['embed_dims'][-1]
    width *= 2 ** (len(arch['depths']) - 1) if family == 'swin' else 1
    if recipe.words['task'] == 'pretrain':
        sizes = _PRETRAINING[method](recipe.spec, width)
        return {**sizes, 'backbone': {**backbone, **sizes.get('backbone', {})}}
    head = dict(in_channels=width, num_classes=recipe.spec['num_classes'])
    if recipe.words['task'] == 'linprobe':
        neck = dict(input_features=width)
        return dict(backbone={**backbone, 'frozen_stages': arch['depth']}, neck=neck, head=head)
    neck = dict(in_dims=width) if recipe._norms_behind_pooling() else {}
    return dict(backbone=backbone, neck=neck, head=head)


def _vit(arch: dict, method: str) -> dict:
    width = arch['embed_dim']
    sizes = dict(
        embed_dims=width,
        num_layers=arch['depth'],
        num_heads=arch['num_heads'],
        feedforward_channels=4 * width,
    )
    return dict(arch=sizes, img_size=arch['img_size'], patch_size=arch['patch_size'])


def _swin(arch: dict, method: str) -> dict:
    keys = dict(embed_dims='embed_dim', depths='depths', num_heads='num_heads')
    if method == 'ummae':
        keys['posmlp_dims'] = 'posmlp_dim'
    sizes = {ours: arch[theirs] for ours, theirs in keys.items()}
    if method == 'ummae':
        # That of the compact map of visible patches is half as large.
        return dict(arch=sizes, window_size=arch['window_size'] * (2 if 'stride' in arch else 1))
    sides = [arch['img_size'] // arch['patch_size'] >> i for i in range(len(arch['depths']))]
    windows = [min(arch['window_size'], side) for side in sides]
    return dict(arch=sizes, window_size=windows)


def _pvt(arch: dict, method: str) -> dict:
    keys = ('embed_dims', 'depths', 'num_heads', 'mlp_ratios')
    ratios = 'compact_sr_ratios' if 'stride' in arch else 'sr_ratios'
    sizes = {key: arch[key] for key in keys}
    return {'arch': sizes, ratios: arch['sr_ratios'], 'img_size': arch['img_size']}


def _mae(spec: dict, width: int) -> dict:
    arch = spec['arch']
    neck = dict(
        num_patches=(arch['img_size'] // arch['patch_size']) ** 2,
        patch_size=arch['patch_size'],
        embed_dim=width,
        decoder_embed_dim=arch['decoder_embed_dim'],
        decoder_depth=arch['decoder_depth'],
        decoder_num_heads=arch['decoder_num_heads'],
    )
    return dict(neck=neck, head=dict(patch_size=arch['patch_size']))


def _localmim(spec: dict, width: int) -> dict:
    arch = spec['arch']
    neck = dict(
        in_dims=width,
        grid=(arch['img_size'] // arch['patch_size'],) * 2,
        scales=spec['scales'],
        embed_dims=arch['decoder_embed_dim'],
        num_heads=arch['decoder_num_heads'],
        depth=arch['decoder_depth'],
    )
    head = dict(patch_size=arch['patch_size'], scales=spec['scales'])
    return dict(backbone=dict(guided_blocks=spec['guided_blocks']), neck=neck, head=head)


def _ummae(spec: dict, width: int) -> dict:
    arch = spec['arch']
    patch = arch.get('stride', arch['patch_size'])
    neck = dict(
        in_dims=width,
        num_patches=(arch['img_size'] // patch) ** 2,
        patch_size=patch,
        embed_dims=arch['decoder_embed_dim'],
        depth=arch['decoder_depth'],
        num_heads=arch['decoder_num_heads'],
    )
    if 'stride' in arch:
        neck['decoder_pos_order'] = 'raster'
    return dict(neck=neck, head=dict(patch_size=patch))


def _conmim(spec: dict, width: int) -> dict:
    arch = spec['arch']
    widths = dict(
        in_channels=width,
        hid_channels=arch['projector_hidden'],
        out_channels=arch['projector_out'],
    )
    return dict(neck=widths)


def _simmim(spec: dict, width: int) -> dict:
    arch = spec['arch']
    stride = arch['patch_size'] * 2 ** (len(arch.get('depths', [0])) - 1)
    neck = dict(in_channels=width, encoder_stride=stride)
    return dict(neck=neck, head=dict(patch_size=arch['patch_size']))


_PRETRAINING = dict(mae=_mae, localmim=_localmim, ummae=_ummae, conmim=_conmim, simmim=_simmim)


def recipes(file: str = 'groups.json') -> list:
    """The recipes that have a file, as parameters of a test; one that skips if there are none."""
    root = fixture_folder(ENVIRONMENT_VARIABLE, 'recipes')
    found = []
    for path in sorted(root.glob(f'*/{file}')):
        match = NAME.fullmatch(path.parent.name)
        unknown = f'{path.parent.name}: is no name of a recipe'
        found += [Recipe(path.parent, match.groupdict())] if match else skipped(unknown)
    return found or skipped(f'{root} holds no folder with {file}; see {ENVIRONMENT_VARIABLE}')


def _stand_in(name: str, groups: dict) -> tuple[int, ...]:
    """A shape that the key tables can tell a layer by; those of LocalMIM's predictions count."""
    match = re.fullmatch(r'(decoder\.\d+\.pred\.)(\d+)\.weight', name)
    if not match:
        return (1,)
    if groups[name][1] == 0:  # a norm
        return (1,)
    numbers = [int(m[1]) for k in groups if (m := re.match(rf'{re.escape(match[1])}(\d+)', k))]
    side = 1 if int(match[2]) == max(numbers) else 2
    return (1, 1, side, side)
