"""Loads configs, and finds mistyped keys before the run."""

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict

from mim_bench.data.archives import is_folder
from mim_bench.data.fused import LOADING
from mim_bench.errors import ConfigError, DataError, MimBenchError, did_you_mean
from mim_bench.recipe.by_backbone import apply_by_backbone, decides_architecture, take_backbone
from mim_bench.recipe.pipelines import follow_pipelines
from mim_bench.recipe.tree import dictionaries, named_dictionaries
from mim_bench.shipped import shipped_config

# Keys that the runner or this package reads. Everything else at the top of a config must be a
# variable that the config itself uses; these have the usual endings.
_RUNNER_KEYS = (
    'model work_dir train_dataloader val_dataloader test_dataloader train_cfg val_cfg test_cfg '
    'auto_scale_lr optim_wrapper param_scheduler val_evaluator test_evaluator default_hooks '
    'custom_hooks data_preprocessor load_from resume launcher env_cfg log_processor log_level '
    'visualizer default_scope randomness experiment_name runner_type find_unused_parameters '
    'model_wrapper_cfg sync_bn compile fsdp custom_imports '
    'backbone_checkpoint allow_partial pretraining protocol tta_model tta_pipeline '
    'vis_backends backend_args lr_scaling track limit '
    'batch_plan effective_batch_size is_changed protocol_start protocol_data start_weights '
    'cpu_products loading'
)
RUNNER_KEYS = frozenset(_RUNNER_KEYS.split())
VARIABLE = re.compile(
    r'(data_root|dataset_type|metainfo|classes|num_classes|max_epochs|max_iters|base_lr|\w+_size'
    r'|arch|roi|class_weight|load_and_crop|\w+_pipeline|\w+_cfg|\w*dataset|\w*loader|\w+_root|\w+_dims|\w+_loss'
    r'|\w+_lr|\w+_epochs|\w+_iters)'
)
RANDOMNESS_KEYS = ('randomness.deterministic', 'randomness.diff_rank_seed', 'randomness.seed')
_SHARES = ('mask_ratio', 'drop_path_rate')
# Classes that read files, of libraries, in whose place this package's checked ones stand.
_DATASETS = {
    name: f'mim_bench.{name}'
    for name in ('ImageNet', 'CustomDataset', 'CocoDataset', 'ADE20KDataset', 'BaseSegDataset')
}
# Of images, as the recipes' official code reads them (mim_bench.data.image_file.ORIENTATIONS); a
# setting, so part of every protocol's hash.
_ORIENTATIONS = {'mmpretrain': 'stored', 'mmseg': 'proved', 'mmdet': 'proved'}
# A key this similar to one that is read counts as a typing error.
SLIP_SIMILARITY = 0.9


def load_config(
    path: str | Path, options: dict | None = None, *, backbone_of: str | Path | None = None
) -> Config:
    """Read a config file and apply its protocol's table.

    Args:
        path: A Python config of mmengine; a shipped one may be named from ``configs/`` on.
        options: Overrides by dotted key, as ``--cfg-options`` gives them. A key must exist
            already, or its parent must be a dictionary with a ``type``.
        backbone_of: A canonical checkpoint whose backbone replaces the config's.

    Raises:
        ConfigError: No such file, a syntax error, or a key that nothing reads.
    """
    path = shipped_config(path)
    if not path.is_file():
        raise ConfigError(f'{path}: there is no such config file. Check the path.')
    try:
        cfg = Config.fromfile(path)
    except Exception as e:  # a config is a program, which may raise anything
        raise ConfigError(f'{path}: cannot be read as a config: {_reason(e)}') from e
    follow_pipelines(cfg)
    options = options or {}
    norms = take_backbone(cfg, backbone_of) if backbone_of else None
    _merge_options(cfg, {k: v for k, v in options.items() if decides_architecture(cfg, k)}, path)
    try:
        apply_by_backbone(cfg, norms)
    except MimBenchError:
        raise
    except Exception as e:  # it builds the backbone, which may be a class of the user's
        raise explain_build_error(cfg, e) or ConfigError(
            f'{path}: model.backbone cannot be built: {type(e).__name__}: {_reason(e)}. Correct '
            'the class or its arguments.'
        ) from e
    # Options of the user take precedence over the table.
    _merge_options(cfg, options, path)
    _apply_loading(cfg)
    _read_checked(cfg)
    check_top_level(cfg)
    _check_shares(cfg, path)
    return cfg


