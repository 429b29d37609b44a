"""How every run reads its files: the one place that decides it, for configs of any origin.

Configs name the classes of mmpretrain, mmdet and mmseg; a run uses the checked ones of this package
in their places. The orientation of images is that of the official code of the recipes, see
:data:`mim_bench.data.image_file.ORIENTATIONS`, and as a setting part of every protocol's hash.
"""

from typing import Any

from mmengine.config import Config

_DATASETS = {
    name: f'mim_bench.{name}'
    for name in ('ImageNet', 'CustomDataset', 'CocoDataset', 'ADE20KDataset', 'BaseSegDataset')
}
_ORIENTATIONS = {'mmpretrain': 'stored', 'mmseg': 'proved', 'mmdet': 'proved'}


def read_checked(cfg: Config) -> None:
    """Put the checked classes in the places of the libraries' own, throughout a config.

    Args:
        cfg: Changed in place. Steps that state another orientation keep it.
    """
    scope = cfg.get('default_scope') or 'mmpretrain'
    _replace(cfg._cfg_dict, scope)


def _replace(node: Any, scope: str) -> None:
    if isinstance(node, dict):
        kind = node.get('type')
        if isinstance(kind, str):
            _replace_type(node, kind.removeprefix(f'{scope}.'), scope)
        children = list(node.values())
    else:
        children = list(node)
    for child in children:
        if isinstance(child, dict | list | tuple):
            _replace(child, scope)


def _replace_type(node: dict, kind: str, scope: str) -> None:
    if kind in _DATASETS:
        node['type'] = _DATASETS[kind]
    elif kind == 'LoadImageFromFile':
        node['type'] = 'mim_bench.LoadImage'
        node.setdefault('orientation', _ORIENTATIONS.get(scope, 'stored'))
    elif kind == 'LoadAnnotations' and scope == 'mmseg':
        node['type'] = 'mim_bench.LoadSegmentation'
