"""The registries of scope ``mim_bench``: children of mmengine's root registries.

Config files name classes as ``mim_bench.X``; mmengine imports the modules in
``locations`` when such a name is first looked up, from whichever library asks.
"""

from mmengine.registry import DATA_SAMPLERS as MMENGINE_DATA_SAMPLERS
from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import FUNCTIONS as MMENGINE_FUNCTIONS
from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import LOOPS as MMENGINE_LOOPS
from mmengine.registry import METRICS as MMENGINE_METRICS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS as MMENGINE_OPTIM_WRAPPER_CONSTRUCTORS
from mmengine.registry import OPTIM_WRAPPERS as MMENGINE_OPTIM_WRAPPERS
from mmengine.registry import OPTIMIZERS as MMENGINE_OPTIMIZERS
from mmengine.registry import PARAM_SCHEDULERS as MMENGINE_PARAM_SCHEDULERS
from mmengine.registry import RUNNERS as MMENGINE_RUNNERS
from mmengine.registry import TRANSFORMS as MMENGINE_TRANSFORMS
from mmengine.registry import VISBACKENDS as MMENGINE_VISBACKENDS
from mmengine.registry import Registry


def _child(parent: Registry, *locations: str) -> Registry:
    return Registry(
        parent.name,
        parent=parent,
        scope='mim_bench',
        locations=[f'mim_bench.{x}' for x in locations],
    )


MODELS = _child(MMENGINE_MODELS, 'models')
OPTIM_WRAPPER_CONSTRUCTORS = _child(MMENGINE_OPTIM_WRAPPER_CONSTRUCTORS, 'recipe.layer_decay')
OPTIM_WRAPPERS = _child(MMENGINE_OPTIM_WRAPPERS, 'recipe.precision')
OPTIMIZERS = _child(MMENGINE_OPTIMIZERS, 'recipe.lars')
PARAM_SCHEDULERS = _child(MMENGINE_PARAM_SCHEDULERS, 'recipe.schedules')
TRANSFORMS = _child(MMENGINE_TRANSFORMS, 'data.transforms', 'data.segmentation')
DATASETS = _child(
    MMENGINE_DATASETS,
    'data.seeding',
    'data.label_fraction',
    'data.limited',
    'data.folders',
    'data.segmentation',
    'data.coco',
    'data.variant_dataset',
)
FUNCTIONS = _child(MMENGINE_FUNCTIONS, 'data.masked_samples')
DATA_SAMPLERS = _child(MMENGINE_DATA_SAMPLERS, 'data.seeding')
HOOKS = _child(MMENGINE_HOOKS, 'engine.hooks')
METRICS = _child(MMENGINE_METRICS, 'evaluation.metrics')
LOOPS = _child(MMENGINE_LOOPS, 'engine.loops')
RUNNERS = _child(MMENGINE_RUNNERS, 'engine.runner')
VISBACKENDS = _child(MMENGINE_VISBACKENDS, 'engine.tracking')
