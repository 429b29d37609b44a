"""Layer-wise learning-rate decay, the same for the models of all three libraries."""

from collections.abc import Callable, Iterator
from typing import Any

from mmengine.logging import print_log
from mmengine.optim import DefaultOptimWrapperConstructor
from mmengine.utils.dl_utils.parrots_wrapper import _BatchNorm, _InstanceNorm
from torch import nn

from mim_bench.errors import ConfigError
from mim_bench.registry import OPTIM_WRAPPER_CONSTRUCTORS

BACKBONE = 'backbone'
NORMS = (_BatchNorm, _InstanceNorm, nn.GroupNorm, nn.LayerNorm)
SETTINGS = (
    'layer_decay_rate',
    'norm_decay_mult',
    'bias_decay_mult',
    'flat_decay_mult',
    'no_decay_names',
    'custom_keys',
)


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LayerDecayOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """Optimiser constructor for layer-wise learning-rate decay.

    The model's ``backbone.get_layer_depth`` numbers the layers; necks and heads belong to the
    last one, whose rate is the optimiser's. Parameters of the same rate and weight decay share
    a group, which has the entries ``layers`` and ``lr_scale``. Frozen parameters are left out.

    ``paramwise_cfg`` takes:

    - ``layer_decay_rate``: The rate of layer i of n is ``lr * layer_decay_rate ** (n - 1 - i)``;
      1 by default.
    - ``norm_decay_mult``, ``bias_decay_mult``, ``flat_decay_mult``: Factors of the weight
      decay for parameters of normalisation layers, for other parameters called ``bias``, and
      for other parameters with one dimension.
    - ``no_decay_names``: Parameters without weight decay, each by a part of their dotted name,
      for example ``('pos_embed', 'cls_token', 'relative_position_bias_table')``.
    - ``custom_keys``: A dict from a piece of text to ``lr_mult``, ``decay_mult`` and other
      entries of a group, for parameters whose name has the text; the longest counts, and it
      replaces the other factors of the weight decay.

    Args:
        optim_wrapper_cfg: mmengine's config of the wrapper; the optimiser has an ``lr``.
        paramwise_cfg: See above.

    Raises:
        ConfigError: A setting is unknown, there is no ``lr``, or layer decay is asked for with a
            backbone that does not number its layers.

    Source: BEiT, arXiv:2106.08254; the numbers are those of mmpretrain's
    ``LearningRateDecayOptimWrapperConstructor``. Differs: works for segmentors and detectors,
    honours ``lr_mult``, and groups parameters instead of making a group for each.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        super().__init__(optim_wrapper_cfg, {'layer_decay_rate': 1.0, **(paramwise_cfg or {})})
        if unknown := sorted(set(self.paramwise_cfg) - set(SETTINGS)):
            raise ConfigError(
                f'optim_wrapper.paramwise_cfg has {unknown}, which layer decay does not know. '
                f'Known: {", ".join(SETTINGS)}.'
            )
        if self.base_lr is None:
            raise ConfigError('optim_wrapper.optimizer has no lr that layers could decay. Set it.')
        self.rate = self.paramwise_cfg['layer_decay_rate']
        keys = self.paramwise_cfg.get('custom_keys') or {}
        longest_first = sorted(sorted(keys), key=len, reverse=True)
        self.custom_keys = {key: dict(keys[key]) for key in longest_first}

    def add_params(
        self, params: list[dict], module: nn.Module, prefix: str = '', **kwargs: Any
    ) -> None:
        """Append the groups of a model.

        Args:
            params: The optimiser's groups.
            module: The unwrapped model.
            prefix: Unused; mmengine's.
            kwargs: Unused; mmengine's.
        """
        layer_of = self._numbering(module)
        groups: dict[tuple, dict] = {}
        for name, owner, parameter in _trained(module):
            layer, num_layers = layer_of(name)
            settings = self._settings(name, owner, parameter)
            settings['lr_scale'] = self.rate ** (num_layers - 1 - layer) * settings.pop('lr_mult')
            settings['lr'] = self.base_lr * settings['lr_scale']
            key = tuple(sorted((k, repr(v)) for k, v in settings.items()))
            group = groups.setdefault(key, {'params': [], 'layers': [], **settings})
            group['params'].append(parameter)
            if layer not in group['layers']:
                group['layers'].append(layer)
        params.extend(groups.values())
        print_log(
            f'Layer decay {self.rate}: {sum(len(g["params"]) for g in groups.values())} parameters '
            f'in {len(groups)} groups (mim-bench train --print-groups shows them).',
            logger='current',
        )

    def _numbering(self, model: nn.Module) -> Callable[[str], tuple[int, int]]:
        """A function from a parameter's name to (layer, number of layers)."""
        layer_of = layer_numbering(model)
        if layer_of is None and self.rate != 1:
            owner = type(getattr(model, BACKBONE, model)).__name__
            raise ConfigError(
                f'optim_wrapper.paramwise_cfg.layer_decay_rate is {self.rate}, but {owner} has no '
                'get_layer_depth that numbers its layers. Use a backbone of mim_bench or '
                'mmpretrain that has, or a rate of 1.'
            )
        return layer_of or (lambda name: (0, 1))

    def _settings(self, name: str, owner: nn.Module, parameter: nn.Parameter) -> dict[str, Any]:
        """``lr_mult``, the weight decay if there is any, and custom entries of a parameter."""
        custom = next((self.custom_keys[key] for key in self.custom_keys if key in name), None)
        settings = {'lr_mult': 1.0, **(custom or {})}
        decay_mult = settings.pop('decay_mult', 1.0)
        if self.base_wd is None:
            return settings
        if custom is None:
            decay_mult = self._decay_mult(name, owner, parameter)
        return {**settings, 'weight_decay': self.base_wd * decay_mult}

    def _decay_mult(self, name: str, owner: nn.Module, parameter: nn.Parameter) -> float:
        parts = name.split('.')
        if set(parts) & set(self.paramwise_cfg.get('no_decay_names', ())):
            return 0.0
        rules = {
            'norm_decay_mult': isinstance(owner, NORMS),
            'bias_decay_mult': parts[-1] == 'bias',
            'flat_decay_mult': parameter.ndim == 1,
        }
        for setting, holds in rules.items():
            if holds and self.paramwise_cfg.get(setting) is not None:
                return self.paramwise_cfg[setting]
        return 1.0


def layer_numbering(model: nn.Module) -> Callable[[str], tuple[int, int]] | None:
    """A function from the name of a model's parameter to (layer, number of layers).

    None where the backbone does not number its layers. Necks and heads are in the last layer.
    """
    get_layer_depth = getattr(getattr(model, BACKBONE, None), 'get_layer_depth', None)
    if get_layer_depth is None:
        return None

    def layer_of(name: str) -> tuple[int, int]:
        return get_layer_depth(name, f'{BACKBONE}.')

    try:
        layer_of(next(name for name, _ in model.named_parameters()))
    except NotImplementedError:  # mmpretrain's ResNet has the method for some depths only
        return None
    return layer_of


def _trained(model: nn.Module) -> Iterator[tuple[str, nn.Module, nn.Parameter]]:
    """Name, module and parameter of all trained parameters; shared ones occur once."""
    seen = set()
    for prefix, module in model.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad and parameter not in seen:
                seen.add(parameter)
                yield f'{prefix}.{name}'.removeprefix('.'), module, parameter