def _reason(error: Exception) -> str:
    """What an error says; of a failed import what failed first, not mmengine's summary of it."""
    if not isinstance(error, ImportError):
        return str(error) or type(error).__name__
    while cause := error.__cause__ or error.__context__:
        error = cause
    return f'{error}. Modules of custom_imports are found through PYTHONPATH.'


def _check_shares(cfg: Config, path: Path) -> None:
    """Refuse shares outside [0, 1], of which mmpretrain would silently make something else."""
    for name, part in named_dictionaries(cfg._cfg_dict):
        for key in _SHARES:
            share = part.get(key)
            if isinstance(share, int | float) and not 0 <= share <= 1:
                place = f'{name}.{key}'.lstrip('.')
                raise ConfigError(f'{path}: {place} is {share}. Set a number from 0 to 1.')


def _apply_loading(cfg: Config) -> None:
    """Hand the key ``loading`` on to the loader of training images."""
    loading = cfg.pop('loading', None)
    if loading is None:
        return
    if loading not in LOADING or not cfg.get('train_dataloader'):
        raise ConfigError(
            f'{cfg.filename}: loading={loading!r} is {" or ".join(LOADING)}, for a config that '
            'trains. Correct it or leave it away.'
        )
    cfg.train_dataloader.loading = loading


def _read_checked(cfg: Config) -> None:
    """Replace data sets and loading steps of mmpretrain, mmdet and mmseg by the checked classes.

    Steps that state an orientation keep it.
    """
    scope = cfg.get('default_scope') or 'mmpretrain'
    for node in dictionaries(cfg._cfg_dict):
        kind = node.get('type')
        kind = kind.removeprefix(f'{scope}.') if isinstance(kind, str) else None
        if kind in _DATASETS:
            node['type'] = _DATASETS[kind]
        elif kind == 'LoadImageFromFile':
            node['type'] = 'mim_bench.LoadImage'
            node.setdefault('orientation', _ORIENTATIONS.get(scope, 'stored'))
        elif kind == 'LoadAnnotations' and scope == 'mmseg':
            node['type'] = 'mim_bench.LoadSegmentation'


def check_top_level(cfg: Config) -> None:
    """Refuse a top-level key that neither the runner nor the config itself reads, and no model.

    Raises:
        ConfigError: Names the key and near ones.
    """
    if not isinstance(cfg.get('model', {}), Mapping):
        raise ConfigError(
            f'{cfg.filename}: model is {cfg.model!r}. Give the settings of a network, with a type.'
        )
    for key in cfg:
        if key in RUNNER_KEYS:
            continue
        slip = difflib.get_close_matches(key, RUNNER_KEYS, n=1, cutoff=SLIP_SIMILARITY)
        if slip or not VARIABLE.fullmatch(key):
            raise ConfigError(
                f'{cfg.filename}: nothing reads the key {key!r}.{did_you_mean(key, RUNNER_KEYS)} '
                'Correct or remove it.'
            )


def check_data_roots(cfg: Config, loaders: tuple[str, ...]) -> None:
    """Refuse a run whose data sets are missing, before anything is built.

    Args:
        cfg: The config.
        loaders: The loaders that the run will build.

    Raises:
        DataError: A folder is missing; for a detector that trains on stuff maps also theirs.
    """
    for name in loaders:
        for dataset in _data_sets(cfg.get(name)):
            root = dataset['data_root']
            for folder in (root, *(str(Path(root) / below) for below in image_folders(dataset))):
                if not is_folder(folder):
                    raise DataError(
                        f'{cfg.filename}: {name} reads {folder}, which is not a folder. Put the '
                        'data there, or give another folder with --data-root DIR. '
                        '(`mim-bench data make-toy DIR` writes a small set.)'
                    )
        _check_stuff_maps(cfg, name)


def set_data_root(cfg: Config, data_root: str) -> None:
    """Replace the config's ``data_root`` wherever a dataset or metric uses it.

    Args:
        cfg: Config; changed in place.
        data_root: The folder of the data set, or one above it in which it lies as in the config's:
            ``data/toy`` for ``data/toy/coco``.

    Raises:
        ConfigError: The config has no ``data_root``.
    """
    old = cfg.get('data_root')
    if not isinstance(old, str):
        raise ConfigError(f'{cfg.filename}: has no data_root that --data-root could replace.')
    names = Path(old).parts
    places = [Path(data_root, *names[start:]) for start in range(len(names), -1, -1)]
    needed = {folder for dataset in _data_sets(cfg._cfg_dict) for folder in image_folders(dataset)}
    found = (str(place) for place in places if any(is_folder(place / name) for name in needed))
    new = next(found, str(data_root))
    _replace_prefix(cfg._cfg_dict, old.rstrip('/'), new.rstrip('/'))


