"""What the families of timm take: names, arguments, image sizes."""

import inspect
from collections.abc import Sequence
from functools import cache

import timm
import torch

from mim_bench.errors import ConfigError, did_you_mean

# Measured with timm 1.0.31. Modules whose networks are built for images of one size; those without
# an argument for it take only timm's size.
FIXED_SIZE = frozenset(
    (
        'beit', 'cait', 'coat', 'convit', 'crossvit', 'efficientformer',
        'efficientformer_v2', 'efficientvit_msra', 'gcvit', 'hiera', 'levit', 'maxxvit',
        'mlp_mixer', 'nest', 'pit', 'tnt', 'visformer', 'vision_transformer_relpos', 'vitamin',
        'volo',
    )
)  # fmt: skip
# Modules whose networks take images of any size that is a multiple of this.
MULTIPLES = {
    'byoanet': 256,
    'dla': 32,
    'hrnet': 32,
    'hieradet_sam2': 32,
    'csatv2': 64,
    'sequencer': 14,
}
# Smallest image side in pixels by module, for networks with convolutions without padding.
LEAST = {'inception_resnet_v2': 96, 'inception_v3': 96, 'inception_v4': 96}
# Modules whose weights fit only the image size that timm gives the network: layers over all tokens,
# or grids of two sizes.
ONE_SIZE = frozenset(('crossvit', 'efficientformer', 'mlp_mixer'))


def check_name(name: str) -> None:
    """Check that timm knows a model and the tag of its weights, if the name has one.

    Raises:
        ConfigError: It does not.
    """
    architecture, _, tag = name.partition('.')
    if not timm.is_model(architecture):
        hint = did_you_mean(architecture, timm.list_models(), n=3)
        raise ConfigError(f'TimmBackbone: timm {timm.__version__} has no {architecture!r}.{hint}')
    try:
        timm.get_pretrained_cfg(name)
    except RuntimeError as error:
        raise ConfigError(
            f'TimmBackbone: {architecture!r} of timm {timm.__version__} has no tag {tag!r}. Give '
            'the name without it, or with one of timm.list_pretrained.'
        ) from error


def family_of(name: str) -> str:
    """The module of timm that defines a model."""
    return timm.model_entrypoint(name).__module__.rpartition('.')[2]


def input_side(name: str) -> int:
    """Side in pixels of the images in timm's configuration of a model."""
    return timm.get_pretrained_cfg(name).input_size[-1]


def families_for_any_size() -> str:
    """The advice of errors about families that take images of one size only."""
    return (
        'Families that take any size: convnext, eva, hieradet_sam2, resnet, swin_transformer, '
        'vision_transformer and most others (docs/timm.md).'
    )


@cache
def accepted_arguments(name: str) -> frozenset[str]:
    """Arguments of a model's class and of the classes that it passes further arguments to."""
    with torch.device('meta'):
        net = timm.create_model(name, num_classes=0)
    found: set[str] = set()
    for cls in type(net).__mro__:
        if '__init__' in vars(cls):
            arguments = inspect.signature(cls.__init__).parameters
            found |= set(arguments)
            if all(a.kind is not a.VAR_KEYWORD for a in arguments.values()):
                break
    return frozenset(found)


def fixed_size(name: str, img_size: int | Sequence[int] | None) -> tuple[int, int] | None:
    """The (height, width) that a network for images of one size is built for; None for others.

    Raises:
        ConfigError: The network takes only timm's size, and another one is asked for.
    """
    if family_of(name) not in FIXED_SIZE:
        return None
    size = img_size or input_side(name)
    size = (size, size) if isinstance(size, int) else tuple(size)
    takes_other = 'img_size' in accepted_arguments(name) and family_of(name) not in ONE_SIZE
    if not takes_other and size != (input_side(name),) * 2:
        raise ConfigError(
            f'TimmBackbone: {name!r} takes images of {input_side(name)} px alone, not of {size}. '
            f'{families_for_any_size()}'
        )
    return size
