"""One config for every size of a family: its backbone takes the architecture of a checkpoint."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from mmengine.config import Config, ConfigDict

from mim_bench.conversion.backbone_config import backbone_config
from mim_bench.conversion.files import read_checkpoint
from mim_bench.errors import ConfigError

# What the weights decide. Everything else of a backbone is the recipe's: what it returns, drop
# path, windows, the image size.
_OF_THE_WEIGHTS = (
    'type', 'arch', 'patch_size', 'in_channels', 'abs_pos', 'rel_pos_bias', 'qkv_bias',
    'layer_scale', 'norm_eps', 'norm2_eps', 'init_cfg',
)  # fmt: skip
# Arguments of necks and heads that name the backbone's widths.
_WIDTHS = ('in_channels', 'in_dims', 'embed_dims')
_NORMS = ('final_norm', 'out_norms')
_AFTER_BACKBONE = ('neck', 'head', 'decode_head', 'auxiliary_head')


def fit_backbone(cfg: Config, checkpoint: str | Path) -> None:
    """Give a config's backbone the sizes of a canonical checkpoint, and its neck their widths.

    Args:
        cfg: Changed in place. Levels that a pyramid's config returns stay as many; the taps of
            a plain ViT move to the same share of its depth.
        checkpoint: A canonical file.

    Raises:
        ConfigError: The config is for another family of backbones.
        ConversionError: The file does not say its architecture.
    """
    meta = read_checkpoint(checkpoint).get('meta') or {}
    old = cfg.model.backbone
    if meta.get('backbone_type') not in (None, old.type):
        raise ConfigError(
            f'{cfg.filename}: is for {old.type}, but {checkpoint} holds a '
            f'{meta["backbone_type"]}. Use a config whose backbone is that.'
        )
    before = _widths(old.arch, cfg)
    new = backbone_config(meta, **_recipe(old, meta.get('arch') or {}))
    after = _widths(new['arch'], cfg)
    if tuple(old.get('out_indices', ())) == (len(before) - 1,) and len(before) > 1:
        new['out_indices'] = (len(after) - 1,)
    cfg.model.backbone = ConfigDict(new)
    for part in _AFTER_BACKBONE:
        for node in _as_list(cfg.model.get(part)):
            _replace_widths(node, before, after)
            if 'rescales' in node:  # so that the maps keep their strides
                factor = new['patch_size'] / old.get('patch_size', 16)
                node['rescales'] = tuple(rescale * factor for rescale in node['rescales'])


def _widths(arch: Mapping | str, cfg: Config) -> list[int]:
    """Width of every stage; of a plain ViT that of the network."""
    if isinstance(arch, str):
        raise ConfigError(
            f'{cfg.filename}: names its architecture ({arch!r}). --fit-backbone needs a config '
            'that states sizes, as those in configs/demo do.'
        )
    dims = arch['embed_dims']
    if not isinstance(dims, int):
        return list(dims)
    return [dims * 2**i for i in range(len(arch['depths']))] if 'depths' in arch else [dims]


def _recipe(old: Mapping, arch: Mapping) -> dict:
    """The settings that stay. A norm that the file does not have is not asked for."""
    recipe = {key: value for key, value in old.items() if key not in _OF_THE_WEIGHTS}
    for key in _NORMS:
        if recipe.get(key) and not arch.get('norms'):
            recipe[key] = False
    if len(old.get('sr_ratios', ())) != len(arch.get('depths', ())):
        recipe.pop('sr_ratios', None)  # the class's own, for as many stages as it usually has
    if 'num_layers' in arch:
        recipe = {'out_type': 'featmap', **recipe, **_taps(old, arch['num_layers'])}
    return recipe


def _taps(old: Mapping, depth: int) -> dict:
    """The blocks to return, at the same share of the depth."""
    indices = old.get('out_indices', -1)
    if isinstance(indices, int):
        return {'out_indices': indices}
    share = depth / old['arch']['num_layers']
    taps: list[int] = []
    for i in reversed(indices):  # from the last, so that no two fall on one block
        tap = max(round((i + 1) * share), 1) - 1
        taps.insert(0, min(tap, taps[0] - 1) if taps else tap)
    if taps and taps[0] < 0:
        raise ConfigError(
            f'The checkpoint has {depth} blocks, too few for the {len(indices)} outputs that the '
            'config takes.'
        )
    return {'out_indices': tuple(taps)}


def _replace_widths(node: Mapping, before: Sequence[int], after: Sequence[int]) -> None:
    for key in _WIDTHS:
        value = node.get(key)
        if value == before[-1]:
            node[key] = after[-1]
        elif isinstance(value, list | tuple) and list(value) == _repeated(before, len(value)):
            node[key] = _repeated(after, len(value))


def _repeated(widths: Sequence[int], num_levels: int) -> list[int]:
    """Widths of the first levels; a plain ViT has the same on all."""
    return list(widths) * num_levels if len(widths) == 1 else list(widths[:num_levels])


def _as_list(node: object) -> list[Mapping]:
    nodes = node if isinstance(node, list | tuple) else [node]
    return [node for node in nodes if isinstance(node, Mapping)]