def explain_build_error(cfg: Config, error: Exception) -> ConfigError | None:
    """A clear message for an unknown class or argument.

    Returns:
        None for other errors.
    """
    text, advice = str(error), ''
    if match := re.search(r"unexpected keyword argument '(\w+)'", text):
        owner = re.search(r'(\w+)\.__init__\(\) got an unexpected', text)
        where = f'class {owner[1]}' if owner else 'a class'
        problem = f'{where} does not take the key {match[1]!r}'
    elif match := re.search(r'([\w.]+) is not in the ([\w:]+(?: [\w:]+)*) registry', text):
        problem = f'there is no {match[1]!r} in the registry {match[2]}'
        advice = ' The module of a class of your own must be named in custom_imports.'
    else:
        return None
    return ConfigError(f'{cfg.filename}: {problem}. Correct or remove it.{advice}')


def _replace_prefix(node: ConfigDict | list, old: str, new: str) -> None:
    items = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in list(items):
        if isinstance(value, dict | list):
            _replace_prefix(value, old, new)
        elif isinstance(value, str) and (value.rstrip('/') == old or value.startswith(old + '/')):
            node[key] = new + value[len(old) :]


def _check_stuff_maps(cfg: Config, loader: str) -> None:
    """Refuse a run whose detector trains on stuff maps that are missing."""
    dataset = (cfg.get(loader) or {}).get('dataset') or {}
    prefix = dataset.get('data_prefix')  # one folder for ImageNet, several for COCO
    folder = prefix.get('seg') if isinstance(prefix, dict) else None
    if not folder or is_folder(Path(dataset.get('data_root') or '') / folder):
        return
    raise DataError(
        f'{cfg.filename}: {loader} reads stuff maps from '
        f'{Path(dataset.get("data_root") or "") / folder}, which is not a folder. `mim-bench data '
        f'check coco {dataset.get("data_root")} --need-stuff` says where to get them; or train '
        'without the stuff branch: use a config htc-no-stuff_* or htc-plus-no-stuff_*.'
    )


def image_folders(dataset: Mapping[str, Any]) -> list[str]:
    """The folders of a data set's images and label maps, below its root."""
    prefix = dataset.get('data_prefix') or dataset.get('split') or ''
    folders = prefix if isinstance(prefix, Mapping) else {'img': prefix}
    return [folder for name, folder in folders.items() if name != 'seg' and folder]


def named_roots(node: object) -> list[str]:
    """Every ``data_root`` at and below a node of a config."""
    return [dataset['data_root'] for dataset in _data_sets(node)]


def _data_sets(node: object) -> list[Mapping[str, Any]]:
    return [part for part in dictionaries(node) if part.get('data_root')]


def _merge_options(cfg: Config, options: dict, path: Path) -> None:
    for key, value in options.items():
        _check_option(cfg, key, path)
        cfg.merge_from_dict({key: value})


def _check_option(cfg: Config, key: str, path: Path) -> None:
    first = key.partition('.')[0]
    if first in cfg and first not in RUNNER_KEYS:
        raise ConfigError(
            f'{path}: --cfg-options {key}: {first!r} is a variable of the config file, which was '
            f'read when the file was; setting it now changes nothing. {_instead(first)}'
        )
    node, done = cfg._cfg_dict, ''
    for part in key.split('.'):
        if isinstance(node, list | tuple) and part.isdigit() and int(part) < len(node):
            node = node[int(part)]
        elif isinstance(node, dict) and part in node:
            node = node[part]
        elif not done and part in RUNNER_KEYS:
            return  # for example load_from, which a config may leave out
        elif (isinstance(node, dict) and 'type' in node) or f'{done}{part}' in RANDOMNESS_KEYS:
            return  # an argument of a class or of the runner: building it checks the key
        else:
            known = node if isinstance(node, dict) else ()
            raise ConfigError(
                f'{path}: --cfg-options {key}: there is no {part!r} '
                f'{"in " + done[:-1] if done else "at the top"}.{did_you_mean(part, known)}'
            )
        done += f'{part}.'


def _instead(variable: str) -> str:
    """Advice in the error about an option that sets a variable of a config file."""
    if variable == 'data_root':
        return 'Use --data-root.'
    if variable in ('train_pipeline', 'test_pipeline'):
        loader = 'train_dataloader' if variable.startswith('train') else 'val_dataloader'
        return f'Set {loader}.dataset.pipeline.<number>.<key>.'
    if variable == 'base_lr':
        return 'Set optim_wrapper.optimizer.lr.'
    return 'Set the key that uses it, or write a config that inherits from this one.'
