"""The registries of scope ``mim_bench``: children of mmengine's root registries.

Config files name classes as ``mim_bench.X``; mmengine imports the modules in
``locations`` when such a name is first looked up, from whichever library asks.
"""

from mmengine import registry as roots
from mmengine.registry import Registry


def _child(parent: Registry, *locations: str) -> Registry:
    return Registry(
        parent.name,
        parent=parent,
        scope='mim_bench',
        locations=[f'mim_bench.{x}' for x in locations],
    )


MODELS = _child(roots.MODELS, 'models')
OPTIM_WRAPPER_CONSTRUCTORS = _child(roots.OPTIM_WRAPPER_CONSTRUCTORS, 'recipe.layer_decay')
OPTIM_WRAPPERS = _child(roots.OPTIM_WRAPPERS, 'recipe.precision')
OPTIMIZERS = _child(roots.OPTIMIZERS, 'recipe.lars')
PARAM_SCHEDULERS = _child(roots.PARAM_SCHEDULERS, 'recipe.schedules')
TRANSFORMS = _child(roots.TRANSFORMS, 'data.transforms', 'data.segmentation')
DATASETS = _child(
    roots.DATASETS,
    'data.seeding',
    'data.label_fraction',
    'data.limited',
    'data.folders',
    'data.segmentation',
    'data.coco',
    'data.variant_dataset',
)
FUNCTIONS = _child(roots.FUNCTIONS, 'data.masked_samples')
DATA_SAMPLERS = _child(roots.DATA_SAMPLERS, 'data.seeding')
HOOKS = _child(roots.HOOKS, 'engine.hooks')
METRICS = _child(roots.METRICS, 'evaluation.metrics')
LOOPS = _child(roots.LOOPS, 'engine.loops')
RUNNERS = _child(roots.RUNNERS, 'engine.runner')
VISBACKENDS = _child(roots.VISBACKENDS, 'engine.tracking')
