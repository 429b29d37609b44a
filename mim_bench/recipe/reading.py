"""Replaces classes that read files by this package's checked ones, in configs of any origin.

The orientation of images is that of the recipes' official code
(:data:`mim_bench.data.image_file.ORIENTATIONS`). It is a setting, so it is part of every protocol's
hash.
"""

from mmengine.config import Config

from mim_bench.recipe.tree import dictionaries

_DATASETS = {
    name: f'mim_bench.{name}'
    for name in ('ImageNet', 'CustomDataset', 'CocoDataset', 'ADE20KDataset', 'BaseSegDataset')
}
_ORIENTATIONS = {'mmpretrain': 'stored', 'mmseg': 'proved', 'mmdet': 'proved'}


def read_checked(cfg: Config) -> None:
    """Replace data sets and loading steps of mmpretrain, mmdet and mmseg by the checked classes.

    Args:
        cfg: Changed in place. Steps that state an orientation keep it.
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
