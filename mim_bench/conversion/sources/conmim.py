"""ConMIM's official checkpoints: student or teacher as pre-trained, or fine-tuned."""

from collections.abc import Mapping

from mim_bench.conversion.beit_keys import beit_rules, is_official_beit
from mim_bench.conversion.key_table import Converted, KeyTable
from mim_bench.conversion.source import Fit, Source, StateDict
from mim_bench.conversion.vit_keys import CLASSIFIER_RULES, ENDING

# Layers of the official projector, a Sequential, as mmpretrain's NonLinearNeck names them.
_PROJECTOR = {'0': 'fc0', '1': 'bn0', '3': 'fc1', '4': 'bn1', '6': 'fc2', '7': 'bn2'}
_TABLE = KeyTable(
    'conmim',
    (
        *beit_rules(),
        (r'mask_token', 'backbone.mask_token'),
        (
            rf'projectors\.({"|".join(_PROJECTOR)})\.(.+)',
            lambda layer, leaf: f'neck.{_PROJECTOR[layer]}.{leaf}',
        ),
        *CLASSIFIER_RULES,
        # Always in the file, never in the loss.
        (rf'lm_head{ENDING}', None),
    ),
)


def detect(state: StateDict, content: Mapping) -> Fit:
    """The projector is this format's alone; a fine-tuned file is BEiT's to the last key."""
    if 'projectors.0.weight' in state and 'blocks.0.attn.qkv.weight' in state:
        return Fit.MARK
    if {'lm_head.weight', 'cls_pt_layers.0.attn.qkv.weight'} & set(state):
        return Fit.NO
    return Fit.LAYOUT if is_official_beit(state) else Fit.NO


def rename(state: StateDict, where: str) -> Converted:
    """Rename the keys of either network; the other one is in another file."""
    return _TABLE.apply(state, where)


SOURCE = Source(name='conmim', detect=detect, rename=rename, method='conmim', licence='Apache-2.0')
